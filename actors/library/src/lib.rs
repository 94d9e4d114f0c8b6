//! flowlord-library
