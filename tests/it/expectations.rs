//! Complete tasks that aren't as their phase expects.

use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::support::TestApp;

const WORKFLOW: &str = r#"
[[phase]]
task = "extract"
rule = "min_run=3m&expect=rows:0.5x..2x&retry_delay=1s"
retry = 1
template = "{hh}"

[[phase]]
task = "load"
dependsOn = "extract"
template = "{meta:rows}"
"#;

/// A task that its worker says is complete after so long.
async fn extract(app: &TestApp, run: TimeDelta, meta: &str) -> Value {
    let leased = app.api.lease_for("extract", "1h").await.expect("a task");
    app.pass(run).await;
    let result = json!({"result": "complete", "msg": "done", "meta": meta});
    for duplicate in [false, true] {
        let answer = app.api.result(&leased.lease, &result).await.ok();
        assert_eq!(answer["duplicate"], duplicate, "{answer}");
        // It takes as long as at first, however late it comes again.
        app.pass(TimeDelta::seconds(1)).await;
    }
    app.api.get(&format!("/api/v1/tasks/{}", leased.task["uid"].as_str().unwrap())).await.ok()
}

async fn create(app: &TestApp) {
    // All are about one hour: a Tuesday's.
    let task = json!({"type": "extract", "info": "?hour=2026-02-24T05", "meta": "workflow=main.toml"});
    app.api.create(&task).await;
}

/// The child of a task that left so many rows.
async fn load(app: &TestApp, rows: &str) {
    let child = app.api.lease("load").await.expect("a child");
    assert_eq!(child.task["info"], rows);
    app.api.complete(&child.lease, "").await;
}

async fn alerts(app: &TestApp) -> Vec<(Value, Value)> {
    let alerts = app.api.get("/api/v1/alerts?date=2026-03-02").await.ok();
    alerts["items"].as_array().unwrap().iter().map(|alert| (alert["kind"].clone(), alert["msg"].clone())).collect()
}

#[actix::test]
async fn what_is_not_as_expected_fails_until_a_person_accepts_it() {
    let app = TestApp::with(WORKFLOW).await;
    let long = TimeDelta::minutes(4);
    for rows in [900, 1_000, 1_100] {
        create(&app).await;
        assert_eq!(extract(&app, long, &format!("rows={rows}")).await["result"], "complete");
        load(&app, &rows.to_string()).await;
    }
    // Medians outlive a restart.
    let app = app.restart(TimeDelta::minutes(1)).await;
    create(&app).await;
    let first = extract(&app, TimeDelta::seconds(12), "rows=40").await;
    let short = "took 12s, at least 3m expected";
    let few = "rows is 40, 0.5x..2x of the median 1000 expected";
    let msg = format!("{short}; {few}; the worker said complete: done");
    assert_eq!((&first["result"], &first["msg"]), (&json!("error"), &json!(msg)));
    assert_eq!(alerts(&app).await, [], "a retry is left");
    app.pass(TimeDelta::seconds(2)).await;
    let last = extract(&app, long, "rows=40").await;
    assert_eq!(last["msg"], format!("{few}; the worker said complete: done"));
    assert_eq!(alerts(&app).await, [(json!("unexpected"), json!(few))], "in the place of `exhausted`");
    assert!(app.api.lease("load").await.is_none(), "no child starts");

    let page = app.api.get(&format!("/web/task/{}", last["uid"].as_str().unwrap())).await;
    assert!(page.json.as_str().unwrap().contains("rows is 40, 0.5x..2x of the median 1000 expected"), "{page:?}");
    let page = app.api.get("/web/workflow").await;
    assert!(page.json.as_str().unwrap().contains("expect=rows:0.5x..2x"), "{page:?}");

    let path = format!("/api/v1/tasks/{}/complete", last["uid"].as_str().unwrap());
    app.api.post(&path, &json!({"note": "a holiday"})).await.ok();
    load(&app, "40").await;
    app.stop().await;
}
