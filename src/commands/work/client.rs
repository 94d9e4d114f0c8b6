//! The worker protocol from the worker's side: lease, heartbeat, result, release.

use std::time::Duration;

use anyhow::Context as _;
use flowlord::running::Running;
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use reqwest::{RequestBuilder, Response, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use url::{Host, Url};

/// How long one request may take, beyond what it asks the service to wait.
const PATIENCE: Duration = Duration::from_secs(15);

/// How long a request for tasks waits for the first one.
const WAIT: Duration = Duration::from_secs(30);

#[derive(Debug, Clone)]
pub(crate) struct ApiClient {
    http: reqwest::Client,
    base: String,
    token: Option<String>,
}

#[derive(Debug, Clone)]
pub(crate) struct WantedTasks {
    pub(crate) topics: Vec<String>,
    pub(crate) worker: String,
    pub(crate) lease: String,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct GrantedTask {
    pub(crate) lease: String,
    #[serde(default)]
    pub(crate) attempt: u32,
    pub(crate) task: Value,
}

impl GrantedTask {
    /// A field of the task; empty where it has none.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.task.get(name).and_then(Value::as_str).unwrap_or_default()
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct TaskOutcome {
    pub(crate) result: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) msg: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) meta: String,
}

impl TaskOutcome {
    pub(crate) fn new(result: &'static str, msg: impl Into<String>) -> Self {
        Self { result, msg: msg.into(), meta: String::new() }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(crate) struct LeaseRenewal {
    #[serde(default)]
    pub(crate) cancel: bool,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiRefusal {
    #[error("the lease is lost: {0}")]
    Lost(String),
    /// The service is away, or has too much to do: the same request is worth trying again.
    #[error("{detail}")]
    Later { detail: String, after: Option<Duration> },
    /// The service won't take it, however often it is sent.
    #[error("{0}")]
    Never(String),
}

/// What became of a body that came from elsewhere.
#[derive(Debug)]
pub(crate) enum ForeignBody<T> {
    Taken(T),
    /// It is the body itself that the service won't take, however often it is sent.
    Refused(String),
}

/// Where a piece of a log went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogAnswer {
    /// The next one goes there.
    Written(u64),
    /// It wasn't taken: the log has another length.
    Elsewhere(u64),
}

type Answer<T> = Result<T, ApiRefusal>;

#[derive(Deserialize)]
struct LeasedTasks {
    tasks: Vec<GrantedTask>,
}

#[derive(Deserialize)]
struct LogLength {
    offset: u64,
}

#[derive(Deserialize)]
struct ProblemDetail {
    #[serde(default)]
    code: String,
    #[serde(default)]
    detail: String,
}

impl ApiClient {
    pub(crate) fn of_running(running: &Running) -> anyhow::Result<Self> {
        // Its certificate is for the name that others use, not for this machine's address. The file that names the
        // address is readable by the service's owner only, which is what is trusted here.
        Self::build(&running.server, Some(running.token.clone()), true)
    }

    pub(crate) fn new(server: &str, token: Option<String>) -> anyhow::Result<Self> {
        Self::build(server, token, false)
    }

    fn build(server: &str, token: Option<String>, any_certificate: bool) -> anyhow::Result<Self> {
        let base = server.trim_end_matches('/');
        anyhow::ensure!(
            base.starts_with("http://") || base.starts_with("https://"),
            "--server {server}: write an address that begins with http:// or https://"
        );
        let mut http = reqwest::Client::builder()
            .connect_timeout(PATIENCE)
            .tls_danger_accept_invalid_certs(any_certificate && is_local(base));
        if is_local(base) {
            // A proxy for the world outside can't reach this machine's own services.
            http = http.no_proxy();
        }
        let http = http.build().context("no HTTP client")?;
        Ok(Self { http, base: format!("{base}/api/v1"), token })
    }

    /// Asks a path outside the API, like `/healthz`; an error says what the service says.
    pub(crate) async fn probe(&self, path: &str, timeout: Duration) -> Answer<()> {
        let root = self.base.trim_end_matches("/api/v1");
        self.send(self.http.get(format!("{root}{path}")), timeout).await.map(drop)
    }

    pub(crate) async fn lease(&self, wanted: &WantedTasks) -> Answer<Option<GrantedTask>> {
        Ok(self.lease_many(wanted, 1).await?.into_iter().next())
    }

    /// Waits for the first task, and takes up to `max`.
    pub(crate) async fn lease_many(&self, wanted: &WantedTasks, max: u64) -> Answer<Vec<GrantedTask>> {
        let body = json!({
            "topics": wanted.topics, "worker": wanted.worker, "max": max, "lease": wanted.lease,
            "wait": format!("{}s", WAIT.as_secs()),
        });
        let leased: LeasedTasks = self.post("/lease", &body, WAIT + PATIENCE).await?;
        Ok(leased.tasks)
    }

    pub(crate) async fn heartbeat(&self, lease: &str, extend_by: &str, progress: Option<f64>) -> Answer<LeaseRenewal> {
        let mut body = json!({ "lease": extend_by });
        if let Some(progress) = progress {
            body["progress"] = json!(progress);
        }
        self.post(&format!("/lease/{lease}/heartbeat"), &body, PATIENCE).await
    }

    /// Posts the result; the same one may be posted again.
    pub(crate) async fn result(&self, lease: &str, outcome: &TaskOutcome) -> Answer<()> {
        self.post::<Value>(&format!("/lease/{lease}/result"), outcome, PATIENCE).await.map(drop)
    }

    pub(crate) async fn release(&self, lease: &str, delay: &str) -> Answer<()> {
        let body = json!({ "delay": delay });
        self.post::<Value>(&format!("/lease/{lease}/release"), &body, PATIENCE).await.map(drop)
    }

    /// Appends a piece to the log of a task, packed by gzip.
    pub(crate) async fn append_log(&self, lease: &str, offset: u64, packed: Vec<u8>) -> Answer<LogAnswer> {
        let request = self.http.post(format!("{}/lease/{lease}/log", self.base)).body(packed);
        let request = request.header(CONTENT_TYPE, "text/plain").header(CONTENT_ENCODING, "gzip");
        let request = self.authorized(request).header("upload-offset", offset).timeout(PATIENCE);
        let response = request.send().await.map_err(|err| unreachable_refusal(&err))?;
        if response.status() == StatusCode::CONFLICT {
            let text = response.text().await.unwrap_or_default();
            // Without an offset the lease is lost.
            let length = serde_json::from_str(&text).map(|LogLength { offset }| LogAnswer::Elsewhere(offset));
            return length.map_err(|_| ApiRefusal::Lost(text));
        }
        if !response.status().is_success() {
            return Err(read_refusal(response).await);
        }
        let LogLength { offset } = response.json().await.map_err(|err| unreachable_refusal(&err))?;
        Ok(LogAnswer::Written(offset))
    }

    pub(crate) async fn post<T: serde::de::DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
        timeout: Duration,
    ) -> Answer<T> {
        let request = self.http.post(format!("{}{path}", self.base)).json(body);
        // An answer that is cut off is no answer: the request is worth trying again.
        self.send(request, timeout).await?.json().await.map_err(|err| unreachable_refusal(&err))
    }

    /// Posts JSON that came from elsewhere, and may be refused for what it is.
    pub(crate) async fn post_foreign<T: serde::de::DeserializeOwned>(
        &self,
        path: &str,
        idempotency_key: Option<&str>,
        body: Vec<u8>,
    ) -> Answer<ForeignBody<T>> {
        let request =
            self.http.post(format!("{}{path}", self.base)).header(CONTENT_TYPE, "application/json").body(body);
        let request = idempotency_key.into_iter().fold(request, |request, key| request.header("idempotency-key", key));
        let response = self.authorized(request).timeout(PATIENCE).send().await;
        let response = response.map_err(|err| unreachable_refusal(&err))?;
        if matches!(response.status().as_u16(), 400 | 413 | 415 | 422) {
            return Ok(ForeignBody::Refused(read_refusal(response).await.to_string()));
        }
        if !response.status().is_success() {
            return Err(read_refusal(response).await);
        }
        response.json().await.map(ForeignBody::Taken).map_err(|err| unreachable_refusal(&err))
    }

    pub(crate) async fn get<T: serde::de::DeserializeOwned>(&self, path: &str, timeout: Duration) -> Answer<T> {
        let request = self.http.get(format!("{}{path}", self.base));
        self.send(request, timeout).await?.json().await.map_err(|err| unreachable_refusal(&err))
    }

    /// Opens an answer that may go on for long; `patience` is how long its beginning may take.
    pub(crate) async fn open(&self, path: &str, last_event_id: Option<&str>, patience: Duration) -> Answer<Response> {
        let request = self.authorized(self.http.get(format!("{}{path}", self.base)));
        let request = last_event_id.into_iter().fold(request, |request, id| request.header("last-event-id", id));
        let response = tokio::time::timeout(patience, request.send()).await;
        let late = |_| ApiRefusal::Later { detail: "the service doesn't answer".to_owned(), after: None };
        let response = response.map_err(late)?.map_err(|err| unreachable_refusal(&err))?;
        if response.status().is_success() { Ok(response) } else { Err(read_refusal(response).await) }
    }

    pub(crate) async fn delete(&self, path: &str, timeout: Duration) -> Answer<()> {
        self.send(self.http.delete(format!("{}{path}", self.base)), timeout).await.map(drop)
    }

    async fn send(&self, request: RequestBuilder, timeout: Duration) -> Answer<Response> {
        let request = self.authorized(request).timeout(timeout);
        let response = request.send().await.map_err(|err| unreachable_refusal(&err))?;
        if !response.status().is_success() {
            return Err(read_refusal(response).await);
        }
        Ok(response)
    }

    fn authorized(&self, request: RequestBuilder) -> RequestBuilder {
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }
}

fn is_local(base: &str) -> bool {
    Url::parse(base).is_ok_and(|url| match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    })
}

pub(crate) fn unreachable_refusal(err: &reqwest::Error) -> ApiRefusal {
    // reqwest's own text says only that it failed; the causes say why.
    let mut detail = err.to_string();
    let mut cause = std::error::Error::source(err);
    while let Some(inner) = cause {
        detail = format!("{detail}: {inner}");
        cause = inner.source();
    }
    ApiRefusal::Later { detail, after: None }
}

async fn read_refusal(response: Response) -> ApiRefusal {
    let status = response.status();
    let after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    let text = response.text().await.unwrap_or_default();
    let problem: Option<ProblemDetail> = serde_json::from_str(&text).ok();
    let detail = match &problem {
        Some(problem) if !problem.detail.is_empty() => format!("{status}: {}", problem.detail),
        _ => status.to_string(),
    };
    let code = problem.map(|problem| problem.code).unwrap_or_default();
    match status {
        _ if matches!(code.as_str(), "lease_lost" | "lease_unknown" | "already_finished") => ApiRefusal::Lost(detail),
        // A proxy replaced the body, which names the code.
        StatusCode::CONFLICT if code.is_empty() => ApiRefusal::Lost(detail),
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => {
            ApiRefusal::Later { detail, after: after.map(Duration::from_secs) }
        }
        status if status.is_server_error() => ApiRefusal::Later { detail, after: after.map(Duration::from_secs) },
        _ => ApiRefusal::Never(detail),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_reached_without_a_proxy() {
        for base in [
            "http://127.0.0.1:8080",
            "https://127.1.2.3",
            "http://localhost:8080",
            "http://localhost",
            "http://localhost/flow",
            "http://LOCALHOST:80/flow",
            "http://[::1]:8080",
        ] {
            assert!(is_local(base), "{base}");
        }
        for base in [
            "http://127.example.com",
            "http://127.0.0.1.example.com:8080",
            "http://localhost.example.com",
            "http://localhost:pass@example.com",
            "http://10.0.0.5:8080",
            "http://[2001:db8::1]",
            "localhost",
        ] {
            assert!(!is_local(base), "{base}");
        }
    }

    #[test]
    fn a_server_is_an_address_of_the_web_without_the_slash_at_its_end() {
        let _installed_before = rustls::crypto::ring::default_provider().install_default();
        let base = |server: &str| ApiClient::new(server, None).map(|client| client.base);
        assert_eq!(base("http://flow:8080/").unwrap(), "http://flow:8080/api/v1");
        assert_eq!(base("https://flow/path").unwrap(), "https://flow/path/api/v1");
        for wrong in ["flow:8080", "ftp://flow", ""] {
            let said = base(wrong).unwrap_err().to_string();
            assert!(said.contains("write an address that begins with http:// or https://"), "{said}");
        }
    }
}
