//! A Slack that tests break: it records what comes, and answers, refuses, hangs or hangs up.

mod api;
mod blocks;
mod click;
mod socket;
#[cfg(test)]
mod tests;
mod wire;

pub use api::SlackPost;
pub use blocks::problems;
pub use click::SignedClick;

use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use tokio::sync::{mpsc as channel, watch};

use crate::VirtualClock;
use wire::{response, serve};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlackMode {
    /// As Slack does when all is well.
    Ok,
    /// With this HTTP status and a short text.
    Status(u16),
    /// With this HTTP status and nothing else: no content type, no body.
    Bare(u16),
    TooMany {
        retry_after: u64,
    },
    /// Nobody listens: the connection is refused.
    Refuse,
    /// Never, until the mode changes or [`FakeSlack::release`].
    Hang,
    /// Reads the request, and closes the connection without an answer.
    Cut,
    /// In words: the Web API with 200 and `ok: false`, a webhook with 404.
    NotOk,
    /// In these words of the Web API; a webhook with 404 and the words.
    Error(&'static str),
}

/// A request that came, in whatever mode.
#[derive(Debug, Clone, PartialEq)]
pub struct SlackRequest {
    pub path: String,
    /// Its header lines, as they came, after the request line.
    pub head: Vec<String>,
    /// Its body; null where that was no JSON.
    pub body: Value,
    /// When it came, by the test's clock; see [`FakeSlack::follow`].
    pub at: Option<DateTime<Utc>>,
}

impl SlackRequest {
    /// Whether it posts or edits a message.
    fn is_message(&self) -> bool {
        self.path.starts_with("/hook") || self.path.starts_with("/api/chat.")
    }

    /// The value of a header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.head.iter().filter_map(|line| line.split_once(':'));
        headers.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }
}

/// An incoming webhook, as much of the Web API as posts and edits, and Socket Mode, on a thread of its own, so that
/// it works under any runtime. What breaks Slack's limits is refused. It ends when it is dropped.
#[derive(Debug)]
pub struct FakeSlack {
    address: SocketAddr,
    shared: Arc<Shared>,
    doors: Option<channel::UnboundedSender<Door>>,
    thread: Option<JoinHandle<()>>,
}

/// Opens or closes the listening socket, and says when that is done.
type Door = (bool, mpsc::Sender<()>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    arrived: watch::Sender<usize>,
    released: watch::Sender<u64>,
    /// Connections opened since the start.
    opened: watch::Sender<usize>,
    /// What came through them.
    acknowledged: watch::Sender<Vec<Value>>,
}

#[derive(Debug)]
struct State {
    mode: SlackMode,
    next: VecDeque<SlackMode>,
    clock: Option<VirtualClock>,
    requests: Vec<SlackRequest>,
    /// Requests that are no messages.
    calls: Vec<SlackRequest>,
    board: api::Board,
    tickets: BTreeSet<String>,
    tickets_given: u32,
    sockets: Vec<channel::UnboundedSender<socket::Order>>,
    envelopes: u32,
}

impl FakeSlack {
    /// Starts one that is well.
    ///
    /// # Panics
    /// When no port is free.
    #[must_use]
    #[expect(clippy::expect_used, reason = "a test without a port can't go on")]
    pub fn start() -> Self {
        let state = State {
            mode: SlackMode::Ok,
            next: VecDeque::new(),
            clock: None,
            requests: Vec::new(),
            calls: Vec::new(),
            board: api::Board::default(),
            tickets: BTreeSet::new(),
            tickets_given: 0,
            sockets: Vec::new(),
            envelopes: 0,
        };
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            arrived: watch::Sender::new(0),
            released: watch::Sender::new(0),
            opened: watch::Sender::new(0),
            acknowledged: watch::Sender::new(Vec::new()),
        });
        let (doors, door) = channel::unbounded_channel();
        let (tell, told) = mpsc::channel();
        let served = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(serve(served, door, tell));
        });
        let address = told.recv().expect("a fake Slack that listens");
        Self { address, shared, doors: Some(doors), thread: Some(thread) }
    }

    /// The address of its incoming webhook.
    #[must_use]
    pub fn webhook_url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    /// The address of its Web API.
    #[must_use]
    pub fn api_url(&self) -> String {
        format!("http://{}/api", self.address)
    }

    /// Where a click's outcome may be told to the person alone.
    #[must_use]
    pub fn response_url(&self) -> String {
        format!("http://{}/respond", self.address)
    }

    /// Notes from now on when requests come.
    pub fn follow(&self, clock: &VirtualClock) {
        self.shared.with(|state| state.clock = Some(clock.clone()));
    }

    /// What came that is no message, in order: `apps.connections.open`, answers to clicks.
    #[must_use]
    pub fn calls(&self) -> Vec<SlackRequest> {
        self.shared.with(|state| state.calls.clone())
    }

    /// The messages that came since the start or the last [`FakeSlack::clear`], in order.
    #[must_use]
    pub fn requests(&self) -> Vec<SlackRequest> {
        self.shared.with(|state| state.requests.clone())
    }

    pub fn clear(&self) {
        self.shared.with(|state| {
            state.requests.clear();
            self.shared.arrived.send_replace(0);
        });
    }

    /// Answers differently from now on; requests that hang are let go.
    pub fn set_mode(&self, mode: SlackMode) {
        self.shared.with(|state| state.mode = mode);
        let (done, wait) = mpsc::channel();
        let open = mode != SlackMode::Refuse;
        if self.doors.as_ref().is_some_and(|doors| doors.send((open, done)).is_ok()) {
            let _done_or_gone = wait.recv();
        }
        if mode != SlackMode::Hang {
            self.release();
        }
    }

    /// Answers the next message so, whatever the mode; the one after it by the next call, and so on.
    ///
    /// # Panics
    /// For [`SlackMode::Refuse`], which is no answer.
    pub fn answer_next(&self, mode: SlackMode) {
        assert_ne!(mode, SlackMode::Refuse, "whoever listens can't refuse: use set_mode");
        self.shared.with(|state| state.next.push_back(mode));
    }

    /// Lets go of the requests that hang: they are answered as the mode says, or well where that is to hang.
    pub fn release(&self) {
        self.shared.released.send_modify(|count| *count += 1);
    }

    /// Waits until `count` requests came since the start or the last [`FakeSlack::clear`], and answers them.
    ///
    /// # Panics
    /// When they don't come within `patience` of real time.
    pub async fn wait_for(&self, count: usize, patience: Duration) -> Vec<SlackRequest> {
        let mut arrived = self.shared.arrived.subscribe();
        let enough = tokio::time::timeout(patience, arrived.wait_for(|arrived| *arrived >= count)).await;
        let requests = self.requests();
        assert!(enough.is_ok(), "{count} requests to Slack expected, these came: {requests:#?}");
        requests
    }
}

impl Drop for FakeSlack {
    fn drop(&mut self) {
        self.doors = None;
        if let Some(thread) = self.thread.take() {
            let _ended = thread.join();
        }
    }
}

impl Shared {
    fn with<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        f(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Remembers a request and decides how it is answered.
    fn take(&self, request: &SlackRequest) -> SlackMode {
        self.with(|state| {
            let mut request = request.clone();
            request.at = state.clock.as_ref().map(flowlord_kernel::Clock::now);
            if !request.is_message() {
                state.calls.push(request);
                return state.mode;
            }
            state.requests.push(request);
            self.arrived.send_replace(state.requests.len());
            state.next.pop_front().unwrap_or(state.mode)
        })
    }

    /// How a request is answered that was let go.
    fn after_hanging(&self) -> SlackMode {
        match self.with(|state| state.mode) {
            SlackMode::Hang => SlackMode::Ok,
            mode => mode,
        }
    }

    fn answer(&self, mode: SlackMode, request: &SlackRequest) -> String {
        let webhook = !request.path.starts_with("/api/");
        match mode {
            SlackMode::Status(status) => response(status, "text/html", "", "broken"),
            SlackMode::Bare(status) => format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\n\r\n"),
            SlackMode::TooMany { retry_after } => {
                let retry_after = format!("retry-after: {retry_after}\r\n");
                let said = json!({"ok": false, "error": "ratelimited"}).to_string();
                response(429, "application/json", &retry_after, &said)
            }
            // Slack answers webhooks in text.
            SlackMode::NotOk if webhook => response(404, "text/html", "", "no_service"),
            SlackMode::Error(error) if webhook => response(404, "text/html", "", error),
            SlackMode::NotOk => refusal("channel_not_found"),
            SlackMode::Error(error) => refusal(error),
            _ if request.path == "/respond" => response(200, "text/html", "", "ok"),
            _ if webhook => api::webhook(request),
            _ => {
                let host = request.header("host").unwrap_or_default().to_owned();
                self.with(|state| api::answer(request, state, &host))
            }
        }
    }
}

fn refusal(error: &str) -> String {
    response(200, "application/json", "", &json!({"ok": false, "error": error}).to_string())
}
