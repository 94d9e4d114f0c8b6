//! Buttons under a message in Slack: clicked through Socket Mode and through `/slack/interactive`, with the effects
//! that people see.

use chrono::TimeDelta;
use flowlord_kernel::Clock as _;
use flowlord_testkit::{SignedClick, SlackPost};
use reqwest::Method;
use serde_json::{Value, json};

use super::{Event, SAFETY, fail, play};
use crate::support::{Answer, SIGNING_SECRET, TestApp, Way};

/// Through which door a click comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Door {
    Socket,
    Signed,
}

const DOORS: [Door; 2] = [Door::Socket, Door::Signed];

/// Phases whose tasks are dead letters at their first failure.
const PHASES: &str = r#"
[[phase]]
task = "a"
rule = "cron=0 0 1 1 *"

[[phase]]
task = "b"
rule = "cron=0 0 1 1 *"
"#;

/// An app with an incident: `a` failed twice and `b` once, told at minute 5.
async fn incident() -> TestApp {
    incident_of(TestApp::bot().await).await
}

async fn incident_of(app: TestApp) -> TestApp {
    let events = vec![(30, Event::Fail(2, "a")), (40, Event::Fail(1, "b"))];
    let app = play(app, events, &[], 330).await;
    app.slack.wait_for_sockets(1, SAFETY).await;
    app
}

fn message(app: &TestApp) -> SlackPost {
    app.slack.board().into_iter().find(|post| post.thread.is_none()).expect("a message")
}

fn text(post: &SlackPost) -> String {
    post.body.to_string()
}

/// Clicks a button of the incident's message, and lets what follows happen.
async fn click(app: &TestApp, door: Door, action: &str, by: &str, nth: u32) {
    let click = app.slack.click(&message(app), action, by, nth);
    match door {
        Door::Socket => assert!(app.slack.interact(click, SAFETY).await, "it is acknowledged"),
        Door::Signed => {
            let answer = post(app, &signed(app, &click)).await;
            assert_eq!((answer.status, answer.json), (200, Value::String(String::new())));
        }
    }
    app.pass(TimeDelta::seconds(3)).await;
}

fn signed(app: &TestApp, click: &Value) -> SignedClick {
    app.slack.signed(click, SIGNING_SECRET, app.clock.now().timestamp())
}

async fn post(app: &TestApp, call: &SignedClick) -> Answer {
    let headers = [
        ("content-type", "application/x-www-form-urlencoded"),
        ("x-slack-request-timestamp", &call.timestamp),
        ("x-slack-signature", &call.signature),
    ];
    app.api.send_with(Method::POST, "/slack/interactive", &headers, call.body.clone()).await.unwrap()
}

/// What Slack told the person alone.
fn whispers(app: &TestApp) -> Vec<String> {
    let told = app.slack.calls().into_iter().filter(|call| call.path == "/respond");
    told.map(|call| call.body["text"].as_str().unwrap_or_default().to_owned()).collect()
}

#[actix::test]
async fn acknowledged_it_is_not_repeated_until_something_else_fails() {
    for door in DOORS {
        let app = incident().await;
        assert_eq!(message(&app).buttons(), ["acknowledge", "silence_1h", "silence_4h", "rerun", "open"], "{door:?}");
        click(&app, door, "acknowledge", "ann", 1).await;
        assert!(text(&message(&app)).contains("acknowledged by ann"), "{}", text(&message(&app)));
        assert_eq!(message(&app).buttons(), ["silence_1h", "silence_4h", "rerun", "open"]);
        let replies = |app: &TestApp| app.slack.board().len();
        let before = replies(&app);
        fail(&app, "a").await;
        app.pass(TimeDelta::minutes(10)).await;
        assert_eq!(replies(&app), before, "{door:?}: ann knows");
        fail(&app, "c").await;
        app.pass(TimeDelta::minutes(20)).await;
        assert_eq!(replies(&app), before + 1, "{door:?}: ann doesn't know of c");
        app.pass(TimeDelta::hours(3)).await;
        assert!(text(&message(&app)).contains("all clear"), "it is told also when it was acknowledged");
        assert_eq!(message(&app).buttons(), ["open"]);
        app.stop().await;
    }
}

#[actix::test]
async fn silenced_tasks_fail_unheard_for_as_long_as_asked() {
    for (door, action, hours) in [(Door::Socket, "silence_1h", 1), (Door::Signed, "silence_4h", 4)] {
        let app = incident().await;
        click(&app, door, action, "ann", 1).await;
        let silences = app.api.get("/api/v1/silences").await.ok();
        let silences = silences["items"].as_array().unwrap();
        let types: Vec<_> = silences.iter().map(|silence| silence["match"]["type"].clone()).collect();
        assert_eq!(types.len(), 2, "{silences:?}");
        assert!(types.contains(&json!("a")) && types.contains(&json!("b")), "{silences:?}");
        assert!(silences.iter().all(|silence| silence["by"] == "ann"), "{silences:?}");
        let until = app.clock.now() - TimeDelta::seconds(3) + TimeDelta::hours(hours);
        let said = format!("silenced by ann until {} UTC", until.format("%Y-%m-%d %H:%M"));
        assert!(text(&message(&app)).contains(&said), "{said}: {}", text(&message(&app)));
        fail(&app, "a").await;
        app.pass(TimeDelta::minutes(50)).await;
        assert!(text(&message(&app)).contains("all clear: 3 alerts"), "{}", text(&message(&app)));
        let before = app.slack.board().len();
        fail(&app, "a").await;
        app.pass(TimeDelta::minutes(8)).await;
        assert_eq!(app.slack.board().len(), before, "silence holds");
        app.pass(TimeDelta::hours(hours)).await;
        fail(&app, "a").await;
        app.pass(TimeDelta::minutes(8)).await;
        assert_eq!(app.slack.board().len(), before + 1, "and ends");
        app.stop().await;
    }
}

#[actix::test]
async fn failed_tasks_run_again() {
    for door in DOORS {
        let app = incident_of(TestApp::of(PHASES, Way::Bot).await).await;
        click(&app, door, "rerun", "ann", 1).await;
        let again = app.api.tasks("&state=ready").await;
        let mut types: Vec<_> = again.iter().map(|task| task["type"].as_str().unwrap()).collect();
        types.sort_unstable();
        assert_eq!(types, ["a", "a", "b"], "{door:?}");
        assert!(again.iter().all(|task| task["meta"].as_str().unwrap().contains("rerun=manual")), "{again:?}");
        assert!(text(&message(&app)).contains("3 tasks rerun by ann"), "{}", text(&message(&app)));
        click(&app, door, "rerun", "bob", 2).await;
        assert_eq!(app.api.tasks("&state=ready").await.len(), 3, "{door:?}: none twice");
        assert!(whispers(&app).concat().contains("no failed task"), "{:?}", whispers(&app));
        let day = app.clock.now().date_naive();
        let trail = app.api.get(&format!("/api/v1/audit?date={day}")).await.ok();
        let of_slack = trail["items"].as_array().unwrap().iter().filter(|entry| entry["from"] == "slack");
        let entries: Vec<_> = of_slack.map(|entry| (&entry["who"], &entry["what"])).collect();
        assert_eq!(entries, [(&json!("ann"), &json!("rerun"))], "{door:?}: bob's was in vain");
        app.stop().await;
    }
}

#[actix::test]
async fn a_restart_between_message_and_click_does_not_matter() {
    for door in DOORS {
        let app = incident().await.restart(TimeDelta::minutes(1)).await;
        app.slack.wait_for_sockets(2, SAFETY).await;
        click(&app, door, "acknowledge", "ann", 1).await;
        assert!(text(&message(&app)).contains("acknowledged by ann"), "{door:?}");
        app.stop().await;
    }
}

#[actix::test]
async fn who_is_not_slack_is_refused_and_told_why() {
    let app = incident().await;
    let click = app.slack.click(&message(&app), "acknowledge", "ann", 1);
    let good = signed(&app, &click);
    let forged = app.slack.signed(&click, "another secret", app.clock.now().timestamp());
    let stale = app.slack.signed(&click, SIGNING_SECRET, app.clock.now().timestamp() - 301);
    let early = app.slack.signed(&click, SIGNING_SECRET, app.clock.now().timestamp() + 301);
    let changed = SignedClick { body: good.body.replace("ann", "eve"), ..good.clone() };
    for (call, why) in [
        (&forged, "isn't signed with notify.signing_secret"),
        (&changed, "isn't signed with notify.signing_secret"),
        (&stale, "signed too long ago"),
        (&early, "clock is wrong"),
    ] {
        let answer = post(&app, call).await;
        assert_eq!(answer.problem(), (401, "unauthorized"));
        assert!(answer.json["detail"].as_str().unwrap().contains(why), "{answer:?}");
    }
    app.pass(TimeDelta::seconds(3)).await;
    assert!(!text(&message(&app)).contains("acknowledged"));
    assert_eq!(post(&app, &good).await.status, 200);
    let again = post(&app, &good).await;
    assert_eq!(again.problem(), (401, "unauthorized"));
    assert!(again.json["detail"].as_str().unwrap().contains("may be a replay"), "{again:?}");
    let unsigned = app.api.post("/slack/interactive", &click).await;
    assert_eq!(unsigned.problem(), (401, "unauthorized"));
    app.stop().await;
}

#[actix::test]
async fn a_click_in_vain_is_said_to_the_person_alone() {
    let app = incident().await;
    let old = message(&app);
    app.pass(TimeDelta::hours(1)).await;
    assert!(text(&message(&app)).contains("all clear"));
    let late = app.slack.click(&old, "acknowledge", "ann", 1);
    assert!(app.slack.interact(late, SAFETY).await);
    app.pass(TimeDelta::seconds(3)).await;
    assert!(whispers(&app).concat().contains("there is nothing to acknowledge"), "{:?}", whispers(&app));
    app.stop().await;
}

#[actix::test]
async fn a_service_without_a_secret_says_what_to_set() {
    let app = TestApp::start().await;
    let call = SignedClick { timestamp: "1".into(), signature: "v0=1".into(), body: "payload={}".into() };
    let answer = post(&app, &call).await;
    assert_eq!(answer.problem(), (404, "not_found"));
    assert!(answer.json["detail"].as_str().unwrap().contains("set notify.signing_secret"), "{answer:?}");
    app.stop().await;
}
