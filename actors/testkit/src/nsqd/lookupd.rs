//! An nsqlookupd that says what a test says.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use serde_json::{Value, json};

use super::FakeNsqd;

/// An nsqlookupd on a thread of its own. It ends when it is dropped.
#[derive(Debug)]
pub struct FakeLookupd {
    address: SocketAddr,
    topics: Arc<Mutex<BTreeMap<String, Vec<SocketAddr>>>>,
    has_old_form: bool,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl FakeLookupd {
    /// Starts one that knows no topic; in its old form the answer is within `data`.
    ///
    /// # Panics
    /// When no port is free.
    #[must_use]
    #[expect(clippy::expect_used, reason = "a test without a port can't go on")]
    pub fn start(has_old_form: bool) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (topics, is_over) = (Arc::new(Mutex::default()), Arc::new(AtomicBool::new(false)));
        let (known, ends) = (Arc::clone(&topics), Arc::clone(&is_over));
        let thread = std::thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                if ends.load(Ordering::SeqCst) {
                    return;
                }
                let _client_is_gone = answer(stream, &known, has_old_form);
            }
        });
        Self { address, topics, has_old_form, is_over, thread: Some(thread) }
    }

    /// Its address for HTTP.
    #[must_use]
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Whether it answers as old ones do.
    #[must_use]
    pub fn has_old_form(&self) -> bool {
        self.has_old_form
    }

    /// Says from now on that these have the topic.
    pub fn set_nsqds(&self, topic: &str, nsqds: &[&FakeNsqd]) {
        let addresses = nsqds.iter().map(|nsqd| nsqd.address).collect();
        self.topics.lock().unwrap_or_else(PoisonError::into_inner).insert(topic.to_owned(), addresses);
    }
}

impl Drop for FakeLookupd {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        // It waits for a client.
        drop(TcpStream::connect(self.address));
        if let Some(thread) = self.thread.take() {
            let _a_panic_was_seen_already = thread.join();
        }
    }
}

fn answer(
    mut stream: TcpStream,
    topics: &Mutex<BTreeMap<String, Vec<SocketAddr>>>,
    has_old_form: bool,
) -> std::io::Result<()> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let mut byte = [0; 1];
        stream.read_exact(&mut byte)?;
        request.push(byte[0]);
    }
    let request = String::from_utf8_lossy(&request).into_owned();
    let topic = request.split("topic=").nth(1).and_then(|rest| rest.split([' ', '&']).next()).unwrap_or_default();
    let found = topics.lock().unwrap_or_else(PoisonError::into_inner).get(topic).cloned();
    let (status, body) = match found {
        Some(addresses) => (200, producers(&addresses)),
        None => (404, json!({"message": "TOPIC_NOT_FOUND"})),
    };
    let body = if has_old_form { json!({"status_code": status, "status_txt": "OK", "data": body}) } else { body };
    let body = body.to_string();
    write!(stream, "HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
}

fn producers(addresses: &[SocketAddr]) -> Value {
    let producers: Vec<Value> = addresses
        .iter()
        .map(|address| json!({"broadcast_address": address.ip().to_string(), "tcp_port": address.port()}))
        .collect();
    json!({"channels": [], "producers": producers})
}
