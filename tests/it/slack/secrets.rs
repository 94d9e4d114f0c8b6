//! No secret of Slack's shows anywhere: planted ones are looked for in the log at its most talkative, in answers,
//! pages, metrics and the effective configuration.

use std::process::Stdio;

use flowlord_testkit::{FakeSlack, SlackMode};
use reqwest::Method;

use super::SAFETY;
use crate::process::{Server, flowlord, serve};

const PLANTED: &str = "planted";

fn webhook(slack: &FakeSlack) -> Vec<(&'static str, String)> {
    vec![("URL", format!("{}/planted-path", slack.webhook_url()))]
}

fn bot(slack: &FakeSlack) -> Vec<(&'static str, String)> {
    let text = str::to_owned;
    vec![
        ("TOKEN", text("xoxb-planted-token")),
        ("APP_TOKEN", text("xapp-planted-app-token")),
        ("SIGNING_SECRET", text("planted-signing-secret")),
        ("CHANNEL", text("#ops")),
        ("API_URL", slack.api_url()),
    ]
}

/// Everything that the service says while Slack is well and in all kinds of trouble.
async fn everything_said(slack: &FakeSlack, settings: &[(&'static str, String)]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let mut command = serve(folder.path());
    command.env("RUST_LOG", "trace").stderr(Stdio::from(std::fs::File::create(&log).unwrap()));
    let mut print = flowlord(folder.path(), &["serve", "--print-config"]);
    for (key, value) in settings {
        command.env(format!("FLOWLORD_NOTIFY__{key}"), value);
        print.env(format!("FLOWLORD_NOTIFY__{key}"), value);
    }
    let printed = print.output().await.unwrap();
    let mut said = String::from_utf8(printed.stdout).unwrap();
    let server = Server::of(command).await;
    for mode in [
        SlackMode::Ok,
        SlackMode::NotOk,
        SlackMode::Status(500),
        SlackMode::TooMany { retry_after: 1 },
        SlackMode::Cut,
        SlackMode::Refuse,
    ] {
        slack.set_mode(mode);
        let answer = server.api.send(Method::POST, "/notify", "", "").await.unwrap();
        said += &format!("{answer:?}\n");
        // What waits holds up what follows.
        slack.set_mode(SlackMode::Ok);
        slack.wait_for(1, SAFETY).await;
    }
    for path in ["/", "/web/alert", "/metrics", "/info", "/readyz", "/api/v1/alerts", "/api/docs/errors", "/none"] {
        said += &format!("{:?}\n", server.api.get(path).await);
    }
    let unsigned = server.api.post("/slack/interactive", &serde_json::json!({})).await;
    said += &format!("{unsigned:?}\n");
    server.kill().await;
    said + &std::fs::read_to_string(&log).unwrap()
}

#[actix::test]
async fn no_secret_is_ever_said() {
    for settings in [webhook, bot] {
        let slack = FakeSlack::start();
        let said = everything_said(&slack, &settings(&slack)).await;
        assert!(said.contains("slack_refused") && said.contains("Slack took the message"), "{said}");
        let planted: Vec<_> = said.lines().filter(|line| line.contains(PLANTED)).collect();
        assert!(planted.is_empty(), "{planted:#?}");
        let sent = slack.requests();
        let head = |name| sent[0].header(name).unwrap_or_default().to_owned();
        assert!(sent[0].path.contains(PLANTED) || head("authorization").contains(PLANTED), "it was used");
    }
}
