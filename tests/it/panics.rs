//! Every actor panics, in what handles a message, in what goes on with an answer and in its start: it restarts, whoever
//! waits gets an answer, and the service goes on.

use std::path::Path;

use chrono::TimeDelta;
use flowlord_kernel::fault::{self, ActorCode, FaultEffect, FaultPoint};
use serde_json::{Value, json};

use crate::support::{Answer, TestApp, WORKFLOW};

/// Everything that has timers and connections is turned on.
fn everything(folder: &Path) -> String {
    std::fs::create_dir(folder.join("incoming")).unwrap();
    format!(
        "refresh = \"10m\"\n[backup]\npath = {:?}\nevery = \"1h\"\nship_every = \"1m\"\n\
         [deadman]\nurl = \"http://127.0.0.1:9/\"\n[files]\nfolders = [{:?}]\nevery = \"1m\"\n",
        folder.join("backup"),
        folder.join("incoming")
    )
}

/// Plans a panic, and has it come true.
async fn panic_in(app: &TestApp, actor: &'static str, code: ActorCode, mut drive: impl AsyncFnMut(&TestApp)) {
    let environment = app.clock.environment();
    fault::plan_panic(&environment, actor, code);
    drive(app).await;
    app.clock.settle().await;
    assert!(!fault::is_panic_planned(&environment, actor, code), "{actor} was not driven to {code:?}");
    let ready = app.api.get("/readyz").await;
    assert_eq!(ready.status, 200, "{actor} after {code:?}: {ready:?}");
    // No more than three restarts a minute are tolerated.
    app.clock.advance(TimeDelta::minutes(2)).await;
}

#[track_caller]
fn is_answered(answer: &Answer) {
    let (status, code) = answer.problem();
    assert!(matches!((status, code), (500, "internal") | (503, "stopping")), "{answer:?}");
}

#[actix::test]
async fn each_actor_restarts_after_a_panic_in_a_handler() {
    let app = TestApp::bot_configured(WORKFLOW, everything).await;
    let ready = app.api.get("/readyz").await.ok();
    let actors = ready["actors"].as_object().unwrap().clone();
    for actor in actors.keys().filter(|name| !matches!(name.as_str(), "readers" | "view_readers")) {
        let actor: &'static str = actor.clone().leak();
        panic_in(&app, actor, ActorCode::Handler, async |app| {
            let answer = app.api.get("/readyz").await;
            // These two are also asked how the backup is, at the same time.
            if matches!(actor, "backup" | "shipper") && answer.status == 200 {
                return;
            }
            assert_eq!(answer.problem(), (503, "not_ready"), "{actor}");
            assert!(answer.json["detail"].as_str().unwrap().starts_with(actor), "{answer:?}");
        })
        .await;
    }
    panic_in(&app, "web", ActorCode::Handler, async |app| {
        let _events = app.api.open("/api/v1/events", "").await;
        app.api.create(&json!({"type": "a", "info": "x"})).await;
    })
    .await;
    app.stop().await;
}

#[actix::test]
async fn each_actor_restarts_after_a_panic_in_its_start() {
    let app = TestApp::bot_configured(WORKFLOW, everything).await;
    let ready = app.api.get("/readyz").await.ok();
    let actors = ready["actors"].as_object().unwrap().clone();
    for actor in actors.keys().filter(|name| !matches!(name.as_str(), "readers" | "view_readers")) {
        let actor: &'static str = actor.clone().leak();
        panic_in(&app, actor, ActorCode::Start, async |app| {
            // What makes it start again.
            fault::plan_panic(&app.clock.environment(), actor, ActorCode::Handler);
            app.api.get("/readyz").await;
        })
        .await;
    }
    assert_eq!(app.api.create(&json!({"type": "a", "info": "x"})).await["type"], "a");
    app.stop().await;
}

#[actix::test]
async fn each_actor_restarts_after_a_panic_in_a_continuation() {
    let app = TestApp::bot_configured(WORKFLOW, everything).await;
    let continuation = ActorCode::Continuation;
    for actor in ["scheduler", "watch", "shipper", "files", "deadman", "library"] {
        panic_in(&app, actor, continuation, async |app| app.clock.advance(TimeDelta::minutes(11)).await).await;
    }
    panic_in(&app, "alerts", continuation, async |app| app.clock.advance(TimeDelta::minutes(70)).await).await;
    panic_in(&app, "retention", continuation, async |app| {
        app.api.get("/refresh").await.ok();
    })
    .await;
    panic_in(&app, "buttons", continuation, async |app| {
        app.slack.cut_sockets();
        app.clock.advance(TimeDelta::minutes(1)).await;
    })
    .await;

    let dispatch = async |app: &TestApp| {
        is_answered(&app.api.post("/api/v1/lease", &json!({"topics": ["a"], "worker": "w"})).await);
    };
    panic_in(&app, "dispatch", continuation, dispatch).await;
    app.api.create(&json!({"type": "a", "info": "x"})).await;
    let leased = app.api.lease_for("a", "1h").await.unwrap();
    panic_in(&app, "logs", continuation, async |app| {
        is_answered(&app.api.get(&format!("/api/v1/tasks/{}/log", leased.task["uid"].as_str().unwrap())).await);
    })
    .await;
    let result = json!({"result": "error", "msg": "failed"});
    panic_in(&app, "ingest", continuation, async |app| {
        is_answered(&app.api.result(&leased.lease, &result).await);
    })
    .await;
    panic_in(&app, "notifier", continuation, async |app| {
        assert_eq!(app.api.result(&leased.lease, &result).await.ok()["accepted"], Value::Bool(true));
        app.clock.advance(TimeDelta::hours(1)).await;
    })
    .await;
    panic_in(&app, "library", continuation, async |app| {
        is_answered(&app.api.post("/api/v1/workflows/refresh", &json!({})).await);
    })
    .await;
    panic_in(&app, "backup", continuation, async |app| {
        is_answered(&app.api.post("/api/v1/snapshots", &json!({})).await);
    })
    .await;
    let backload = json!({"task": "load", "workflow": "main.toml", "from": "2026-02-01", "to": "2026-02-02"});
    panic_in(&app, "backload", continuation, async |app| {
        is_answered(&app.api.post("/api/v1/backload", &backload).await);
    })
    .await;
    let file = json!({"path": "/somewhere/a.csv"});
    panic_in(&app, "files", continuation, async |app| {
        is_answered(&app.api.post("/api/v1/files", &file).await);
    })
    .await;
    panic_in(&app, "web", continuation, async |app| {
        let _events = app.api.open("/api/v1/events", "").await;
        app.api.create(&json!({"type": "a", "info": "x"})).await;
        app.clock.advance(TimeDelta::seconds(1)).await;
    })
    .await;
    panic_in(&app, "db", continuation, async |app| {
        fault::plan(&app.data(), FaultPoint::BeforeCommit, FaultEffect::Full, 3);
        assert_eq!(app.api.post("/api/v1/tasks", &json!({"type": "a", "info": "x"})).await.problem(), (503, "storage"));
        app.clock.advance(TimeDelta::minutes(1)).await;
    })
    .await;
    assert_eq!(app.api.create(&json!({"type": "a", "info": "x"})).await["type"], "a");
    app.stop().await;
}
