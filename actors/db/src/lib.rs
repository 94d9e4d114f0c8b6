//! flowlord-db
