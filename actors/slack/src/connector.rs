//! The HTTP connector of slack-morphism: its session and its models, on a connector of our own.
//!
//! The library's connector reads an answer that names no content type as JSON and then forgets its status, so that
//! a message which a plain endpoint took would come again for ever. It also keeps connections that may be dead by
//! the next message, and then nobody knows whether that arrived.

use std::future::ready;
use std::pin::Pin;
use std::time::Duration;

use reqwest::header::{
    CONNECTION, CONTENT_TYPE, RETRY_AFTER, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use reqwest::{Client, ClientBuilder, Response, StatusCode, Upgraded, redirect};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use slack_morphism::errors::{
    SlackClientApiError, SlackClientError, SlackClientHttpError, SlackClientHttpProtocolError, SlackClientSystemError,
    SlackRateLimitError, map_serde_error,
};
use slack_morphism::multipart_form::FileMultipartData;
use slack_morphism::prelude::*;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use url::Url;

// With its TLS. Apart from the answer's time, since what wasn't connected surely didn't arrive.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How much of an answer is read.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

type ConnectorFuture<'a, T> = Pin<Box<dyn Future<Output = ClientResult<T>> + Send + 'a>>;

/// A connector that opens a connection for each message.
#[derive(Debug, Clone)]
pub(crate) struct SlackConnector {
    client: Client,
    api_url: String,
}

impl SlackConnector {
    /// To the Web API at `api_url`, and to webhooks.
    pub(crate) fn new(api_url: &str) -> reqwest::Result<Self> {
        // Set by main; a test may be first.
        let _already_set = rustls::crypto::ring::default_provider().install_default();
        // A proxy for the world outside can't reach this machine, where the demo's Slack is.
        let builder = || if is_local(api_url) { client_builder().no_proxy() } else { client_builder() };
        let client = builder().build().or_else(|err| {
            // A test or a proxy may speak plain HTTP: that needs none.
            log::warn!("event=no_certificates error={err:?} remedy=\"install ca-certificates\"");
            builder().tls_certs_only([]).build()
        })?;
        Ok(Self { client, api_url: api_url.trim_end_matches('/').to_owned() })
    }

    /// Opens a WebSocket at an address that the Web API gave, with the same certificates and proxies. The address
    /// has a ticket, which is a secret.
    pub(crate) async fn open_websocket(&self, url: &str) -> Result<Upgraded, String> {
        let url = match url.strip_prefix("ws") {
            Some(rest) => format!("http{rest}"),
            None => return Err("Slack gave no address of a WebSocket".to_owned()),
        };
        let key = generate_key();
        let request = self
            .client
            .get(url)
            .header(CONNECTION, "Upgrade")
            .header(UPGRADE, "websocket")
            .header(SEC_WEBSOCKET_VERSION, "13")
            .header(SEC_WEBSOCKET_KEY, &key);
        let answer = request.send().await.map_err(|err| format!("no WebSocket: {:?}", err.without_url()))?;
        let accepted = answer.headers().get(SEC_WEBSOCKET_ACCEPT).map(|value| value.as_bytes().to_vec());
        if answer.status() != StatusCode::SWITCHING_PROTOCOLS
            || accepted != Some(derive_accept_key(key.as_bytes()).into_bytes())
        {
            return Err(format!("no WebSocket: Slack answered {}", answer.status().as_u16()));
        }
        answer.upgrade().await.map_err(|err| format!("no WebSocket: {:?}", err.without_url()))
    }

    /// Posts a reply that only the person who clicked sees, to an address that came with the click.
    pub(crate) async fn post_reply(&self, url: &Url, body: &impl Serialize) -> Result<(), String> {
        let body = serde_json::to_string(body).map_err(|err| err.to_string())?;
        let sent = self.post_json::<serde_json::Value>(url.clone(), Ok(body), None).await;
        sent.map(drop).map_err(|err| match err {
            SlackClientError::HttpError(err) => format!("Slack answered {}", err.status_code.as_u16()),
            _ => "Slack can't be reached".to_owned(),
        })
    }

    pub(crate) fn is_of_slack(&self, url: &Url) -> bool {
        // The address came with a click: a forged one must not make this service call others.
        let api = Url::parse(&self.api_url).ok();
        let of_api = api.is_some_and(|api| api.origin() == url.origin());
        of_api || (url.scheme() == "https" && url.host_str() == Some("hooks.slack.com"))
    }

    async fn post_json<RS: DeserializeOwned>(
        &self,
        url: Url,
        body: ClientResult<String>,
        token: Option<&SlackApiToken>,
    ) -> ClientResult<RS> {
        let mut request = self.client.post(url).header(CONTENT_TYPE, "application/json; charset=utf-8");
        if let Some(token) = token {
            request = request.bearer_auth(&token.token_value.0);
        }
        let answer = request.body(body?).send().await.map_err(protocol_error)?;
        let answer = check_status(answer).await?;
        // A webhook says all by its status; only the Web API refuses in words.
        let body = if token.is_some() { read_body(answer).await? } else { "{\"ok\":true}".to_owned() };
        check_body(&body)
    }
}

fn is_local(url: &str) -> bool {
    let url = Url::parse(url).ok();
    match url.as_ref().and_then(Url::host) {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        Some(url::Host::Domain(_)) | None => false,
    }
}

fn client_builder() -> ClientBuilder {
    Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        // A kept connection may be dead by the next message, and then nobody knows whether that arrived.
        .pool_max_idle_per_host(0)
        // A WebSocket is upgraded from it.
        .http1_only()
        // A redirected POST becomes a GET, whose success would say nothing.
        .redirect(redirect::Policy::none())
}

async fn check_status(answer: Response) -> ClientResult<Response> {
    let status = answer.status();
    if status.is_success() {
        return Ok(answer);
    }
    if status != StatusCode::TOO_MANY_REQUESTS {
        let said = read_body(answer).await.unwrap_or_default();
        return Err(SlackClientError::HttpError(SlackClientHttpError::new(status).with_http_response_body(said)));
    }
    let seconds = answer.headers().get(RETRY_AFTER).and_then(|after| after.to_str().ok()?.parse().ok());
    let wait = seconds.map(Duration::from_secs);
    Err(SlackClientError::RateLimitError(SlackRateLimitError::new().opt_retry_after(wait)))
}

fn check_body<RS: DeserializeOwned>(body: &str) -> ClientResult<RS> {
    #[derive(Deserialize)]
    struct ApiAnswer {
        ok: bool,
        error: Option<String>,
    }
    let answer: ApiAnswer = serde_json::from_str(body).map_err(|err| map_serde_error(err, None))?;
    if answer.ok {
        return serde_json::from_str(body).map_err(|err| map_serde_error(err, None));
    }
    Err(SlackClientError::ApiError(SlackClientApiError::new(answer.error.unwrap_or_default())))
}

async fn read_body(mut answer: Response) -> ClientResult<String> {
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(protocol_error)? {
        body.extend_from_slice(&chunk);
        if body.len() > MAX_ANSWER_BYTES {
            break;
        }
    }
    Ok(String::from_utf8_lossy(&body).into_owned())
}

fn protocol_error(err: reqwest::Error) -> SlackClientError {
    // The address of a webhook is a secret.
    let cause = Box::new(err.without_url());
    SlackClientError::HttpProtocolError(SlackClientHttpProtocolError::new().with_cause(cause))
}

fn unsupported_call<'a, T: Send + 'a>() -> ConnectorFuture<'a, T> {
    let why = SlackClientSystemError::new().with_message("only JSON is posted here".to_owned());
    Box::pin(ready(Err(SlackClientError::SystemError(why))))
}

impl SlackClientHttpConnector for SlackConnector {
    fn create_method_uri_path(&self, method: &str) -> ClientResult<Url> {
        Ok(format!("{}/{method}", self.api_url).parse()?)
    }

    fn http_post_uri<'a, RQ, RS>(
        &'a self,
        url: Url,
        request: &'a RQ,
        context: SlackClientApiCallContext<'a>,
    ) -> ConnectorFuture<'a, RS>
    where
        RQ: Serialize + Send + Sync,
        RS: for<'de> Deserialize<'de> + Send + 'a,
    {
        let body = serde_json::to_string(request).map_err(|err| map_serde_error(err, None));
        Box::pin(self.post_json(url, body, context.token))
    }

    fn http_get_uri<'a, RS>(&'a self, _: Url, _: SlackClientApiCallContext<'a>) -> ConnectorFuture<'a, RS>
    where
        RS: for<'de> Deserialize<'de> + Send + 'a,
    {
        unsupported_call()
    }

    fn http_get_with_client_secret<'a, RS>(
        &'a self,
        _: Url,
        _: &'a SlackClientId,
        _: &'a SlackClientSecret,
    ) -> ConnectorFuture<'a, RS>
    where
        RS: for<'de> Deserialize<'de> + Send + 'a,
    {
        unsupported_call()
    }

    fn http_post_uri_multipart_form<'a, 'p, RS, PT, TS>(
        &'a self,
        _: Url,
        _: Option<FileMultipartData<'p>>,
        _: &'p PT,
        _: SlackClientApiCallContext<'a>,
    ) -> ConnectorFuture<'a, RS>
    where
        RS: for<'de> Deserialize<'de> + Send + 'a,
        PT: IntoIterator<Item = (&'p str, Option<TS>)> + Clone,
        TS: AsRef<str> + 'p + Send,
    {
        unsupported_call()
    }

    fn http_post_uri_binary<'a, 'p, RS>(
        &'a self,
        _: Url,
        _: String,
        _: &'a [u8],
        _: SlackClientApiCallContext<'a>,
    ) -> ConnectorFuture<'a, RS>
    where
        RS: for<'de> Deserialize<'de> + Send + 'a,
    {
        unsupported_call()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_reached_without_a_proxy() {
        for (url, expected) in [
            ("http://127.0.0.1:8080/demo/slack/api/", true),
            ("http://[::1]:8080/", true),
            ("https://slack.com/api/", false),
            ("http://127.0.0.1.example.org/", false),
            ("http://10.0.0.1/", false),
            ("", false),
        ] {
            assert_eq!(is_local(url), expected, "{url}");
        }
    }
}
