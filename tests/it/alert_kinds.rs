//! Every kind of alert, raised as it comes about and heard of in Slack.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use flowlord_domain::AlertKind;
use flowlord_kernel::fault::{self, FaultEffect, FaultPoint};
use serde_json::{Value, json};

use crate::support::{TestApp, noon};

const WORKFLOW: &str = r#"
[[phase]]
task = "exhausted"
template = "x"

[[phase]]
task = "parent"
template = "x"

[[phase]]
task = "child"
dependsOn = "parent"
rule = "meta-file=gone.csv"
template = "{meta:row}"

[[phase]]
task = "slow"
template = "x"

[[phase]]
task = "starts"
rule = "cron=30 12 * * *&start_by=5m"
template = "x"

[[phase]]
task = "ends"
rule = "cron=30 12 * * *&done_by=10m"
template = "x"

[[phase]]
task = "runs"
rule = "cron=30 12 * * *&max_run=5m"
template = "x"

[[phase]]
task = "yearly"
rule = "cron=30 12 2 3 *"
template = "x"

[[phase]]
task = "joins"
dependsOn = ["yearly"]
rule = "join_by=10m"
template = "x"

[[phase]]
task = "stuck"
rule = "timeout=1m"
template = "x"

[[phase]]
task = "brief"
rule = "min_run=5m"
template = "x"

[[phase]]
task = "odd"
rule = "expect=rows>0"
template = "x"

[[phase]]
task = "missed"
rule = "cron=0 20 * * *"
template = "x"
"#;

async fn create(app: &TestApp, topic: &str) {
    let task = json!({"type": topic, "info": "x", "meta": "workflow=main.toml"});
    app.api.create(&task).await;
}

/// Leases a task of this type and ends it so.
async fn end(app: &TestApp, topic: &str, result: &str) {
    let leased = app.api.lease(topic).await.expect("a task");
    app.api.result(&leased.lease, &json!({"result": result, "msg": "broke"})).await.ok();
}

/// The deadlines of 12:30.
async fn deadlines(app: &TestApp) {
    app.clock.advance_to(noon() + TimeDelta::minutes(31)).await;
    let at_work = app.api.lease_for("runs", "4h").await.unwrap();
    app.clock.advance_to(noon() + TimeDelta::minutes(45)).await;
    app.api.complete(&at_work.lease, "").await;
    for topic in ["starts", "ends"] {
        end(app, topic, "complete").await;
    }
}

/// What ends badly, what can't be created, and a file that doesn't load.
async fn failures(app: &TestApp) {
    for (topic, result) in [
        ("exhausted", "error"),
        ("stranger", "error"),
        ("urgent", "alert"),
        ("parent", "complete"),
        ("brief", "complete"),
        ("odd", "complete"),
    ] {
        create(app, topic).await;
        end(app, topic, result).await;
    }
    create(app, "stuck").await;
    app.api.lease_for("stuck", "4h").await.unwrap();
    std::fs::write(app.workflow_path("broken.toml"), "[[phase]]\ntask = ").unwrap();
    app.api.post("/api/v1/workflows/refresh", &json!({})).await.ok();
}

/// A snapshot that fails while nothing can be stored, so that its alert has to wait.
async fn trouble(app: &TestApp) {
    let (backup, away) = (app.path("backup"), app.path("away"));
    std::fs::rename(&backup, &away).unwrap();
    std::fs::write(&backup, "no folder").unwrap();
    fault::plan(&app.data(), FaultPoint::BeforeCommit, FaultEffect::Full, usize::MAX);
    app.pass(TimeDelta::seconds(5)).await;
    assert_eq!(app.api.post("/api/v1/tasks", &json!({"type": "a", "info": "x"})).await.status, 503);
    assert!(app.api.post("/api/v1/snapshots", &json!({})).await.status >= 500);
    app.pass(TimeDelta::seconds(30)).await;
    fault::clear(&app.data());
    app.pass(TimeDelta::seconds(15)).await;
    std::fs::remove_file(&backup).unwrap();
    std::fs::rename(&away, &backup).unwrap();
}

/// What each kind of alert is about.
async fn raised(app: &TestApp) -> BTreeMap<String, Vec<String>> {
    let alerts = app.api.get("/api/v1/alerts?date=2026-03-02&limit=1000").await.ok();
    let mut raised: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for alert in alerts["items"].as_array().unwrap() {
        let text = |name: &str| alert[name].as_str().unwrap_or_default().to_owned();
        raised.entry(text("kind")).or_default().push(text("type"));
    }
    raised
}

#[actix::test]
async fn each_kind_is_raised_once_and_heard_of_in_slack() {
    let app = TestApp::configured(WORKFLOW, |folder| {
        let backup = folder.join("backup");
        format!("[tasks]\nno_workers = \"2h\"\n[backup]\npath = {backup:?}\nship_every = \"0s\"\n")
    })
    .await;
    create(&app, "slow").await;
    deadlines(&app).await;
    failures(&app).await;
    trouble(&app).await;
    app.clock.advance_to(noon() + TimeDelta::minutes(71)).await;
    end(&app, "yearly", "warn").await;
    app.clock.advance_to(noon() + TimeDelta::minutes(242)).await;
    end(&app, "slow", "complete").await;
    // Down over 20:00.
    let app = app.restart(TimeDelta::hours(4)).await;
    app.pass(TimeDelta::hours(3)).await;

    let raised = raised(&app).await;
    // One node can't take over from itself: the tests of a cluster raise that one.
    for kind in AlertKind::ALL.into_iter().filter(|kind| *kind != AlertKind::Takeover) {
        let about = raised.get(kind.as_str());
        assert_eq!(about.map(Vec::len), Some(1), "{}: {raised:?}", kind.as_str());
    }
    let told: Vec<String> = app.slack.requests().iter().map(|request| request.body.to_string()).collect();
    for (kind, about) in &raised {
        let line = format!("{}:", about[0]);
        let heard = told.iter().filter(|body| body.contains(&line)).count();
        assert!(heard >= 1, "{kind}, about {}: {told:#?}", about[0]);
    }
    let headline = |body: &Value| body["attachments"][0]["blocks"][0]["text"]["text"].to_string();
    let at_once = app.slack.requests().iter().filter(|request| headline(&request.body).contains("urgent")).count();
    assert_eq!(at_once, 1, "in a message of its own");
    app.stop().await;
}
