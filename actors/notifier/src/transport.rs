//! The way to Slack, by slack-morphism, and what became of a message.

use std::error::Error;
use std::time::Duration;

use reqwest::StatusCode;
use serde_json::Value;
use slack_morphism::errors::{SlackClientError, SlackClientHttpError, SlackClientHttpProtocolError};
use slack_morphism::prelude::*;
use url::Url;

use crate::line::Line;
use crate::message::SlackMessage;
use crate::ways::Route;

/// Where a message is; empty where the way doesn't say it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Spot {
    /// The channel's id.
    pub(crate) channel: String,
    /// The message's id.
    pub(crate) ts: String,
}

/// What is asked of Slack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    /// A new message.
    Post,
    /// One that is there says something else; only the Web API can.
    Update,
}

/// What became of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Sent {
    /// Slack took it.
    Taken(Spot),
    /// The message that it edits or answers isn't there any more.
    Gone {
        /// Why.
        error: String,
    },
    /// It surely didn't arrive.
    Refused {
        /// Why; without any secret.
        error: String,
        /// When Slack said to come back.
        retry_after: Option<Duration>,
    },
    /// It surely didn't arrive, and never will as it is written.
    Unreadable {
        /// Why; without any secret.
        error: String,
    },
    /// Nobody knows.
    Unknown {
        /// Why; without any secret.
        error: String,
    },
}

/// Where messages go, and how long an answer may take: the library has no limit of its own.
#[derive(Debug, Clone)]
pub(crate) struct Slack {
    way: Way,
    patience: Duration,
}

#[derive(Clone)]
enum Way {
    /// None is configured.
    Nowhere,
    /// What is configured can't be used, for this reason.
    Unusable(String),
    /// An incoming webhook.
    Webhook { client: SlackClient<Line>, url: Url },
    /// The Web API, with a bot token.
    Bot { client: SlackClient<Line>, token: SlackApiToken },
}

impl std::fmt::Debug for Way {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Nowhere => "Nowhere",
            Self::Unusable(_) => "Unusable",
            Self::Webhook { .. } => "Webhook",
            Self::Bot { .. } => "Bot",
        })
    }
}

impl Way {
    fn new(route: &Route, api_url: &str) -> Result<Self, String> {
        if route.webhook.is_none() && route.token.is_none() {
            return Ok(Self::Nowhere);
        }
        let line = Line::new(api_url).map_err(|err| format!("no client: {err:?}"))?;
        let client = SlackClient::new(line);
        if let Some(webhook) = &route.webhook {
            // The error doesn't show the address, which is a secret.
            let url = Url::parse(webhook).map_err(|err| format!("notify.url is no address: {err}"))?;
            return Ok(Self::Webhook { client, url });
        }
        let token = SlackApiTokenValue::new(route.token.clone().unwrap_or_default());
        Ok(Self::Bot { client, token: SlackApiToken::new(token) })
    }
}

impl Slack {
    /// As configured. What can't be used refuses every message, so that each waits until that is mended.
    pub(crate) fn new(route: &Route, api_url: &str, patience: Duration) -> Self {
        let way = Way::new(route, api_url).unwrap_or_else(|why| {
            log::error!("event=slack_unusable error={why:?}");
            Way::Unusable(why)
        });
        Self { way, patience }
    }

    /// Whether messages go nowhere but into the log.
    pub(crate) fn is_nowhere(&self) -> bool {
        matches!(self.way, Way::Nowhere)
    }

    /// Whether it can edit what it sent.
    pub(crate) fn is_bot(&self) -> bool {
        matches!(self.way, Way::Bot { .. })
    }

    /// Sends a message, within the limit of time.
    pub(crate) async fn send(&self, method: Method, message: &SlackMessage) -> Sent {
        match tokio::time::timeout(self.patience, self.post(method, message)).await {
            Ok(sent) => sent.map_or_else(|err| judge(&err), Sent::Taken),
            Err(_) => Sent::Unknown { error: format!("no answer within {:?}", self.patience) },
        }
    }

    async fn post(&self, method: Method, message: &SlackMessage) -> Result<Spot, SlackClientError> {
        match &self.way {
            Way::Nowhere => Ok(Spot::default()),
            Way::Unusable(why) => Err(Box::<dyn Error + Send + Sync>::from(why.clone()).into()),
            Way::Webhook { client, url } => {
                let span = tracing::Span::none();
                let context = SlackClientApiCallContext {
                    rate_control_params: None,
                    token: None,
                    tracing_span: &span,
                    is_sensitive_url: true,
                };
                let connector = &client.http_api.connector;
                let said = connector.http_post_uri::<_, Said>(url.clone(), message, context).await?;
                Ok(said.spot())
            }
            Way::Bot { client, token } => {
                let session = client.open_session(token);
                let method = match method {
                    Method::Post => "chat.postMessage",
                    Method::Update => "chat.update",
                };
                let api = &session.http_session_api;
                Ok(api.http_post::<_, Said>(method, message, None).await?.spot())
            }
        }
    }
}

/// All that is asked of an answer: a field that Slack changes must not make a message that it took come twice.
#[derive(Debug, serde::Deserialize)]
struct Said {
    #[serde(default)]
    channel: Value,
    #[serde(default)]
    ts: Value,
}

impl Said {
    fn spot(&self) -> Spot {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Spot { channel: text(&self.channel), ts: text(&self.ts) }
    }
}

/// What Slack says of a message that is edited or answered and isn't there, or can't be edited any more.
const GONE: [&str; 4] =
    ["message_not_found", "thread_not_found", "cant_update_message", "edit_window_closed"];

fn judge(err: &SlackClientError) -> Sent {
    let refused = |error: String| Sent::Refused { error, retry_after: None };
    match err {
        SlackClientError::RateLimitError(limit) => {
            Sent::Refused { error: "Slack asks to wait".to_owned(), retry_after: limit.retry_after }
        }
        SlackClientError::HttpError(err) => judge_status(err),
        SlackClientError::ApiError(err) => {
            let error = format!("Slack answered {:?}", err.code);
            if GONE.contains(&err.code.as_str()) {
                return Sent::Gone { error };
            }
            let unreadable = err.code.starts_with("invalid_blocks")
                || err.code == "invalid_attachments"
                || err.code.ends_with("_too_long");
            if unreadable { Sent::Unreadable { error } } else { refused(error) }
        }
        SlackClientError::HttpProtocolError(err) => judge_line(err),
        SlackClientError::SystemError(err) => {
            refused(err.cause.as_ref().map_or_else(String::new, ToString::to_string))
        }
        // It came with a good status.
        _ => Sent::Unknown { error: "Slack's answer can't be read".to_owned() },
    }
}

fn judge_status(err: &SlackClientHttpError) -> Sent {
    let said: String = err.http_response_body.iter().flat_map(|said| said.chars()).take(100).collect();
    let error = format!("Slack answered {} {said:?}", err.status_code.as_u16());
    match err.status_code {
        StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE => Sent::Unreadable { error },
        _ => Sent::Refused { error, retry_after: None },
    }
}

fn judge_line(err: &SlackClientHttpProtocolError) -> Sent {
    let cause = err.cause.as_deref().and_then(|cause| cause.downcast_ref::<reqwest::Error>());
    match cause {
        Some(cause) if cause.is_connect() => {
            let error = format!("Slack can't be reached: {}", root(cause));
            Sent::Refused { error, retry_after: None }
        }
        Some(cause) if cause.is_builder() => {
            Sent::Refused { error: format!("no such address: {}", root(cause)), retry_after: None }
        }
        // The connection ended while the request was written or its answer awaited.
        Some(cause) => Sent::Unknown { error: format!("the connection was cut: {}", root(cause)) },
        None => Sent::Refused { error: format!("no such address: {err:?}"), retry_after: None },
    }
}

/// The first cause, which says what happened without saying where to.
fn root<'a>(mut err: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    while let Some(source) = err.source() {
        err = source;
    }
    err
}
