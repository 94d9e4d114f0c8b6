//! Logs: appended under a lease, read whole, in parts and while a task runs.

use std::io::Write as _;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use actix_web::body::{BoxBody, MessageBody as _};
use actix_web::test::{TestRequest, init_service, try_call_service};
use flate2::Compression;
use flate2::write::GzEncoder;
use flowlord_domain::task_link::TaskLink;
use flowlord_domain::{Attempt, TaskState};
use flowlord_kernel::{Code, Error};
use flowlord_messages::leases::LeaseStanding;
use flowlord_messages::logs::{AppendedLog, LogText};
use flowlord_messages::tasks::ChainStart;
use flowlord_web_core::context::{Config, ContextRef, WebContext};
use flowlord_web_core::log_stream::MAX_FOLLOWERS;

use super::pages::{assert_strict, full};
use super::stub::{Reply, Stub, attempt, config, finished, leased, send, token};
use crate::app::app;

fn held(standing: LeaseStanding) -> Stub {
    let stub = Stub::default();
    stub.standing(move |_| Ok(standing));
    stub
}

fn piece(offset: &str, body: impl Into<actix_web::web::Bytes>) -> TestRequest {
    let path = format!("/api/v1/lease/{}/log", token());
    TestRequest::post().uri(&path).insert_header(("upload-offset", offset)).set_payload(body.into())
}

fn packed(text: &[u8]) -> Vec<u8> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(text).unwrap();
    packed.finish().unwrap()
}

#[actix::test]
async fn a_piece_goes_to_the_log_of_the_attempt_that_is_leased_packed_or_not() {
    let stub = held(LeaseStanding::Held);
    let pieces = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&pieces);
    stub.append_log(move |append| {
        let offset = append.offset + append.piece.len() as u64;
        seen.lock().unwrap().push((append.uid, append.offset, append.piece));
        Ok(AppendedLog { offset, is_taken: true })
    });
    assert_eq!(stub.send(piece("7", "caf\u{e9}\n")).await.ok()["offset"], 13);
    let gzip = piece("13", packed(b"more\n")).insert_header(("content-encoding", "gzip"));
    assert_eq!(stub.send(gzip).await.ok()["offset"], 18);
    let uid = attempt(1).uid;
    assert_eq!(*pieces.lock().unwrap(), [(uid, 7, b"caf\xc3\xa9\n".to_vec()), (uid, 13, b"more\n".to_vec())]);
}

#[actix::test]
async fn a_piece_that_belongs_elsewhere_is_told_where() {
    let stub = held(LeaseStanding::Held);
    stub.append_log(|_| Ok(AppendedLog { offset: 40, is_taken: false }));
    let reply = stub.send(piece("7", "x")).await;
    assert_eq!((reply.status, reply.code().as_str()), (409, "log_offset"));
    assert_eq!(reply.json()["offset"], 40);
    for (standing, code) in [(LeaseStanding::Lost, "lease_lost"), (LeaseStanding::Unknown, "lease_unknown")] {
        assert_eq!(held(standing).send(piece("0", "x")).await.code(), code, "{standing:?}");
    }
    let wrong = stub.send(piece("seven", "x")).await;
    assert_eq!(wrong.problem().2, "`Upload-Offset` is `seven`: write how many bytes of the log come before");
}

#[actix::test]
async fn a_small_body_that_unpacks_to_a_large_one_is_refused() {
    let bomb = piece("0", packed(&vec![b'x'; 2 << 20])).insert_header(("content-encoding", "gzip"));
    assert_eq!(held(LeaseStanding::Held).send(bomb).await.code(), "body_too_large");
    let other = piece("0", "x").insert_header(("content-encoding", "br"));
    assert_eq!(held(LeaseStanding::Held).send(other).await.code(), "unsupported_media_type");
}

fn with_log(text: &'static str) -> Stub {
    let stub = Stub::default();
    stub.read_log(move |read| {
        let text = text.get(usize::try_from(read.after).unwrap()..).unwrap_or_default();
        Ok(Some(LogText { text: text.to_owned(), start: read.after, end: read.after + text.len() as u64 }))
    });
    stub
}

fn path(query: &str) -> String {
    format!("/api/v1/tasks/{}/log{query}", attempt(1).uid)
}

#[actix::test]
async fn a_log_is_read_whole_by_its_end_or_by_a_range() {
    let stub = with_log("one\ntwo\nthree\n");
    let whole = stub.get(&path("")).await;
    assert_eq!((whole.status, whole.text.as_str()), (200, "one\ntwo\nthree\n"));
    assert_eq!(whole.header("content-type"), "text/plain; charset=utf-8");
    assert_eq!(stub.get(&path("?tail=8")).await.text, "three\n");
    let ranged = async |range: &str| stub.send(TestRequest::get().uri(&path("")).insert_header(("range", range))).await;
    let shown = |reply: &Reply| (reply.status, reply.header("content-range").to_owned(), reply.text.clone());
    let part = |range: &str, text: &str| (206, range.to_owned(), text.to_owned());
    assert_eq!(shown(&ranged("bytes=4-6").await), part("bytes 4-6/14", "two"));
    assert_eq!(shown(&ranged("bytes=-6").await), part("bytes 8-13/14", "three\n"));
    assert_eq!(shown(&ranged("bytes=8-99").await), part("bytes 8-13/14", "three\n"));
    assert_eq!(ranged("bytes=14-").await.code(), "range_unsatisfiable");
    assert_eq!(ranged("bytes=0-1,4-5").await.text, "one\ntwo\nthree\n", "several are answered with all");
    let stub = Stub::default();
    stub.read_log(|_| Ok(None));
    assert_eq!(stub.get(&path("")).await.code(), "no_log");
}

struct Follower(Pin<Box<BoxBody>>);

impl Follower {
    async fn of(context: &ContextRef, query: &str, last: &str) -> Self {
        Self::at(context, &path(query), last).await
    }

    async fn at(context: &ContextRef, path: &str, last: &str) -> Self {
        let request = TestRequest::get().uri(path).insert_header(("last-event-id", last)).to_request();
        let response = try_call_service(&init_service(app(context.clone())).await, request).await.unwrap();
        assert_eq!(response.headers().get("content-type").unwrap(), "text/event-stream");
        Self(Box::pin(response.into_body()))
    }

    async fn next(&mut self) -> String {
        match std::future::poll_fn(|context| self.0.as_mut().poll_next(context)).await {
            Some(text) => String::from_utf8(text.unwrap().to_vec()).unwrap(),
            None => "over".to_owned(),
        }
    }
}

#[actix::test]
async fn a_log_is_followed_until_its_task_has_ended() {
    let stub = with_log("one\ntwo\n");
    let asked = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&asked);
    stub.attempts(move |_| {
        let task = if count.fetch_add(1, Ordering::Relaxed) < 2 { leased(1) } else { finished(1) };
        Ok(vec![Some(task)])
    });
    let context = stub.context();
    let mut follower = Follower::of(&context, "?follow=true", "").await;
    assert_eq!(follower.next().await, "id: 8\ndata: one\ndata: two\ndata: \n\n");
    assert_eq!(follower.next().await, "event: end\ndata:\n\n");
    assert_eq!(follower.next().await, "over");
    let mut again = Follower::of(&context, "?follow=true&tail=1", "4").await;
    assert_eq!(again.next().await, "id: 8\ndata: two\ndata: \n\n", "from where it was");
    let mut tail = Follower::of(&context, "?follow=true&tail=5", "").await;
    assert_eq!(tail.next().await, "id: 8\ndata: two\ndata: \n\n");
    assert_eq!(asked.load(Ordering::Relaxed), 7, "once for each request, and once for each look");
}

#[actix::test]
async fn only_so_many_follow_at_a_time_and_none_follows_what_is_not_there() {
    let stub = with_log("one\n");
    stub.attempts(|_| Ok(vec![Some(Attempt { state: TaskState::Leased, ..attempt(1) })]));
    let context = stub.context();
    let mut followers = Vec::new();
    for _ in 0..MAX_FOLLOWERS {
        followers.push(Follower::of(&context, "?follow=true", "").await);
    }
    let request = || TestRequest::get().uri(&path("?follow=true"));
    assert_eq!(send(context.clone(), request()).await.code(), "busy");
    followers.pop();
    Follower::of(&context, "?follow=true", "").await;
    stub.attempts(|_| Ok(vec![None]));
    assert_eq!(send(context, request()).await.code(), Code::TaskUnknown.as_str());
}

/// A page of the task, in a state, with this log.
fn page_of(task: Attempt, text: &str) -> Stub {
    let stub = full();
    let log = LogText { text: text.to_owned(), start: 0, end: text.len() as u64 };
    stub.read_log(move |read| {
        assert_eq!(read.uid, attempt(1).uid);
        Ok(Some(LogText { text: log.text[usize::try_from(read.after).unwrap()..].to_owned(), ..log }))
    });
    let shown = task.clone();
    stub.attempts(move |_| Ok(vec![Some(shown.clone())]));
    stub.chain_beginning(move |_| Ok(ChainStart { attempts: vec![task.clone()], more: 0 }));
    stub
}

fn page_path(query: &str) -> String {
    format!("/web/task/{}{query}", attempt(1).uid)
}

#[actix::test]
async fn the_page_of_a_task_shows_the_end_of_its_log_and_searches_it() {
    let stub = page_of(finished(1), "one <b>\n\u{1b}[31mno disk\u{1b}[0m\n");
    let page = stub.get(&page_path("")).await.text;
    let pre = page.split_once("<pre class=\"log\"").unwrap().1.split_once("</pre>").unwrap().0;
    assert!(pre.ends_with(">one &#60;b&#62;\n<span class=\"f1\">no disk</span>\n"), "{pre}");
    assert!(!page.contains("data-follow") && !page.contains('\u{1b}'), "{page}");
    assert!(page.contains(&format!("href=\"/api/v1/tasks/{}/log\">As text", attempt(1).uid)));
    assert_strict(&page);
    let found = stub.get(&page_path("?log_q=NO+DISK")).await.text;
    assert!(found.contains("1 line<") && found.contains("no disk</span>") && !found.contains("one &#60;"), "{found}");
    assert!(found.contains("value=\"NO DISK\"") && found.contains("All lines"));
    assert!(stub.get(&page_path("?log_q=zzz")).await.text.contains("No line of the log has this."));
    stub.read_log(|_| Ok(None));
    assert!(!stub.get(&page_path("")).await.text.contains("id=\"log\""));
    stub.read_log(|_| Err(Error::new(Code::Busy, "much to do")));
    assert!(stub.get(&page_path("")).await.text.contains("the log can&#39;t be shown now: much to do"));
}

#[actix::test]
async fn while_a_task_runs_its_page_follows_the_log() {
    let stub = page_of(leased(1), "one\n\u{1b}[32mtwo\n");
    let page = stub.get(&page_path("")).await.text;
    let stream = page_path("/log?after=13");
    assert!(page.contains(&format!("data-follow=\"{stream}\"")), "{page}");
    assert!(!stub.get(&page_path("?log_q=one")).await.text.contains("data-follow"), "a search stays as it is");
    let context = stub.context();
    let mut follower = Follower::at(&context, &page_path("/log?after=4"), "").await;
    assert_eq!(follower.next().await, "id: 13\ndata: <span class=\"f2\">two\ndata: </span>\n\n");
    let mut again = Follower::at(&context, &page_path("/log?after=0"), "4").await;
    assert!(again.next().await.contains("two"), "a browser says how far it came");
    assert_eq!(stub.get(&page_path("/log?after=x")).await.code(), "invalid_request");
    // One that was never leased has no log to ask for.
    let stub = page_of(attempt(1), "");
    stub.read_log(|_| panic!("nobody may ask"));
    assert!(!stub.get(&page_path("")).await.text.contains("id=\"log\""));
}

#[actix::test]
async fn a_page_with_a_large_log_stays_small() {
    let line = format!("{}\u{1b}[33m<warning>\u{1b}[0m \"quoted\"\n", "x".repeat(40));
    let page = page_of(finished(1), &line.repeat(4_000)).get(&page_path("")).await.text;
    assert!((60_000..150_000).contains(&page.len()) && page.contains("This is the end."), "{}", page.len());
}

#[actix::test]
async fn a_task_leads_to_what_its_worker_and_its_operator_name() {
    let task =
        Attempt { msg: "see https://h/a?b=1&c=2".to_owned(), meta: "out=http://o/x&n=1".to_owned(), ..finished(1) };
    let stub = page_of(task, "");
    let link = |name, template| TaskLink::parse(name, template).unwrap();
    let links = vec![link("grafana", "https://g/?uid={uid}&from={started_ms}"), link("worker", "https://w/{worker}")];
    let context = WebContext::new(Config { links, ..config() }, stub.deps(), crate::routes::table());
    let page = send(actix_web::web::Data::new(context), TestRequest::get().uri(&page_path(""))).await.text;
    for link in [
        "<a href=\"https://h/a?b=1&#38;c=2\" rel=\"noopener noreferrer nofollow\">",
        "<a href=\"http://o/x\" rel=\"noopener noreferrer nofollow\">",
        "<a href=\"https://g/?uid=064c0953867001&#38;from=1772452802000\" rel=\"noopener noreferrer nofollow\">grafana</a>",
        "href=\"https://w/w1\"",
    ] {
        assert!(page.contains(link), "{link}: {page}");
    }
}
