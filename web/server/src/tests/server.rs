//! The server itself, over real connections.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use actix::{Addr, Arbiter};
use chrono::{DateTime, Utc};
use flowlord_kernel::Pong;
use flowlord_kernel::{ActorEnvironment, Port};
use flowlord_kernel::{Clock, Sleep};
use flowlord_messages::events::DatabaseChanges;
use flowlord_messages::leases::RequestLeases;
use flowlord_web_core::context::Deps;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use super::stub::{Stub, config, granted, token};
use crate::{StopWeb, TurnUnready, WebActor};

fn start(stub: &Stub) -> (Addr<WebActor>, SocketAddr) {
    start_with(stub.deps())
}

fn start_with(deps: Deps) -> (Addr<WebActor>, SocketAddr) {
    let listener = crate::bind(config().listen).unwrap();
    let address = listener.local_addr().unwrap();
    (WebActor::start_on(&Arbiter::current(), listener, config(), deps).unwrap(), address)
}

async fn stop(web: &Addr<WebActor>, timeout: Duration) {
    let port: Port<StopWeb> = ActorEnvironment::system(Arc::new(|_| {})).port("web", web);
    port.call(StopWeb { timeout }).await.unwrap();
}

async fn send(address: SocketAddr, request: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

fn post(path: &str, body: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

const LEASE: &str = r#"{"topics":["a"],"worker":"w","wait":"60s"}"#;

async fn read_answer(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let read = stream.read(&mut chunk).await.unwrap();
        text.extend_from_slice(&chunk[..read]);
        let so_far = String::from_utf8_lossy(&text);
        let (head, body) = so_far.split_once("\r\n\r\n").unwrap_or((&so_far, ""));
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
        if read == 0 || length.is_some_and(|length| body.len() >= length) {
            return so_far.into_owned();
        }
    }
}

/// Leases that wait are handed to the test.
fn waiting(stub: &Stub) -> mpsc::UnboundedReceiver<RequestLeases> {
    let (leases, waiting) = mpsc::unbounded_channel();
    stub.lease(move |lease| {
        leases.send(lease).unwrap();
        Ok(())
    });
    waiting
}

#[actix::test]
async fn a_taken_address_is_a_clear_error() {
    let stub = Stub::default();
    let (web, address) = start(&stub);
    let error = crate::bind(address).unwrap_err().to_string();
    assert!(error.contains(&format!("can't listen on {address}")) && error.contains("--listen"), "{error}");
    stop(&web, Duration::from_secs(5)).await;
}

#[actix::test]
async fn a_worker_that_hangs_up_is_noticed() {
    let stub = Stub::default();
    let mut leases = waiting(&stub);
    let (web, address) = start(&stub);
    let stream = send(address, &post("/api/v1/lease", LEASE)).await;
    let mut lease = leases.recv().await.unwrap();
    assert!(!lease.reply.is_closed());
    drop(stream);
    lease.reply.closed().await;
    stop(&web, Duration::from_secs(5)).await;
}

/// Sends a request and closes the side that sends, as `nc -N` does.
async fn send_and_close(address: SocketAddr, request: &str) -> TcpStream {
    let mut stream = send(address, request).await;
    stream.shutdown().await.unwrap();
    stream
}

#[actix::test]
async fn a_client_that_closes_its_side_is_answered() {
    let stub = Stub::default();
    stub.ping(|_| Ok(Pong { restarts: 0 }));
    stub.alerts(|_| Ok(Vec::new()));
    let (web, address) = start(&stub);
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n");
    for (request, status) in [
        (get("/healthz"), 200),
        (get("/readyz"), 200),
        (get("/status"), 200),
        (get("/metrics"), 200),
        (get("/login"), 200),
        (get("/api/docs"), 200),
        // These two are made on other threads.
        (get("/web/files"), 200),
        (get("/api/v1/alerts"), 200),
        (get("/api/v1/nothing"), 404),
        (get("/healthz").replace("HTTP/1.1", "HTTP/1.0"), 200),
        (post("/api/v1/tasks", "[]"), 201),
        (post("/api/v1/tasks", "{"), 400),
    ] {
        let mut stream = send_and_close(address, &request).await;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let begin = answer.get(9..12).unwrap_or_default();
        assert_eq!(begin, status.to_string(), "{request} {answer}");
    }
    stop(&web, Duration::from_secs(5)).await;
}

#[actix::test]
async fn a_worker_that_may_be_gone_gets_no_task() {
    let stub = Stub::default();
    let mut leases = waiting(&stub);
    let (web, address) = start(&stub);
    for wait in ["60s", "0s"] {
        let mut stream = send(address, &post("/api/v1/lease", &LEASE.replace("60s", wait))).await;
        let mut lease = leases.recv().await.unwrap();
        assert!(!lease.reply.is_closed());
        stream.shutdown().await.unwrap();
        lease.reply.closed().await;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.contains("200 OK") && answer.ends_with("{\"tasks\":[]}"), "{answer}");
    }
    stop(&web, Duration::from_secs(5)).await;
}

#[actix::test]
async fn who_looks_on_and_may_be_gone_makes_room() {
    let stub = Stub::default();
    stub.take_changes(|_| Ok(DatabaseChanges::default()));
    let (web, address) = start(&stub);
    let mut events = send(address, "GET /api/v1/events HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    assert!(events.read(&mut [0; 4096]).await.unwrap() > 0);
    events.shutdown().await.unwrap();
    let mut rest = Vec::new();
    events.read_to_end(&mut rest).await.unwrap();
    assert!(rest.ends_with(b"0\r\n\r\n"), "the answer is whole: {rest:?}");
    stop(&web, Duration::from_secs(5)).await;
}

#[actix::test]
async fn a_stop_answers_what_is_under_way_and_takes_nothing_new() {
    let stub = Stub::default();
    stub.ping(|_| Ok(Pong { restarts: 0 }));
    let mut leases = waiting(&stub);
    let (web, address) = start(&stub);
    let mut under_way = send(address, &post("/api/v1/lease", LEASE)).await;
    let mut idle = send(address, "GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    assert!(read_answer(&mut idle).await.contains("200 OK"));
    let lease = leases.recv().await.unwrap();

    let unready: Port<TurnUnready> = ActorEnvironment::system(Arc::new(|_| {})).port("web", &web);
    unready.call(TurnUnready).await.unwrap();
    idle.write_all(b"GET /readyz HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    assert!(read_answer(&mut idle).await.contains("503 Service Unavailable"));

    let stopping = actix::spawn({
        let web = web.clone();
        async move { stop(&web, Duration::from_secs(20)).await }
    });
    // The connection without a request is closed, which shows that the stop has begun.
    assert_eq!(idle.read(&mut [0; 16]).await.unwrap_or(0), 0);
    lease.reply.send(Ok(vec![granted()])).unwrap();
    let answer = read_answer(&mut under_way).await;
    assert!(answer.contains("200 OK") && answer.contains(&token().to_string()), "{answer}");
    drop(under_way);
    stopping.await.unwrap();
    assert!(TcpStream::connect(address).await.is_err(), "nobody listens");
    stop(&web, Duration::ZERO).await;
}

#[actix::test]
async fn a_stop_ends_what_would_go_on_for_ever() {
    let stub = Stub::default();
    stub.take_changes(|_| Ok(DatabaseChanges::default()));
    let (web, address) = start(&stub);
    let mut events = send(address, "GET /api/v1/events HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    let mut text = String::new();
    while !text.contains("retry: ") {
        let mut chunk = [0; 4096];
        let read = events.read(&mut chunk).await.unwrap();
        text.push_str(std::str::from_utf8(&chunk[..read]).unwrap());
    }
    stop(&web, Duration::from_secs(3600)).await;
    let mut rest = Vec::new();
    events.read_to_end(&mut rest).await.unwrap();
    assert!(rest.ends_with(b"0\r\n\r\n"), "the answer is whole: {rest:?}");
}

#[actix::test]
async fn what_outlasts_the_deadline_is_cut_off() {
    let stub = Stub::default();
    let mut leases = waiting(&stub);
    let (web, address) = start(&stub);
    let _stream = send(address, &post("/api/v1/lease", LEASE)).await;
    let lease = leases.recv().await.unwrap();
    stop(&web, Duration::ZERO).await;
    assert!(TcpStream::connect(address).await.is_err());
    drop(lease);
}

#[actix::test]
async fn a_body_that_is_too_large_is_answered_to_a_client_that_sends_first() {
    let stub = Stub::default();
    let (web, address) = start(&stub);
    let body = " ".repeat(3 * 1024 * 1024);
    let mut stream = send(address, &post("/api/v1/tasks", &body)).await;
    let answer = read_answer(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 413 ") && answer.contains("body_too_large"), "{answer}");
    drop(stream);
    stop(&web, Duration::from_secs(5)).await;
}

/// A clock that can't be read.
#[derive(Debug)]
struct Broken;

impl Clock for Broken {
    fn now(&self) -> DateTime<Utc> {
        panic!("the clock is broken")
    }

    fn sleep_until(&self, _: DateTime<Utc>) -> Sleep {
        Box::pin(std::future::pending())
    }
}

#[actix::test]
async fn a_panic_is_answered_and_the_next_request_too() {
    let environment = ActorEnvironment { clock: Arc::new(Broken), ..ActorEnvironment::system(Arc::new(|_| {})) };
    let deps = Deps { kit: environment.kit("web"), ..Stub::default().deps() };
    let (web, address) = start_with(deps);
    for _ in 0..2 {
        let mut stream = send(address, "GET /api/v1/alerts HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
        let answer = read_answer(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 500 ") && answer.contains("\"code\":\"internal\""), "{answer}");
    }
    let mut stream = send(address, "GET /status HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    assert!(read_answer(&mut stream).await.ends_with("ok"));
    drop(stream);
    stop(&web, Duration::from_secs(5)).await;
}
