//! Days that pass in milliseconds.

use chrono::TimeDelta;
use serde_json::json;

use crate::support::{TestApp, noon};

#[actix::test]
async fn a_day_of_cron_starts_each_slot_once_over_restarts() {
    let mut app = TestApp::start().await;
    for _ in 0..4 {
        app.pass(TimeDelta::hours(6)).await;
        app = app.restart(TimeDelta::minutes(5)).await;
    }
    let infos: Vec<_> = app.api.tasks("").await.iter().map(|task| task["info"].as_str().unwrap().to_owned()).collect();
    let slots = (1..=24).map(|hour| noon() + TimeDelta::hours(hour - 1));
    let expected: Vec<_> = slots.map(|slot| slot.format("?hour=%Y-%m-%dT%H").to_string()).collect();
    assert_eq!(infos, expected);
    app.stop().await;
}

#[actix::test]
async fn a_slot_in_downtime_is_missed_and_said() {
    let app = TestApp::start().await;
    app.pass(TimeDelta::minutes(61)).await;
    let app = app.restart(TimeDelta::hours(2)).await;
    let infos: Vec<_> = app.api.tasks("").await.iter().map(|task| task["info"].clone()).collect();
    assert_eq!(infos, ["?hour=2026-03-02T12"], "13:00 started, 14:00 and 15:00 fell into downtime");
    let alerts = app.api.get("/api/v1/alerts?date=2026-03-02").await.ok();
    assert_eq!(alerts["items"][0]["kind"], "missed_slot", "{alerts}");
    app.pass(TimeDelta::hours(1)).await;
    assert_eq!(app.api.tasks("").await.len(), 2, "16:00 starts");
    app.stop().await;
}

#[actix::test]
async fn a_workflow_file_that_breaks_keeps_its_last_good_version() {
    let app = TestApp::start().await;
    std::fs::write(app.workflow_path("main.toml"), "[[phase]]\ntask = ").unwrap();
    std::fs::write(app.workflow_path("new.toml"), "[[phase]]\ntask = \"new\"\nrule = \"cron=30 * * * *\"\n").unwrap();
    let reload = app.api.post("/api/v1/workflows/refresh", &json!({})).await.ok();
    assert!(reload.to_string().contains("main.toml"), "{reload}");
    for _ in 0..3 {
        app.api.post("/api/v1/workflows/refresh", &json!({})).await.ok();
    }
    app.pass(TimeDelta::hours(1)).await;
    let mut kinds: Vec<_> =
        app.api.tasks("").await.iter().map(|task| task["type"].as_str().unwrap().to_owned()).collect();
    kinds.sort();
    assert_eq!(kinds, ["extract", "new"], "the old version goes on, other files too");
    let alerts = app.api.get("/api/v1/alerts?date=2026-03-02").await.ok();
    assert_eq!(alerts["items"].as_array().unwrap().len(), 1, "said once: {alerts}");
    assert_eq!(alerts["items"][0]["kind"], "workflow");
    let app = app.restart(TimeDelta::seconds(1)).await;
    app.pass(TimeDelta::hours(1)).await;
    assert_eq!(app.api.tasks("&type=extract").await.len(), 2, "also over a restart");
    app.stop().await;
}
