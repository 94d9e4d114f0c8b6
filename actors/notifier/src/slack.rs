//! The way to Slack, by slack-morphism.

use std::time::Duration;

use flowlord_domain::duration;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Error as HyperError;
use hyper_util::client::legacy::connect::HttpConnector;
use slack_morphism::errors::SlackClientError;
use slack_morphism::prelude::*;
use url::Url;

use crate::Config;
use crate::message::SlackMessage;

/// How long Slack may take: the library has no limit of its own.
const PATIENCE: Duration = Duration::from_secs(10);

/// What became of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Sent {
    /// Slack took it.
    Taken,
    /// It surely didn't arrive.
    Refused {
        /// Why; without any secret.
        error: String,
        /// When Slack said to come back.
        retry_after: Option<Duration>,
    },
    /// Nobody knows.
    Unknown {
        /// Why; without any secret.
        error: String,
    },
}

type Connector = SlackClientHyperConnector<HttpsConnector<HttpConnector>>;

/// Where messages go.
#[derive(Clone)]
pub(crate) enum Slack {
    /// Nowhere: none is configured.
    Nowhere,
    /// An incoming webhook.
    Webhook { connector: Connector, url: Url },
    /// The Web API, with a bot token.
    Bot { connector: Connector, token: SlackApiToken },
}

impl std::fmt::Debug for Slack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Nowhere => "Nowhere",
            Self::Webhook { .. } => "Webhook",
            Self::Bot { .. } => "Bot",
        })
    }
}

impl Slack {
    /// As configured. A webhook that is no address is logged, without showing it, and nothing is sent.
    pub(crate) fn new(config: &Config) -> Self {
        if let Some(webhook) = &config.webhook {
            return match Url::parse(webhook) {
                Ok(url) => Self::Webhook { connector: connector(config), url },
                Err(err) => {
                    log::error!("event=webhook_unusable error={err:?} remedy=\"check notify.url\"");
                    Self::Nowhere
                }
            };
        }
        match &config.token {
            Some(token) => {
                let token = SlackApiToken::new(SlackApiTokenValue::new(token.clone()));
                Self::Bot { connector: connector(config), token }
            }
            None => Self::Nowhere,
        }
    }

    /// Sends a message, within a limit of time.
    pub(crate) async fn send(&self, message: &SlackMessage) -> Sent {
        match tokio::time::timeout(PATIENCE, self.post(message)).await {
            Ok(Ok(())) => Sent::Taken,
            Ok(Err(err)) => judge(&err),
            Err(_) => Sent::Unknown { error: format!("no answer within {} s", PATIENCE.as_secs()) },
        }
    }

    async fn post(&self, message: &SlackMessage) -> Result<(), SlackClientError> {
        match self {
            Self::Nowhere => Ok(()),
            Self::Webhook { connector, url } => {
                let span = tracing::Span::none();
                let context = SlackClientApiCallContext {
                    rate_control_params: None,
                    token: None,
                    tracing_span: &span,
                    is_sensitive_url: true,
                };
                let sent = connector.http_post_uri::<_, serde_json::Value>(url.clone(), message, context);
                sent.await.map(drop)
            }
            Self::Bot { connector, token } => {
                let client = SlackClient::new(connector.clone());
                let session = client.open_session(token);
                // Any JSON will do: a field that Slack changes must not make a message that it took come twice.
                let sent = session.http_session_api.http_post::<_, serde_json::Value>(
                    "chat.postMessage",
                    message,
                    None,
                );
                sent.await.map(drop)
            }
        }
    }
}

fn connector(config: &Config) -> Connector {
    // Set by main; a test may be first.
    let _already_set = rustls::crypto::ring::default_provider().install_default();
    let builder = hyper_rustls::HttpsConnectorBuilder::new();
    let builder = match builder.with_native_roots() {
        Ok(builder) => builder,
        Err(err) => {
            log::warn!("event=no_certificates error={err:?} remedy=\"install ca-certificates\"");
            let none = rustls::ClientConfig::builder().with_root_certificates(rustls::RootCertStore::empty());
            hyper_rustls::HttpsConnectorBuilder::new().with_tls_config(none.with_no_client_auth())
        }
    };
    // Plain http is for proxies and tests; which one it is, the address says.
    let connector = builder.https_or_http().enable_http1().enable_http2().build();
    SlackClientHyperConnector::with_connector(connector)
        .with_slack_api_url(config.api_url.trim_end_matches('/'))
}

fn judge(err: &SlackClientError) -> Sent {
    let refused = |error: String, retry_after| Sent::Refused { error, retry_after };
    match err {
        SlackClientError::RateLimitError(limit) => {
            let wait = limit
                .retry_after
                .map(|wait| duration::print(chrono::TimeDelta::from_std(wait).unwrap_or_default()));
            refused(format!("Slack asks to wait {}", wait.unwrap_or_default()), limit.retry_after)
        }
        SlackClientError::HttpError(err) => refused(format!("Slack answered {}", err.status_code), None),
        SlackClientError::ApiError(err) => refused(format!("Slack answered {}", err.code), None),
        SlackClientError::HttpProtocolError(err) => {
            let cause = err.cause.as_deref().and_then(|cause| cause.downcast_ref::<HyperError>());
            match cause {
                Some(cause) if cause.is_connect() => refused("Slack can't be reached".to_owned(), None),
                // The connection ended while an answer was awaited.
                _ => Sent::Unknown { error: "the connection to Slack was cut".to_owned() },
            }
        }
        // An answer that can't be read came with a good status.
        _ => Sent::Unknown { error: "Slack's answer can't be read".to_owned() },
    }
}
