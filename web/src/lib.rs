//! flowlord-web
