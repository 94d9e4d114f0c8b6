//! Phases that are paused, and phases whose rows are in files.

use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::support::TestApp;

const WORKFLOW: &str = r#"
[[phase]]
task = "extract"
rule = "cron=0 * * * *&missed=latest"
template = "?hour={yyyy}-{mm}-{dd}T{hh}"

[[phase]]
task = "load"
dependsOn = "extract"
template = "?hour={yyyy}-{mm}-{dd}T{hh}"

[[phase]]
task = "arrive"
rule = "files=/in/*"
template = "{meta:filename}"
"#;

fn phase(task: &str) -> Value {
    json!({"workflow": "main.toml", "task": task})
}

async fn set(app: &TestApp, how: &str, task: &str) -> Value {
    app.api.post(&format!("/api/v1/phases/{how}"), &phase(task)).await.ok()
}

async fn shown(app: &TestApp, number: usize) -> Value {
    app.api.get("/api/v1/workflows/main.toml").await.ok()["phases"][number].clone()
}

#[actix::test]
async fn a_phase_runs_now_though_it_is_paused_and_its_children_follow() {
    let app = TestApp::with(WORKFLOW).await;
    set(&app, "pause", "extract").await;
    let run = json!({"workflow": "main.toml", "task": "extract", "time": "2026-02-01T05"});
    let started = app.api.post("/api/v1/phases/run", &run).await;
    assert_eq!((started.status, &started.json["items"][0]["info"]), (201, &json!("?hour=2026-02-01T05")));
    let leased = app.api.lease("extract").await.expect("the task");
    app.api.complete(&leased.lease, "").await;
    assert_eq!(app.api.lease("load").await.expect("its child").task["info"], "?hour=2026-02-01T05");
    let arrive = json!({"workflow": "main.toml", "task": "arrive"});
    assert_eq!(app.api.post("/api/v1/phases/run", &arrive).await.problem(), (400, "invalid_request"));
    let arrive = json!({"workflow": "main.toml", "task": "arrive", "meta": {"filename": "a.csv"}});
    assert_eq!(app.api.post("/api/v1/phases/run", &arrive).await.json["items"][0]["info"], "a.csv");
    let trail = app.api.get("/api/v1/audit?action=run").await.ok();
    assert_eq!(trail["items"].as_array().unwrap().len(), 2, "{trail}");
}

#[actix::test]
async fn a_paused_schedule_starts_nothing_and_then_what_its_rule_says() {
    let app = TestApp::with(WORKFLOW).await;
    assert_eq!(set(&app, "pause", "extract").await["paused_since"], "2026-03-02T12:00:00Z");
    let paused = shown(&app, 0).await;
    assert_eq!((&paused["status"], &paused["paused"]), (&json!("paused"), &json!(true)));
    assert!(paused["next"].is_null(), "{paused}");
    app.pass(TimeDelta::hours(2)).await;
    let app = app.restart(TimeDelta::hours(1)).await;
    app.pass(TimeDelta::minutes(90)).await;
    assert!(app.api.tasks("&type=extract").await.is_empty());

    assert_eq!(set(&app, "resume", "extract").await["paused"], false);
    app.clock.settle().await;
    let infos: Vec<_> = app.api.tasks("").await.iter().map(|task| task["info"].clone()).collect();
    assert_eq!(infos, ["?hour=2026-03-02T16"], "missed=latest");
    let going = shown(&app, 0).await;
    assert_eq!((&going["status"], &going["paused"]), (&json!("ok"), &json!(false)));
    assert_eq!((&going["next"], &going["previous"]), (&json!("2026-03-02T17:00:00Z"), &json!("2026-03-02T16:00:00Z")));
    let alerts = app.api.get("/api/v1/alerts?date=2026-03-02").await.ok();
    assert_eq!(alerts["items"], json!([]), "a pause is no news");
}

#[actix::test]
async fn what_parents_and_files_start_is_kept_for_a_paused_phase() {
    let app = TestApp::with(WORKFLOW).await;
    set(&app, "pause", "load").await;
    set(&app, "pause", "arrive").await;
    app.pass(TimeDelta::hours(1)).await;
    let parent = app.api.lease("extract").await.unwrap();
    app.api.complete(&parent.lease, "").await;
    let told = app.api.post("/api/v1/files", &json!({"path": "/in/a"})).await.ok();
    assert_eq!(told["tasks"][0]["state"], "delayed");
    app.pass(TimeDelta::hours(1)).await;
    for topic in ["load", "arrive"] {
        assert!(app.api.lease(topic).await.is_none(), "{topic}");
        let kept = app.api.tasks(&format!("&type={topic}")).await;
        assert_eq!((&kept[0]["state"], &kept[0]["not_before"]), (&json!("delayed"), &json!(null)));
    }
    let app = app.restart(TimeDelta::hours(1)).await;
    assert!(app.api.lease("load").await.is_none());
    set(&app, "resume", "load").await;
    set(&app, "resume", "arrive").await;
    app.clock.settle().await;
    assert_eq!(app.api.lease("load").await.unwrap().task["info"], "?hour=2026-03-02T13");
    assert_eq!(app.api.lease("arrive").await.unwrap().task["info"], "a");
}

#[actix::test]
async fn only_what_is_there_can_be_paused() {
    let app = TestApp::with(WORKFLOW).await;
    for body in [phase("none"), json!({"workflow": "none.toml", "task": "load"})] {
        let answer = app.api.post("/api/v1/phases/pause", &body).await;
        assert_eq!(answer.problem(), (404, "workflow_unknown"), "{body}");
    }
    assert_eq!(app.api.post("/api/v1/phases/resume", &json!({})).await.problem(), (400, "invalid_request"));
}

/// The rows of a schedule and those of a child come from files, read when they are needed.
#[actix::test]
async fn rows_in_files_start_a_task_each() {
    let workflow = r#"
[[phase]]
task = "copy"
rule = "cron=0 * * * *&meta-file=rows.json"
template = "{meta:table}?h={hh}"

[[phase]]
task = "publish"
dependsOn = "copy"
rule = "meta-file=to.csv"
template = "{meta:table} to {meta:to}"
"#;
    let app = TestApp::with(workflow).await;
    std::fs::write(app.workflow_path("rows.json"), "{\"table\":\"orders\"}\n{\"table\":\"items\"}\n").unwrap();
    std::fs::write(app.workflow_path("to.csv"), "to\nweb\nmail\n").unwrap();
    app.pass(TimeDelta::hours(1)).await;
    let infos = async |topic: &str| -> Vec<String> {
        let tasks = app.api.tasks(&format!("&type={topic}")).await;
        tasks.iter().map(|task| task["info"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(infos("copy").await, ["orders?h=13", "items?h=13"]);
    let parent = app.api.lease("copy").await.unwrap();
    app.api.complete(&parent.lease, "").await;
    assert_eq!(infos("publish").await, ["orders to web", "orders to mail"]);

    // A file that is gone is told of, and costs nothing else.
    std::fs::remove_file(app.workflow_path("to.csv")).unwrap();
    let parent = app.api.lease("copy").await.unwrap();
    app.api.complete(&parent.lease, "").await;
    let alerts = app.api.get("/api/v1/alerts?date=2026-03-02").await.ok();
    let told = alerts["items"][0]["msg"].as_str().unwrap();
    assert!(told.starts_with("publish was not created: meta-file `to.csv`: "), "{told}");
}
