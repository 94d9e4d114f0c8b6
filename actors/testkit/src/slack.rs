//! A Slack that tests break: it records what comes, and answers, refuses, hangs or hangs up.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use serde_json::Value;

/// How it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlackMode {
    /// As Slack does when all is well.
    Ok,
    /// With this HTTP status.
    Status(u16),
    /// With 429.
    TooMany {
        /// Seconds in `Retry-After`.
        retry_after: u64,
    },
    /// Closes the connection before anything is read.
    Refuse,
    /// Never, until the mode changes.
    Hang,
    /// Reads the request, and closes the connection without an answer.
    Cut,
    /// With 200 and `ok: false`.
    NotOk,
}

/// A request that came.
#[derive(Debug, Clone)]
pub struct SlackRequest {
    /// Its path.
    pub path: String,
    /// Its header lines, as they came.
    pub head: Vec<String>,
    /// Its body; null where that was no JSON.
    pub body: Value,
}

#[derive(Debug)]
struct State {
    mode: SlackMode,
    requests: Vec<SlackRequest>,
    ended: bool,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A server on a port of its own, until dropped.
#[derive(Debug)]
pub struct FakeSlack {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl FakeSlack {
    /// Starts it.
    ///
    /// # Panics
    /// When no port is free.
    #[must_use]
    #[expect(clippy::unwrap_used, reason = "a test without a port can't go on")]
    pub fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let state = State { mode: SlackMode::Ok, requests: Vec::new(), ended: false };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() });
        let server = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if server.state().ended {
                    return;
                }
                let server = Arc::clone(&server);
                thread::spawn(move || serve(stream, &server));
            }
        });
        Self { address, shared }
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
        self.shared.state().requests.clone()
    }

    /// Forgets what came.
    pub fn clear(&self) {
        self.shared.state().requests.clear();
    }

    /// Answers differently from now on; requests that hang are let go.
    pub fn set_mode(&self, mode: SlackMode) {
        self.shared.state().mode = mode;
        self.shared.changed.notify_all();
    }
}

impl Drop for FakeSlack {
    fn drop(&mut self) {
        self.shared.state().ended = true;
        self.shared.changed.notify_all();
        let _wakes_the_listener = TcpStream::connect(self.address);
    }
}

/// One request a connection, which is what a client must be able to live with.
fn serve(mut stream: TcpStream, shared: &Shared) {
    if shared.state().mode == SlackMode::Refuse {
        let _closed = stream.shutdown(Shutdown::Both);
        return;
    }
    let Some(request) = read(&stream) else { return };
    let path = request.path.clone();
    let mut state = shared.state();
    state.requests.push(request);
    while state.mode == SlackMode::Hang && !state.ended {
        state = shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
    }
    let mode = state.mode;
    drop(state);
    if mode != SlackMode::Cut {
        let _gone = stream.write_all(answer(mode, &path).as_bytes());
    }
    let _closed = stream.shutdown(Shutdown::Both);
}

fn read(stream: &TcpStream) -> Option<SlackRequest> {
    let mut reader = BufReader::new(stream);
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let line = line.trim_end().to_owned();
        if line.is_empty() {
            break;
        }
        head.push(line);
    }
    let path = head.first()?.split(' ').nth(1)?.to_owned();
    let length = head.iter().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    });
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body).ok()?;
    Some(SlackRequest { path, head, body: serde_json::from_slice(&body).unwrap_or(Value::Null) })
}

fn answer(mode: SlackMode, path: &str) -> String {
    let webhook = !path.starts_with("/api/");
    let (status, header, body) = match mode {
        SlackMode::Status(status) => (status, String::new(), "broken".to_owned()),
        SlackMode::TooMany { retry_after } => (429, format!("retry-after: {retry_after}\r\n"), String::new()),
        SlackMode::NotOk => (200, String::new(), r#"{"ok":false,"error":"channel_not_found"}"#.to_owned()),
        // Slack answers webhooks in text.
        _ if webhook => (200, String::new(), "ok".to_owned()),
        _ => (200, String::new(), r##"{"ok":true,"channel":"C1","ts":"1.1","message":{}}"##.to_owned()),
    };
    let kind = if webhook { "text/html" } else { "application/json; charset=utf-8" };
    format!(
        "HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\n{header}content-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
}
