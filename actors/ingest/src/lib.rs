//! flowlord-ingest
