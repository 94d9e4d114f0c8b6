//! Slots that come due while the one before them hasn't ended, and starts that are spread.

use chrono::TimeDelta;
use serde_json::Value;

use crate::support::TestApp;

const OVERLAPPING: &str = r#"
[[phase]]
task = "queued"
rule = "cron=0 * * * *&overlap=queue"
template = "{hh}"

[[phase]]
task = "skipped"
rule = "cron=0 * * * *&overlap=skip"
template = "{hh}"

[[phase]]
task = "spread"
rule = "cron=30 * * * *&jitter=20m"
template = "{hh}:{min}"
"#;

async fn next_of(app: &TestApp, topic: &str) -> Option<(String, String)> {
    let leased = app.api.lease_for(topic, "20h").await?;
    Some((leased.task["info"].as_str().unwrap().to_owned(), leased.lease))
}

#[actix::test]
async fn a_slot_waits_for_the_one_before_it_or_is_skipped() {
    let app = TestApp::with(OVERLAPPING).await;
    app.pass(TimeDelta::hours(1)).await;
    let (info, first) = next_of(&app, "queued").await.unwrap();
    assert_eq!(info, "13");
    app.pass(TimeDelta::hours(2)).await;
    assert_eq!(next_of(&app, "queued").await, None, "14 and 15 wait");
    let waiting = app.api.tasks("&type=queued&state=delayed").await;
    let texts: Vec<_> = waiting.iter().map(|task| task["waiting"]["text"].as_str().unwrap()).collect();
    assert_eq!(texts, ["Waits until the slots of its phase before it have ended"; 2]);
    let app = app.restart(TimeDelta::seconds(1)).await;
    app.api.complete(&first, "").await;
    app.pass(TimeDelta::seconds(1)).await;
    let (info, _) = next_of(&app, "queued").await.unwrap();
    assert_eq!(info, "14");
    assert_eq!(next_of(&app, "queued").await, None);
    assert_eq!(next_of(&app, "skipped").await.unwrap().0, "13");
    assert_eq!(next_of(&app, "skipped").await, None);
    let page = app.api.get("/web/workflow?file=main.toml&phase=skipped&date=2026-03-02").await.json;
    assert!(page.to_string().contains("skipped: the slot before it had not ended"), "{page}");
    app.stop().await;
}

#[actix::test]
async fn a_spread_slot_starts_later_and_is_about_the_same_time() {
    let app = TestApp::with(OVERLAPPING).await;
    let file = app.api.get("/api/v1/workflows/main.toml").await.ok();
    let next =
        file["phases"].as_array().unwrap().iter().find(|phase| phase["task"] == "spread").unwrap()["next"].clone();
    let Value::String(next) = next else { panic!("{file}") };
    let next: chrono::DateTime<chrono::Utc> = next.parse().unwrap();
    let slot = "2026-03-02T12:30:00Z".parse::<chrono::DateTime<chrono::Utc>>().unwrap();
    assert!(next > slot && next - slot < TimeDelta::minutes(20), "{next}");
    app.clock.advance_to(next - TimeDelta::seconds(1)).await;
    assert_eq!(next_of(&app, "spread").await, None);
    app.clock.advance_to(next).await;
    assert_eq!(next_of(&app, "spread").await.unwrap().0, "12:30");
    app.stop().await;
}
