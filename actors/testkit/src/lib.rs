//! flowlord-testkit
