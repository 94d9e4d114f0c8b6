//! Slack down for a while: tasks go on, messages arrive later, in order, once.

use chrono::TimeDelta;
use flowlord_testkit::SlackMode;
use serde_json::json;

use crate::support::TestApp;

async fn alert(app: &TestApp, msg: &str) {
    app.api.create(&json!({"type": "a", "info": "i"})).await;
    let leased = app.api.lease("a").await.expect("tasks go on");
    app.api.result(&leased.lease, &json!({"result": "alert", "msg": msg})).await.ok();
}

#[actix::test]
async fn messages_wait_while_slack_refuses_and_arrive_in_order_once() {
    for mode in [SlackMode::Status(500), SlackMode::TooMany { retry_after: 30 }, SlackMode::Refuse] {
        let app = TestApp::start().await;
        app.slack.set_mode(mode);
        for msg in ["first", "second", "third"] {
            alert(&app, msg).await;
            app.pass(TimeDelta::seconds(5)).await;
        }
        app.slack.clear();
        let app = app.restart(TimeDelta::seconds(1)).await;
        app.slack.set_mode(SlackMode::Ok);
        app.slack.clear();
        app.pass(TimeDelta::minutes(12)).await;
        let told: Vec<_> = app.slack.requests().iter().map(|request| request.body.to_string()).collect();
        let order: Vec<_> = ["first", "second", "third"]
            .iter()
            .map(|msg| told.iter().filter(|body| body.contains(msg)).count())
            .collect();
        assert_eq!(order, [1, 1, 1], "{mode:?}: {told:?}");
        let place = |msg: &str| told.iter().position(|body| body.contains(msg));
        assert!(place("first") < place("second") && place("second") < place("third"), "{mode:?}: {told:?}");
        app.stop().await;
    }
}
