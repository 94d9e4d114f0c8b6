//! Alerts over REST: who takes care of what, what is silenced, what is overdue, and what Slack hears of it.

use chrono::TimeDelta;
use flowlord_kernel::Clock as _;
use flowlord_testkit::SlackMode;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::TestApp;

/// A task fails for good: no phase knows it.
async fn fail(app: &TestApp, topic: &str) {
    app.api.create(&json!({"type": topic, "info": "i"})).await;
    let leased = app.api.lease(topic).await.expect("tasks go on");
    app.api.result(&leased.lease, &json!({"result": "error", "msg": "broke"})).await.ok();
}

/// The headlines that came to a webhook whose path ends so, in order.
fn told(app: &TestApp, path: &str) -> Vec<String> {
    let headline = |body: &Value| {
        let text = body["attachments"][0]["blocks"][0]["text"]["text"].as_str().unwrap_or_default();
        text.replace('*', "")
    };
    let requests = app.slack.requests();
    requests.iter().filter(|request| request.path.ends_with(path)).map(|request| headline(&request.body)).collect()
}

async fn items(app: &TestApp, path: &str) -> Vec<Value> {
    app.api.get(path).await.ok()["items"].as_array().unwrap().clone()
}

#[actix::test]
async fn what_somebody_takes_care_of_is_not_repeated_over_a_restart_and_its_steps_are_listed() {
    let app = TestApp::start().await;
    let none = app.api.post("/api/v1/alerts/ack", &json!({"match": {}, "for": "4h", "by": "ada"})).await.ok();
    assert_eq!(none["items"], json!([]));
    fail(&app, "a").await;
    app.pass(TimeDelta::minutes(6)).await;
    let said = json!({"match": {"type": "a"}, "for": "4h", "by": "ada", "note": "on it"});
    let taken = app.api.post("/api/v1/alerts/ack", &said).await.ok();
    assert_eq!(taken["items"][0]["tasks"], json!(["a"]));
    assert_eq!(taken["until"], "2026-03-02T16:06:00Z");
    fail(&app, "a").await;
    let app = app.restart(TimeDelta::minutes(1)).await;
    app.pass(TimeDelta::minutes(20)).await;
    assert_eq!(told(&app, ""), ["1 alert in 1 task"]);
    fail(&app, "b").await;
    app.pass(TimeDelta::minutes(120)).await;
    assert_eq!(told(&app, "")[1], "1 alert in 1 task", "something else is told");
    assert!(told(&app, "").last().unwrap().starts_with("all clear: 3 alerts in"), "{:?}", told(&app, ""));
    let incidents = items(&app, "/api/v1/incidents").await;
    let steps: Vec<_> = incidents[0]["steps"].as_array().unwrap().iter().map(|step| &step["kind"]).collect();
    assert_eq!(steps[..3], ["summary", "acknowledged", "update"], "{incidents:?}");
    assert_eq!(steps.last().unwrap().as_str(), Some("all_clear"));
    let sent = |step: &Value| (step["kind"].as_str().unwrap().to_owned(), step["sent"].is_string());
    let sent: Vec<_> = incidents[0]["steps"].as_array().unwrap().iter().map(sent).collect();
    let told = ["summary", "all_clear"];
    assert!(sent.iter().all(|(kind, sent)| *sent == told.contains(&kind.as_str())), "a webhook can't edit: {sent:?}");
    let headline = incidents[0]["steps"][1]["headline"].as_str().unwrap();
    assert_eq!(headline, "acknowledged by ada until 2026-03-02 16:06 UTC: on it");
    assert!(incidents[0]["closed"].is_string() && incidents[0]["alerts"] == 3, "{incidents:?}");
    assert_eq!(items(&app, "/api/v1/incidents?date=2026-03-01").await, Vec::<Value>::new());
    app.stop().await;
}

/// The page of alerts once an incident is open, and how many of its notifications REST says were sent.
async fn notified(app: &TestApp) -> (String, usize) {
    for _ in 0..2 {
        fail(app, "a").await;
        app.pass(TimeDelta::minutes(11)).await;
    }
    let Value::String(page) = app.api.get("/web/alert").await.json else { panic!("not text") };
    let incidents = items(app, "/api/v1/incidents").await;
    let steps = incidents[0]["steps"].as_array().unwrap();
    (page, steps.iter().filter(|step| step["sent"].is_string()).count())
}

#[actix::test]
async fn only_notifications_that_left_are_counted() {
    let app = TestApp::without_slack().await;
    let (page, sent) = notified(&app).await;
    assert!(page.contains("Slack is not configured: no notification is sent.") && sent == 0, "{sent}: {page}");
    assert!(page.contains("<p>2 alerts. Next check at ") && !page.contains(" notification sent"), "{page}");
    app.stop().await;
    let app = TestApp::start().await;
    let (page, sent) = notified(&app).await;
    assert!(page.contains("<p>2 alerts, 2 notifications sent. Next check at ") && sent == 2, "{sent}: {page}");
    app.stop().await;
    let app = TestApp::start().await;
    app.slack.set_mode(SlackMode::Status(500));
    let (page, sent) = notified(&app).await;
    assert!(page.contains("<p>2 alerts, no notification sent, ") && sent == 0, "{sent}: {page}");
    assert!(page.contains("Slack refused the next notification: "), "{page}");
    app.slack.set_mode(SlackMode::Ok);
    app.pass(TimeDelta::minutes(6)).await;
    let Value::String(page) = app.api.get("/web/alert").await.json else { panic!("not text") };
    assert!(!page.contains(" waiting") && !page.contains("refused the next"), "{page}");
    app.stop().await;
}

#[actix::test]
async fn what_is_silenced_is_kept_and_not_told_until_the_silence_ends() {
    let app = TestApp::start().await;
    fail(&app, "a").await;
    let silence = json!({"match": {"type": "a*"}, "for": "1h", "by": "ada", "reason": "known"});
    let made = app.api.post("/api/v1/silences", &silence).await;
    assert_eq!((made.status, &made.json["holds"]), (201, &json!(true)));
    fail(&app, "ab").await;
    let app = app.restart(TimeDelta::minutes(1)).await;
    app.pass(TimeDelta::minutes(30)).await;
    assert_eq!(told(&app, ""), Vec::<String>::new());
    let alerts = items(&app, "/api/v1/alerts?type=a,ab&kind=unknown_phase").await;
    let silenced: Vec<_> = alerts.iter().map(|alert| &alert["silence"]).collect();
    assert_eq!(silenced, [&made.json["id"], &made.json["id"]]);
    assert_eq!(items(&app, "/api/v1/silences").await, std::slice::from_ref(&made.json));
    let path = format!("/api/v1/silences/{}", made.json["id"]);
    let ended = app.api.send(Method::DELETE, &path, "", "").await.unwrap().ok();
    assert_eq!(ended["holds"], false);
    assert_eq!(app.api.send(Method::DELETE, &path, "", "").await.unwrap().problem(), (404, "silence_unknown"));
    assert_eq!(items(&app, "/api/v1/silences").await, Vec::<Value>::new());
    assert_eq!(items(&app, "/api/v1/silences?all=true").await.len(), 1);
    fail(&app, "a").await;
    app.pass(TimeDelta::minutes(5)).await;
    assert_eq!(told(&app, ""), ["1 alert in 1 task"], "what was silenced isn't told afterwards");
    app.stop().await;
}

#[actix::test]
async fn what_cannot_be_is_refused() {
    let app = TestApp::start().await;
    let large = "x".repeat(2 << 20);
    for (method, path, content_type, body, expected) in [
        (Method::POST, "silences", "application/json", r#"{"for":"1h"}"#, (400, "invalid_request")),
        (Method::POST, "silences", "application/json", "{", (400, "invalid_json")),
        (Method::POST, "silences", "text/html", "{}", (415, "unsupported_media_type")),
        (Method::POST, "silences", "application/json", &large, (413, "body_too_large")),
        (Method::PUT, "silences", "application/json", "{}", (405, "method_not_allowed")),
        (Method::DELETE, "silences/none", "", "", (404, "silence_unknown")),
        (Method::GET, "silences/1", "", "", (405, "method_not_allowed")),
        (Method::GET, "silences?limit=x", "", "", (400, "invalid_request")),
        (Method::POST, "alerts/ack", "application/json", r#"{"until":"never"}"#, (400, "invalid_request")),
        (Method::POST, "alerts/ack", "application/json", "[]", (400, "invalid_json")),
        (Method::POST, "alerts/ack", "application/x-ndjson", "{}", (415, "unsupported_media_type")),
        (Method::POST, "alerts/ack", "application/json", &large, (413, "body_too_large")),
        (Method::GET, "alerts/ack", "", "", (405, "method_not_allowed")),
        (Method::GET, "alerts?kind=x", "", "", (400, "invalid_request")),
        (Method::POST, "incidents", "", "", (405, "method_not_allowed")),
        (Method::GET, "incidents?cursor=x", "", "", (400, "invalid_request")),
    ] {
        let path = format!("/api/v1/{path}");
        let answer = app.api.send(method.clone(), &path, content_type, body.to_owned()).await.unwrap();
        assert_eq!(answer.problem(), expected, "{method} {path}");
    }
    app.stop().await;
}

#[actix::test]
async fn each_route_tells_its_own_in_its_own_time() {
    let app = TestApp::routed().await;
    fail(&app, "etl-load").await;
    fail(&app, "a").await;
    app.pass(TimeDelta::minutes(6)).await;
    assert_eq!((told(&app, "-etl"), told(&app, "/hook").len()), (vec![], 1));
    app.pass(TimeDelta::minutes(5)).await;
    assert_eq!(told(&app, "-etl"), ["1 alert in 1 task"], "every ten minutes");
    let app = app.restart(TimeDelta::minutes(1)).await;
    // From 13:00 to 15:00 it is quiet there.
    app.clock.advance_to(crate::support::noon() + TimeDelta::minutes(62)).await;
    let before = told(&app, "-etl");
    assert_eq!(before, ["1 alert in 1 task"], "its all-clear would come at 13:05");
    fail(&app, "etl-load").await;
    fail(&app, "a").await;
    app.clock.advance_to(crate::support::noon() + TimeDelta::minutes(179)).await;
    assert_eq!(told(&app, "-etl"), before);
    assert!(told(&app, "/hook").iter().filter(|told| told.starts_with("all clear")).count() == 2);
    app.pass(TimeDelta::minutes(2)).await;
    assert_eq!(told(&app, "-etl")[before.len()..], ["1 alert in 1 task"]);
    let alerts = items(&app, "/api/v1/alerts?type=etl-load").await;
    assert!(alerts.iter().all(|alert| alert["route"] == "etl"), "{alerts:?}");
    let Value::String(metrics) = app.api.get("/metrics").await.json else { panic!("not text") };
    for line in [
        "flowlord_ladder_min_seconds{route=\"etl\"} 600",
        "flowlord_ladder_max_seconds{route=\"default\"} 4800",
        "flowlord_ladder_factor_up{route=\"etl\"} 3",
        "flowlord_ladder_factor_down{route=\"etl\"} 2",
        "flowlord_ladder_quiet_ticks{route=\"etl\"} 1",
    ] {
        assert!(metrics.contains(line), "{line} in\n{metrics}");
    }
    app.stop().await;
}

const WATCHED: &str = r#"
[[phase]]
task = "extract"
rule = "cron=0 * * * *&start_by=10m&max_run=20m"
template = "?h={hh}"
[[phase]]
task = "load"
dependsOn = "extract"
rule = "done_by=30m"
template = "?h={hh}"
[[phase]]
task = "report"
dependsOn = "load"
rule = "done_by=30m"
template = "?h={hh}"
"#;

/// Kind and task of all alerts, oldest first.
async fn raised(app: &TestApp) -> Vec<String> {
    let alerts = items(app, "/api/v1/alerts").await;
    let text = |alert: &Value| format!("{} {}", alert["kind"].as_str().unwrap(), alert["type"].as_str().unwrap());
    alerts.iter().rev().map(text).collect()
}

#[actix::test]
async fn what_did_not_begin_or_end_in_time_is_told_once() {
    let app = TestApp::with(WATCHED).await;
    // The slot of 13:00: nobody leases it.
    app.pass(TimeDelta::minutes(72)).await;
    assert_eq!(raised(&app).await, ["not_started extract"]);
    let app = app.restart(TimeDelta::minutes(1)).await;
    app.pass(TimeDelta::minutes(18)).await;
    assert_eq!(raised(&app).await, ["not_started extract", "not_done extract"], "one for all that waits for it");
    let alerts = items(&app, "/api/v1/alerts?kind=not_done").await;
    let msg = alerts[0]["msg"].as_str().unwrap();
    assert!(msg.starts_with("load, report can't be in time (by 2026-03-02 13:30:00 UTC)"), "{msg}");
    let leased = app.api.lease_for("extract", "4h").await.unwrap();
    app.pass(TimeDelta::minutes(25)).await;
    assert_eq!(raised(&app).await[2..], ["runs_long extract"]);
    app.api.complete(&leased.lease, "").await;
    app.stop().await;
}

#[actix::test]
async fn a_deadline_is_told_where_no_task_ever_was() {
    let app = TestApp::with(WATCHED).await;
    app.pass(TimeDelta::minutes(30)).await;
    // Down over 13:00 and its deadlines; the slot is recorded as missed.
    let app = app.restart(TimeDelta::minutes(45)).await;
    app.pass(TimeDelta::minutes(3)).await;
    let mut kinds = raised(&app).await;
    kinds.sort();
    assert_eq!(kinds, ["missed_slot extract", "not_started extract"]);
    app.pass(TimeDelta::minutes(20)).await;
    assert_eq!(raised(&app).await.last().unwrap(), "not_done extract");
    let app = app.restart(TimeDelta::zero()).await;
    app.pass(TimeDelta::minutes(5)).await;
    assert_eq!(raised(&app).await.len(), 3);
    app.stop().await;
}

/// Pauses or resumes a phase.
async fn set(app: &TestApp, how: &str, task: &str) {
    let phase = json!({"workflow": "main.toml", "task": task});
    app.api.post(&format!("/api/v1/phases/{how}"), &phase).await.ok();
}

#[actix::test]
async fn what_a_pause_left_out_or_holds_is_no_breach_and_counts_when_it_goes_on() {
    let app = TestApp::with(WATCHED).await;
    set(&app, "pause", "load").await;
    app.pass(TimeDelta::minutes(61)).await;
    let leased = app.api.lease("extract").await.unwrap();
    app.api.complete(&leased.lease, "").await;
    set(&app, "pause", "extract").await;
    // Over the deadlines of 13:00 and 14:00, and the time that a task has to end.
    app.pass(TimeDelta::hours(5)).await;
    let app = app.restart(TimeDelta::minutes(1)).await;
    assert_eq!(raised(&app).await, Vec::<String>::new());
    set(&app, "resume", "extract").await;
    set(&app, "resume", "load").await;
    let began = app.clock.now();
    app.pass(TimeDelta::minutes(29)).await;
    assert_eq!(raised(&app).await, Vec::<String>::new());
    app.pass(TimeDelta::minutes(2)).await;
    assert_eq!(raised(&app).await, ["not_done load"], "with report, which waits for it");
    let alerts = items(&app, "/api/v1/alerts?kind=not_done").await;
    let msg = alerts[0]["msg"].as_str().unwrap();
    let since = began.format("after a pause that ended at %Y-%m-%d %H:%M:%S");
    assert!(msg.contains(&since.to_string()), "{msg}");
    app.clock.advance_to(began + TimeDelta::minutes(3 * 60 + 59)).await;
    assert!(!raised(&app).await.contains(&"unfinished load".to_owned()));
    app.clock.advance_to(began + TimeDelta::minutes(4 * 60 + 1)).await;
    assert!(raised(&app).await.contains(&"unfinished load".to_owned()));
    app.stop().await;
}
