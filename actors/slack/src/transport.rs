//! The transport of messages to Slack, by slack-morphism, and what became of each.

use std::error::Error;
use std::time::Duration;

use reqwest::StatusCode;
use serde_json::Value;
use slack_morphism::errors::{SlackClientError, SlackClientHttpError, SlackClientHttpProtocolError};
use slack_morphism::prelude::*;
use url::Url;

use crate::connector::SlackConnector;
use crate::destinations::SlackRoute;
use crate::message::SlackMessage;

/// Where a message is; empty where the transport doesn't say it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct MessageLocation {
    pub(crate) channel: String,
    pub(crate) ts: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ApiMethod {
    Post,
    /// A change of one that is there; only the Web API can.
    Update,
}

/// What became of a message. The errors have no secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SendOutcome {
    Taken(MessageLocation),
    /// The message that it edits or answers isn't there any more.
    Gone(String),
    /// It surely didn't arrive. Slack may have said when to try again.
    Refused {
        error: String,
        retry_after: Option<Duration>,
    },
    /// It surely didn't arrive, and never will as it is written.
    Unreadable(String),
    Unknown(String),
}

#[derive(Debug, Clone)]
pub(crate) struct SlackTransport {
    kind: TransportKind,
    timeout: Duration,
}

#[derive(Clone)]
enum TransportKind {
    LogOnly,
    /// What is configured can't be used, for this reason.
    Unusable(String),
    Webhook {
        client: SlackClient<SlackConnector>,
        url: Url,
    },
    Bot {
        client: SlackClient<SlackConnector>,
        token: SlackApiToken,
    },
}

impl std::fmt::Debug for TransportKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::LogOnly => "Nowhere",
            Self::Unusable(_) => "Unusable",
            Self::Webhook { .. } => "Webhook",
            Self::Bot { .. } => "Bot",
        })
    }
}

impl TransportKind {
    fn new(route: &SlackRoute, api_url: &str) -> Result<Self, String> {
        if route.webhook.is_none() && route.token.is_none() {
            return Ok(Self::LogOnly);
        }
        let connector = SlackConnector::new(api_url).map_err(|err| format!("no client: {err:?}"))?;
        let client = SlackClient::new(connector);
        if let Some(webhook) = &route.webhook {
            // The error doesn't show the address, which is a secret.
            let url =
                Url::parse(webhook.expose()).map_err(|err| format!("notify.url is not a valid address: {err}"))?;
            return Ok(Self::Webhook { client, url });
        }
        let token =
            SlackApiTokenValue::new(route.token.as_ref().map_or_else(String::new, |token| token.expose().to_owned()));
        Ok(Self::Bot { client, token: SlackApiToken::new(token) })
    }
}

impl SlackTransport {
    pub(crate) fn new(route: &SlackRoute, api_url: &str, timeout: Duration) -> Self {
        let kind = TransportKind::new(route, api_url).unwrap_or_else(|why| {
            // It refuses every message, so that each waits until that is mended.
            log::error!("event=slack_unusable error={why:?}");
            TransportKind::Unusable(why)
        });
        Self { kind, timeout }
    }

    /// Whether messages go nowhere but into the log.
    pub(crate) fn is_log_only(&self) -> bool {
        matches!(self.kind, TransportKind::LogOnly)
    }

    pub(crate) fn is_bot(&self) -> bool {
        matches!(self.kind, TransportKind::Bot { .. })
    }

    pub(crate) async fn send_message(&self, method: ApiMethod, message: &SlackMessage) -> SendOutcome {
        // slack-morphism has no limit for the time of an answer.
        match tokio::time::timeout(self.timeout, self.post_message(method, message)).await {
            Ok(sent) => sent.map_or_else(|err| outcome_of(&err), SendOutcome::Taken),
            Err(_) => SendOutcome::Unknown(format!("no answer within {:?}", self.timeout)),
        }
    }

    async fn post_message(
        &self,
        method: ApiMethod,
        message: &SlackMessage,
    ) -> Result<MessageLocation, SlackClientError> {
        match &self.kind {
            TransportKind::LogOnly => Ok(MessageLocation::default()),
            TransportKind::Unusable(why) => Err(Box::<dyn Error + Send + Sync>::from(why.clone()).into()),
            TransportKind::Webhook { client, url } => {
                let span = tracing::Span::none();
                let context = SlackClientApiCallContext {
                    rate_control_params: None,
                    token: None,
                    tracing_span: &span,
                    is_sensitive_url: true,
                };
                let connector = &client.http_api.connector;
                let said = connector.http_post_uri::<_, MessageAnswer>(url.clone(), message, context).await?;
                Ok(said.location())
            }
            TransportKind::Bot { client, token } => {
                let session = client.open_session(token);
                let method = match method {
                    ApiMethod::Post => "chat.postMessage",
                    ApiMethod::Update => "chat.update",
                };
                let api = &session.http_session_api;
                Ok(api.http_post::<_, MessageAnswer>(method, message, None).await?.location())
            }
        }
    }
}

// Values, not texts: a field that Slack changes must not make a message that it took come twice.
#[derive(Debug, serde::Deserialize)]
struct MessageAnswer {
    #[serde(default)]
    channel: Value,
    #[serde(default)]
    ts: Value,
}

impl MessageAnswer {
    fn location(&self) -> MessageLocation {
        let [channel, ts] = [&self.channel, &self.ts].map(|value| value.as_str().unwrap_or_default().to_owned());
        MessageLocation { channel, ts }
    }
}

/// What Slack says of a message that is edited or answered and isn't there, or can't be edited any more.
const GONE_CODES: [&str; 4] = ["message_not_found", "thread_not_found", "cant_update_message", "edit_window_closed"];

fn outcome_of(err: &SlackClientError) -> SendOutcome {
    match err {
        SlackClientError::RateLimitError(limit) => {
            SendOutcome::Refused { error: "Slack asks to wait".to_owned(), retry_after: limit.retry_after }
        }
        SlackClientError::HttpError(err) => outcome_of_status(err),
        SlackClientError::ApiError(err) => {
            let error = format!("Slack answered {:?}", err.code);
            if GONE_CODES.contains(&err.code.as_str()) {
                return SendOutcome::Gone(error);
            }
            let is_unreadable = err.code.starts_with("invalid_blocks")
                || err.code == "invalid_attachments"
                || err.code.ends_with("_too_long");
            if is_unreadable { SendOutcome::Unreadable(error) } else { refused(error) }
        }
        SlackClientError::HttpProtocolError(err) => outcome_of_connection(err),
        SlackClientError::SystemError(err) => refused(err.cause.as_ref().map_or_else(String::new, ToString::to_string)),
        // It came with a good status.
        _ => SendOutcome::Unknown("Slack's answer can't be read".to_owned()),
    }
}

fn refused(error: String) -> SendOutcome {
    SendOutcome::Refused { error, retry_after: None }
}

fn outcome_of_status(err: &SlackClientHttpError) -> SendOutcome {
    let said: String = err.http_response_body.iter().flat_map(|said| said.chars()).take(100).collect();
    let error = format!("Slack answered {} {said:?}", err.status_code.as_u16());
    match err.status_code {
        StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE => SendOutcome::Unreadable(error),
        _ => refused(error),
    }
}

fn outcome_of_connection(err: &SlackClientHttpProtocolError) -> SendOutcome {
    let cause = err.cause.as_deref().and_then(|cause| cause.downcast_ref::<reqwest::Error>());
    match cause {
        Some(cause) if cause.is_connect() => refused(format!("Slack can't be reached: {}", root_cause(cause))),
        Some(cause) if cause.is_builder() => refused(format!("no such address: {}", root_cause(cause))),
        // The connection ended while the request was written or its answer awaited.
        Some(cause) => SendOutcome::Unknown(format!("the connection was cut: {}", root_cause(cause))),
        None => refused(format!("no such address: {err:?}")),
    }
}

/// The first cause, which says what happened without saying where to.
fn root_cause<'a>(mut err: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    while let Some(source) = err.source() {
        err = source;
    }
    err
}
