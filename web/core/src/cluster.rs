//! How the cluster is, as requests ask for it. A service without one pays a single load.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use actix_web::http::header::HeaderName;
use flowlord_messages::cluster::{ClusterState, NodeAddress, NodeRole};
use tokio::sync::watch;

/// On a request that a follower passed on to the leader: the follower's name.
pub const X_FLOWLORD_FORWARDED: HeaderName = HeaderName::from_static("x-flowlord-forwarded");

/// On the leader's answer to such a request: the leader's clock.
pub const X_FLOWLORD_TIME: HeaderName = HeaderName::from_static("x-flowlord-time");

/// On what a follower answers itself: by how many seconds its database is behind.
pub const X_FLOWLORD_LAG: HeaderName = HeaderName::from_static("x-flowlord-lag");

/// The latest state of the cluster.
#[derive(Debug, Default)]
pub struct ClusterStatus {
    has_cluster: AtomicBool,
    state: watch::Sender<Arc<ClusterState>>,
}

impl ClusterStatus {
    pub fn new(state: ClusterState) -> Self {
        let status = Self::default();
        status.replace(state);
        status
    }

    /// Replaces the state, and answers the one before.
    pub fn replace(&self, state: ClusterState) -> Arc<ClusterState> {
        let has_cluster = state.role != NodeRole::Single;
        let before = self.state.send_replace(Arc::new(state));
        self.has_cluster.store(has_cluster, Ordering::Release);
        before
    }

    /// That of a service on its own, where there is no cluster.
    pub fn state(&self) -> Arc<ClusterState> {
        Arc::clone(&self.state.borrow())
    }

    /// None where there is no cluster.
    pub fn of_cluster(&self) -> Option<Arc<ClusterState>> {
        self.has_cluster.load(Ordering::Acquire).then(|| self.state())
    }

    pub fn is_follower(&self) -> bool {
        self.of_cluster().is_some_and(|state| state.role == NodeRole::Follower)
    }

    /// Waits until `leader` leads no more, as far as this node knows.
    pub async fn until_replaced(&self, leader: &NodeAddress) {
        let mut states = self.state.subscribe();
        let _sender_is_ours = states.wait_for(|state| state.leader.as_ref() != Some(leader)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn led_by(node: &str, role: NodeRole) -> ClusterState {
        let leader = NodeAddress { node: node.to_owned(), url: format!("http://{node}") };
        ClusterState { role, leader: Some(leader), ..ClusterState::default() }
    }

    #[test]
    fn a_service_on_its_own_has_none() {
        let status = ClusterStatus::default();
        assert!(status.of_cluster().is_none() && !status.is_follower());
        assert_eq!(*status.state(), ClusterState::default());
        let before = status.replace(led_by("a", NodeRole::Follower));
        assert_eq!(*before, ClusterState::default());
        assert!(status.is_follower());
        status.replace(led_by("b", NodeRole::Leader));
        assert!(!status.is_follower());
        assert_eq!(*status.of_cluster().unwrap(), led_by("b", NodeRole::Leader));
    }

    #[actix::test]
    async fn the_end_of_a_lead_is_noticed() {
        let status = ClusterStatus::default();
        status.replace(led_by("a", NodeRole::Follower));
        let leader = status.state().leader.clone().unwrap();
        let mut replaced = std::pin::pin!(status.until_replaced(&leader));
        assert!(futures_util::poll!(&mut replaced).is_pending());
        status.replace(ClusterState { applied: 7, ..led_by("a", NodeRole::Follower) });
        assert!(futures_util::poll!(&mut replaced).is_pending(), "the same leads");
        status.replace(ClusterState { leader: None, ..led_by("a", NodeRole::Follower) });
        replaced.await;
    }
}
