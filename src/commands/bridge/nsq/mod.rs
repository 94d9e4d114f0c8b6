//! The NSQ V2 protocol, as far as a bridge needs it: publish, consume, and find nsqd by nsqlookupd. Without TLS, AUTH and
//! compression.

mod connection;
pub(super) mod consumer;
pub(super) mod lookup;
pub(super) mod producer;
mod wire;
