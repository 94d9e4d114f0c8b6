//! Whom to ask about a phase: on the pages, in REST, in notifications, and by which route they go.

use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::support::TestApp;

const OWNED: &str = r#"
owner = "data-eng"
runbook = "https://wiki.example/orders?a=1&b=2"
doc = "Orders <of the shop>"

[[phase]]
task = "extract"
rule = "cron=@daily"

[[phase]]
task = "pay"
rule = "cron=@daily"
owner = "finance"
"#;

async fn fail(app: &TestApp, topic: &str) -> Value {
    let created = app.api.create(&json!({"type": topic, "info": "i", "meta": "workflow=main.toml"})).await;
    let leased = app.api.lease(topic).await.expect("a task");
    app.api.result(&leased.lease, &json!({"result": "error", "msg": "broke"})).await.ok();
    created
}

#[actix::test]
async fn an_owner_is_shown_and_alerts_go_to_the_route_of_the_owner() {
    let app = TestApp::bot_configured(OWNED, |_| {
        "[notify.routes.money]\nowner = \"fin*\"\nchannel = \"#money\"\n".to_owned()
    })
    .await;
    fail(&app, "extract").await;
    let paid = fail(&app, "pay").await;
    app.pass(TimeDelta::minutes(6)).await;
    let alerts = app.api.get("/api/v1/alerts").await.ok();
    let shown = |alert: &Value| ["type", "owner", "route"].map(|key| alert[key].as_str().unwrap().to_owned());
    let shown: Vec<_> = alerts["items"].as_array().unwrap().iter().map(shown).collect();
    assert_eq!(
        shown,
        [["pay", "finance", "money"], ["extract", "data-eng", "default"]].map(|row| row.map(str::to_owned))
    );
    let requests = app.slack.requests();
    let to = |channel: &str| {
        let sent = requests.iter().filter(|request| request.body["channel"] == channel);
        sent.map(|request| request.body.to_string()).collect::<String>()
    };
    assert!(
        to("#money").contains("owner: finance, runbook: https://wiki.example/orders?a=1&amp;b=2"),
        "{}",
        to("#money")
    );
    assert!(to("#ops").contains("owner: data-eng") && !to("#ops").contains("finance"), "{}", to("#ops"));

    let file = app.api.get("/api/v1/workflows/main.toml").await.ok();
    let texts = ["owner", "runbook", "doc"].map(|key| file["phases"][1][key].as_str().unwrap());
    assert_eq!(texts, ["finance", "https://wiki.example/orders?a=1&b=2", "Orders <of the shop>"]);
    for path in ["/web/workflow?file=main.toml".to_owned(), format!("/web/task/{}", paid["uid"].as_str().unwrap())] {
        let page = app.api.get(&path).await.json.to_string();
        for part in ["finance", "https://wiki.example/orders?a=1&#38;b=2", "Orders &#60;of the shop&#62;"] {
            assert!(page.contains(part), "{part} is missing in {path}: {page}");
        }
    }
    app.stop().await;
}

#[actix::test]
async fn a_silence_may_name_an_owner_and_an_acknowledgement_may_not() {
    let app = TestApp::with(OWNED).await;
    let silence = json!({"match": {"owner": "fin*"}, "for": "1h", "reason": "audit"});
    app.api.post("/api/v1/silences", &silence).await.ok();
    fail(&app, "pay").await;
    fail(&app, "extract").await;
    let alerts = app.api.get("/api/v1/alerts").await.ok();
    let silenced = alerts["items"].as_array().unwrap().iter().map(|alert| alert["silence"].is_number());
    assert_eq!(silenced.collect::<Vec<_>>(), [false, true], "{alerts}");
    let ack = json!({"match": {"owner": "fin*"}, "for": "1h"});
    assert_eq!(app.api.post("/api/v1/alerts/ack", &ack).await.problem(), (400, "invalid_request"));
    app.stop().await;
}
