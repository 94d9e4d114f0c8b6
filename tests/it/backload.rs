//! History filled over HTTP: looked at, stored, found again, in the background, over a restart.

use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::process::{Server, flowlord};
use crate::support::{Answer, TestApp, as_created};

const PATH: &str = "/api/v1/backload";

async fn backload(app: &TestApp, body: Value) -> Answer {
    app.api.post(PATH, &body).await
}

fn days(extra: &Value) -> Value {
    let mut body = json!({"task": "extract:orders", "from": "2026-01-01", "to": "2026-01-03"});
    for (key, value) in extra.as_object().unwrap() {
        body[key] = value.clone();
    }
    body
}

fn infos(tasks: &Value) -> Vec<&str> {
    tasks.as_array().unwrap().iter().map(|task| task["info"].as_str().unwrap()).collect()
}

#[actix::test]
async fn how_its_tasks_end_is_counted_and_a_cancellation_ends_those_that_wait() {
    let app = TestApp::start().await;
    let id = backload(&app, days(&json!({"execute": true}))).await.ok()["id"].clone();
    let path = format!("/api/v1/backloads/{id}");
    let begun = app.api.get(&path).await.ok();
    assert_eq!((&begun["created"], &begun["finished"], &begun["failed"]), (&json!(3), &json!(0), &json!(0)));
    assert!(begun["rate"].is_null() && begun["eta"].is_null(), "{begun}");
    let leased = app.api.lease("extract").await.unwrap();
    app.pass(TimeDelta::minutes(6)).await;
    app.api.result(&leased.lease, &json!({"result": "alert"})).await.ok();
    let app = app.restart(TimeDelta::zero()).await;
    let stands = app.api.get(&path).await.ok();
    assert_eq!((&stands["finished"], &stands["failed"], &stands["not_created"]), (&json!(1), &json!(1), &json!(0)));
    assert!(stands["rate"].as_f64().unwrap() > 9.0 && stands["eta"].is_string(), "{stands}");
    let cancelled = app.api.post(&format!("{path}/cancel"), &json!({})).await.ok();
    assert_eq!((&cancelled["state"], &cancelled["finished"]), (&json!("cancelled"), &json!(3)));
    assert!(cancelled["eta"].is_null(), "{cancelled}");
    assert!(app.api.lease("extract").await.is_none());
    assert_eq!(app.api.tasks("&result=warn").await.len(), 2);
    assert_eq!(app.api.post(&format!("{path}/resume"), &json!({})).await.problem(), (409, "backload_state"));
}

#[actix::test]
async fn a_stretch_of_history_is_shown_stored_and_comes_after_the_tasks_of_the_day() {
    let app = TestApp::start().await;
    let dry = backload(&app, days(&json!({}))).await.ok();
    assert_eq!(infos(&dry["tasks"]), ["?hour=2026-01-01T00", "?hour=2026-01-02T00", "?hour=2026-01-03T00"]);
    assert!(app.api.tasks("").await.is_empty(), "nothing was stored");

    let stored = backload(&app, days(&json!({"execute": true}))).await;
    assert_eq!(stored.status, 200);
    let stored = stored.ok();
    assert_eq!(stored["status"], "3/3 tasks created: phase found in main.toml, using default day iterator");
    let tasks = app.api.tasks("&type=extract&job=orders").await;
    assert_eq!(as_created(tasks), stored["tasks"], "as they were told");
    app.api.create(&json!({"type": "extract", "job": "orders", "info": "today"})).await;
    assert_eq!(app.api.lease("extract").await.unwrap().task["info"], "today");

    // One is done, one fails until its retries are used up, one waits.
    let leased = app.api.lease("extract").await.unwrap();
    app.api.complete(&leased.lease, "file=f").await;
    for _ in 0..3 {
        let leased = loop {
            app.pass(TimeDelta::minutes(1)).await;
            let leased = app.api.lease_for("extract", "10h").await.unwrap();
            if leased.task["info"] == "?hour=2026-01-02T00" {
                break leased;
            }
        };
        app.api.result(&leased.lease, &json!({"result": "error", "msg": "no"})).await.ok();
    }
    let missing = backload(&app, days(&json!({"only": "missing", "to": "2026-01-04"}))).await.ok();
    assert_eq!((infos(&missing["tasks"]), &missing["skipped"]), (vec!["?hour=2026-01-04T00"], &json!(3)));
    let failed = backload(&app, days(&json!({"only": "failed", "execute": true}))).await.ok();
    assert_eq!((infos(&failed["tasks"]), &failed["skipped"]), (vec!["?hour=2026-01-02T00"], &json!(2)));
    let again = backload(&app, days(&json!({"only": "failed"}))).await.ok();
    assert_eq!(again["tasks"], json!([]), "its last attempt didn't fail");
    app.stop().await;
}

#[actix::test]
async fn one_task_that_is_too_large_fails_alone_and_is_told() {
    let app = TestApp::start().await;
    let large = "y".repeat(600_000);
    let body = json!({
        "task": "huge", "at": "2026-01-01", "execute": true, "meta": {"file": ["x", large, "z"]},
        "template": "{meta:file}{meta:file}",
    });
    let some = backload(&app, body).await;
    assert_eq!(some.status, 207, "{}", some.json["status"]);
    let some = some.ok();
    assert_eq!((&some["count"], &some["created"]), (&json!(3), &json!(2)));
    assert_eq!(some["failed"][0]["index"], 1);
    let status = some["status"].as_str().unwrap();
    assert!(status.starts_with("2/3 tasks created: its info would have 1200022 bytes, at most"), "{status}");
    let stands = app.api.get(&format!("/api/v1/backloads/{}", some["id"])).await.ok();
    assert_eq!((&stands["state"], &stands["failed"]), (&json!("done"), &json!(1)));
    assert_eq!(stands["failures"], some["failed"]);
    app.stop().await;
}

#[actix::test]
async fn a_long_one_fills_its_queue_and_no_more_also_over_a_restart() {
    let app = TestApp::start().await;
    let body = json!({
        "task": "old", "template": "?h={yyyy}-{mm}-{dd}T{hh}", "by": "hour", "from": "2024-01-01",
        "to": "2025-06-30T23", "execute": true,
    });
    let asked = backload(&app, body).await;
    assert_eq!(asked.status, 202);
    assert_eq!(asked.json["count"], 13_128);
    let path = format!("/api/v1/backloads/{}", asked.json["id"]);
    app.pass(TimeDelta::minutes(1)).await;
    let stands = app.api.get(&path).await.ok();
    assert_eq!((&stands["state"], &stands["done"]), (&json!("running"), &json!(10_000)));

    let app = app.restart(TimeDelta::minutes(1)).await;
    app.pass(TimeDelta::minutes(1)).await;
    assert_eq!(app.api.get(&path).await.ok()["done"], 10_000, "the queue is as full as before");
    let oldest = app.api.lease_for("old", "10h").await.unwrap();
    assert_eq!(oldest.task["info"], "?h=2024-01-01T00");
    app.pass(TimeDelta::minutes(1)).await;
    assert_eq!(app.api.get(&path).await.ok()["done"], 10_500);

    app.api.post(&format!("{path}/pause"), &json!({})).await.ok();
    let wanted = json!({"topics": ["old"], "worker": "w2", "max": 100, "lease": "10h"});
    for _ in 0..6 {
        app.api.post("/api/v1/lease", &wanted).await.ok();
    }
    app.pass(TimeDelta::minutes(1)).await;
    let paused = app.api.get(&path).await.ok();
    assert_eq!((&paused["state"], &paused["done"]), (&json!("paused"), &json!(10_500)));
    app.api.post(&format!("{path}/resume"), &json!({})).await.ok();
    app.pass(TimeDelta::minutes(1)).await;
    assert_eq!(app.api.get(&path).await.ok()["done"], 11_000);
    let cancelled = app.api.post(&format!("{path}/cancel"), &json!({})).await.ok();
    assert_eq!(cancelled["state"], "cancelled");
    assert_eq!(app.api.post(&format!("{path}/resume"), &json!({})).await.status, 409);
    let listed = app.api.get("/api/v1/backloads").await.ok();
    assert_eq!((&listed["items"][0]["created"], &listed["next"]), (&json!(11_000), &Value::Null));
    app.stop().await;
}

#[actix::test]
async fn the_path_of_the_reference_system_stores_too() {
    let app = TestApp::start().await;
    let body = json!({"Task": "extract", "Job": "orders", "At": "2026-01-01T05", "Execute": true});
    let done = app.api.post("/backload", &body).await.ok();
    assert_eq!(done["Status"], "Executed: phase found in main.toml, using default day iterator");
    assert_eq!((&done["Count"], infos(&done["Tasks"])), (&json!(1), vec!["?hour=2026-01-01T05"]));
    assert_eq!(app.api.tasks("&type=extract").await.len(), 1);
    app.stop().await;
}

#[actix::test]
async fn the_command_shows_creates_and_tells_what_failed() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path()).await;
    let run = async |args: &[&str]| {
        let base = ["backload", "load:j", "--server", server.api.base.as_str(), "--template", "?d={dd}{meta:a}"];
        let output = flowlord(folder.path(), &[&base, args].concat()).output().await.unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    let (code, out, err) = run(&["--from", "2026-01-01", "--to", "2026-01-09", "--show", "1"]).await;
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert_eq!(
        out,
        "TASK    INFO           META\nload:j  ?d=01{meta:a}  cron=2026-01-01T00&job=j\n9 tasks, 1 of the first 1 \
         shown (using default day iterator); create them with --execute\n"
    );
    assert!(server.api.tasks("").await.is_empty());

    let (code, out, err) = run(&["--at", "2026-01-01", "--meta", "a=1", "--meta", "a=2", "--execute"]).await;
    assert_eq!((code, out.as_str()), (Some(0), "2/2 tasks created\n"), "{err}");
    assert!(err.starts_with("backload 1 (using default day iterator): continues"), "{err}");
    assert!(err.ends_with("2/2 tasks processed\n"), "{err}");
    assert_eq!(server.api.tasks("&type=load&job=j").await.len(), 2);

    let long = "z".repeat(10_000);
    let template = "{meta:a}".repeat(120);
    let args = ["--template", &template, "--at", "2026-01-01", "--meta", &format!("a={long}"), "--execute"];
    let base = ["backload", "huge", "--server", server.api.base.as_str()];
    let output = flowlord(folder.path(), &[&base[..], &args[..]].concat()).output().await.unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!((output.status.code(), out.as_ref()), (Some(1), "0/1 tasks created, 1 failed\n"), "{err}");
    assert!(err.contains("task 0 (2026-01-01T00:00:00Z): its info would have 1200960 bytes"), "{err}");

    let (code, _, err) = run(&["--at", "soon"]).await;
    assert!(code == Some(1) && err.contains("`at` is `soon`: write a day like"), "{err}");
    server.kill().await;
}
