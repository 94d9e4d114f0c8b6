//! Socket Mode: clicks come through a connection that we open, so that Slack needn't reach the service.
//!
//! slack-morphism's own client for it is part of its hyper connector (see `connector`), and resolves names and checks
//! certificates in its own way. This one is upgraded from an HTTP request of the client that also sends messages:
//! the same certificates, proxies and limits, and the WebSocket protocol by tungstenite.

use std::time::Duration;

use actix::Message as ActixMessage;
use flowlord_kernel::{Port, Result};
use futures_util::{SinkExt as _, StreamExt as _};
use reqwest::Upgraded;
use serde::Deserialize;
use serde_json::{Value, json};
use slack_morphism::errors::SlackClientError;
use slack_morphism::prelude::*;
use tokio::sync::oneshot;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::{WebSocketStream, tungstenite};

use crate::connector::SlackConnector;

const OPEN_TIMEOUT: Duration = Duration::from_secs(20);

/// How often the other end is pinged. It has as long to answer.
const PING_INTERVAL: Duration = Duration::from_secs(30);

// A bound for what the other end can make this service hold in memory.
const MAX_ENVELOPE_BYTES: usize = 1024 * 1024;

#[derive(Debug, ActixMessage)]
#[rtype(result = "Result<()>")]
pub(crate) struct SocketInteraction(pub(crate) String);

/// Dropped when Slack says hello.
pub(crate) type Greeting = oneshot::Sender<()>;

#[derive(Debug)]
pub(crate) struct ConnectionEnd {
    /// It has no secrets.
    pub(crate) why: String,
    pub(crate) is_greeted: bool,
    pub(crate) is_asked: bool,
    /// What the operator should change: trying again soon doesn't help.
    pub(crate) remedy: Option<&'static str>,
    /// Where Slack didn't say hello: to be dropped when the next attempt is planned.
    pub(crate) greeting: Option<Greeting>,
}

impl ConnectionEnd {
    pub(crate) fn before_greeting(why: impl Into<String>) -> Self {
        Self { why: why.into(), is_greeted: false, is_asked: false, remedy: None, greeting: None }
    }
}

#[derive(Debug, Deserialize)]
struct OpenedConnection {
    url: String,
}

#[derive(Debug, Deserialize)]
struct SocketEnvelope {
    r#type: String,
    envelope_id: Option<String>,
    #[serde(default)]
    payload: Value,
}

#[derive(Debug)]
pub(crate) struct ClickReceiver {
    pub(crate) clicks: Port<SocketInteraction>,
    /// How long one may take, in real time.
    pub(crate) timeout: Duration,
}

/// Opens a connection and serves it until it ends. `greeting` is held until Slack said hello; where it didn't, the end
/// of the connection holds it.
pub(crate) async fn run_connection(
    connector: SlackConnector,
    token: String,
    receiver: ClickReceiver,
    greeting: Greeting,
) -> ConnectionEnd {
    let greeting = Some(greeting);
    let ended = match timeout(OPEN_TIMEOUT, open_socket(connector, token)).await {
        Ok(Ok(socket)) => {
            return SocketSession { socket, receiver, greeting, is_quiet: false }.serve_frames().await;
        }
        Ok(Err(ended)) => ended,
        Err(_) => ConnectionEnd::before_greeting(format!("no connection within {OPEN_TIMEOUT:?}")),
    };
    ConnectionEnd { greeting, ..ended }
}

async fn open_socket(
    connector: SlackConnector,
    token: String,
) -> std::result::Result<WebSocketStream<Upgraded>, ConnectionEnd> {
    let client = SlackClient::new(connector.clone());
    let token = SlackApiToken::new(SlackApiTokenValue::new(token));
    let session = client.open_session(&token);
    let nothing = json!({});
    let asked = session.http_session_api.http_post::<_, OpenedConnection>("apps.connections.open", &nothing, None);
    let opened = asked.await.map_err(|err| failed_open(&err))?;
    let stream = connector.open_websocket(&opened.url).await.map_err(ConnectionEnd::before_greeting)?;
    let config =
        WebSocketConfig::default().max_message_size(Some(MAX_ENVELOPE_BYTES)).max_frame_size(Some(MAX_ENVELOPE_BYTES));
    Ok(WebSocketStream::from_raw_socket(stream, Role::Client, Some(config)).await)
}

struct SocketSession {
    socket: WebSocketStream<Upgraded>,
    receiver: ClickReceiver,
    /// Until Slack said hello.
    greeting: Option<Greeting>,
    /// Nothing came since the last ping.
    is_quiet: bool,
}

impl SocketSession {
    async fn serve_frames(mut self) -> ConnectionEnd {
        let mut pings = interval(PING_INTERVAL);
        // Ticks missed while the machine slept must not come in a burst: the second would find no answer to the first.
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        pings.reset();
        loop {
            let ended = tokio::select! {
                frame = self.socket.next() => {
                    self.is_quiet = false;
                    self.receive_frame(frame).await
                }
                _ = pings.tick() => self.send_ping().await,
            };
            if let Some(ended) = ended {
                return ended;
            }
        }
    }

    fn end_connection(&mut self, why: impl Into<String>) -> Option<ConnectionEnd> {
        let greeting = self.greeting.take();
        let is_greeted = greeting.is_none();
        Some(ConnectionEnd { why: why.into(), is_greeted, is_asked: false, remedy: None, greeting })
    }

    async fn send_ping(&mut self) -> Option<ConnectionEnd> {
        if std::mem::replace(&mut self.is_quiet, true) {
            return self.end_connection("no more messages arrived");
        }
        self.send_frame(Message::Ping(Vec::new().into())).await
    }

    async fn send_frame(&mut self, message: Message) -> Option<ConnectionEnd> {
        match self.socket.send(message).await {
            Ok(()) => None,
            Err(err) => self.end_connection(format!("nothing can be sent: {err}")),
        }
    }

    async fn receive_frame(&mut self, frame: Option<tungstenite::Result<Message>>) -> Option<ConnectionEnd> {
        let text = match frame {
            Some(Ok(Message::Text(text))) => text,
            // The library answers pings itself.
            Some(Ok(Message::Close(_))) | None => return self.end_connection("Slack closed the connection"),
            Some(Ok(_)) => return None,
            Some(Err(err)) => return self.end_connection(format!("the connection was cut: {err}")),
        };
        let Ok(envelope) = serde_json::from_str::<SocketEnvelope>(&text) else {
            log::warn!("event=slack_envelope_unreadable");
            return None;
        };
        match envelope.r#type.as_str() {
            "hello" => self.greeting = None,
            "disconnect" => {
                let ended = self.end_connection("Slack asked for a new connection");
                return ended.map(|ended| ConnectionEnd { is_asked: true, ..ended });
            }
            "interactive" => {
                let call = self.receiver.clicks.call(SocketInteraction(envelope.payload.to_string()));
                let handled = timeout(self.receiver.timeout, call).await;
                if !matches!(handled, Ok(Ok(()))) {
                    // Without an acknowledgement Slack tells the person that it didn't work.
                    log::warn!("event=slack_click_failed answer={handled:?}");
                    return None;
                }
            }
            // Nothing of ours; unacknowledged it would come again.
            _ => {}
        }
        let id = envelope.envelope_id?;
        self.send_frame(Message::text(json!({"envelope_id": id}).to_string())).await
    }
}

fn failed_open(err: &SlackClientError) -> ConnectionEnd {
    let why = match err {
        SlackClientError::ApiError(err) => format!("Slack answered {:?}", err.code),
        SlackClientError::RateLimitError(_) => "Slack asks to wait".to_owned(),
        SlackClientError::HttpError(err) => format!("Slack answered {}", err.status_code.as_u16()),
        _ => "Slack can't be reached".to_owned(),
    };
    let remedy = matches!(err, SlackClientError::ApiError(_)).then_some(
        "notify.app_token must be an app-level token (xapp-…) with the scope connections:write, of an app with \
         Socket Mode on",
    );
    ConnectionEnd { remedy, ..ConnectionEnd::before_greeting(why) }
}
