//! Logs: appended under a lease, read whole, in parts and while a task runs.

use std::io::Write as _;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use actix_web::body::{BoxBody, MessageBody as _};
use actix_web::test::{TestRequest, init_service, try_call_service};
use flate2::Compression;
use flate2::write::GzEncoder;
use flowlord_domain::{Attempt, TaskState};
use flowlord_kernel::Code;
use flowlord_messages::leases::LeaseStanding;
use flowlord_messages::logs::{AppendedLog, LogText};
use flowlord_web_core::context::ContextRef;
use flowlord_web_core::log_stream::MAX_FOLLOWERS;

use super::stub::{Reply, Stub, attempt, finished, leased, send, token};
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
        let request = TestRequest::get().uri(&path(query)).insert_header(("last-event-id", last)).to_request();
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
