//! `[tls]`, `[limits]`, `[deadman]`: how the service is reached, how much at once, and who is told that it lives.

use std::path::PathBuf;

use chrono::TimeDelta;
use flowlord_web_core::context::TlsFiles;

use super::read::ValueReader;
use super::{DAY, Secret};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitConfig {
    pub connections: u32,
    /// How many requests of one token may wait for tasks.
    pub long_polls: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadmanConfig {
    pub url: Option<Secret>,
    pub every: TimeDelta,
}

pub(super) fn tls(from: &mut ValueReader) -> Option<TlsFiles> {
    match (from.optional("tls.cert"), from.optional("tls.key")) {
        (Some(cert), Some(key)) => Some(TlsFiles { cert: PathBuf::from(cert), key: PathBuf::from(key) }),
        (Some(_), None) => {
            from.error("tls.cert", "a certificate needs its key: set tls.key too");
            None
        }
        (None, Some(_)) => {
            from.error("tls.key", "a key needs its certificate: set tls.cert too");
            None
        }
        (None, None) => None,
    }
}

pub(super) fn limits(from: &mut ValueReader) -> LimitConfig {
    LimitConfig {
        connections: from.number("limits.connections", 10, 1_000_000),
        long_polls: from.number("limits.long_polls", 1, 1_000_000),
    }
}

pub(super) fn deadman(from: &mut ValueReader) -> DeadmanConfig {
    DeadmanConfig {
        url: from.secret_url("deadman.url"),
        every: from.duration("deadman.every", TimeDelta::seconds(1), DAY),
    }
}
