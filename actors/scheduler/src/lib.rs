//! flowlord-scheduler
