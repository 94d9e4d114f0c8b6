//! The whole program in the test's process, on a virtual clock, spoken to over real HTTP; and as a process of its
//! own, to be killed.

use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use flowlord::config::Sources;
use flowlord::{ActorEnvironment, App};
use flowlord_db::SeenDamage;
use flowlord_kernel::{Clock as _, WorkCounter};
use flowlord_testkit::{FakeSlack, VirtualClock};
use reqwest::{Client, Method, Response, StatusCode};
use serde_json::Value;

/// A Monday at noon, when no example workflow has a slot.
pub(crate) fn noon() -> DateTime<Utc> {
    "2026-03-02T12:00:00Z".parse().unwrap()
}

/// What the tests' workflows are unless they bring their own.
pub(crate) const WORKFLOW: &str = r#"
[[phase]]
task = "extract:orders"
rule = "cron=0 * * * *&offset=-1h&retry_delay=30s"
retry = 2
template = "?hour={yyyy}-{mm}-{dd}T{hh}"

[[phase]]
task = "load"
dependsOn = "extract:orders"
rule = "require={meta:file}"
template = "{meta:file}?hour={yyyy}-{mm}-{dd}T{hh}"

[[phase]]
task = "report"
dependsOn = "load"
template = "?day={yyyy}-{mm}-{dd}"

[[phase]]
task = "notify"
dependsOn = "load"
template = "?day={yyyy}-{mm}-{dd}"
"#;

/// An answer: its status and its JSON.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) retry_after: Option<String>,
    pub(crate) content_type: String,
    pub(crate) json: Value,
}

impl Answer {
    async fn of(response: Response) -> Self {
        let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let (retry_after, content_type) = (header("retry-after"), header("content-type").unwrap_or_default());
        let status = response.status().as_u16();
        let text = response.text().await.unwrap_or_default();
        let json = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Self { status, retry_after, content_type, json }
    }

    /// The problem's code; panics on anything but a problem document that says what it must.
    #[track_caller]
    pub(crate) fn problem(&self) -> (u16, &str) {
        assert_eq!(self.content_type, "application/problem+json", "{self:?}");
        assert_eq!(self.json["status"], self.status, "{self:?}");
        assert!(self.json["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{self:?}");
        assert!(self.json["title"].is_string() && self.json["type"].is_string(), "{self:?}");
        assert!(self.status != 503 || self.retry_after.is_some(), "{self:?}");
        (self.status, self.json["code"].as_str().expect("a code"))
    }

    /// The JSON of a success.
    #[track_caller]
    pub(crate) fn ok(self) -> Value {
        assert!(StatusCode::from_u16(self.status).unwrap().is_success(), "{self:?}");
        self.json
    }
}

/// A client of one server.
#[derive(Debug, Clone)]
pub(crate) struct Api {
    client: Client,
    pub(crate) base: String,
    token: Option<String>,
}

impl Api {
    pub(crate) fn new(base: String) -> Self {
        let _another_test_was_first = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder().timeout(Duration::from_secs(60)).build().unwrap();
        Self { client, base, token: None }
    }

    /// The same with a token.
    pub(crate) fn with_token(self, token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..self }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.try_get(path).await.unwrap()
    }

    pub(crate) async fn try_get(&self, path: &str) -> reqwest::Result<Answer> {
        self.send(Method::GET, path, "", "").await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.try_post(path, body).await.unwrap()
    }

    pub(crate) async fn try_post(&self, path: &str, body: &Value) -> reqwest::Result<Answer> {
        self.send(Method::POST, path, "application/json", body.to_string()).await
    }

    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        content_type: &str,
        body: impl Into<reqwest::Body>,
    ) -> reqwest::Result<Answer> {
        let mut request = self.client.request(method, format!("{}{path}", self.base)).body(body);
        if !content_type.is_empty() {
            request = request.header("content-type", content_type);
        }
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        Ok(Answer::of(request.send().await?).await)
    }

    /// Opens an answer that goes on.
    pub(crate) async fn open(&self, path: &str, last_event_id: &str) -> Response {
        let mut request = self.client.get(format!("{}{path}", self.base));
        if !last_event_id.is_empty() {
            request = request.header("last-event-id", last_event_id);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        response
    }

    /// With headers of its own, and no token.
    pub(crate) async fn send_with(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: String,
    ) -> reqwest::Result<Answer> {
        let request = self.client.request(method, format!("{}{path}", self.base)).body(body);
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        Ok(Answer::of(request.send().await?).await)
    }

    /// Creates one task and answers it.
    pub(crate) async fn create(&self, task: &Value) -> Value {
        let created = self.post("/api/v1/tasks", task).await;
        assert_eq!(created.status, 201, "{created:?}");
        created.json.as_array().map_or(created.json.clone(), |tasks| tasks[0].clone())
    }

    /// Leases one task, without waiting.
    pub(crate) async fn lease(&self, topic: &str) -> Option<Leased> {
        self.lease_for(topic, "60s").await
    }

    pub(crate) async fn lease_for(&self, topic: &str, lease: &str) -> Option<Leased> {
        let wanted = serde_json::json!({"topics": [topic], "worker": "w1", "lease": lease});
        let answer = self.post("/api/v1/lease", &wanted).await.ok();
        answer["tasks"].as_array().expect("tasks").first().map(Leased::of)
    }

    pub(crate) async fn result(&self, lease: &str, body: &Value) -> Answer {
        self.post(&format!("/api/v1/lease/{lease}/result"), body).await
    }

    pub(crate) async fn complete(&self, lease: &str, meta: &str) {
        let body = serde_json::json!({"result": "complete", "meta": meta});
        assert_eq!(self.result(lease, &body).await.ok(), serde_json::json!({"accepted": true, "duplicate": false}));
    }

    /// Tasks that a list shows, oldest first.
    pub(crate) async fn tasks(&self, query: &str) -> Vec<Value> {
        let list = self.get(&format!("/api/v1/tasks?order=asc&limit=1000{query}")).await.ok();
        list["items"].as_array().expect("items").clone()
    }
}

/// The tasks of a list as the answers that created them have them, which don't say why they wait.
pub(crate) fn as_created(mut tasks: Vec<Value>) -> Value {
    for task in &mut tasks {
        assert!(task.as_object_mut().expect("a task").remove("waiting").is_some(), "{task}");
    }
    Value::Array(tasks)
}

/// A task in a worker's hands.
#[derive(Debug, Clone)]
pub(crate) struct Leased {
    pub(crate) lease: String,
    pub(crate) expires: DateTime<Utc>,
    pub(crate) task: Value,
}

impl Leased {
    fn of(json: &Value) -> Self {
        Self {
            lease: json["lease"].as_str().expect("a lease").to_owned(),
            expires: json["expires"].as_str().expect("expires").parse().expect("a time"),
            task: json["task"].clone(),
        }
    }
}

/// The whole program in this process, on a clock that the test moves.
pub(crate) struct TestApp {
    pub(crate) api: Api,
    pub(crate) clock: VirtualClock,
    pub(crate) slack: FakeSlack,
    app: App,
    folder: tempfile::TempDir,
    way: Way,
}

/// How messages get to Slack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Webhook,
    /// A bot that hears clicks through both doors.
    Bot,
    /// Two webhooks: one has the alerts of types that begin with `etl`.
    Routes,
    /// No Slack at all.
    Nowhere,
}

/// What Slack signs with.
pub(crate) const SIGNING_SECRET: &str = "planted-signing-secret";

impl Way {
    fn config(self, slack: &FakeSlack) -> String {
        match self {
            Self::Nowhere => String::new(),
            Self::Webhook => format!("url = {:?}\n", slack.webhook_url()),
            Self::Routes => {
                let url = slack.webhook_url();
                format!(
                    "url = {url:?}\n[notify.routes.etl]\ntype = \"etl*\"\nurl = \"{url}-etl\"\n\
                     min_frequency = \"10m\"\nfactor_up = 3\nquiet_hours = \"13:00-15:00\"\n"
                )
            }
            Self::Bot => format!(
                "token = \"xoxb-planted\"\nchannel = \"#ops\"\napi_url = {:?}\napp_token = \"xapp-planted\"\n\
                 signing_secret = {SIGNING_SECRET:?}\n",
                slack.api_url()
            ),
        }
    }
}

impl TestApp {
    /// With the tests' workflow, at noon.
    pub(crate) async fn start() -> Self {
        Self::with(WORKFLOW).await
    }

    /// With more in its configuration, which may name what is in the folder.
    pub(crate) async fn configured(workflow: &str, more: impl FnOnce(&Path) -> String) -> Self {
        Self::configured_for(Way::Webhook, workflow, more).await
    }

    /// With a bot, and more in its configuration.
    pub(crate) async fn bot_configured(workflow: &str, more: impl FnOnce(&Path) -> String) -> Self {
        Self::configured_for(Way::Bot, workflow, more).await
    }

    async fn configured_for(way: Way, workflow: &str, more: impl FnOnce(&Path) -> String) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("more.toml"), more(folder.path())).unwrap();
        Self::within(folder, workflow, way).await
    }

    pub(crate) async fn bot() -> Self {
        Self::of(WORKFLOW, Way::Bot).await
    }

    pub(crate) async fn without_slack() -> Self {
        Self::of(WORKFLOW, Way::Nowhere).await
    }

    pub(crate) async fn routed() -> Self {
        Self::of(WORKFLOW, Way::Routes).await
    }

    pub(crate) async fn with(workflow: &str) -> Self {
        Self::of(workflow, Way::Webhook).await
    }

    pub(crate) async fn of(workflow: &str, way: Way) -> Self {
        Self::within(tempfile::tempdir().unwrap(), workflow, way).await
    }

    async fn within(folder: tempfile::TempDir, workflow: &str, way: Way) -> Self {
        std::fs::create_dir(folder.path().join("workflows")).unwrap();
        std::fs::write(folder.path().join("workflows/main.toml"), workflow).unwrap();
        Self::on(folder, FakeSlack::start(), noon(), way).await
    }

    async fn on(folder: tempfile::TempDir, slack: FakeSlack, now: DateTime<Utc>, way: Way) -> Self {
        let clock = VirtualClock::new(now, WorkCounter::default());
        let environment = clock.environment();
        slack.follow(&clock);
        let config = config(folder.path(), &way.config(&slack));
        let app = start_app(&config, environment).await;
        let api = Api::new(format!("http://{}", app.address()));
        clock.settle().await;
        Self { api, clock, slack, app, folder, way }
    }

    /// Stops it and starts it again on the same data, `later`.
    pub(crate) async fn restart(self, later: TimeDelta) -> Self {
        let now = self.clock.now() + later;
        let way = self.way;
        let (folder, slack) = self.stop().await;
        Self::on(folder, slack, now, way).await
    }

    /// Stops it and starts it again with a bot.
    pub(crate) async fn restart_as_bot(self) -> Self {
        let now = self.clock.now();
        let (folder, slack) = self.stop().await;
        Self::on(folder, slack, now, Way::Bot).await
    }

    /// Waits until it should restart for damage in its database.
    pub(crate) async fn damaged(&self) -> SeenDamage {
        self.app.damaged().await
    }

    pub(crate) async fn stop(self) -> (tempfile::TempDir, FakeSlack) {
        self.app.stop().await;
        (self.folder, self.slack)
    }

    /// Lets this much time pass, and everything happen that happens in it.
    pub(crate) async fn pass(&self, time: TimeDelta) {
        self.clock.advance(time).await;
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// What is in its folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn workflow_path(&self, name: &str) -> PathBuf {
        self.folder.path().join("workflows").join(name)
    }
}

/// Starts it. Where tests share a process, the lock of an app that was stopped is held a moment longer by each child
/// that another test forked meanwhile, until that child becomes another program.
async fn start_app(config: &flowlord::Config, environment: ActorEnvironment) -> App {
    for _ in 0..100 {
        match App::start(config, environment.clone()).await {
            Err(err) if err.to_string().contains("in use by another flowlord") => {}
            started => return started.expect("the app starts"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the data folder stays in use");
}

fn config(folder: &Path, notify: &str) -> flowlord::Config {
    let file = folder.join("flowlord.toml");
    let more = std::fs::read_to_string(folder.join("more.toml")).unwrap_or_default();
    let text = format!(
        "workflow = {:?}\ndata = {:?}\nlisten = \"127.0.0.1:0\"\n{more}\n[notify]\n{notify}",
        folder.join("workflows"),
        folder.join("data"),
    );
    std::fs::write(&file, text).unwrap();
    let sources = Sources { file: Some(file), ..Sources::default() };
    let mut config = flowlord::Config::load(&sources).expect("a configuration").config;
    if !more.contains("no_workers") {
        // Most of these tests have workers only when they need one.
        config.tasks.no_workers = TimeDelta::zero();
    }
    config
}
