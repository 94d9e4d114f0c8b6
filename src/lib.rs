//! flowlord
