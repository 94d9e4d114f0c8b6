//! The messages that docs/slack.md shows are those that the program sends: `docs/slack/*.json` holds them, and
//! `docs/slack/pictures.sh` makes the images from these files.

use std::path::PathBuf;

use flowlord_testkit::problems;
use serde_json::{Value, json};

use super::{Event, SAFETY, play};
use crate::support::TestApp;

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/slack").join(format!("{name}.json"))
}

/// Compares messages with the file of that name; with `BLESS` set, writes it.
fn shown(app: &TestApp, name: &str, messages: &[Value]) {
    for message in messages {
        assert_eq!(problems(message), Vec::<String>::new(), "{name}");
    }
    let text = serde_json::to_string_pretty(messages).unwrap() + "\n";
    // The port is another one each time.
    let (_, port) = app.api.base.rsplit_once(':').unwrap();
    let text = text.replace(&format!("http://localhost:{port}"), "https://flow.example.org");
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(file(name), &text).unwrap();
    }
    let known = std::fs::read_to_string(file(name)).unwrap_or_default();
    assert_eq!(text, known, "docs/slack/{name}.json: run this test with BLESS=1, then docs/slack/pictures.sh");
}

/// What people see in the channel: the message, and its thread.
fn board(app: &TestApp) -> Vec<Value> {
    app.slack.board().into_iter().map(|post| post.body).collect()
}

/// Tasks about some hours of a day fail for good.
async fn hours_fail(app: &TestApp, topic: &str, job: &str, hours: std::ops::Range<u32>) {
    for hour in hours {
        let info = format!("?hour=2026-03-02T{hour:02}");
        app.api.create(&json!({"type": topic, "job": job, "info": info})).await;
        let leased = app.api.lease(topic).await.expect("a task");
        app.api.result(&leased.lease, &json!({"result": "error", "msg": "no space left"})).await.ok();
    }
}

async fn at(app: &TestApp, minute: i64) {
    app.clock.advance_to(crate::support::noon() + chrono::TimeDelta::minutes(minute)).await;
    app.pass(chrono::TimeDelta::seconds(3)).await;
}

#[actix::test]
async fn an_incident_from_red_to_green() {
    let app = TestApp::bot().await;
    hours_fail(&app, "import", "orders", 3..9).await;
    hours_fail(&app, "import", "customers", 4..6).await;
    at(&app, 5).await;
    shown(&app, "escalating", &board(&app));
    let by_ann = app.slack.click(&app.slack.board()[0], "acknowledge", "ann", 1);
    app.slack.wait_for_sockets(1, SAFETY).await;
    assert!(app.slack.interact(by_ann, SAFETY).await);
    at(&app, 6).await;
    shown(&app, "acknowledged", &board(&app)[..1]);
    hours_fail(&app, "publish", "", 9..10).await;
    at(&app, 15).await;
    at(&app, 36).await;
    shown(&app, "easing", &board(&app)[..1]);
    at(&app, 120).await;
    shown(&app, "all_clear", &board(&app));
    app.stop().await;
}

#[actix::test]
async fn a_storm_is_shortened() {
    let app = TestApp::start().await;
    for nth in 0..260 {
        let task =
            json!({"type": "load", "job": format!("customer-{nth:03}-of-a-long-list"), "info": "?hour=2026-03-02T03"});
        app.api.create(&task).await;
        let leased = app.api.lease("load").await.expect("a task");
        app.api.result(&leased.lease, &json!({"result": "error", "msg": "no space left"})).await.ok();
    }
    at(&app, 5).await;
    let message = app.slack.requests()[0].body.clone();
    let notes = message["attachments"][0]["blocks"].as_array().unwrap().last().unwrap().to_string();
    assert!(notes.contains("… and 107 more lines"), "{notes}");
    app.stop().await;
}

#[actix::test]
async fn a_webhook_and_a_test_message() {
    let app = play(TestApp::start().await, vec![(30, Event::Fail(3, "import"))], &[], 310).await;
    shown(&app, "webhook", &[app.slack.requests()[0].body.clone()]);
    app.stop().await;
}
