//! The nodes of the cluster, the same for REST and for the page.

use flowlord_kernel::Result;
use flowlord_messages::cluster::{ClusterState, ListNodes, NodeRole, NodeState};

use crate::context::WebContext;

/// The nodes that registered themselves lately; none where there is no cluster.
pub async fn list_nodes(context: &WebContext, state: &ClusterState) -> Result<Vec<NodeState>> {
    match state.role {
        NodeRole::Single => Ok(Vec::new()),
        NodeRole::Leader | NodeRole::Follower => context.deps.cluster.call(ListNodes).await,
    }
}
