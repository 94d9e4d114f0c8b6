//! flowlord-notifier
