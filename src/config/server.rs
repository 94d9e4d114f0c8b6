//! `[tls]`, `[limits]`, `[groups]`, `[deadman]`, `[cluster]`: how the service is reached, how much at once, who is told that it
//! lives, and which node of a cluster it is.

use std::collections::BTreeMap;
use std::path::PathBuf;

use chrono::TimeDelta;
use flowlord_domain::limits::is_group_name;
use flowlord_messages::cluster::NodeAddress;
use flowlord_replica::{StreamConfig, StreamServers};
use flowlord_web_core::context::TlsFiles;

use super::keys::GROUPS;
use super::read::ValueReader;
use super::{ClusterConfig, DAY, Secret};

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

pub(super) fn cluster(from: &mut ValueReader) -> Option<ClusterConfig> {
    let log = cluster_log(from);
    match (from.optional("cluster.node"), from.optional("cluster.url")) {
        (Some(node), Some(url)) => {
            if !is_node_name(&node) {
                from.error(
                    "cluster.node",
                    "a name of up to 63 letters, digits, dots, dashes and underscores is needed",
                );
            }
            if !is_http(&url) {
                from.error("cluster.url", "an address that begins with http:// or https:// is needed");
            }
            // Paths are put behind it, which begin with a slash.
            let address = NodeAddress { node, url: url.trim_end_matches('/').to_owned() };
            Some(ClusterConfig { address, log, is_standby: false })
        }
        (Some(_), None) => {
            from.error("cluster.url", "the other nodes must reach this one: set it to its address");
            None
        }
        (None, Some(_)) => {
            from.error("cluster.node", "a node of a cluster needs a name: set it, different on each node");
            None
        }
        (None, None) => None,
    }
}

fn is_http(url: &str) -> bool {
    url.starts_with("http://") || url.starts_with("https://")
}

/// None for the backup's place.
fn cluster_log(from: &mut ValueReader) -> Option<StreamConfig> {
    let monitor = from.optional("cluster.monitor");
    if monitor.as_ref().is_some_and(|url| !is_http(url)) {
        from.error("cluster.monitor", "the address of a NATS server's monitoring is needed, as in http://nats:8222");
    }
    let credentials = from.secret("cluster.credentials");
    let log = from.optional("cluster.log").filter(|log| log != "place")?;
    let servers = StreamServers::parse(&log).map_err(|err| from.error("cluster.log", &err)).ok()?;
    let stream = StreamConfig { servers, credentials, monitor };
    if let Err(why) = stream.connect_options() {
        from.error("cluster.credentials", &why);
    }
    Some(stream)
}

/// It is a part of the name of a file.
fn is_node_name(name: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    // It names a file of the backup's place, which must not be hidden nor lead elsewhere.
    name.len() <= 63 && name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.chars().all(is_plain)
}

pub(super) fn limits(from: &mut ValueReader) -> LimitConfig {
    LimitConfig {
        connections: from.number("limits.connections", 10, 1_000_000),
        long_polls: from.number("limits.long_polls", 1, 1_000_000),
    }
}

/// `[groups]`: a name that no rule can have is an error, so that a slip is seen.
pub(super) fn groups(from: &mut ValueReader) -> BTreeMap<String, u32> {
    let mut groups = BTreeMap::new();
    for name in from.names_in(GROUPS) {
        let key = format!("{GROUPS}.{name}");
        if !is_group_name(&name) {
            from.error(&key, "the name of a group has letters, digits, dashes and underscores, at most 100");
        }
        // Also with a wrong name: all that is wrong is told at once.
        groups.insert(name, from.number(&key, 1, 1_000_000));
    }
    groups
}

pub(super) fn deadman(from: &mut ValueReader) -> DeadmanConfig {
    DeadmanConfig {
        url: from.secret_url("deadman.url"),
        every: from.duration("deadman.every", TimeDelta::seconds(1), DAY),
    }
}
