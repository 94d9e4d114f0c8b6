//! Socket Mode: the connection through which an app hears of clicks.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Message, Role};

use super::{FakeSlack, Shared, SlackRequest};

/// What a test has a connection do.
#[derive(Debug)]
pub(super) enum Order {
    Say(Value),
    /// End without a word.
    Cut,
}

impl FakeSlack {
    /// How many connections are open.
    #[must_use]
    pub fn sockets(&self) -> usize {
        self.shared.with(|state| {
            state.sockets.retain(|socket| !socket.is_closed());
            state.sockets.len()
        })
    }

    /// Waits until `count` connections were opened since the start.
    ///
    /// # Panics
    /// When they aren't within `patience` of real time.
    pub async fn wait_for_sockets(&self, count: usize, patience: Duration) {
        let mut opened = self.shared.opened.subscribe();
        let enough = tokio::time::timeout(patience, opened.wait_for(|opened| *opened >= count)).await;
        assert!(enough.is_ok(), "{count} connections to Slack expected, {} came", *self.shared.opened.borrow());
    }

    /// Sends an envelope with what a person did through the newest connection. Answers whether it was
    /// acknowledged within `patience` of real time.
    pub async fn interact(&self, payload: Value, patience: Duration) -> bool {
        let id = self.shared.with(|state| {
            state.envelopes += 1;
            format!("envelope-{}", state.envelopes)
        });
        let mut acknowledged = self.shared.acknowledged.subscribe();
        self.say(&json!({"type": "interactive", "envelope_id": id, "accepts_response_payload": false,
            "payload": payload}));
        let seen = acknowledged.wait_for(|seen| seen.iter().any(|answer| answer["envelope_id"] == *id));
        tokio::time::timeout(patience, seen).await.is_ok_and(|seen| seen.is_ok())
    }

    /// Sends this through the newest connection.
    pub fn say(&self, what: &Value) {
        self.order(|| Order::Say(what.clone()), true);
    }

    pub fn cut_sockets(&self) {
        self.order(|| Order::Cut, false);
    }

    fn order(&self, order: impl Fn() -> Order, newest: bool) {
        self.shared.with(|state| {
            state.sockets.retain(|socket| !socket.is_closed());
            let skip = if newest { state.sockets.len().saturating_sub(1) } else { 0 };
            for socket in state.sockets.iter().skip(skip) {
                let _ended_meanwhile = socket.send(order());
            }
        });
    }
}

/// Whether a request opens a connection, with the ticket that `apps.connections.open` gave.
pub(super) fn is_socket(request: &SlackRequest) -> bool {
    request.path.starts_with("/socket/") && request.header("upgrade").is_some()
}

/// Serves a connection until either side ends it.
pub(super) async fn serve(mut stream: TcpStream, request: &SlackRequest, shared: &Shared) {
    let ticket = request.path.trim_start_matches("/socket/");
    let known = shared.with(|state| state.tickets.remove(ticket));
    let Some(key) = request.header("sec-websocket-key").filter(|_| known) else {
        let _gone = stream.write_all(b"HTTP/1.1 403 X\r\ncontent-length: 0\r\n\r\n").await;
        return;
    };
    let accept = derive_accept_key(key.as_bytes());
    let answer = format!(
        "HTTP/1.1 101 X\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: {accept}\r\n\r\n"
    );
    if stream.write_all(answer.as_bytes()).await.is_err() {
        return;
    }
    let mut socket = WebSocketStream::from_raw_socket(stream, Role::Server, None).await;
    let (orders, mut ordered) = mpsc::unbounded_channel();
    let hello = json!({"type": "hello", "num_connections": 1, "connection_info": {"app_id": "A1"}});
    let _own = orders.send(Order::Say(hello));
    shared.with(|state| state.sockets.push(orders));
    shared.opened.send_modify(|opened| *opened += 1);
    loop {
        tokio::select! {
            order = ordered.recv() => match order {
                Some(Order::Say(what)) => {
                    if socket.send(Message::text(what.to_string())).await.is_err() {
                        return;
                    }
                }
                Some(Order::Cut) | None => return,
            },
            heard = socket.next() => match heard {
                Some(Ok(Message::Text(text))) => {
                    let answer = serde_json::from_str(&text).unwrap_or(Value::Null);
                    shared.acknowledged.send_modify(|seen| seen.push(answer));
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return,
            },
        }
    }
}
