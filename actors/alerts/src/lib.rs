//! flowlord-alerts
