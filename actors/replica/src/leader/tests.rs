//! Which node may lead next.

use super::*;
use crate::tests::{now, own};

fn follower(name: &str) -> NodeState {
    NodeState {
        address: own(name).address,
        role: NodeRole::Follower,
        applied: 7,
        lag_seconds: Some(1.),
        needs_snapshot: false,
        difference: None,
        version: "1.0.0".to_owned(),
        seen_at: now(),
    }
}

#[test]
fn a_follower_can_lead_that_was_seen_lately_and_is_near() {
    let now = now();
    let seen = |ago: TimeDelta| NodeState { seen_at: now - ago, ..follower("b") };
    let behind = |lag_seconds| NodeState { lag_seconds, seen_at: now, ..follower("b") };
    for (node, can_lead) in [
        (seen(TimeDelta::zero()), true),
        (seen(TimeDelta::milliseconds(29_999)), true),
        (seen(TimeDelta::seconds(30)), false),
        (behind(Some(29.9)), true),
        (behind(Some(30.)), false),
        (behind(None), false),
        (NodeState { role: NodeRole::Leader, seen_at: now, ..follower("b") }, false),
        (NodeState { role: NodeRole::Single, seen_at: now, ..follower("b") }, false),
        (NodeState { seen_at: now, ..follower("a") }, false),
    ] {
        assert_eq!(is_ready(&node, "a", now), can_lead, "{node:?}");
    }
}

#[test]
fn who_asks_for_a_successor_in_vain_hears_what_to_do() {
    let named = no_successor(Some("b"));
    assert_eq!(named.code, Code::InvalidRequest);
    assert!(named.detail.contains("node b ") && named.detail.contains("flowlord cluster status"), "{named}");
    let any = no_successor(None);
    assert!(any.detail.contains("flowlord serve --standby"), "{any}");
}

#[actix::test]
async fn an_answer_that_is_there_at_once_is_heard() {
    assert_eq!(ready_answer(Ok(7)).await.unwrap().unwrap(), 7);
    assert_eq!(ready_answer(Err(lead_lost())).await.unwrap().unwrap_err().code, Code::NotLeader);
}
