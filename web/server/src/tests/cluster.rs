//! The cluster as a node tells of it.

use std::sync::{Arc, Mutex};

use chrono::TimeDelta;
use flowlord_kernel::{Code, Error, Pong};
use flowlord_messages::cluster::{ClusterState, HandOver, NodeAddress, NodeRole, NodeState, Takeover};
use serde_json::json;

use super::metrics::metrics_of;
use super::pages::assert_strict;
use super::stub::{Stub, noon};

fn address(node: &str) -> NodeAddress {
    NodeAddress { node: node.to_owned(), url: format!("http://{node}:8080") }
}

/// What node b knows; a took over from it.
pub(super) fn state_of(role: NodeRole) -> ClusterState {
    ClusterState {
        node: Some(address("b")),
        role,
        leader: Some(address(if role == NodeRole::Leader { "b" } else { "a" })),
        term: 3,
        applied: 70,
        through: Some(noon() - TimeDelta::milliseconds(1500)),
        takeover: Some(Takeover {
            is_handover: false,
            at: noon() - TimeDelta::hours(1),
            from: "b".to_owned(),
            to: "a".to_owned(),
            missing_since: Some(noon() - TimeDelta::minutes(61)),
            is_complete: false,
        }),
        problem: None,
        current_at: None,
        warnings: Vec::new(),
        has_older_tables: false,
    }
}

pub(super) fn nodes() -> Vec<NodeState> {
    let node = |name: &str, role, lag_seconds| NodeState {
        needs_snapshot: false,
        difference: None,
        address: address(name),
        role,
        applied: 70,
        lag_seconds,
        version: "1.2.3".to_owned(),
        seen_at: noon(),
    };
    vec![node("a", NodeRole::Leader, Some(0.)), node("b", NodeRole::Follower, None)]
}

pub(super) fn clustered(role: NodeRole) -> Stub {
    let stub = Stub::default();
    stub.read_cluster(move |_| Ok(state_of(role)));
    stub.nodes(|_| Ok(nodes()));
    stub.ping(|_| Ok(Pong { restarts: 0 }));
    stub
}

#[actix::test]
async fn a_node_tells_who_leads_and_how_far_the_others_are() {
    let stub = clustered(NodeRole::Follower);
    let expected = json!({
        "node": "b",
        "role": "follower",
        "leader": {"node": "a", "url": "http://a:8080"},
        "term": 3,
        "applied": 70,
        "lag_seconds": 1.5,
        "nodes": [
            {"node": "a", "url": "http://a:8080", "role": "leader", "applied": 70, "lag_seconds": 0.0, "version": "1.2.3",
             "seen_at": "2026-03-02T12:00:00Z"},
            {"node": "b", "url": "http://b:8080", "role": "follower", "applied": 70, "lag_seconds": null, "version": "1.2.3",
             "seen_at": "2026-03-02T12:00:00Z"},
        ],
        "takeover": {"at": "2026-03-02T11:00:00Z", "from": "b", "to": "a", "is_handover": false, "missing_since": "2026-03-02T10:59:00Z",
                     "is_complete": false},
        "problem": null,
        "warnings": [],
    });
    assert_eq!(stub.get("/api/v1/cluster").await.ok(), expected);
    assert_eq!(stub.get("/api/v1/cluster?x=1").await.code(), "invalid_request");
    stub.nodes(|_| Err(Error::new(Code::Storage, "the place is away")));
    let cluster = stub.get("/api/v1/cluster").await.ok();
    let told = (&cluster["nodes"], &cluster["problem"], &cluster["term"]);
    assert_eq!(told, (&json!([]), &json!("the nodes can't be listed: the place is away"), &json!(3)));
    stub.read_cluster(|_| {
        Ok(ClusterState { problem: Some("no space".to_owned()), leader: None, ..state_of(NodeRole::Follower) })
    });
    let cluster = stub.get("/api/v1/cluster").await.ok();
    assert_eq!((&cluster["problem"], &cluster["leader"]), (&json!("no space"), &json!(null)));
}

#[actix::test]
async fn a_service_on_its_own_has_no_cluster() {
    let stub = Stub::default();
    stub.nodes(|_| panic!("nobody to ask"));
    stub.hand_over(|_| panic!("nobody to ask"));
    stub.ping(|_| Ok(Pong { restarts: 0 }));
    let expected = json!({
        "node": null, "role": "single", "leader": null, "term": 0, "applied": 0, "lag_seconds": 0.0, "nodes": [],
        "takeover": null, "problem": null, "warnings": [],
    });
    assert_eq!(stub.get("/api/v1/cluster").await.ok(), expected);
    assert_eq!(stub.get("/readyz").await.ok()["cluster"], json!(null));
    let (status, code, detail) = stub.post("/api/v1/cluster/handover", "{}").await.problem();
    assert_eq!((status, code.as_str()), (400, "invalid_request"));
    assert!(detail.contains("set cluster.node and cluster.url"), "{detail}");
}

#[actix::test]
async fn an_admin_lets_another_node_lead() {
    let stub = clustered(NodeRole::Leader);
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&asked);
    stub.hand_over(move |HandOver { to }| {
        seen.lock().unwrap().push(to);
        Ok(())
    });
    let audited = Arc::new(Mutex::new(Vec::new()));
    let recorded = Arc::clone(&audited);
    stub.record_change(move |record| {
        recorded.lock().unwrap().push((record.change.action.as_str(), record.change.detail));
        Ok(())
    });
    for body in ["", r#"{"to":"a"}"#] {
        let reply = stub.post("/api/v1/cluster/handover", body).await;
        assert_eq!((reply.status, &reply.ok()["role"]), (202, &json!("leader")));
    }
    assert_eq!(*asked.lock().unwrap(), [None, Some("a".to_owned())]);
    let bodies = [("handover", String::new()), ("handover", r#"{"to":"a"}"#.to_owned())];
    assert_eq!(*audited.lock().unwrap(), bodies);
    assert_eq!(stub.post("/api/v1/cluster/handover", r#"{"node":"a"}"#).await.code(), "invalid_json");
    stub.hand_over(|_| Err(Error::new(Code::InvalidRequest, "there is no node z: there are a, b")));
    let (.., detail) = stub.post("/api/v1/cluster/handover", r#"{"to":"z"}"#).await.problem();
    assert_eq!(detail, "there is no node z: there are a, b");
    assert_eq!(audited.lock().unwrap().len(), 2, "what was refused is no change");
}

#[actix::test]
async fn a_follower_is_ready_and_says_how_far_behind_it_is() {
    for (role, lag) in [(NodeRole::Follower, 1.5), (NodeRole::Leader, 0.)] {
        let stub = clustered(role);
        stub.backup(|_| Err(Error::new(Code::NotLeader, "the leader has it")));
        let ready = stub.get("/readyz").await.ok();
        assert_eq!(ready["cluster"], json!({"role": role.as_str(), "lag_seconds": lag}));
        assert_eq!(ready["backup"], json!(null));
    }
}

#[actix::test]
async fn only_a_cluster_has_figures() {
    let single = metrics_of(&Stub::default()).await;
    assert!(single.contains("flowlord_uptime_seconds") && !single.contains("flowlord_cluster"), "{single}");
    for (role, leads, lag) in [(NodeRole::Follower, 0, "1.5"), (NodeRole::Leader, 1, "0")] {
        let text = metrics_of(&clustered(role)).await;
        for figure in [
            format!("flowlord_cluster_leader {leads}\n"),
            "flowlord_cluster_term 3\n".to_owned(),
            "flowlord_cluster_applied 70\n".to_owned(),
            format!("flowlord_cluster_lag_seconds {lag}\n"),
        ] {
            assert!(text.contains(&figure), "{figure} in {text}");
        }
    }
    let unsure = Stub::default();
    unsure.read_cluster(|_| Ok(ClusterState { leader: None, ..state_of(NodeRole::Leader) }));
    assert!(metrics_of(&unsure).await.contains("flowlord_cluster_leader 0\n"), "its lease has lapsed");
}

#[actix::test]
async fn the_about_page_shows_the_cluster_where_there_is_one() {
    let page = clustered(NodeRole::Follower).get("/web/about").await;
    // A link to another node loads nothing from there.
    assert_strict(&page.text.replace("<a href=\"http://", "<a href=\""));
    for part in [
        "<h2>Cluster</h2>",
        "<dt>This node</dt><dd>b</dd>",
        "<dt>Role</dt><dd>follower</dd>",
        "<dt>Term</dt><dd>3</dd>",
        "<dt>Behind</dt><dd>1.5s</dd>",
        "<dt>Leader</dt><dd><a href=\"http://a:8080/web/about\">a</a>",
        "<dt>Last takeover</dt><dd>from b to a at ",
        "10:59:00</time> may be missing",
        "<td data-label=\"Role\">leader</td>",
        "not known</td>",
        "<span>read from follower b, 1.5 s behind</span>",
    ] {
        assert!(page.text.contains(part), "{part} in {}", page.text);
    }
    let stub = clustered(NodeRole::Leader);
    stub.nodes(|_| Err(Error::new(Code::Storage, "the place is away")));
    stub.read_cluster(|_| {
        let handover =
            Takeover { is_handover: true, missing_since: None, ..state_of(NodeRole::Leader).takeover.unwrap() };
        let problem = Some("<no> space".to_owned());
        Ok(ClusterState { leader: None, takeover: Some(handover), problem, ..state_of(NodeRole::Leader) })
    });
    let page = stub.get("/web/about").await.text;
    for part in [
        "the nodes of the cluster can&#39;t be shown now: the place is away",
        "<p class=\"notice error\">&#60;no&#62; space</p>",
        "<dt>Last handover</dt>",
        "no node leads now",
    ] {
        assert!(page.contains(part), "{part} in {page}");
    }
    assert!(!page.contains("read from") && !page.contains("may be missing"));
    let single = Stub::default().get("/web/about").await.text;
    assert!(!single.contains("Cluster") && !single.contains("read from"));
}
