//! Dead letters, tasks that run again, tasks that are cancelled.

use chrono::TimeDelta;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::TestApp;

const WORKFLOW: &str = r#"
[[phase]]
task = "extract"
rule = "retry_delay=1s"
retry = 1
template = "{hh}"

[[phase]]
task = "load"
dependsOn = "extract"
template = "{hh}"
"#;

const DEAD: &str = "&result=error&retry=failed";

fn task(info: &str) -> Value {
    json!({"type": "extract", "info": info, "meta": "workflow=main.toml&k=v"})
}

/// Fails until no retry is left.
async fn exhaust(app: &TestApp) {
    for _ in 0..2 {
        let leased = app.api.lease("extract").await.expect("a task to fail");
        app.api.result(&leased.lease, &json!({"result": "error", "msg": "no disk"})).await.ok();
        app.pass(TimeDelta::seconds(2)).await;
    }
}

#[actix::test]
async fn all_tasks_of_a_filter_are_cancelled_after_a_dry_run() {
    let app = TestApp::with(WORKFLOW).await;
    for info in ["a", "b", "c"] {
        app.api.create(&task(info)).await;
    }
    let leased = app.api.lease("extract").await.unwrap();
    let path = "/api/v1/tasks/cancel";
    let dry = app.api.post(path, &json!({"type": "extract"})).await.ok();
    assert_eq!((&dry["matched"], &dry["cancelled"]), (&json!(3), &json!(0)));
    let done = app.api.post(path, &json!({"type": "extract", "note": "not today", "execute": true})).await.ok();
    assert_eq!((&done["matched"], &done["cancelled"]), (&json!(3), &json!(3)));
    let told = |index: usize, name: &str| done["tasks"][index][name].clone();
    assert_eq!([told(0, "state"), told(0, "cancelled")], [json!("leased"), json!(true)]);
    assert_eq!([told(1, "result"), told(1, "msg")], [json!("warn"), json!("cancelled: not today")]);
    let beat = app.api.post(&format!("/api/v1/lease/{}/heartbeat", leased.lease), &json!({})).await.ok();
    assert_eq!(beat["cancel"], true, "its worker is told");
    assert!(app.api.lease("extract").await.is_none());
    let again = app.api.post(path, &json!({"type": "extract", "execute": true})).await.ok();
    assert_eq!((&again["matched"], &again["cancelled"]), (&json!(1), &json!(1)), "only the leased one has no result");
    let trail = app.api.get("/api/v1/audit?action=cancel").await.ok();
    assert_eq!(trail["items"].as_array().unwrap().len(), 2, "a dry run is no change: {trail}");
}

#[actix::test]
async fn a_dead_letter_that_is_marked_complete_starts_its_children() {
    let app = TestApp::with(WORKFLOW).await;
    app.api.create(&task("a")).await;
    exhaust(&app).await;
    let dead = app.api.tasks(DEAD).await.remove(0);
    let first = dead["parent"].as_str().unwrap();
    let refused = app.api.post(&format!("/api/v1/tasks/{first}/complete"), &json!({})).await;
    assert_eq!(refused.problem(), (409, "already_finished"), "its retry counts");
    let path = format!("/api/v1/tasks/{}/complete", dead["uid"].as_str().unwrap());
    let marked = app.api.post(&path, &json!({"note": "by hand", "meta": {"k": "w"}})).await.ok();
    let meta = marked["meta"].as_str().unwrap();
    assert!(meta.ends_with("k=w&workflow=main.toml") && !meta.contains("retry"), "{meta}");
    assert_eq!(marked["result"], "complete");
    assert_eq!(marked["msg"], "marked complete: by hand (was error: no disk)");
    assert_eq!((&marked["started"], &marked["ended"]), (&dead["started"], &dead["ended"]));
    assert!(app.api.tasks(DEAD).await.is_empty());
    let child = app.api.lease("load").await.expect("its child");
    let child = app.api.get(&format!("/api/v1/tasks/{}", child.task["uid"].as_str().unwrap())).await.ok();
    assert_eq!(child["parent"], dead["uid"]);
    assert_eq!(app.api.post(&path, &json!({})).await.problem(), (409, "already_finished"));
    assert!(app.api.lease("load").await.is_none(), "it starts once");
    let trail = app.api.get("/api/v1/audit?action=complete").await.ok();
    assert_eq!(trail["items"].as_array().unwrap().len(), 1, "{trail}");
}

const FAN: &str = r#"
[[phase]]
task = "extract"

[[phase]]
task = "load"
dependsOn = "extract"

[[phase]]
task = "index"
dependsOn = "extract"

[[phase]]
task = "report"
dependsOn = "index"
"#;

#[actix::test]
async fn after_a_rerun_only_children_that_failed_start_again_also_after_a_restart() {
    let app = TestApp::with(FAN).await;
    let uid = app.api.create(&task("a")).await["uid"].as_str().unwrap().to_owned();
    for (topic, result) in [("extract", "complete"), ("load", "complete"), ("index", "warn")] {
        let leased = app.api.lease(topic).await.unwrap();
        app.api.result(&leased.lease, &json!({"result": result})).await.ok();
    }
    // A warning is no failure: `index` isn't run again. Then it fails.
    let index = app.api.tasks("&type=index").await[0]["uid"].as_str().unwrap().to_owned();
    app.api.post(&format!("/api/v1/tasks/{index}/rerun"), &json!({})).await.ok();
    let leased = app.api.lease("index").await.unwrap();
    app.api.result(&leased.lease, &json!({"result": "alert"})).await.ok();

    app.api.post(&format!("/api/v1/tasks/{uid}/rerun"), &json!({"downstream": "failed"})).await.ok();
    let app = app.restart(TimeDelta::seconds(1)).await;
    let leased = app.api.lease("extract").await.unwrap();
    app.api.complete(&leased.lease, "").await;
    assert!(app.api.lease("load").await.is_none(), "it is complete");
    let leased = app.api.lease("index").await.expect("it failed");
    app.api.complete(&leased.lease, "").await;
    let leased = app.api.lease("report").await.expect("it never started");
    app.api.complete(&leased.lease, "").await;

    let latest = app.api.tasks("&type=extract").await[0]["uid"].as_str().unwrap().to_owned();
    app.api.post(&format!("/api/v1/tasks/{latest}/rerun"), &json!({"downstream": false})).await.ok();
    let leased = app.api.lease("extract").await.unwrap();
    app.api.complete(&leased.lease, "").await;
    for topic in ["load", "index"] {
        assert!(app.api.lease(topic).await.is_none(), "{topic}");
    }
}

#[actix::test]
async fn who_works_on_a_task_that_is_marked_complete_loses_it() {
    let app = TestApp::with(WORKFLOW).await;
    app.api.create(&task("a")).await;
    let leased = app.api.lease("extract").await.unwrap();
    let path = format!("/api/v1/tasks/{}/complete", leased.task["uid"].as_str().unwrap());
    assert_eq!(app.api.post(&path, &json!({})).await.ok()["msg"], "marked complete");
    let beat = app.api.post(&format!("/api/v1/lease/{}/heartbeat", leased.lease), &json!({})).await;
    assert_eq!(beat.problem(), (409, "lease_lost"));
    let result = app.api.result(&leased.lease, &json!({"result": "error"})).await;
    assert_eq!(result.problem(), (409, "lease_lost"));
    assert!(app.api.lease("load").await.is_some());
    app.pass(TimeDelta::minutes(5)).await;
    assert!(app.api.lease("extract").await.is_none(), "nobody gets it again");
}

#[actix::test]
async fn a_dead_letter_runs_again_and_is_one_no_more() {
    let app = TestApp::with(WORKFLOW).await;
    app.api.create(&task("a")).await;
    exhaust(&app).await;
    let dead = app.api.tasks(DEAD).await;
    assert_eq!((dead.len(), &dead[0]["attempt"]), (1, &json!(2)));
    assert!(dead[0]["meta"].as_str().unwrap().contains("retry=failed"), "{dead:?}");

    let path = format!("/api/v1/tasks/{}/rerun", dead[0]["uid"].as_str().unwrap());
    let answer = app.api.post(&path, &json!({})).await;
    assert_eq!(answer.status, 201);
    let again = answer.ok();
    assert_eq!((&again["id"], &again["parent"]), (&dead[0]["id"], &dead[0]["uid"]));
    assert_eq!((&again["meta"], &again["attempt"]), (&json!("k=v&rerun=manual&workflow=main.toml"), &json!(1)));
    assert_eq!(app.api.post(&path, &json!({})).await.problem(), (409, "task_unfinished"), "not twice");
    assert!(app.api.tasks(DEAD).await.is_empty());

    let leased = app.api.lease("extract").await.unwrap();
    assert_eq!(leased.task["uid"], again["uid"]);
    app.api.complete(&leased.lease, "").await;
    assert!(app.api.lease("load").await.is_some(), "its children start");
    let chain = app.api.get(&format!("/api/v1/chains/{}", dead[0]["id"].as_str().unwrap())).await.ok();
    assert_eq!(chain["items"].as_array().unwrap().len(), 4);
}

#[actix::test]
async fn many_run_again_when_that_is_said_and_each_once() {
    let app = TestApp::with(WORKFLOW).await;
    for info in ["a", "b"] {
        app.api.create(&task(info)).await;
        exhaust(&app).await;
    }
    let path = "/api/v1/tasks/rerun";
    let filter = json!({"result": "error", "date": "2026-03-02"});
    let dry = app.api.post(path, &filter).await.ok();
    assert_eq!((&dry["count"], &dry["skipped"], &dry["created"]), (&json!(2), &json!(2), &json!(0)));
    assert_eq!(app.api.tasks("").await.len(), 4, "two tries each");
    let mut execute = filter.clone();
    execute["execute"] = json!(true);
    assert_eq!(app.api.post(path, &execute).await.ok()["created"], 2);
    let again = app.api.post(path, &execute).await.ok();
    assert_eq!((&again["count"], &again["skipped"]), (&json!(0), &json!(4)), "the new attempts count");
    assert_eq!(app.api.tasks("&state=ready").await.len(), 2);
    assert_eq!(app.api.post(path, &json!({"execute": true})).await.problem(), (400, "invalid_request"));
}

#[actix::test]
async fn the_reference_runs_a_task_again_by_its_names() {
    let app = TestApp::with(WORKFLOW).await;
    let created = app.api.create(&task("a")).await;
    let named = json!({"type": "extract", "id": created["id"], "created": "2026-03-02T12:00:00Z"});
    assert_eq!(app.api.post("/rerun", &named).await.problem(), (409, "task_unfinished"));
    let leased = app.api.lease("extract").await.unwrap();
    app.api.complete(&leased.lease, "").await;
    let again = app.api.post("/rerun", &named).await.ok();
    assert_eq!((&again["id"], &again["meta"]), (&created["id"], &json!("k=v&rerun=manual&workflow=main.toml")));
    let wrong = json!({"type": "report", "id": created["id"], "created": created["created"]});
    assert_eq!(app.api.post("/rerun", &wrong).await.problem(), (404, "task_unknown"));
}

#[actix::test]
async fn a_cancelled_task_ends_and_nothing_follows() {
    let app = TestApp::with(WORKFLOW).await;
    let cancel = |task: &Value| format!("/api/v1/tasks/{}/cancel", task["uid"].as_str().unwrap());
    let waiting = app.api.create(&task("a")).await;
    let ended = app.api.post(&cancel(&waiting), &json!({"note": "wrong day"})).await.ok();
    assert_eq!((&ended["state"], &ended["result"]), (&json!("done"), &json!("warn")));
    assert_eq!((&ended["msg"], &ended["cancelled"]), (&json!("cancelled: wrong day"), &json!(true)));
    assert!(app.api.lease("extract").await.is_none());
    assert_eq!(app.api.post(&cancel(&waiting), &json!({})).await.problem(), (409, "already_finished"));

    for result in ["complete", "error"] {
        app.api.create(&task(result)).await;
        let leased = app.api.lease("extract").await.unwrap();
        let asked = app.api.post(&cancel(&leased.task), &json!({})).await.ok();
        assert_eq!((&asked["state"], &asked["cancelled"]), (&json!("leased"), &json!(true)));
        let beat = app.api.post(&format!("/api/v1/lease/{}/heartbeat", leased.lease), &json!({})).await.ok();
        assert_eq!(beat["cancel"], true);
        app.api.result(&leased.lease, &json!({"result": result, "msg": "too late"})).await.ok();
    }
    app.pass(TimeDelta::minutes(5)).await;
    assert!(app.api.tasks("&type=load").await.is_empty(), "no children");
    assert_eq!(app.api.tasks("").await.len(), 3, "no retries");
    assert_eq!(app.api.get("/api/v1/alerts?date=2026-03-02").await.ok()["items"], json!([]));

    // A worker that is gone: nobody else gets it.
    app.api.create(&task("gone")).await;
    let leased = app.api.lease("extract").await.unwrap();
    app.api.post(&cancel(&leased.task), &json!({})).await.ok();
    app.pass(TimeDelta::minutes(2)).await;
    assert!(app.api.lease("extract").await.is_none());
    assert_eq!(app.api.tasks("&result=warn").await.len(), 2);
}

/// Sends a form of a page as a browser does.
async fn submit(app: &TestApp, path: &str, form: &str, site: &str) -> u16 {
    let kind = ("content-type", "application/x-www-form-urlencoded");
    let headers = [kind, ("sec-fetch-site", site)];
    app.api.send_with(Method::POST, path, &headers, form.to_owned()).await.unwrap().status
}

#[actix::test]
async fn what_failed_runs_again_from_the_page_of_alerts_and_is_in_the_trail() {
    let app = TestApp::with(WORKFLOW).await;
    for info in ["a", "b"] {
        app.api.create(&task(info)).await;
        exhaust(&app).await;
    }
    app.pass(TimeDelta::minutes(6)).await;
    assert_eq!(submit(&app, "/web/alert", "do=rerun&route=default", "cross-site").await, 403);
    assert_eq!(app.api.tasks(DEAD).await.len(), 2, "not by a page of somebody else");
    // The page is followed to: what it says then is no error.
    assert_eq!(submit(&app, "/web/alert", "do=rerun&route=default", "same-origin").await, 200);
    assert!(app.api.tasks(DEAD).await.is_empty());
    assert_eq!(app.api.tasks("&state=ready").await.len(), 2);
    submit(&app, "/web/alert?date=2026-03-02", "do=rerun", "same-origin").await;
    assert_eq!(app.api.tasks("&state=ready").await.len(), 2, "none is left");
    let trail = app.api.get("/api/v1/audit").await.ok();
    let what: Vec<_> = trail["items"].as_array().unwrap().iter().map(|entry| &entry["what"]).collect();
    assert_eq!(what, ["POST /web/alert"], "{trail}");
    assert_eq!(trail["items"][0]["detail"], "do=rerun&route=default");
}
