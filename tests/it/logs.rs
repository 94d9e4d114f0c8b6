//! Logs through the whole program: sent under a lease, followed, refused after the result, kept over a restart.

use chrono::TimeDelta;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Answer, Leased, TestApp};

async fn append(app: &TestApp, lease: &str, offset: u64, text: &str) -> Answer {
    let (path, offset) = (format!("/api/v1/lease/{lease}/log"), offset.to_string());
    app.api.send_with(Method::POST, &path, &[("upload-offset", &offset)], text.to_owned()).await.unwrap()
}

async fn leased(app: &TestApp) -> (Leased, String) {
    app.api.create(&json!({"type": "a", "info": "x"})).await;
    let leased = app.api.lease("a").await.unwrap();
    let path = format!("/api/v1/tasks/{}/log", leased.task["uid"].as_str().unwrap());
    (leased, path)
}

#[actix::test]
async fn a_log_is_written_under_its_lease_and_outlives_a_restart() {
    let app = TestApp::start().await;
    let (Leased { lease, .. }, path) = leased(&app).await;
    assert_eq!(app.api.get(&path).await.problem(), (404, "no_log"));
    assert_eq!(append(&app, &lease, 0, "one \u{1b}[3").await.ok(), json!({"offset": 7}));
    assert_eq!(append(&app, &lease, 7, "1mred\u{1b}[0m\u{1b}[2K\n").await.ok()["offset"], 21);
    let elsewhere = append(&app, &lease, 7, "again").await;
    assert_eq!((elsewhere.problem(), &elsewhere.json["offset"]), ((409, "log_offset"), &json!(21)));
    let text = json!("one \u{1b}[31mred\u{1b}[0m\n");
    assert_eq!(app.api.get(&path).await.json, text);
    let app = app.restart(TimeDelta::seconds(1)).await;
    assert_eq!(append(&app, &lease, 21, "").await.ok()["offset"], 21, "as before");
    app.api.complete(&lease, "").await;
    assert_eq!(append(&app, &lease, 21, "late").await.problem(), (409, "lease_lost"));
    assert_eq!(app.api.get(&path).await.json, text);
    app.stop().await;
}

#[actix::test]
async fn who_lost_its_lease_writes_no_more_and_the_next_worker_goes_on() {
    let app = TestApp::start().await;
    let (Leased { lease, .. }, path) = leased(&app).await;
    append(&app, &lease, 0, "first\n").await.ok();
    app.pass(TimeDelta::seconds(61)).await;
    let second = app.api.lease("a").await.unwrap().lease;
    assert_eq!(append(&app, &lease, 6, "late\n").await.problem(), (409, "lease_lost"));
    assert_eq!(append(&app, &second, 0, "second\n").await.json["offset"], 6);
    append(&app, &second, 6, "second\n").await.ok();
    assert_eq!(app.api.get(&path).await.json, "first\nsecond\n");
    assert_eq!(append(&app, "064c0953867001-000000000000feed", 0, "x").await.problem(), (404, "lease_unknown"));
    app.stop().await;
}

#[actix::test]
async fn a_log_is_followed_while_its_task_runs() {
    let app = TestApp::start().await;
    let (Leased { lease, .. }, path) = leased(&app).await;
    let mut events = app.api.open(&format!("{path}?follow=true"), "").await;
    append(&app, &lease, 0, "one\nhalf").await.ok();
    let mut text = String::new();
    let mut heard = async |needle: &str| {
        while !text.contains(needle) {
            app.pass(TimeDelta::seconds(1)).await;
            let chunk = events.chunk().await.unwrap().expect("it goes on");
            text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
        std::mem::take(&mut text)
    };
    assert_eq!(heard("data: one\n").await, "id: 4\ndata: one\ndata: \n\n");
    app.api.complete(&lease, "").await;
    assert_eq!(heard("event: end").await, "id: 8\ndata: half\n\nevent: end\ndata:\n\n");
    assert!(events.chunk().await.unwrap().is_none());
    app.stop().await;
}

#[actix::test]
async fn logs_are_in_no_snapshot_and_go_after_their_time() {
    let app = TestApp::configured("", |_| "[logs]\nkeep = \"1d\"\n".to_owned()).await;
    let (Leased { lease, .. }, path) = leased(&app).await;
    append(&app, &lease, 0, "planted-in-a-log\n").await.ok();
    let Value::String(snapshot) = app.api.post("/api/v1/snapshots", &json!({})).await.ok()["location"].clone() else {
        panic!("no snapshot")
    };
    let bytes = std::fs::read(snapshot).unwrap();
    assert!(!bytes.windows(16).any(|part| part == b"planted-in-a-log"));
    app.api.complete(&lease, "").await;
    app.pass(TimeDelta::hours(13)).await;
    assert_eq!(app.api.get(&path).await.status, 200, "it is of yesterday");
    app.pass(TimeDelta::days(1)).await;
    assert_eq!(app.api.get(&path).await.problem(), (404, "no_log"));
    app.stop().await;
}
