//! Results: stored once, with everything that follows from them.

use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::support::TestApp;

fn seconds(seconds: i64) -> TimeDelta {
    TimeDelta::seconds(seconds)
}

fn names(tasks: &[Value]) -> Vec<String> {
    tasks.iter().map(|task| task["type"].as_str().unwrap().to_owned()).collect()
}

#[actix::test]
async fn a_pipeline_runs_from_its_slot_to_its_last_children() {
    let app = TestApp::start().await;
    app.pass(TimeDelta::hours(1)).await;
    let extract = app.api.lease("extract").await.expect("the slot of 13:00");
    assert_eq!(extract.task["info"], "?hour=2026-03-02T12");
    assert_eq!(extract.task["meta"], "workflow=main.toml&cron=2026-03-02T12&job=orders");
    app.api.complete(&extract.lease, "file=s3://b/f.json").await;
    let load = app.api.lease("load").await.expect("a child");
    assert_eq!(load.task["info"], "s3://b/f.json?hour=2026-03-02T12");
    assert_eq!(load.task["id"], extract.task["id"], "children keep the chain's id");
    app.api.complete(&load.lease, "").await;
    let children = [app.api.lease("report").await.unwrap(), app.api.lease("notify").await.unwrap()];
    for child in &children {
        assert_eq!(child.task["info"], "?day=2026-03-02");
    }
    let chain = app.api.get(&format!("/api/v1/chains/{}", extract.task["id"].as_str().unwrap())).await.ok();
    let chain = chain["items"].as_array().unwrap();
    assert_eq!(names(chain), ["extract", "load", "notify", "report"]);
    assert_eq!(chain[1]["parent"], chain[0]["uid"]);
    app.stop().await;
}

#[actix::test]
async fn a_child_whose_parent_lacks_what_it_requires_does_not_start() {
    let app = TestApp::start().await;
    app.pass(TimeDelta::hours(1)).await;
    let extract = app.api.lease("extract").await.unwrap();
    app.api.complete(&extract.lease, "other=1").await;
    assert!(app.api.lease("load").await.is_none());
    app.stop().await;
}

#[actix::test]
async fn a_failing_task_is_retried_with_its_delay_and_then_told() {
    let app = TestApp::start().await;
    app.pass(TimeDelta::hours(1)).await;
    for attempt in 1..=3 {
        let leased = app.api.lease("extract").await.unwrap_or_else(|| panic!("attempt {attempt}"));
        app.api.result(&leased.lease, &json!({"result": "error", "msg": "no disk"})).await.ok();
        app.pass(seconds(29)).await;
        assert!(app.api.lease("extract").await.is_none(), "not before its delay");
        app.pass(seconds(14)).await;
    }
    assert!(app.api.lease("extract").await.is_none(), "two retries and no more");
    let tasks = app.api.tasks("&type=extract").await;
    assert_eq!(tasks.iter().map(|task| task["attempt"].clone()).collect::<Vec<_>>(), [1, 2, 3]);
    let last = tasks[2]["meta"].as_str().unwrap();
    assert!(last.contains("retry=failed") && last.contains("retried=2"), "{last}");
    app.pass(TimeDelta::minutes(6)).await;
    let messages = app.slack.requests();
    assert_eq!(messages.len(), 1, "one summary");
    assert!(messages[0].body.to_string().contains("extract:orders"), "{}", messages[0].body);
    let alerts = app.api.get("/api/v1/alerts?date=2026-03-02").await.ok();
    assert_eq!(alerts["items"][0]["msg"], "no disk");
    app.stop().await;
}

#[actix::test]
async fn the_same_result_twice_is_accepted_once_and_another_one_refused() {
    let app = TestApp::with("[[phase]]\ntask = \"a\"\n[[phase]]\ntask = \"kid\"\ndependsOn = \"a\"\n").await;
    app.api.create(&json!({"type": "a", "info": "i", "meta": "workflow=main.toml"})).await;
    let leased = app.api.lease("a").await.unwrap();
    let body = json!({"result": "complete", "msg": "ok", "meta": {"file": "x y", "n": "1"}});
    assert_eq!(app.api.result(&leased.lease, &body).await.ok(), json!({"accepted": true, "duplicate": false}));
    assert_eq!(app.api.result(&leased.lease, &body).await.ok(), json!({"accepted": true, "duplicate": true}));
    let other = app.api.result(&leased.lease, &json!({"result": "error"})).await;
    assert_eq!(other.problem().0, 409);
    assert_eq!(app.api.tasks("&type=kid").await.len(), 1, "children start once");
    app.stop().await;
}

#[actix::test]
async fn an_alert_is_told_at_once() {
    let app = TestApp::start().await;
    app.api.create(&json!({"type": "a", "job": "j", "info": "i"})).await;
    let leased = app.api.lease("a").await.unwrap();
    app.api.result(&leased.lease, &json!({"result": "alert", "msg": "look at this"})).await.ok();
    app.clock.settle().await;
    let messages = app.slack.requests();
    assert_eq!(messages.len(), 1, "no time has passed");
    assert!(messages[0].body.to_string().contains("look at this"), "{}", messages[0].body);
    app.pass(TimeDelta::hours(2)).await;
    assert!(app.slack.requests().iter().skip(1).all(|m| !m.body.to_string().contains("look at this")));
    app.stop().await;
}

#[actix::test]
async fn many_results_are_each_judged_alone() {
    let app = TestApp::start().await;
    let mut leases = Vec::new();
    for _ in 0..2 {
        app.api.create(&json!({"type": "a", "info": "i"})).await;
        leases.push(app.api.lease("a").await.unwrap());
    }
    let bare = app.api.create(&json!({"type": "b", "info": "i"})).await;
    let done = |task: &Value| {
        let mut task = task.clone();
        task["result"] = json!("complete");
        task
    };
    let results = json!([
        {"lease": leases[0].lease, "result": "complete"},
        {"lease": "nonsense", "result": "complete"},
        {"lease": leases[1].lease, "result": "fine"},
        done(&bare),
        {"lease": leases[0].lease, "result": "complete"},
        {"uid": "060a24181e4000", "result": "complete"},
    ]);
    let answer = app.api.post("/api/v1/results", &results).await.ok();
    assert_eq!(answer["accepted"].as_u64().unwrap() + answer["duplicates"].as_u64().unwrap(), 3, "{answer}");
    let rejected: Vec<_> =
        answer["rejected"].as_array().unwrap().iter().map(|item| (&item["index"], &item["code"])).collect();
    assert_eq!(rejected.len(), 3, "{answer}");
    assert_eq!(rejected[0], (&json!(1), &json!("lease_unknown")));
    assert_eq!(rejected[1], (&json!(2), &json!("invalid_request")));
    assert_eq!(rejected[2], (&json!(5), &json!("task_unknown")));

    let lines = format!(
        "{}\n{}\n",
        json!({"lease": leases[1].lease, "result": "warn"}),
        json!({"lease": "x", "result": "warn"})
    );
    let answer =
        app.api.send(reqwest::Method::POST, "/api/v1/results", "application/x-ndjson", lines).await.unwrap().ok();
    assert_eq!((&answer["accepted"], &answer["rejected"][0]["index"]), (&json!(1), &json!(1)));
    app.stop().await;
}

#[actix::test]
async fn a_result_in_two_places_of_the_wire_is_refused_with_its_field() {
    let app = TestApp::start().await;
    app.api.create(&json!({"type": "a", "info": "i"})).await;
    let leased = app.api.lease("a").await.unwrap();
    for body in [json!({}), json!({"result": "done"}), json!({"result": "complete", "meta": 5})] {
        let answer = app.api.result(&leased.lease, &body).await;
        assert_eq!(answer.problem().0, 400, "{body}");
    }
    app.api.complete(&leased.lease, "").await;
    app.stop().await;
}

/// A done task of the tests' workflow that somebody else created.
fn done_elsewhere(id: &str, result: &str) -> Value {
    json!({
        "type": "extract", "job": "orders", "info": "?hour=2026-03-02T10", "id": id,
        "created": "2026-03-02T11:00:00Z", "started": "2026-03-02T11:00:05Z", "ended": "2026-03-02T11:10:00Z",
        "meta": "workflow=main.toml&cron=2026-03-02T10&file=s3://b/f.json", "result": result, "msg": "no disk",
    })
}

async fn post(app: &TestApp, results: &Value) -> Value {
    app.api.post("/api/v1/results", results).await.ok()
}

#[actix::test]
async fn a_done_task_that_nobody_created_here_is_recorded_and_its_children_start_once() {
    let app = TestApp::start().await;
    let done = json!([done_elsewhere("c1", "complete"), done_elsewhere("c1", "complete")]);
    assert_eq!(post(&app, &done).await, json!({"accepted": 1, "duplicates": 1, "rejected": []}));
    let app = app.restart(seconds(1)).await;
    assert_eq!(post(&app, &done).await, json!({"accepted": 0, "duplicates": 2, "rejected": []}));
    let chain = app.api.get("/api/v1/chains/c1").await.ok()["items"].as_array().unwrap().clone();
    assert_eq!(names(&chain), ["extract", "load"]);
    let [extract, load] = &chain[..] else { panic!("{chain:?}") };
    for (field, value) in [
        ("state", "done"),
        ("result", "complete"),
        ("msg", "no disk"),
        ("created", "2026-03-02T11:00:00.000000Z"),
        ("started", "2026-03-02T11:00:05Z"),
        ("ended", "2026-03-02T11:10:00Z"),
    ] {
        assert_eq!(extract[field], value);
    }
    assert_eq!((&load["parent"], &load["info"]), (&extract["uid"], &json!("s3://b/f.json?hour=2026-03-02T10")));
    assert_eq!(post(&app, &json!([extract])).await["duplicates"], 1, "as it is shown here, too");
    let leased = app.api.lease("load").await.expect("the child is ready");
    app.api.complete(&leased.lease, "").await;
    let stats = app.api.get("/api/v1/stats?date=2026-03-02").await.ok();
    assert!(stats.to_string().contains("extract"), "{stats}");
    app.stop().await;
}

#[actix::test]
async fn a_failed_task_of_elsewhere_is_retried_and_a_dead_one_told() {
    let app = TestApp::start().await;
    let results = json!([done_elsewhere("c1", "error")]);
    assert_eq!(post(&app, &results).await["accepted"], 1);
    app.pass(seconds(43)).await;
    let retry = app.api.lease("extract").await.expect("its retry");
    assert_eq!((&retry.task["id"], &retry.task["info"]), (&json!("c1"), &json!("?hour=2026-03-02T10")));
    assert!(retry.task["meta"].as_str().unwrap().contains("retry=1"), "{}", retry.task);
    // The last retry of another one, a failure that no phase knows, and an alert.
    let mut last = done_elsewhere("c2", "error");
    last["meta"] = json!("workflow=main.toml&retry=2");
    let mut stray = done_elsewhere("c3", "error");
    stray["type"] = json!("stray");
    let results = json!([last, stray, done_elsewhere("c4", "alert")]);
    assert_eq!(post(&app, &results).await["accepted"], 3);
    let alerts = app.api.get("/api/v1/alerts?date=2026-03-02").await.ok();
    let mut kinds: Vec<_> =
        alerts["items"].as_array().unwrap().iter().map(|alert| alert["kind"].as_str().unwrap()).collect();
    kinds.sort_unstable();
    assert_eq!(kinds, ["exhausted", "result", "unknown_phase"]);
    let dead = app.api.get("/api/v1/tasks?retry=failed").await.ok();
    assert_eq!(dead["items"][0]["id"], "c2");
    app.stop().await;
}

#[actix::test]
async fn without_adoption_a_task_that_nobody_created_here_is_unknown() {
    let app = TestApp::start().await;
    let results = json!([done_elsewhere("c1", "complete")]);
    let answer = app.api.post("/api/v1/results?adopt=false", &results).await.ok();
    assert_eq!((&answer["accepted"], &answer["rejected"][0]["code"]), (&json!(0), &json!("task_unknown")));
    assert!(app.api.tasks("").await.is_empty());
    app.stop().await;
}
