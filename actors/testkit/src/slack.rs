//! A Slack that tests break: it records what comes, and answers, refuses, hangs or hangs up.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{mpsc as channel, watch};

/// How it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlackMode {
    /// As Slack does when all is well.
    Ok,
    /// With this HTTP status and a short text.
    Status(u16),
    /// With this HTTP status and nothing else: no content type, no body.
    Bare(u16),
    /// With 429.
    TooMany {
        /// Seconds in `Retry-After`.
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
}

/// A request that came, in whatever mode.
#[derive(Debug, Clone, PartialEq)]
pub struct SlackRequest {
    /// Its path.
    pub path: String,
    /// Its header lines, as they came, after the request line.
    pub head: Vec<String>,
    /// Its body; null where that was no JSON.
    pub body: Value,
}

impl SlackRequest {
    /// The value of a header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.head.iter().filter_map(|line| line.split_once(':'));
        headers.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }
}

/// An incoming webhook and the Web API's `chat.postMessage` and `chat.update`, on a thread of its own, so that it
/// works under any runtime. It ends when it is dropped.
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
}

#[derive(Debug)]
struct State {
    mode: SlackMode,
    next: VecDeque<SlackMode>,
    requests: Vec<SlackRequest>,
    posted: u32,
}

impl FakeSlack {
    /// Starts one that is well.
    ///
    /// # Panics
    /// When no port is free.
    #[must_use]
    #[expect(clippy::expect_used, reason = "a test without a port can't go on")]
    pub fn start() -> Self {
        let state = State { mode: SlackMode::Ok, next: VecDeque::new(), requests: Vec::new(), posted: 0 };
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            arrived: watch::Sender::new(0),
            released: watch::Sender::new(0),
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

    /// What came since the start or the last [`FakeSlack::clear`], in order.
    #[must_use]
    pub fn requests(&self) -> Vec<SlackRequest> {
        self.shared.with(|state| state.requests.clone())
    }

    /// Forgets what came.
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

    /// Answers the next request so, whatever the mode; the one after it by the next call, and so on.
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
    fn take(&self, request: SlackRequest) -> SlackMode {
        self.with(|state| {
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
            SlackMode::NotOk => {
                let said = json!({"ok": false, "error": "channel_not_found"}).to_string();
                response(200, "application/json", "", &said)
            }
            _ if webhook => response(200, "text/html", "", "ok"),
            _ => self.answer_api(request),
        }
    }

    fn answer_api(&self, request: &SlackRequest) -> String {
        let ts = match request.path.as_str() {
            "/api/chat.postMessage" => self.with(|state| {
                state.posted += 1;
                json!(format!("1700000000.{:06}", state.posted))
            }),
            "/api/chat.update" => request.body["ts"].clone(),
            _ => return response(404, "text/html", "", "no such method"),
        };
        let (channel, text) = (&request.body["channel"], &request.body["text"]);
        let message = json!({"ts": ts, "text": text});
        let answer = json!({"ok": true, "channel": channel, "ts": ts, "text": text, "message": message});
        response(200, "application/json; charset=utf-8", "", &answer.to_string())
    }
}

fn response(status: u16, content_type: &str, headers: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status} X\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\n{headers}\r\n{body}",
        body.len()
    )
}

/// A socket on an address that other sockets of this program may have too.
fn socket(address: SocketAddr) -> std::io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseport(true)?;
    socket.bind(address)?;
    Ok(socket)
}

#[expect(clippy::expect_used, reason = "a test without a port can't go on")]
async fn serve(
    shared: Arc<Shared>,
    mut doors: channel::UnboundedReceiver<Door>,
    tell: mpsc::Sender<SocketAddr>,
) {
    // Never listens: it keeps the port ours while nobody does.
    let keeper = socket((Ipv4Addr::LOCALHOST, 0).into()).expect("a free port");
    let address = keeper.local_addr().expect("an address");
    let listen = || socket(address).and_then(|socket| socket.listen(64)).expect("our own port");
    let mut listener = Some(listen());
    let _nobody_waits = tell.send(address);
    loop {
        tokio::select! {
            stream = accept(listener.as_ref()) => {
                tokio::spawn(converse(stream, Arc::clone(&shared)));
            }
            door = doors.recv() => {
                let Some((open, done)) = door else { return };
                match open {
                    false => listener = None,
                    true if listener.is_none() => listener = Some(listen()),
                    true => {}
                }
                let _nobody_waits = done.send(());
            }
        }
    }
}

async fn accept(listener: Option<&TcpListener>) -> TcpStream {
    let Some(listener) = listener else { return std::future::pending().await };
    loop {
        if let Ok((stream, _)) = listener.accept().await {
            return stream;
        }
    }
}

/// Answers the requests of one connection, until either side closes it.
async fn converse(mut stream: TcpStream, shared: Arc<Shared>) {
    let mut unread = Vec::new();
    let mut released = shared.released.subscribe();
    while let Some(request) = read_request(&mut stream, &mut unread).await {
        released.mark_unchanged();
        let mut mode = shared.take(request.clone());
        if mode == SlackMode::Hang {
            if released.changed().await.is_err() {
                return;
            }
            mode = shared.after_hanging();
        }
        if matches!(mode, SlackMode::Cut | SlackMode::Refuse)
            || stream.write_all(shared.answer(mode, &request).as_bytes()).await.is_err()
        {
            return;
        }
    }
}

async fn read_request(stream: &mut TcpStream, unread: &mut Vec<u8>) -> Option<SlackRequest> {
    const END_OF_HEAD: &[u8] = b"\r\n\r\n";
    let head = loop {
        if let Some(at) = unread.windows(END_OF_HEAD.len()).position(|window| window == END_OF_HEAD) {
            let head: Vec<u8> = unread.drain(..at + END_OF_HEAD.len()).collect();
            break String::from_utf8_lossy(&head).trim_end().to_owned();
        }
        read_more(stream, unread).await?;
    };
    let mut lines = head.lines().map(str::to_owned);
    let path = lines.next()?.split(' ').nth(1)?.to_owned();
    let mut request = SlackRequest { path, head: lines.collect(), body: Value::Null };
    let length = request.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    while unread.len() < length {
        read_more(stream, unread).await?;
    }
    let body: Vec<u8> = unread.drain(..length).collect();
    request.body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    Some(request)
}

async fn read_more(stream: &mut TcpStream, unread: &mut Vec<u8>) -> Option<()> {
    match stream.read_buf(unread).await {
        Ok(0) | Err(_) => None,
        Ok(_) => Some(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    /// What a request is answered; nothing when the connection ends first.
    async fn post(url: &str, body: &str) -> std::io::Result<String> {
        let (host, path) = url.trim_start_matches("http://").split_once('/').unwrap();
        let mut stream = TcpStream::connect(host).await?;
        let length = body.len();
        let request =
            format!("POST /{path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\n\r\n{body}");
        stream.write_all(request.as_bytes()).await?;
        stream.shutdown().await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(answer)
    }

    #[tokio::test]
    async fn it_records_in_order_and_answers_as_slack_does() {
        let slack = FakeSlack::start();
        let answer = post(&slack.webhook_url(), r#"{"text":"a"}"#).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\nok"), "{answer}");
        assert!(answer.contains("content-type: text/html\r\n"), "{answer}");
        let post_message = format!("{}/chat.postMessage", slack.api_url());
        let answer = post(&post_message, r##"{"channel":"#c","text":"b"}"##).await.unwrap();
        assert!(answer.contains(r#""ok":true"#) && answer.contains("1700000000.000001"), "{answer}");
        let update = format!("{}/chat.update", slack.api_url());
        assert!(post(&update, r#"{"ts":"1.5"}"#).await.unwrap().contains(r#""ts":"1.5""#));
        let requests = slack.wait_for(3, PATIENCE).await;
        assert_eq!((&requests[0].path[..], &requests[0].body["text"]), ("/hook", &json!("a")));
        assert_eq!(
            (requests[0].header("content-length"), &requests[1].body["channel"]),
            (Some("12"), &json!("#c"))
        );
        slack.clear();
        assert_eq!(slack.requests(), []);
    }

    #[tokio::test]
    async fn it_fails_as_it_is_told() {
        let slack = FakeSlack::start();
        let url = slack.webhook_url();
        slack.answer_next(SlackMode::Status(503));
        slack.answer_next(SlackMode::Bare(204));
        slack.set_mode(SlackMode::TooMany { retry_after: 7 });
        assert!(post(&url, "{}").await.unwrap().starts_with("HTTP/1.1 503 "));
        assert!(post(&url, "{}").await.unwrap().starts_with("HTTP/1.1 204 "));
        assert!(post(&url, "{}").await.unwrap().contains("retry-after: 7\r\n"));
        slack.set_mode(SlackMode::Cut);
        assert_eq!(post(&url, "{}").await.unwrap_or_default(), "");
        slack.set_mode(SlackMode::NotOk);
        assert!(post(&url, "{}").await.unwrap().ends_with("no_service"));
        assert_eq!(slack.requests().len(), 5, "each of them came");
    }

    #[tokio::test]
    async fn refused_connections_leave_no_trace_and_end() {
        let slack = FakeSlack::start();
        for _ in 0..3 {
            slack.set_mode(SlackMode::Refuse);
            let refused = post(&slack.webhook_url(), "{}").await.unwrap_err();
            assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
            slack.set_mode(SlackMode::Ok);
            post(&slack.webhook_url(), "{}").await.unwrap();
        }
        assert_eq!(slack.requests().len(), 3);
    }

    #[tokio::test]
    async fn a_hung_request_is_answered_once_it_is_let_go() {
        let slack = FakeSlack::start();
        for mode in [SlackMode::Hang, SlackMode::Status(500)] {
            slack.set_mode(SlackMode::Hang);
            slack.clear();
            let url = slack.webhook_url();
            let hanging = tokio::spawn(async move { post(&url, "{}").await.unwrap() });
            slack.wait_for(1, PATIENCE).await;
            assert!(!hanging.is_finished());
            slack.set_mode(mode);
            slack.release();
            let end = if mode == SlackMode::Hang { "ok" } else { "broken" };
            assert!(hanging.await.unwrap().ends_with(end), "{mode:?}");
        }
    }
}
