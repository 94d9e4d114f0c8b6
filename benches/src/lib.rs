//! flowlord-bench
