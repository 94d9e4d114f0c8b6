//! The nodes with the same database.

use flowlord_kernel::Error;
use flowlord_messages::cluster::{ClusterState, NodeAddress, NodeState, Takeover};

use super::FactLine;
use crate::layout::PageLayout;
use crate::parts::grouped;
use crate::prelude::*;
use crate::when::{ShownTime, seconds};

/// The cluster as this node sees it.
pub(super) struct ClusterPanel {
    pub(super) facts: Vec<FactLine>,
    /// Who leads, with the address of its own page.
    pub(super) leader: Option<(String, String)>,
    pub(super) takeover: Option<TakeoverLine>,
    pub(super) problem: Option<String>,
    pub(super) warnings: Vec<String>,
    pub(super) nodes: Vec<NodeRow>,
}

pub(super) struct TakeoverLine {
    pub(super) is_handover: bool,
    pub(super) from: String,
    pub(super) to: String,
    pub(super) at: ShownTime,
    pub(super) missing_since: Option<ShownTime>,
    pub(super) is_complete: bool,
}

pub(super) struct NodeRow {
    pub(super) node: String,
    pub(super) href: String,
    pub(super) role: &'static str,
    pub(super) applied: String,
    pub(super) lag: String,
    pub(super) version: String,
    pub(super) seen: ShownTime,
}

impl ClusterPanel {
    /// None where there is no cluster.
    pub(super) fn new(
        context: &WebContext,
        state: &ClusterState,
        nodes: Result<Vec<NodeState>, Error>,
        layout: &mut PageLayout,
    ) -> Option<Self> {
        let node = state.node.as_ref()?;
        let nodes = layout.read_here("the nodes of the cluster", nodes).unwrap_or_default();
        Some(Self {
            facts: vec![
                ("This node", node.node.clone()),
                ("Role", state.role.as_str().to_owned()),
                ("Term", grouped(state.term)),
                ("Applied entries", grouped(state.applied)),
                ("Behind", lag_text(state.lag_seconds(context.deps.kit.now()))),
            ],
            leader: state.leader.as_ref().map(|leader| (leader.node.clone(), about_href(leader))),
            takeover: state.takeover.as_ref().map(TakeoverLine::from),
            problem: state.problem.clone(),
            warnings: state.warnings.clone(),
            nodes: nodes.into_iter().map(NodeRow::from).collect(),
        })
    }
}

fn about_href(address: &NodeAddress) -> String {
    format!("{}/web/about", address.url.trim_end_matches('/'))
}

fn lag_text(lag: Option<f64>) -> String {
    lag.map_or_else(|| "not known".to_owned(), seconds)
}

impl From<&Takeover> for TakeoverLine {
    fn from(Takeover { at, from, to, is_handover, missing_since, is_complete }: &Takeover) -> Self {
        Self {
            is_handover: *is_handover,
            from: from.clone(),
            to: to.clone(),
            at: ShownTime::full(*at),
            missing_since: missing_since.map(ShownTime::full),
            is_complete: *is_complete,
        }
    }
}

impl From<NodeState> for NodeRow {
    fn from(state: NodeState) -> Self {
        let NodeState { address, role, applied, lag_seconds, version, seen_at, .. } = state;
        Self {
            href: about_href(&address),
            node: address.node,
            role: role.as_str(),
            applied: grouped(applied),
            lag: lag_text(lag_seconds),
            version,
            seen: ShownTime::full(seen_at),
        }
    }
}
