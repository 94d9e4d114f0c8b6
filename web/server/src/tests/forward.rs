//! A node that follows: what it answers itself, and how it asks the leader.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use actix::{Addr, Arbiter};
use chrono::{DateTime, TimeDelta, Utc};
use flowlord_kernel::{ActorEnvironment, Code, Error, Ping, Pong, Port};
use flowlord_messages::cluster::{ClusterChanged, ClusterState, NodeAddress, NodeRole};
use flowlord_messages::tasks::TaskPage;
use flowlord_web_core::auth::AccessRules;
use flowlord_web_core::context::{Config, Deps};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::access::tokens;
use super::reads::current;
use super::stub::{Stub, attempt, config, listed, noon};
use crate::{StopWeb, WebActor};

/// A node, on a port of its own.
struct Node {
    web: Addr<WebActor>,
    address: SocketAddr,
}

impl Node {
    fn start(stub: &Stub) -> Self {
        Self::start_as(stub, config())
    }

    fn start_as(stub: &Stub, config: Config) -> Self {
        Self::start_with(stub.deps(), config)
    }

    fn start_with(deps: Deps, config: Config) -> Self {
        let listener = crate::bind(config.listen).unwrap();
        let address = listener.local_addr().unwrap();
        let web = WebActor::start_on(&Arbiter::current(), listener, config, deps).unwrap();
        Self { web, address }
    }

    async fn learn(&self, state: ClusterState) {
        let environment = ActorEnvironment::system(Arc::new(|_| {}));
        let changed: Port<ClusterChanged> = environment.port("web", &self.web);
        assert!(changed.hint(ClusterChanged(state)));
        // It takes its messages in turn.
        let ping: Port<Ping> = environment.port("web", &self.web);
        ping.call(Ping).await.unwrap();
    }

    async fn send(&self, request: &str) -> Answer {
        Answer::read(&mut self.open(request).await).await
    }

    async fn open(&self, request: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        stream
    }

    async fn stop(self) {
        let stop: Port<StopWeb> = ActorEnvironment::system(Arc::new(|_| {})).port("web", &self.web);
        stop.call(StopWeb { timeout: Duration::from_secs(5) }).await.unwrap();
    }
}

/// What a connection said: head and body.
#[derive(Debug)]
struct Answer(String);

impl Answer {
    async fn read(stream: &mut TcpStream) -> Self {
        tokio::time::timeout(Duration::from_secs(10), Self::read_whole(stream)).await.expect("an answer")
    }

    async fn read_whole(stream: &mut TcpStream) -> Self {
        let mut text = Vec::new();
        loop {
            let so_far = String::from_utf8_lossy(&text).into_owned();
            if let Some((head, body)) = so_far.split_once("\r\n\r\n") {
                let length = head.to_lowercase();
                let length =
                    length.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
                let is_whole = length.map_or_else(|| body.ends_with("0\r\n\r\n"), |length| body.len() >= length);
                if is_whole {
                    return Self(so_far);
                }
            }
            let mut chunk = [0; 4096];
            match stream.read(&mut chunk).await {
                Ok(0) | Err(_) => return Self(so_far),
                Ok(read) => text.extend_from_slice(&chunk[..read]),
            }
        }
    }

    fn status(&self) -> u16 {
        self.0.get(9..12).and_then(|status| status.parse().ok()).unwrap_or_default()
    }

    fn header(&self, name: &str) -> Option<String> {
        let head = self.0.split("\r\n\r\n").next().unwrap_or_default();
        let mut lines = head.lines().filter_map(|line| line.split_once(": "));
        lines.find_map(|(known, value)| known.eq_ignore_ascii_case(name).then(|| value.to_owned()))
    }

    #[track_caller]
    fn refusal(&self) -> String {
        assert_eq!((self.status(), self.header("retry-after").as_deref()), (503, Some("2")), "{self:?}");
        assert!(self.0.contains("\"code\":\"not_leader\""), "{self:?}");
        self.0.clone()
    }
}

/// Stands for the leader: a test answers what comes to it.
struct Leader {
    url: String,
    requests: mpsc::UnboundedReceiver<(Answer, TcpStream)>,
}

impl Leader {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (taken, requests) = mpsc::unbounded_channel();
        actix::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let taken = taken.clone();
                actix::spawn(async move {
                    let request = read_request(&mut stream).await;
                    let _the_test_is_over = taken.send((request, stream));
                });
            }
        });
        Self { url, requests }
    }

    async fn next(&mut self) -> (Answer, TcpStream) {
        tokio::time::timeout(Duration::from_secs(10), self.requests.recv()).await.expect("a request").unwrap()
    }

    /// Answers the next request, which is returned.
    async fn answer(&mut self, answer: &str) -> Answer {
        let (request, mut stream) = self.next().await;
        stream.write_all(answer.as_bytes()).await.unwrap();
        request
    }

    fn was_not_asked(&mut self) -> bool {
        self.requests.try_recv().is_err()
    }
}

async fn read_request(stream: &mut TcpStream) -> Answer {
    let mut text = Vec::new();
    loop {
        let so_far = String::from_utf8_lossy(&text).into_owned();
        if let Some((head, body)) = so_far.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
            if body.len() >= length.unwrap_or(0) {
                return Answer(so_far);
            }
        }
        let mut chunk = [0; 4096];
        match stream.read(&mut chunk).await {
            Ok(0) | Err(_) => return Answer(so_far),
            Ok(read) => text.extend_from_slice(&chunk[..read]),
        }
    }
}

fn node_at(node: &str, url: &str) -> NodeAddress {
    NodeAddress { node: node.to_owned(), url: url.to_owned() }
}

/// What node b knows, which holds all up to 1.5 s ago.
fn following(leader_url: &str) -> ClusterState {
    ClusterState {
        node: Some(node_at("b", "http://b")),
        role: NodeRole::Follower,
        leader: Some(node_at("a", leader_url)),
        term: 3,
        applied: 70,
        through: Some(noon() - TimeDelta::milliseconds(1500)),
        takeover: None,
        problem: None,
        current_at: None,
        warnings: Vec::new(),
        has_older_tables: false,
    }
}

fn leading() -> ClusterState {
    ClusterState { role: NodeRole::Leader, leader: Some(node_at("a", "http://a")), ..following("http://a") }
}

fn leaders_only() -> Error {
    Error::new(Code::NotLeader, "the leader has it")
}

/// The database of a follower, whose other actors are the leader's.
fn follower_stub() -> Stub {
    let stub = Stub::default();
    stub.workflows(|_| Err(leaders_only()));
    stub.next_runs(|_| Err(leaders_only()));
    stub.ladders(|_| Err(leaders_only()));
    stub.snapshots(|_| Err(leaders_only()));
    stub.take_changes(|_| Err(leaders_only()));
    stub.slots(|_| Ok(Vec::new()));
    stub.paused(|_| Ok(Vec::new()));
    stub.find_tasks(|_| Ok(listed(vec![attempt(1)])));
    stub.alerts(|_| Ok(Vec::new()));
    stub.tokens_read(|_| Ok(tokens()));
    stub.ping(|_| Ok(Pong { restarts: 0 }));
    stub
}

async fn follower(leader_url: &str) -> Node {
    let node = Node::start(&follower_stub());
    node.learn(following(leader_url)).await;
    node
}

fn get(path: &str, headers: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n{headers}\r\n")
}

fn post(path: &str, headers: &str, body: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n{headers}\r\n{body}", body.len())
}

const DONE: &str = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok";
const LEASE: &str = r#"{"topics":["a"],"worker":"w","wait":"60s"}"#;

/// An answer of the leader when its clock shows this.
fn done_at(time: DateTime<Utc>) -> String {
    DONE.replace("content-length", &format!("x-flowlord-time: {}\r\ncontent-length", time.to_rfc3339()))
}

#[actix::test]
async fn pages_lists_health_assets_and_events_are_answered_here_with_the_lag() {
    let mut leader = Leader::start().await;
    let node = follower(&leader.url).await;
    let page = node.send(&get("/web/task", "accept: text/html\r\n")).await;
    let asset = page.0.split('"').find(|text| text.starts_with("/assets/")).unwrap().to_owned();
    for path in ["/web/task", "/api/v1/tasks", "/healthz", "/readyz", "/metrics", &asset] {
        let answer = node.send(&get(path, "")).await;
        assert_eq!((answer.status(), answer.header("x-flowlord-lag").as_deref()), (200, Some("1.500")), "{path}");
    }
    let mut events = node.open(&get("/api/v1/events", "")).await;
    let mut head = [0; 12];
    events.read_exact(&mut head).await.unwrap();
    assert_eq!(&head, b"HTTP/1.1 200");
    drop(events);
    node.learn(ClusterState { through: None, ..following(&leader.url) }).await;
    assert_eq!(node.send(&get("/healthz", "")).await.header("x-flowlord-lag"), None, "nobody knows it");
    assert!(leader.was_not_asked());
    node.stop().await;
}

#[actix::test]
async fn a_newer_program_lets_the_leader_list_until_the_tables_are_its_own() {
    let mut leader = Leader::start().await;
    let node = follower(&leader.url).await;
    node.learn(ClusterState { has_older_tables: true, ..following(&leader.url) }).await;
    for path in ["/web/task", "/api/v1/tasks"] {
        let mut client = node.open(&get(path, "")).await;
        leader.answer(DONE).await;
        let answer = Answer::read(&mut client).await;
        assert_eq!((answer.status(), answer.header("x-flowlord-lag")), (200, None), "{path}");
    }
    assert_eq!(node.send(&get("/api/v1/cluster", "")).await.header("x-flowlord-lag").as_deref(), Some("1.500"));
    node.learn(following(&leader.url)).await;
    node.send(&get("/api/v1/tasks", "")).await;
    assert!(leader.was_not_asked());
    node.stop().await;
}

async fn read_until(stream: &mut TcpStream, end: &str) {
    let mut text = String::new();
    while !text.contains(end) {
        let mut chunk = [0; 4096];
        let read = tokio::time::timeout(Duration::from_secs(10), stream.read(&mut chunk)).await.expect(end).unwrap();
        assert_ne!(read, 0, "{text}");
        text.push_str(std::str::from_utf8(&chunk[..read]).unwrap());
    }
}

#[actix::test]
async fn who_looks_on_hears_what_a_follower_applied_and_when_it_leads() {
    let environment = ActorEnvironment::system(Arc::new(|_| {}));
    let stub = follower_stub();
    let (asked, was_asked) = std::sync::mpsc::channel();
    stub.take_changes(move |_| {
        asked.send(()).unwrap();
        Err(leaders_only())
    });
    let deps = Deps { kit: environment.kit("web"), ..stub.deps() };
    let node = Node::start_with(deps, config());
    node.learn(following("http://a")).await;
    let mut events = node.open(&get("/api/v1/events", "")).await;
    read_until(&mut events, "retry: ").await;
    let applied = ClusterState { applied: 71, ..following("http://a") };
    node.learn(applied.clone()).await;
    read_until(&mut events, "event: reset").await;
    assert!(was_asked.try_recv().is_err(), "the writer is the leader's");
    node.learn(applied).await;
    node.learn(leading()).await;
    read_until(&mut events, "event: reset").await;
    drop(events);
    node.stop().await;
}

#[actix::test]
async fn a_change_is_forwarded_as_it_came_and_answered_as_the_leader_does() {
    let mut leader = Leader::start().await;
    let public = Config { public_url: Some("https://flow.example.org/flow".to_owned()), ..config() };
    let node = Node::start_as(&follower_stub(), public);
    node.learn(following(&leader.url)).await;
    let headers = "authorization: Bearer t\r\ncookie: a=b\r\norigin: http://localhost\r\nx-mine: 1\r\nx-mine: 2\r\n\
                   x-forwarded-for: 192.0.2.7\r\nconnection: keep-alive, x-hop\r\nx-hop: 1\r\nte: trailers\r\n\
                   content-type: application/json\r\n";
    let mut client = node.open(&post("/flow/api/v1/phases/pause?a=%41b&c", headers, "{\"é\":1}")).await;
    let redirect = "HTTP/1.1 303 See Other\r\nlocation: /flow/web/task\r\nset-cookie: a=1\r\nset-cookie: b=2\r\n\
                    keep-alive: timeout=5\r\nconnection: x-inner\r\nx-inner: 1\r\nx-request-id: r1\r\n\
                    content-encoding: gzip\r\ncontent-length: 3\r\n\r\nxyz";
    let Answer(request) = leader.answer(redirect).await;
    assert!(request.starts_with("POST /flow/api/v1/phases/pause?a=%41b&c HTTP/1.1\r\n"), "{request}");
    assert!(request.ends_with("\r\n\r\n{\"é\":1}"), "{request}");
    for line in [
        "authorization: Bearer t",
        "host: localhost",
        "cookie: a=b",
        "origin: http://localhost",
        "x-mine: 1",
        "x-mine: 2",
        "x-forwarded-for: 192.0.2.7, 127.0.0.1",
        "x-flowlord-forwarded: b",
        "content-type: application/json",
        "content-length: 8",
    ] {
        assert_eq!(request.matches(&format!("\r\n{line}\r\n")).count(), 1, "{line} in {request}");
    }
    for gone in ["x-hop", "\r\nte:", "keep-alive"] {
        assert!(!request.contains(gone), "{gone} in {request}");
    }
    let answer = Answer::read(&mut client).await;
    assert!(answer.status() == 303 && answer.0.ends_with("\r\n\r\nxyz"), "{answer:?}");
    for line in ["location: /flow/web/task", "set-cookie: a=1", "set-cookie: b=2", "x-request-id: r1"] {
        assert_eq!(answer.0.matches(&format!("\r\n{line}\r\n")).count(), 1, "{line} in {answer:?}");
    }
    assert_eq!(answer.header("content-encoding").as_deref(), Some("gzip"), "nobody unpacks it");
    for gone in ["x-inner", "keep-alive", "x-flowlord-lag"] {
        assert_eq!(answer.header(gone), None);
    }
    drop(client);
    node.stop().await;
}

#[actix::test]
async fn whatever_else_comes_is_the_leaders() {
    let mut leader = Leader::start().await;
    let node = follower(&leader.url).await;
    for request in [
        post("/api/v1/lease", "", LEASE),
        post("/login", "", "token=x"),
        post("/web/task", "", "do=rerun"),
        post("/metrics", "", ""),
        get("/refresh", ""),
        get("/login", ""),
        get("/api/v1/snapshots", ""),
        get("/what/ever", ""),
        get("/", "").replace("GET", "OPTIONS"),
        "DELETE /api/v1/tokens/x HTTP/1.0\r\n\r\n".to_owned(),
    ] {
        let mut client = node.open(&request).await;
        let Answer(forwarded) = leader.answer(DONE).await;
        let first = |text: &str| text.split(" HTTP/").next().map(str::to_owned);
        assert_eq!(first(&forwarded), first(&request));
        let answer = Answer::read(&mut client).await;
        assert!(answer.status() == 200 && answer.0.ends_with("ok"), "{request} {answer:?}");
    }
    node.stop().await;
}

#[actix::test]
async fn a_page_that_needs_what_only_the_leader_runs_is_the_leaders() {
    let mut leader = Leader::start().await;
    let stub = follower_stub();
    let node = Node::start(&stub);
    node.learn(following(&leader.url)).await;
    // The first two lack nothing but the leader's, the third is a page of a problem, the fourth lacks a part.
    for request in [
        get("/api/v1/workflows", ""),
        get("/api/v1/workflows", "").replace("GET", "HEAD"),
        get("/web/workflow", "accept: text/html\r\n"),
        get("/", "accept: text/html\r\n"),
        get("/web/alert", ""),
    ] {
        let mut client = node.open(&request).await;
        let head = "HTTP/1.1 200 OK\r\nx-from: a\r\ncontent-length: 0\r\n\r\n";
        leader.answer(head).await;
        let answer = Answer::read(&mut client).await;
        assert_eq!((answer.status(), answer.header("x-from").as_deref()), (200, Some("a")), "{request} {answer:?}");
    }
    // What a body asks can't be asked twice.
    node.send(&format!("{}x", get("/api/v1/workflows", "content-length: 1\r\n"))).await.refusal();
    // Another problem is shown.
    stub.workflows(|_| Ok(current()));
    stub.next_runs(|_| Err(Error::new(Code::Busy, "much to do")));
    let answer = node.send(&get("/api/v1/workflows", "")).await;
    assert!(answer.status() == 503 && answer.0.contains("\"code\":\""), "{answer:?}");
    // About is about this node, whatever only the leader has.
    let about = node.send(&get("/web/about", "accept: text/html\r\n")).await;
    assert!(
        about.status() == 200 && !about.0.contains("the snapshots can&#39;t") && !about.0.contains("<h2>Snapshots"),
        "{about:?}"
    );
    assert!(leader.was_not_asked());
    node.stop().await;
}

#[actix::test]
async fn what_was_forwarded_is_not_forwarded_again() {
    let mut leader = Leader::start().await;
    let node = follower(&leader.url).await;
    for request in [
        post("/api/v1/tasks", "x-flowlord-forwarded: c\r\n", "{}"),
        get("/api/v1/tasks", "x-flowlord-forwarded: c\r\n"),
    ] {
        let text = node.send(&request).await.refusal();
        assert!(text.contains("nothing was stored"), "{text}");
    }
    assert!(leader.was_not_asked());
    node.stop().await;
}

#[actix::test]
async fn nobody_is_shown_what_was_before_their_own_change() {
    let mut leader = Leader::start().await;
    let node = follower(&leader.url).await;
    let (ann, bob) = ("authorization: Bearer viewer\r\n", "authorization: Bearer admin\r\n");
    let list = |who: &str| get("/api/v1/tasks", who);
    let change = async |leader: &mut Leader, answer: &str| {
        let mut client = node.open(&post("/api/v1/tasks", ann, "{}")).await;
        leader.answer(answer).await;
        Answer::read(&mut client).await;
    };
    // What was refused changed nothing.
    change(&mut leader, "HTTP/1.1 409 Conflict\r\ncontent-length: 0\r\n\r\n").await;
    assert!(node.send(&list(ann)).await.header("x-flowlord-lag").is_some());
    change(&mut leader, &done_at(noon())).await;
    let mut client = node.open(&list(ann)).await;
    leader.answer(DONE).await;
    assert!(Answer::read(&mut client).await.0.ends_with("ok"));
    for other in [bob, ""] {
        let answer = node.send(&list(other)).await;
        assert!(answer.status() == 200 && answer.header("x-flowlord-lag").is_some(), "{answer:?}");
    }
    node.learn(ClusterState { through: Some(noon()), ..following(&leader.url) }).await;
    let mut client = node.open(&list(ann)).await;
    leader.answer(DONE).await;
    assert!(Answer::read(&mut client).await.0.ends_with("ok"), "it may lack what was stored just then");
    let later = noon() + TimeDelta::milliseconds(1);
    node.learn(ClusterState { through: Some(later), ..following(&leader.url) }).await;
    assert_eq!(node.send(&list(ann)).await.header("x-flowlord-lag").as_deref(), Some("0.000"));
    // A change by GET is one, too.
    let mut client = node.open(&get("/refresh", ann)).await;
    leader.answer(&done_at(later)).await;
    Answer::read(&mut client).await;
    let mut client = node.open(&list(ann)).await;
    leader.answer(DONE).await;
    assert!(Answer::read(&mut client).await.0.ends_with("ok"));
    assert!(leader.was_not_asked());
    node.stop().await;
}

#[actix::test]
async fn without_a_leader_that_answers_one_hears_whether_anything_was_stored() {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nowhere = format!("http://{}", gone.local_addr().unwrap());
    drop(gone);
    let node = follower(&nowhere).await;
    let create = post("/api/v1/tasks", "", "{}");
    let text = node.send(&create).await.refusal();
    assert!(text.contains("nothing was stored") && text.contains(&nowhere), "{text}");
    let text = node.send(&get("/api/v1/workflows", "")).await.refusal();
    assert!(text.contains("can't be reached"), "{text}");
    let page = node.send(&get("/web/workflow", "accept: text/html\r\n")).await;
    assert!(page.status() == 503 && page.0.contains("can&#39;t be reached"), "a person is told on a page: {page:?}");

    node.learn(ClusterState { leader: None, ..following(&nowhere) }).await;
    let text = node.send(&create).await.refusal();
    assert!(text.contains("no node leads") && text.contains("nothing was stored"), "{text}");

    let mut leader = Leader::start().await;
    node.learn(following(&leader.url)).await;
    let mut client = node.open(&create).await;
    drop(leader.next().await);
    let text = Answer::read(&mut client).await.refusal();
    assert!(text.contains("not known whether it was stored; send it again"), "{text}");

    let mut client = node.open(&create).await;
    let (_, _silent) = leader.next().await;
    node.learn(following("http://127.0.0.1:9")).await;
    let text = Answer::read(&mut client).await.refusal();
    assert!(text.contains("a led") && text.contains("not known whether it was stored; send it again"), "{text}");
    node.stop().await;
}

#[actix::test]
async fn a_worker_that_hangs_up_is_noticed_by_the_leader() {
    let mut leader = Leader::start().await;
    let node = follower(&leader.url).await;
    let client = node.open(&post("/api/v1/lease", "", LEASE)).await;
    let (_, mut asked) = leader.next().await;
    drop(client);
    let end = tokio::time::timeout(Duration::from_secs(10), asked.read(&mut [0; 16])).await.expect("it hears of it");
    assert_eq!(end.unwrap_or(0), 0);
    // A change is carried to its end: who closes the sending side reads the answer.
    let mut client = node.open(&post("/api/v1/tasks", "", "{}")).await;
    client.shutdown().await.unwrap();
    leader.answer(DONE).await;
    assert!(Answer::read(&mut client).await.0.ends_with("ok"));
    node.stop().await;
}

#[actix::test]
async fn limits_hold_for_what_is_forwarded() {
    let mut leader = Leader::start().await;
    let mut few = config();
    few.limits.long_polls = 1;
    let node = Node::start_as(&follower_stub(), few);
    node.learn(following(&leader.url)).await;
    let lease = |token: &str| post("/api/v1/lease", &format!("authorization: Bearer {token}\r\n"), LEASE);
    let mut first = node.open(&lease("worker")).await;
    let (_, mut asked) = leader.next().await;
    let more = node.send(&post("/api/v1/lease", "authorization: Bearer worker\r\n", LEASE)).await;
    assert!(more.status() == 429 && more.0.contains("limits.long_polls"), "{more:?}");
    let other = node.open(&lease("admin")).await;
    let (_, _other_asked) = leader.next().await;
    asked.write_all(DONE.as_bytes()).await.unwrap();
    assert_eq!(Answer::read(&mut first).await.status(), 200);
    drop(asked);
    let mut again = node.open(&lease("worker")).await;
    leader.answer(DONE).await;
    assert_eq!(Answer::read(&mut again).await.status(), 200);
    drop((first, other, again));

    let large = node.send(&post("/api/v1/results", "", &" ".repeat(9 << 20))).await;
    assert!(large.status() == 413 && leader.was_not_asked(), "{}", large.status());
    node.stop().await;
    let mut one = config();
    one.limits.connections = 1;
    let node = Node::start_as(&follower_stub(), one);
    node.learn(following(&leader.url)).await;
    let open = node.open("").await;
    let mut busy = None;
    // The count begins when the server takes the connection.
    for _ in 0..100 {
        let mut client = node.open(&post("/api/v1/tasks", "", "{}")).await;
        tokio::select! {
            (_, mut asked) = leader.next() => asked.write_all(DONE.as_bytes()).await.unwrap(),
            answer = Answer::read(&mut client) => busy = Some(answer),
        }
        if busy.is_some() {
            break;
        }
    }
    let busy = busy.expect("one connection is too many");
    assert!(busy.status() == 503 && busy.0.contains("\"code\":\"busy\""), "{busy:?}");
    drop(open);
    node.stop().await;
}

#[actix::test]
async fn who_brings_no_token_does_not_come_in_by_way_of_a_follower() {
    let mut leader = Leader::start().await;
    let closed = Config { access: AccessRules::default(), ..config() };
    let node = Node::start_as(&follower_stub(), closed);
    node.learn(following(&leader.url)).await;
    for path in ["/api/v1/tasks", "/what/ever"] {
        let answer = node.send(&post(path, "", "{}")).await;
        assert!(answer.status() == 401 && answer.header("x-flowlord-lag").is_some(), "{answer:?}");
    }
    assert!(leader.was_not_asked());
    for request in [
        post("/api/v1/tasks", "authorization: Bearer unknown\r\n", "{}"),
        post("/web/task", "cookie: flowlord_session=x\r\n", ""),
        post("/hooks/flw_x/files", "", "{}"),
        post("/login", "", "token=x"),
    ] {
        let mut client = node.open(&request).await;
        leader.answer(DONE).await;
        assert_eq!(Answer::read(&mut client).await.status(), 200, "{request}");
    }
    node.stop().await;
}

#[actix::test]
async fn what_the_leader_streams_is_passed_on_as_it_comes() {
    let mut leader = Leader::start().await;
    let node = follower(&leader.url).await;
    let mut client = node.open(&post("/api/v1/tasks", "", "{}")).await;
    let (_, mut asked) = leader.next().await;
    asked.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n").await.unwrap();
    let mut text = Vec::new();
    while !text.ends_with(b"\r\n\r\n3\r\none\r\n") {
        let mut chunk = [0; 4096];
        let read = client.read(&mut chunk).await.unwrap();
        assert_ne!(read, 0);
        text.extend_from_slice(&chunk[..read]);
    }
    asked.write_all(b"3\r\ntwo\r\n0\r\n\r\n").await.unwrap();
    let mut rest = [0; 13];
    client.read_exact(&mut rest).await.unwrap();
    assert_eq!(&rest, b"3\r\ntwo\r\n0\r\n\r\n");
    // The next request would come by the same connection.
    drop(asked);
    // HEAD says how long a body would be, and has none.
    let head = get("/api/v1/snapshots", "connection: close\r\n").replace("GET", "HEAD");
    let mut client = node.open(&head).await;
    leader.answer("HTTP/1.1 200 OK\r\ncontent-length: 77\r\n\r\n").await;
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    assert!(answer.contains("\r\ncontent-length: 77\r\n") && answer.ends_with("\r\n\r\n"), "{answer}");
    // An answer that breaks off is none.
    let mut client = node.open(&post("/api/v1/tasks", "", "{}")).await;
    leader.answer("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\none").await;
    let mut answer = String::new();
    let _cut_off = client.read_to_string(&mut answer).await;
    assert!(answer.ends_with("one"), "{answer}");
    node.stop().await;
}

#[actix::test]
async fn the_leader_tells_its_clock_to_those_who_forward() {
    let stub = Stub::default();
    stub.find_tasks(|_| Ok(TaskPage::default()));
    let node = Node::start(&stub);
    let list = |headers: &str| get("/api/v1/tasks", headers);
    let forwarded = list("x-flowlord-forwarded: b\r\n");
    assert_eq!(node.send(&forwarded).await.header("x-flowlord-time"), None, "it is on its own");
    node.learn(leading()).await;
    let time = node.send(&forwarded).await.header("x-flowlord-time").unwrap();
    assert_eq!(time, noon().to_rfc3339_opts(chrono::SecondsFormat::Micros, true));
    let direct = node.send(&list("")).await;
    assert_eq!((direct.header("x-flowlord-time"), direct.header("x-flowlord-lag")), (None, None));
    node.stop().await;
}

#[actix::test]
async fn a_follower_asks_a_leader_that_is_a_node_like_itself() {
    let stub = Stub::default();
    stub.create(|_| Err(Error::new(Code::Storage, "the disk is full")));
    stub.find_tasks(|_| Ok(listed(vec![attempt(7)])));
    let leader = Node::start(&stub);
    leader.learn(leading()).await;
    let node = follower(&format!("http://{}/", leader.address)).await;
    let refused = node.send(&post("/api/v1/tasks", "", r#"{"type":"a","info":"x"}"#)).await;
    assert!(refused.status() == 503 && refused.0.contains("the disk is full"), "{refused:?}");
    assert!(refused.header("x-flowlord-time").is_some() && refused.header("x-request-id").is_some());
    let foreign = post("/api/v1/tasks", "origin: http://evil.example.org\r\n", "{}");
    assert!(node.send(&foreign).await.0.contains("forbidden_origin"));
    leader.stop().await;
    node.stop().await;
}
