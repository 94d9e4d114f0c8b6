//! `/metrics` says what docs/metrics.md says, and the figures move.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::support::TestApp;

fn documented() -> BTreeSet<String> {
    let page = include_str!("../../docs/metrics.md");
    page.lines().filter_map(|line| Some(line.strip_prefix("| `")?.split_once('`')?.0.to_owned())).collect()
}

/// Only with a backup (shipping.rs looks for it), only with a monitor, only in a cluster, only with limits.
const SOMETIMES: [&str; 12] = [
    "flowlord_backup_lag_seconds",
    "flowlord_deadman_pings_total",
    "flowlord_cluster_leader",
    "flowlord_cluster_term",
    "flowlord_cluster_applied",
    "flowlord_cluster_lag_seconds",
    "flowlord_limit_active_tasks",
    "flowlord_limit_max_active",
    "flowlord_group_active_tasks",
    "flowlord_group_max_active",
    "flowlord_rate_free_starts",
    "flowlord_rate_max_starts",
];

#[actix::test]
async fn every_figure_is_documented_and_there() {
    let flow = TestApp::start().await;
    flow.api.create(&json!({"type": "a", "info": "x"})).await;
    flow.api.create(&json!({"type": "metered", "info": "x"})).await;
    let leased = flow.api.lease("a").await.unwrap();
    flow.api.complete(&leased.lease, "").await;
    flow.api.lease("metered").await.unwrap();
    flow.pass(TimeDelta::minutes(2)).await;
    flow.api.post("/api/v1/snapshots", &json!({})).await.ok();
    flow.api.get("/metrics").await;
    let Value::String(text) = flow.api.get("/metrics").await.json else { panic!("not text") };
    let mut shown: BTreeSet<String> =
        text.lines().filter_map(|line| Some(line.strip_prefix("# TYPE ")?.split_once(' ')?.0.to_owned())).collect();
    let mut expected: BTreeSet<String> = documented();
    // Tests in the same process may have had them.
    for sometimes in SOMETIMES {
        assert!(include_str!("../../docs/metrics.md").contains(sometimes), "{sometimes} is not documented");
        expected.remove(sometimes);
        shown.remove(sometimes);
    }
    let undocumented: Vec<_> = shown.difference(&expected).collect();
    let missing: Vec<_> = expected.difference(&shown).collect();
    assert!(undocumented.is_empty() && missing.is_empty(), "undocumented {undocumented:?}, missing {missing:?}");
    assert!(text.contains("flowlord_ready_tasks{topic=\"metered\"} 1"), "its lease ran out: {text}");
    assert!(text.contains("flowlord_actor_up{actor=\"db\"} 1"), "{text}");
    flow.stop().await;
}
