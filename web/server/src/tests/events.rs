//! Server-sent events: what is told, who misses what, and where it ends.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use actix_web::body::{BoxBody, MessageBody};
use actix_web::http::Method;
use actix_web::test::{TestRequest, init_service, try_call_service};
use flowlord_kernel::{Code, Error};
use flowlord_messages::events::DatabaseChanges;
use flowlord_web_core::context::ContextRef;
use flowlord_web_core::live_events::MAX_SUBSCRIBERS;
use serde_json::{Value, json};

use super::backload::stored;
use super::reads::stats;
use super::stub::{Stub, alert, attempt, request, send};
use crate::app::app;
use crate::live_feed::tell_changes;

/// A client that reads one line after the other.
struct Listener {
    body: Pin<Box<BoxBody>>,
}

impl Listener {
    async fn of(context: &ContextRef, query: &str, last: Option<&str>) -> Self {
        let mut request = TestRequest::get().uri(&format!("/api/v1/events{query}"));
        if let Some(last) = last {
            request = request.insert_header(("last-event-id", last));
        }
        let service = init_service(app(context.clone())).await;
        let response = try_call_service(&service, request.to_request()).await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers().get("content-type").unwrap(), "text/event-stream");
        Self { body: Box::pin(response.into_body()) }
    }

    /// The next block of lines, if it is there already.
    fn next(&mut self) -> Option<String> {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        match self.body.as_mut().poll_next(&mut context) {
            std::task::Poll::Ready(Some(text)) => Some(String::from_utf8(text.unwrap().to_vec()).unwrap()),
            std::task::Poll::Ready(None) => Some("end".to_owned()),
            std::task::Poll::Pending => None,
        }
    }

    /// The id with which it can come back, from the first line.
    fn id(&mut self) -> String {
        let first = self.next().unwrap();
        let id = first.strip_prefix("retry: 2000\nid: ").and_then(|rest| rest.strip_suffix("\n\n"));
        id.unwrap_or_else(|| panic!("{first}")).to_owned()
    }

    /// The next event: id, kind and data.
    #[track_caller]
    fn event(&mut self) -> (String, String, Value) {
        let text = self.next().expect("an event");
        let mut lines = text.lines();
        let mut field = |name: &str| {
            let line = lines.next().unwrap_or_default();
            line.strip_prefix(name).unwrap_or_else(|| panic!("no {name}: {text}")).to_owned()
        };
        let (id, kind, data) = (field("id: "), field("event: "), field("data: "));
        assert!(text.ends_with("\n\n"), "{text:?}");
        (id, kind, serde_json::from_str(&data).unwrap())
    }

    #[track_caller]
    fn kinds(&mut self) -> Vec<String> {
        let mut kinds = Vec::new();
        while let Some(text) = self.next() {
            kinds.push(text.lines().nth(1).unwrap_or(&text).trim_start_matches("event: ").to_owned());
        }
        kinds
    }
}

/// What changes when asked for the first time, the second time…; nothing afterwards.
fn changing(stub: &Stub, changes: Vec<DatabaseChanges>) {
    let mut changes = changes.into_iter();
    stub.take_changes(move |_| Ok(changes.next().unwrap_or_default()));
    stub.attempts(|query| Ok(query.uids.iter().map(|uid| Some(attempt(uid.0 - attempt(0).uid.0))).collect()));
    stub.stats(|_| Ok(stats()));
    stub.alerts_by_row(|query| Ok(query.rows.into_iter().map(alert).collect()));
    stub.backload(|query| Ok(Some((stored(query.id), Vec::new()))));
}

fn task(n: i64) -> DatabaseChanges {
    DatabaseChanges { tasks: BTreeSet::from([attempt(n).uid]), ..DatabaseChanges::default() }
}

#[actix::test]
async fn what_changes_is_told_as_the_lists_show_it() {
    let stub = Stub::default();
    let all = DatabaseChanges {
        alerts: BTreeSet::from([3]),
        incidents: true,
        workflows: BTreeSet::from(["etl/main.toml".to_owned()]),
        backloads: BTreeSet::from([4]),
        files: BTreeSet::from([5]),
        ..task(1)
    };
    changing(&stub, vec![task(9), all]);
    let context = stub.context();
    let mut listener = Listener::of(&context, "", None).await;
    listener.id();
    assert_eq!(listener.next(), None, "what changed before is of no concern");
    tell_changes(&context, true).await;
    let (_, kind, told) = listener.event();
    assert_eq!((kind.as_str(), &told["uid"], &told["state"]), ("task", &json!(attempt(1).uid), &json!("ready")));
    let (_, kind, told) = listener.event();
    assert_eq!((kind.as_str(), &told["date"], &told["totals"]["total"]), ("counts", &json!("2026-03-02"), &json!(7)));
    assert_eq!(told["hours"].as_array().unwrap().len(), 24);
    let (_, kind, told) = listener.event();
    assert_eq!((kind.as_str(), &told["alert"]), ("alert", &json!(3)));
    let (_, kind, told) = listener.event();
    assert_eq!((kind.as_str(), told), ("incident", json!({})));
    let (_, kind, told) = listener.event();
    assert_eq!((kind.as_str(), told), ("workflow", json!({"file": "etl/main.toml"})));
    let (_, kind, told) = listener.event();
    assert_eq!((kind.as_str(), &told["id"], &told["state"]), ("backload", &json!(4), &json!("running")));
    let (_, kind, told) = listener.event();
    assert_eq!((kind.as_str(), told), ("file", json!({"event": 5})));
    let (_, kind, told) = listener.event();
    assert_eq!((kind.as_str(), told), ("snapshot", json!({})));
    assert_eq!(listener.next(), None);
}

#[actix::test]
async fn a_flood_is_one_event_and_what_overflows_a_reset() {
    let stub = Stub::default();
    let flood = DatabaseChanges { unnamed: 5_000, overflowed: true, ..DatabaseChanges::default() };
    changing(&stub, vec![DatabaseChanges::default(), flood]);
    let context = stub.context();
    let mut listener = Listener::of(&context, "", None).await;
    listener.id();
    tell_changes(&context, false).await;
    let (_, kind, told) = listener.event();
    assert_eq!((kind.as_str(), told), ("tasks", json!({"changed": 5_000})));
    assert_eq!(listener.kinds(), ["counts", "reset"]);
}

#[actix::test]
async fn only_what_is_asked_for_is_told() {
    let stub = Stub::default();
    changing(&stub, vec![DatabaseChanges::default(), DatabaseChanges { incidents: true, ..task(1) }]);
    let context = stub.context();
    let mut listener = Listener::of(&context, "?kind=counts,incident", None).await;
    listener.id();
    tell_changes(&context, false).await;
    assert_eq!(listener.kinds(), ["counts", "incident"]);
    let unknown = stub.get("/api/v1/events?kind=everything").await;
    assert!(unknown.problem().2.contains("task, tasks, counts"), "{unknown:?}");
}

#[actix::test]
async fn one_who_comes_back_goes_on_or_begins_anew() {
    let stub = Stub::default();
    changing(&stub, vec![DatabaseChanges::default(), task(1), task(2)]);
    let context = stub.context();
    let mut listener = Listener::of(&context, "?kind=task", None).await;
    let begin = listener.id();
    tell_changes(&context, false).await;
    let (first, ..) = listener.event();
    drop(listener);
    tell_changes(&context, false).await;
    let mut back = Listener::of(&context, "?kind=task", Some(&first)).await;
    assert_eq!(back.id(), first);
    assert_eq!(back.event().2["uid"], json!(attempt(2).uid));
    assert_eq!(back.next(), None);
    let mut from_the_page = Listener::of(&context, &format!("?kind=task&after={begin}"), None).await;
    from_the_page.id();
    assert_eq!(from_the_page.kinds(), ["task", "task"]);
    for lost in ["older-1", "nonsense", "", &begin.replace("-1", "-99")] {
        let mut lost = Listener::of(&context, "", Some(lost)).await;
        let now = lost.id();
        let (id, kind, _) = lost.event();
        assert_eq!((id, kind.as_str()), (now, "reset"));
        assert_eq!(lost.next(), None);
    }
}

#[actix::test]
async fn a_page_can_go_on_from_where_it_was_read() {
    let stub = Stub::default();
    changing(&stub, vec![task(9), task(1)]);
    let context = stub.context();
    assert_eq!(context.hub.here(context.deps.kit.now()), None, "nobody looks on: nothing is gathered");
    let _another_page = Listener::of(&context, "", None).await;
    let begin = context.hub.here(context.deps.kit.now()).unwrap();
    tell_changes(&context, false).await;
    let mut listener = Listener::of(&context, &format!("?after={begin}"), None).await;
    listener.id();
    assert_eq!(listener.kinds(), ["task", "counts"]);
}

#[actix::test]
async fn a_subscriber_that_falls_behind_begins_anew_and_holds_up_nobody() {
    let stub = Stub::default();
    changing(&stub, Vec::new());
    stub.take_changes(|_| Ok(task(1)));
    let context = stub.context();
    let mut slow = Listener::of(&context, "", None).await;
    let begin = slow.id();
    for _ in 0..300 {
        tell_changes(&context, false).await;
    }
    assert_eq!(slow.kinds(), ["reset"]);
    tell_changes(&context, false).await;
    assert_eq!(slow.kinds(), ["task", "counts"]);
    let mut late = Listener::of(&context, "", Some(&begin)).await;
    late.id();
    assert_eq!(late.kinds(), ["reset"], "so much isn't kept");
}

#[actix::test]
async fn what_cannot_be_read_or_is_too_large_makes_all_begin_anew() {
    let stub = Stub::default();
    changing(&stub, vec![DatabaseChanges::default(), task(1), task(1), task(1)]);
    let context = stub.context();
    let mut listener = Listener::of(&context, "", None).await;
    let begin = listener.id();
    stub.attempts(|_| Err(Error::new(Code::Busy, "much to do")));
    tell_changes(&context, false).await;
    assert_eq!(listener.kinds(), ["reset"]);
    let mut late = Listener::of(&context, "", Some(&begin)).await;
    late.id();
    assert_eq!(late.kinds(), ["reset"]);
    stub.attempts(|_| Ok(vec![Some(flowlord_domain::Attempt { info: "x".repeat(20_000), ..attempt(1) })]));
    tell_changes(&context, false).await;
    assert_eq!(listener.kinds(), ["task", "counts"], "of a long text the beginning");
    stub.attempts(|_| Ok(vec![Some(flowlord_domain::Attempt { worker: "x".repeat(20_000), ..attempt(1) })]));
    tell_changes(&context, false).await;
    assert_eq!(listener.kinds(), ["reset", "counts"]);
}

#[actix::test]
async fn nobody_reads_while_nobody_looks_on() {
    let stub = Stub::default();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    stub.take_changes(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        Ok(DatabaseChanges::default())
    });
    let context = stub.context();
    assert!(!context.hub.is_watched(super::stub::noon()));
    let first = Listener::of(&context, "", None).await;
    let second = Listener::of(&context, "", None).await;
    assert_eq!(asked.load(Ordering::SeqCst), 1, "the first one arms, the second one needn't");
    drop(first);
    drop(second);
    let soon = super::stub::noon() + chrono::TimeDelta::seconds(59);
    assert!(context.hub.is_watched(soon), "somebody may come back");
    assert!(!context.hub.is_watched(soon + chrono::TimeDelta::seconds(1)));
}

#[actix::test]
async fn changes_that_could_not_be_taken_are_taken_by_the_next_one() {
    let stub = Stub::default();
    let mut answers = vec![Ok(DatabaseChanges::default()), Err(Error::new(Code::Busy, "planned"))];
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    stub.take_changes(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        answers.pop().unwrap()
    });
    let context = stub.context();
    assert_eq!(send(context.clone(), request(Method::GET, "/api/v1/events")).await.code(), "busy");
    assert!(!context.hub.is_watched(super::stub::noon()));
    let _listener = Listener::of(&context, "", None).await;
    assert_eq!(asked.load(Ordering::SeqCst), 2, "else no change would be told until a minute has passed");
}

#[actix::test]
async fn there_is_a_bound_and_an_end() {
    let stub = Stub::default();
    changing(&stub, Vec::new());
    let context = stub.context();
    let mut listeners = Vec::new();
    for _ in 0..MAX_SUBSCRIBERS {
        listeners.push(Listener::of(&context, "", None).await);
    }
    let refused = send(context.clone(), request(Method::GET, "/api/v1/events")).await;
    assert_eq!(refused.problem().0, 503);
    assert_eq!(refused.code(), "busy");
    let head = send(context.clone(), request(Method::HEAD, "/api/v1/events")).await;
    assert_eq!((head.status, head.header("content-type"), head.text.as_str()), (200, "text/event-stream", ""));
    drop(listeners.pop());
    let mut last = Listener::of(&context, "", None).await;
    last.id();
    context.hub.close();
    assert_eq!(last.next().as_deref(), Some("end"));
    drop(listeners);
    assert_eq!(send(context, request(Method::GET, "/api/v1/events")).await.code(), "stopping");
}
