//! Planted secrets: nowhere in a log, an error, a page, the printed configuration or a metric.

use std::process::Stdio;

use flowlord_testkit::{FakeSlack, SlackMode};
use serde_json::json;
use tokio::io::AsyncReadExt as _;

use crate::process::{Server, flowlord};

/// All that is planted contains this.
const MARK: &str = "planted";

const PAGES: &[&str] = &[
    "/",
    "/web/task",
    "/web/alert",
    "/web/files",
    "/web/workflow",
    "/web/backload",
    "/web/audit",
    "/web/about",
    "/login",
    "/info",
    "/recap",
    "/status",
    "/healthz",
    "/readyz",
    "/metrics",
    "/workflow",
    "/notify",
    "/refresh",
    "/none",
    "/api/docs/errors",
    "/api/v1/tasks",
    "/api/v1/alerts",
    "/api/v1/silences",
    "/api/v1/incidents",
    "/api/v1/workflows",
    "/api/v1/snapshots",
    "/api/v1/files",
    "/api/v1/stats",
    "/api/v1/backloads",
    "/api/v1/tokens",
    "/api/v1/audit",
    "/api/v1/alerts?kind=x",
    "/api/v1/none",
];

fn config(slack: &FakeSlack) -> String {
    format!(
        r##"
workflow = "s3://bucket/workflows"
[notify]
token = "xoxb-{MARK}-bot"
app_token = "xapp-{MARK}-app"
signing_secret = "{MARK}-signing"
channel = "#ops"
api_url = {api:?}
min_frequency = "1s"
[notify.routes.hook]
type = "hooked"
url = "{webhook}/{MARK}-hook"
[store.s3]
endpoint = "http://127.0.0.1:9"
region = "eu"
access_key = "AKIA"
secret_key = "{MARK}-store"
"##,
        api = slack.api_url(),
        webhook = slack.webhook_url(),
    )
}

async fn alert(server: &Server, topic: &str) {
    server.api.create(&json!({"type": topic, "info": "i"})).await;
    let leased = server.api.lease(topic).await.expect("a task");
    server.api.result(&leased.lease, &json!({"result": "alert", "msg": "broke"})).await.ok();
}

/// Uses a hook's address well and badly, and answers its token.
async fn push_through(server: &Server, shown: &mut String) -> String {
    let wanted = json!({"name": "pubsub", "role": "push"});
    let made = server.api.post("/api/v1/tokens", &wanted).await.ok();
    let token = made["token"].as_str().unwrap().to_owned();
    for token in [&token, &format!("flw_{MARK}")] {
        for path in ["files", "results", "other"] {
            let path = format!("/hooks/{token}/{path}");
            for body in [json!({"path": "/in/a.csv"}), json!({"uid": "060a24181e4000", "result": "warn"})] {
                shown.push_str(&server.api.post(&path, &body).await.json.to_string());
            }
            shown.push_str(&server.api.get(&path).await.json.to_string());
        }
    }
    token
}

#[actix::test]
async fn no_secret_is_shown() {
    let folder = tempfile::tempdir().unwrap();
    let slack = FakeSlack::start();
    slack.set_mode(SlackMode::Refuse);
    std::fs::write(folder.path().join("flowlord.toml"), config(&slack)).unwrap();

    let printed = flowlord(folder.path(), &["serve", "--print-config"]).output().await.unwrap();
    let mut shown = String::from_utf8(printed.stdout).unwrap();
    assert!(shown.contains("[notify.routes.hook]") && shown.contains("signing_secret = \"***\""), "{shown}");
    let wrong = ["serve", "--print-config", "--listen", "nowhere"];
    let refused = flowlord(folder.path(), &wrong).output().await.unwrap();
    assert!(!refused.status.success());
    shown.push_str(&String::from_utf8_lossy(&refused.stderr));

    let mut command = serve_of(folder.path());
    command.env("RUST_LOG", "debug").stderr(Stdio::piped());
    let mut server = Server::of(command).await;
    let mut stderr = server.stderr();
    let log = tokio::spawn(async move {
        let mut log = Vec::new();
        stderr.read_to_end(&mut log).await.unwrap();
        String::from_utf8(log).unwrap()
    });
    for mode in [SlackMode::Refuse, SlackMode::Status(500), SlackMode::NotOk, SlackMode::Ok] {
        slack.set_mode(mode);
        alert(&server, "hooked").await;
        alert(&server, "told").await;
    }
    let hook = push_through(&server, &mut shown).await;
    for mode in [SlackMode::Refuse, SlackMode::Ok] {
        slack.set_mode(mode);
        for page in PAGES {
            shown.push_str(&server.api.get(page).await.json.to_string());
        }
    }
    server.terminate();
    assert!(server.ended().await.success());
    let log = log.await.unwrap();
    assert!(log.contains("event=") && log.contains("slack"), "the log is there: {log}");
    for (place, text) in [("what was shown", &shown), ("the log", &log)] {
        assert!(!text.contains(&hook), "the token of a hook is in {place}");
        let found = text.find(MARK).map(|at| &text[at.saturating_sub(200)..text.len().min(at + 50)]);
        assert_eq!(found, None, "a secret is in {place}");
    }
}

fn serve_of(folder: &std::path::Path) -> tokio::process::Command {
    let mut command = flowlord(folder, &["serve", "--listen", "127.0.0.1:0", "--data", "data"]);
    command.stdout(Stdio::piped());
    command
}
