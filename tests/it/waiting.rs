//! Why tasks wait, provoked one after the other; workers and queues as the service sees them.

use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::support::TestApp;

const WORKFLOW: &str = r#"
[[phase]]
task = "load"
retry = 1
rule = "cron=30 12 * * *&retry_delay=10m"
template = "x"

[[phase]]
task = "report"
dependsOn = "load"
template = "x"
"#;

async fn reasons(app: &TestApp) -> Vec<String> {
    let tasks = app.api.tasks("&type=load").await;
    tasks.iter().map(|task| task["waiting"]["reason"].as_str().unwrap_or("none").to_owned()).collect()
}

async fn create(app: &TestApp, more: Value) {
    let mut task = json!({"type": "load", "info": "i", "meta": "workflow=main.toml"});
    task.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    app.api.create(&task).await;
}

#[actix::test]
async fn each_reason_is_told_while_it_holds() {
    let app = TestApp::with(WORKFLOW).await;
    create(&app, json!({})).await;
    assert_eq!(reasons(&app).await, ["queue"], "the service has just started");
    app.pass(TimeDelta::minutes(3)).await;
    assert_eq!(reasons(&app).await, ["no_worker"]);
    let leased = app.api.lease("load").await.unwrap();
    create(&app, json!({})).await;
    app.pass(TimeDelta::minutes(3)).await;
    app.api.post(&format!("/api/v1/lease/{}/heartbeat", leased.lease), &json!({"lease": "10m"})).await.ok();
    assert_eq!(reasons(&app).await, ["none", "queue"], "its worker is busy");
    app.api.result(&leased.lease, &json!({"result": "error"})).await.ok();
    assert_eq!(reasons(&app).await, ["none", "no_worker", "retry"]);
    create(&app, json!({"not_before": "2026-03-02T18:00:00Z"})).await;
    let texts: Vec<_> = app.api.tasks("&type=load").await.iter().map(|task| task["waiting"]["text"].clone()).collect();
    assert_eq!(texts[3], "Starts no earlier than 18:00 UTC");
    let phase = json!({"workflow": "main.toml", "task": "report"});
    app.api.post("/api/v1/phases/pause", &phase).await.ok();
    let leased = app.api.lease("load").await.unwrap();
    app.api.complete(&leased.lease, "").await;
    let report = app.api.tasks("&type=report").await;
    assert_eq!(report[0]["waiting"]["text"], "Its phase is paused since 12:06 UTC");
    app.stop().await;
}

#[actix::test]
async fn workers_and_queues_follow_what_workers_do() {
    let app = TestApp::with(WORKFLOW).await;
    for _ in 0..3 {
        create(&app, json!({})).await;
    }
    let first = app.api.lease("load").await.unwrap();
    app.api.complete(&first.lease, "").await;
    let second = app.api.lease("load").await.unwrap();
    app.api.result(&second.lease, &json!({"result": "error"})).await.ok();
    let _third = app.api.lease("load").await.unwrap();
    let workers = app.api.get("/api/v1/workers").await.ok();
    let worker = &workers["items"][0];
    let figures = ["leased", "done_last_hour", "errors_last_hour"].map(|name| worker[name].as_u64().unwrap());
    assert_eq!((worker["worker"].as_str(), figures), (Some("w1"), [1, 2, 1]), "{workers}");
    assert_eq!((&worker["topics"], &worker["address"]), (&json!(["load"]), &json!("127.0.0.1")));
    let queues = app.api.get("/api/v1/queues").await.ok();
    let queue = &queues["items"][0];
    let figures = ["ready", "delayed", "leased", "workers"].map(|name| queue[name].as_u64().unwrap());
    assert_eq!((queue["topic"].as_str(), figures), (Some("load"), [0, 1, 1, 1]), "{queues}");
    app.stop().await;
}
