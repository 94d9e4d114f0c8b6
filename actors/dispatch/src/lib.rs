//! flowlord-dispatch
