//! The nodes with the same database: who leads, and how far the others are.

use flowlord_messages::cluster::{ClusterState, HandOver, NodeAddress, NodeRole, NodeState, ReadCluster, Takeover};
use flowlord_web_core::use_cases::cluster::list_nodes;

use crate::prelude::*;

pub(crate) fn routes() -> Vec<Route> {
    vec![
        // Not forwarded: it says how this node sees the others.
        Route::get("/api/v1/cluster", Role::Viewer, show)
            .local()
            .about("service", "The cluster")
            .says("As the node sees it that is asked; a follower doesn't forward this.")
            .answers::<ClusterAnswer>(200, "the cluster; without one the role is `single`", cluster_example())
            .asks_nobody(),
        Route::post("/api/v1/cluster/handover", Role::Admin, hand_over)
            .audited(AuditAction::HandOver)
            .about("service", "Let another node lead")
            .says("Nothing that was acknowledged is lost. The leader restarts as a follower.")
            .optional_body::<HandOverBody>("which node; the first that can unless given", example_of(EXAMPLE))
            .answers::<ClusterAnswer>(202, "it has begun", cluster_example())
            .fails(&[Code::InvalidRequest]),
    ]
}

const EXAMPLE: &str = r#"{"to":"b"}"#;

#[derive(Deserialize, ToSchema)]
#[schema(as = HandOver)]
#[serde(deny_unknown_fields)]
pub(crate) struct HandOverBody {
    /// The name of the node that is to lead.
    to: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Cluster)]
pub(crate) struct ClusterAnswer {
    /// The name of the node that answers.
    #[schema(required)]
    node: Option<String>,
    #[schema(schema_with = limits::named::<NodeRole>)]
    role: &'static str,
    /// Null while no node leads.
    #[schema(required)]
    leader: Option<NodeAddressView>,
    /// Counts the leaders.
    term: u64,
    /// The number of the last entry of the cluster's log that is in this node's database.
    applied: u64,
    /// By how much this node's database is behind; null while that isn't known.
    #[schema(required)]
    lag_seconds: Option<f64>,
    /// By name, as each last registered itself.
    nodes: Vec<NodeView>,
    /// The last change of the leader.
    #[schema(required)]
    takeover: Option<TakeoverView>,
    #[schema(required)]
    problem: Option<String>,
    /// What makes the log less safe than it could be; a sentence each.
    warnings: Vec<String>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = NodeAddress)]
struct NodeAddressView {
    node: String,
    url: String,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Node)]
struct NodeView {
    node: String,
    url: String,
    #[schema(schema_with = limits::named::<NodeRole>)]
    role: &'static str,
    applied: u64,
    #[schema(required)]
    lag_seconds: Option<f64>,
    /// The version of its program.
    version: String,
    seen_at: DateTime<Utc>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Takeover)]
struct TakeoverView {
    at: DateTime<Utc>,
    from: String,
    to: String,
    /// Whether the former leader left the lead; then nothing is missing.
    is_handover: bool,
    /// What was acknowledged between this and `at` may be missing; null where nothing is, and where that isn't known.
    #[schema(required)]
    missing_since: Option<DateTime<Utc>>,
    /// Whether nothing is missing: after a handover, and where NATS keeps the log.
    is_complete: bool,
}

impl ClusterAnswer {
    /// An answer also where the place that the nodes share is away: then it says so.
    async fn read(context: &WebContext, state: ClusterState) -> Self {
        let listed = list_nodes(context, &state).await;
        let unlisted = listed.as_ref().err().map(|err| format!("the nodes can't be listed: {}", err.detail));
        Self {
            lag_seconds: state.lag_seconds(context.deps.kit.now()),
            node: state.node.map(|address| address.node),
            role: state.role.as_str(),
            leader: state.leader.map(NodeAddressView::from),
            term: state.term,
            applied: state.applied,
            nodes: listed.unwrap_or_default().into_iter().map(NodeView::from).collect(),
            takeover: state.takeover.map(TakeoverView::from),
            problem: state.problem.or(unlisted),
            warnings: state.warnings,
        }
    }
}

impl From<NodeAddress> for NodeAddressView {
    fn from(NodeAddress { node, url }: NodeAddress) -> Self {
        Self { node, url }
    }
}

impl From<NodeState> for NodeView {
    fn from(state: NodeState) -> Self {
        let NodeState { address: NodeAddress { node, url }, role, applied, lag_seconds, version, seen_at, .. } = state;
        Self { node, url, role: role.as_str(), applied, lag_seconds, version, seen_at }
    }
}

impl From<Takeover> for TakeoverView {
    fn from(takeover: Takeover) -> Self {
        let Takeover { at, from, to, is_handover, missing_since, is_complete } = takeover;
        Self { at, from, to, is_handover, missing_since, is_complete }
    }
}

async fn show(context: ContextRef, request: HttpRequest) -> Answer {
    QueryParams::none(&request)?;
    let state = ClusterState::clone(&context.cluster.state());
    json(StatusCode::OK, &ClusterAnswer::read(&context, state).await)
}

async fn hand_over(context: ContextRef, request: HttpRequest, payload: Payload) -> Answer {
    let HandOverBody { to } = strict_body(&request, payload, EXAMPLE).await?;
    let Some(before) = context.cluster.of_cluster() else {
        let detail = "this service is in no cluster, so no other node can lead: set cluster.node and cluster.url, and \
                      start another node with `flowlord serve --standby`";
        return Err(Problem::invalid(detail));
    };
    context.deps.cluster.call(HandOver { to }).await?;
    // It has begun, whether or not this node can still tell.
    let state = context.deps.cluster.call(ReadCluster).await.unwrap_or_else(|_| ClusterState::clone(&before));
    json(StatusCode::ACCEPTED, &ClusterAnswer::read(&context, state).await)
}

fn cluster_example() -> Value {
    let node = json!({
        "node": "a", "url": "http://a:8080", "role": "leader", "applied": 70, "lag_seconds": 0.0, "version": "1.0.0",
        "seen_at": "2026-03-02T12:00:00Z",
    });
    json!({
        "node": "b", "role": "follower", "leader": {"node": "a", "url": "http://a:8080"}, "term": 3, "applied": 70,
        "lag_seconds": 1.5, "nodes": [node], "takeover": null, "problem": null, "warnings": [],
    })
}
