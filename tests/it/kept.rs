//! Paths of the reference system, end to end.

use chrono::TimeDelta;
use reqwest::Method;
use serde_json::json;

use crate::support::TestApp;

#[actix::test]
async fn programs_of_the_reference_system_find_their_paths() {
    let app = TestApp::start().await;
    app.pass(TimeDelta::minutes(1)).await;
    let info = app.api.get("/info").await.ok();
    let orders = &info["workflow"]["main.toml"]["extract:orders"];
    assert_eq!(orders["Next"], "2026-03-02T13:00:00Z", "{info}");
    assert_eq!(orders["Schedule"], json!(["0 * * * *?offset=-1h"]));
    assert_eq!(orders["Child"], json!(["load ➞ notify", "load ➞ report"]));

    app.api.create(&json!({"type": "load", "info": "?date=2026-03-01", "id": "chain"})).await;
    let leased = app.api.lease("load").await.expect("a task");
    app.pass(TimeDelta::seconds(5)).await;
    app.api.complete(&leased.lease, "").await;
    let chain = app.api.get("/task/chain").await.ok();
    assert_eq!((&chain["Completed"], &chain["Events"][0]["result"]), (&json!(true), &json!("complete")));
    let recap = app.api.get("/recap").await;
    let load = "load\n\tmin: 5s max: 5s avg: 5s\n\tComplete: 1 2026/03/01T00\n";
    assert!(recap.json.as_str().is_some_and(|text| text.contains(load)), "{recap:?}");
    app.stop().await;
}

#[actix::test]
async fn a_changed_file_is_refreshed_and_shown_with_its_last_good_content() {
    let app = TestApp::start().await;
    let good = "[[phase]]\ntask = \"new\"\nrule = \"cron=30 * * * *\"\n";
    std::fs::write(app.workflow_path("new.toml"), good).unwrap();
    let refreshed = app.api.get("/refresh").await.ok();
    assert_eq!(refreshed["Files"], json!(["new.toml"]), "{refreshed}");
    std::fs::write(app.workflow_path("new.toml"), "[[phase]]\ntask = ").unwrap();
    assert_eq!(app.api.post("/refresh", &json!({})).await.problem(), (400, "invalid_request"));
    assert_eq!(app.api.get("/workflow").await.ok(), "main.toml\nnew.toml\n");
    let shown = app.api.get("/workflow/new.toml").await;
    assert_eq!((shown.content_type.as_str(), &shown.json), ("application/toml", &json!(good)));
    assert_eq!(app.api.get("/workflow/%2e%2e/data/flowlord.db").await.problem().0, 404);
    app.stop().await;
}

#[actix::test]
async fn a_test_message_reaches_slack() {
    let app = TestApp::start().await;
    let answer = app.api.send(Method::POST, "/notify", "", "").await.unwrap();
    assert_eq!(answer.status, 200, "{answer:?}");
    let posted = app.slack.wait_for(1, std::time::Duration::from_secs(30)).await;
    assert!(format!("{posted:?}").contains("Test message of flowlord"), "{posted:?}");
    app.stop().await;
}
