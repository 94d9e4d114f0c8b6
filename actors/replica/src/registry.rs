//! The nodes of a cluster, each in a file that it writes itself.

use chrono::{DateTime, TimeDelta, Utc};
use flowlord_messages::cluster::{DatabaseDifference, NodeAddress, NodeRole, NodeState};
use flowlord_storage::{FileStorage, MAX_OBJECTS, Result};
use serde::{Deserialize, Serialize};

const NODES: &str = "cluster/nodes";

const MAX_FILE_BYTES: u64 = 64 * 1024;

/// How often a node registers itself.
pub(crate) const REGISTER_INTERVAL: TimeDelta = TimeDelta::seconds(10);

/// A node that didn't for so long is no longer one.
const FORGOTTEN_AFTER: TimeDelta = TimeDelta::hours(24);

/// A node as it is written.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct NodeRecord {
    node: String,
    url: String,
    role: String,
    applied: u64,
    lag_seconds: Option<f64>,
    #[serde(default)]
    needs_snapshot: bool,
    /// When its database differed last, and where.
    #[serde(default)]
    difference: Option<DatabaseDifference>,
    version: String,
    at: DateTime<Utc>,
}

impl From<&NodeState> for NodeRecord {
    fn from(state: &NodeState) -> Self {
        let NodeState { address, role, applied, lag_seconds, needs_snapshot, difference, version, seen_at: at } =
            state.clone();
        let (NodeAddress { node, url }, role) = (address, role.as_str().to_owned());
        Self { node, url, role, applied, lag_seconds, needs_snapshot, difference, version, at }
    }
}

impl From<NodeRecord> for NodeState {
    fn from(record: NodeRecord) -> Self {
        let NodeRecord { node, url, role, applied, lag_seconds, needs_snapshot, difference, version, at } = record;
        let (address, role) = (NodeAddress { node, url }, NodeRole::from_name(&role).unwrap_or_default());
        Self { address, role, applied, lag_seconds, needs_snapshot, difference, version, seen_at: at }
    }
}

pub(crate) async fn register(store: &FileStorage, state: &NodeState) -> Result<()> {
    let text = serde_json::to_vec(&NodeRecord::from(state)).unwrap_or_default();
    store.put(&format!("{NODES}/{}.json", state.address.node), text).await
}

/// Those that registered themselves lately, by name.
pub(crate) async fn list_nodes(store: &FileStorage, now: DateTime<Utc>) -> Result<Vec<NodeState>> {
    let mut nodes = Vec::new();
    for file in store.list_level(NODES, MAX_OBJECTS).await?.files {
        let content = store.get(&format!("{NODES}/{}", file.path), MAX_FILE_BYTES).await?;
        let record = serde_json::from_slice::<NodeRecord>(&content.bytes).ok();
        nodes.extend(record.filter(|record| now - record.at < FORGOTTEN_AFTER).map(NodeState::from));
    }
    Ok(nodes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{folder_log, now, own};

    #[actix::test]
    async fn a_node_is_listed_for_a_day_and_what_is_no_node_isnt() {
        let (_folder, log) = folder_log();
        let node = |name: &str, seen_at| NodeState {
            address: own(name).address,
            role: NodeRole::Follower,
            applied: 7,
            lag_seconds: Some(1.5),
            needs_snapshot: false,
            difference: Some(DatabaseDifference { at: now(), what: "rows of table task".to_owned() }),
            version: "1.0.0".to_owned(),
            seen_at,
        };
        let (lately, long_ago) = (node("b", now()), node("a", now() - TimeDelta::hours(25)));
        for node in [&lately, &long_ago] {
            register(&log.store, node).await.unwrap();
        }
        log.store.put("cluster/nodes/c.json", "{").await.unwrap();
        assert_eq!(list_nodes(&log.store, now()).await.unwrap(), [lately]);
    }
}
