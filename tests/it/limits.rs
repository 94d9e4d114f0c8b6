//! Limits of phases: by groups of the configuration, by rate, and what waiting tasks say of them.

use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::support::TestApp;

const LIMITED: &str = r#"
[[phase]]
task = "load"
rule = "cron=@daily&group=warehouse"

[[phase]]
task = "export"
rule = "cron=@daily&group=warehouse"

[[phase]]
task = "call"
rule = "cron=@daily&rate=1/30s"
"#;

async fn create(app: &TestApp, topics: &[&str]) {
    for topic in topics {
        app.api.create(&json!({"type": topic, "info": "x", "meta": "workflow=main.toml"})).await;
    }
}

/// Why the only ready task of a topic waits.
async fn waiting(app: &TestApp, topic: &str) -> (String, String) {
    let tasks = app.api.tasks(&format!("&type={topic}&state=ready")).await;
    let [task] = &tasks[..] else { panic!("{tasks:?}") };
    let text = |key: &str| task["waiting"][key].as_str().unwrap().to_owned();
    (text("reason"), text("text"))
}

fn limited(reason: &str, text: &str) -> (String, String) {
    (reason.to_owned(), text.to_owned())
}

#[actix::test]
async fn a_group_holds_tasks_of_several_topics_back_and_a_rate_the_next_one() {
    let app = TestApp::configured(LIMITED, |_| "[groups]\nwarehouse = 1\n".to_owned()).await;
    create(&app, &["load", "export", "call", "call"]).await;
    let load = app.api.lease_for("load", "1h").await.unwrap();
    assert!(app.api.lease("export").await.is_none());
    let full = limited("limit", "Waits for group `warehouse`: 1 task is at work, as many as may be");
    assert_eq!(waiting(&app, "export").await, full);
    app.api.lease_for("call", "1h").await.unwrap();
    assert!(app.api.lease("call").await.is_none());
    let slow = limited("rate", "Waits for its rate: the next task may start at 12:00 UTC");
    assert_eq!(waiting(&app, "call").await, slow);
    let Value::String(figures) = app.api.get("/metrics").await.json else { panic!("not text") };
    for figure in [
        "flowlord_group_active_tasks{group=\"warehouse\"} 1",
        "flowlord_group_max_active{group=\"warehouse\"} 1",
        "flowlord_rate_free_starts{topic=\"call\",job=\"\"} 0",
        "flowlord_rate_max_starts{topic=\"call\",job=\"\"} 1",
    ] {
        assert!(figures.lines().any(|line| line == figure), "{figure}: {figures}");
    }
    // A worker that waits hears of the free place, and another of the time that came.
    let waits = |topic: &'static str| {
        let api = app.api.clone();
        actix::spawn(async move {
            let body = json!({"topics": [topic], "worker": "w", "wait": "1m"});
            api.post("/api/v1/lease", &body).await.ok()
        })
    };
    let (export, call) = (waits("export"), waits("call"));
    // Once they wait, the limits are asked for again.
    while app.api.get("/api/v1/workers").await.ok()["items"]
        .as_array()
        .unwrap()
        .iter()
        .all(|worker| worker["worker"] != "w")
    {}
    app.api.complete(&load.lease, "").await;
    assert_eq!(export.await.unwrap()["tasks"].as_array().unwrap().len(), 1);
    app.pass(TimeDelta::seconds(30)).await;
    assert_eq!(call.await.unwrap()["tasks"].as_array().unwrap().len(), 1);
    app.stop().await;
}
