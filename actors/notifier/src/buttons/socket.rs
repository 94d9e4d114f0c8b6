//! Socket Mode: clicks come through a connection that we open, so that Slack needn't reach the service.
//!
//! slack-morphism's own client for it is part of its hyper connector (see `line`), and resolves names and checks
//! certificates in its own way. This one is upgraded from an HTTP request of the client that also sends messages:
//! the same certificates, proxies and limits, and the WebSocket protocol by tungstenite.

use std::time::Duration;

use actix::Message as ActixMessage;
use flowlord_kernel::{Busy, Port, Result};
use futures_util::{SinkExt as _, StreamExt as _};
use reqwest::Upgraded;
use serde::Deserialize;
use serde_json::{Value, json};
use slack_morphism::errors::SlackClientError;
use slack_morphism::prelude::*;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::{WebSocketStream, tungstenite};

use crate::line::Line;

/// How long opening may take, in real time.
const OPENING: Duration = Duration::from_secs(20);

/// How often we ask whether the other end is there. It has as long to answer.
const ASKING: Duration = Duration::from_secs(30);

/// No envelope is larger.
const LARGEST: usize = 1024 * 1024;

/// What a person did, as Slack tells it: JSON.
#[derive(Debug, ActixMessage)]
#[rtype(result = "Result<()>")]
pub(crate) struct Interaction(pub(crate) String);

/// How a connection ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// Why; without any secret.
    pub(crate) why: String,
    /// Slack had said hello.
    pub(crate) greeted: bool,
    /// Slack asked for a new one.
    pub(crate) asked: bool,
    /// What the operator should change: trying again soon doesn't help.
    pub(crate) remedy: Option<&'static str>,
    /// Where Slack didn't say hello: under way until the next attempt is planned.
    pub(crate) busy: Option<Busy>,
}

impl Ended {
    pub(crate) fn early(why: impl Into<String>) -> Self {
        Self { why: why.into(), greeted: false, asked: false, remedy: None, busy: None }
    }
}

#[derive(Debug, Deserialize)]
struct Opened {
    url: String,
}

/// What comes through a connection.
#[derive(Debug, Deserialize)]
struct Envelope {
    r#type: String,
    envelope_id: Option<String>,
    #[serde(default)]
    payload: Value,
}

/// Whom a connection tells, and how long that may take in real time.
#[derive(Debug)]
pub(crate) struct Ear {
    pub(crate) heard: Port<Interaction>,
    pub(crate) handling: Duration,
}

/// Opens a connection and serves it until it ends. `busy` is held until Slack said hello, or until what follows
/// from its not doing so is planned.
pub(crate) async fn listen(line: Line, token: String, ear: Ear, busy: Busy) -> Ended {
    let busy = Some(busy);
    let ended = match timeout(OPENING, open(line, token)).await {
        Ok(Ok(socket)) => return Session { socket, ear, busy, quiet: false }.serve().await,
        Ok(Err(ended)) => ended,
        Err(_) => Ended::early(format!("no connection within {OPENING:?}")),
    };
    Ended { busy, ..ended }
}

async fn open(line: Line, token: String) -> std::result::Result<WebSocketStream<Upgraded>, Ended> {
    let client = SlackClient::new(line.clone());
    let token = SlackApiToken::new(SlackApiTokenValue::new(token));
    let session = client.open_session(&token);
    let nothing = json!({});
    let asked = session.http_session_api.http_post::<_, Opened>("apps.connections.open", &nothing, None);
    let opened = asked.await.map_err(|err| judge(&err))?;
    let stream = line.upgrade(&opened.url).await.map_err(Ended::early)?;
    let config = WebSocketConfig::default().max_message_size(Some(LARGEST)).max_frame_size(Some(LARGEST));
    Ok(WebSocketStream::from_raw_socket(stream, Role::Client, Some(config)).await)
}

struct Session {
    socket: WebSocketStream<Upgraded>,
    ear: Ear,
    /// Until Slack said hello.
    busy: Option<Busy>,
    /// Nothing came since we last asked.
    quiet: bool,
}

impl Session {
    async fn serve(mut self) -> Ended {
        let mut asking = interval(ASKING);
        asking.set_missed_tick_behavior(MissedTickBehavior::Delay);
        asking.reset();
        loop {
            let ended = tokio::select! {
                frame = self.socket.next() => {
                    self.quiet = false;
                    self.hear(frame).await
                }
                _ = asking.tick() => self.ask().await,
            };
            if let Some(ended) = ended {
                return ended;
            }
        }
    }

    fn ended(&mut self, why: impl Into<String>) -> Option<Ended> {
        let busy = self.busy.take();
        Some(Ended { why: why.into(), greeted: busy.is_none(), asked: false, remedy: None, busy })
    }

    async fn ask(&mut self) -> Option<Ended> {
        if std::mem::replace(&mut self.quiet, true) {
            return self.ended("nothing came any more");
        }
        self.say(Message::Ping(Vec::new().into())).await
    }

    async fn say(&mut self, message: Message) -> Option<Ended> {
        match self.socket.send(message).await {
            Ok(()) => None,
            Err(err) => self.ended(format!("nothing can be sent: {err}")),
        }
    }

    async fn hear(&mut self, frame: Option<tungstenite::Result<Message>>) -> Option<Ended> {
        let text = match frame {
            Some(Ok(Message::Text(text))) => text,
            // The library answers pings itself.
            Some(Ok(Message::Close(_))) | None => return self.ended("Slack closed it"),
            Some(Ok(_)) => return None,
            Some(Err(err)) => return self.ended(format!("it was cut: {err}")),
        };
        let Ok(envelope) = serde_json::from_str::<Envelope>(&text) else {
            log::warn!("event=slack_envelope_unreadable");
            return None;
        };
        match envelope.r#type.as_str() {
            "hello" => self.busy = None,
            "disconnect" => {
                let ended = self.ended("Slack asked for a new one");
                return ended.map(|ended| Ended { asked: true, ..ended });
            }
            "interactive" => {
                let call = self.ear.heard.call(Interaction(envelope.payload.to_string()));
                let handled = timeout(self.ear.handling, call).await;
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
        self.say(Message::text(json!({"envelope_id": id}).to_string())).await
    }
}

fn judge(err: &SlackClientError) -> Ended {
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
    Ended { remedy, ..Ended::early(why) }
}
