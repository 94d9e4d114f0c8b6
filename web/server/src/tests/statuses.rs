//! Every status that the OpenAPI document promises, provoked: what succeeds by the document's own examples, every
//! problem by what causes it.

use std::sync::Arc;

use actix_web::test::TestRequest;
use actix_web::web;
use flowlord_domain::Role;
use flowlord_domain::alert::AlertMatcher;
use flowlord_kernel::Pong;
use flowlord_kernel::{Code, Error};
use flowlord_messages::cluster::NodeRole;
use flowlord_messages::files::RecordedFile;
use flowlord_messages::leases::{LastAsked, LeaseExtension, LeaseStanding};
use flowlord_messages::logs::{AppendedLog, LogText};
use flowlord_messages::outbox::DeliveryStatus;
use flowlord_messages::results::AppliedResult;
use flowlord_messages::silences::Silence;
use flowlord_messages::snapshots::{SnapshotList, StoredSnapshot};
use flowlord_messages::stats::{DayTotals, QueueBacklog};
use flowlord_messages::tasks::{ChainStart, CreatedTasks, TaskPage};
use flowlord_messages::tokens::StoredToken;
use flowlord_messages::workflows::{ReloadReport, WorkflowRecord};
use flowlord_web_api::EXAMPLE_PUSH_TOKEN;
use flowlord_web_core::auth::hash_of;
use flowlord_web_core::context::{Config, ContextRef, WebContext};
use flowlord_web_core::extract::MAX_RESULTS;
use flowlord_web_core::openapi::{Operation, SchemaRegistry};

use super::access::{PEER, closed};
use super::backload::{planning, stored};
use super::cluster::{nodes, state_of};
use super::documented::conforms;
use super::reads::current;
use super::stub::{Reply, Stub, attempt, config, granted, ladder, noon, send};
use super::workers::seen_worker;
use crate::routes::table;

pub(super) fn serving() -> Stub {
    let stub = planning();
    let taken = || StoredSnapshot { location: "/backup/a.db".to_owned(), at: noon(), bytes: 4096, verified: true };
    stub.create(|create| {
        Ok(CreatedTasks { uids: create.tasks.iter().map(|task| task.uid).collect(), repeated: false })
    });
    stub.lease(|lease| {
        lease.reply.send(Ok(vec![granted()])).unwrap();
        Ok(())
    });
    stub.heartbeat(|_| Ok(LeaseExtension { expires: noon(), cancel: false }));
    stub.release(|_| Ok(()));
    stub.standing(|_| Ok(LeaseStanding::Held));
    stub.append_log(|append| Ok(AppendedLog { offset: append.offset + append.piece.len() as u64, is_taken: true }));
    stub.read_log(|_| Ok(Some(LogText { text: "loading\n".to_owned(), start: 0, end: 8 })));
    stub.submit(|results| Ok(results.results.iter().map(|_| Ok(AppliedResult { duplicate: false })).collect()));
    stub.workflows(|_| Ok(current()));
    stub.reload(|_| Ok(ReloadReport::default()));
    stub.next_runs(|_| Ok(Vec::new()));
    stub.slots(|_| Ok(Vec::new()));
    stub.paused(|_| Ok(Vec::new()));
    stub.pause(|_| Ok(None));
    stub.rerun(|ask| Ok(ask.tasks.iter().map(|task| Ok(task.uid)).collect()));
    stub.cancel(|ask| Ok(vec![Ok(()); ask.uids.len()]));
    stub.later(|query| Ok(vec![None; query.uids.len()]));
    stub.places(|_| Ok(Arc::default()));
    stub.snapshot(move |_| Ok(taken()));
    stub.snapshots(move |_| Ok(SnapshotList { items: vec![taken()], next: Some(noon()), problem: None }));
    stub.change_backload(|change| Ok(stored(change.id)));
    stub.backload(|read| Ok(Some((stored(read.id), Vec::new()))));
    stub.backloads(|_| Ok(vec![stored(1)]));
    stub.arrived(|_| Ok(RecordedFile { event: 5, phases: Vec::new(), tasks: Vec::new() }));
    stub.files(|_| Ok(Vec::new()));
    stub.attempts(|query| Ok(query.uids.iter().map(|_| Some(attempt(1))).collect()));
    stub.chain(|_| Ok(vec![attempt(1)]));
    stub.chain_beginning(|_| Ok(ChainStart { attempts: vec![attempt(1)], more: 0 }));
    stub.find_tasks(|_| Ok(TaskPage::default()));
    stub.stats(|_| Ok(DayTotals::default()));
    stub.backlog(|_| Ok(QueueBacklog::default()));
    stub.workers(|_| Ok(vec![seen_worker("w1", &["load"])]));
    stub.last_asked(|ask| {
        let count = ask.queues.len();
        Ok(LastAsked { known_since: noon(), asked: vec![None; count], blocks: vec![None; count] })
    });
    stub.worker_leases(|_| Ok(Vec::new()));
    stub.worker_results(|_| Ok(Vec::new()));
    stub.paused(|_| Ok(Vec::new()));
    stub.alerts(|_| Ok(Vec::new()));
    stub.ladders(|_| Ok(vec![ladder()]));
    stub.acknowledge(|_| Ok(Vec::new()));
    stub.incidents(|_| Ok(Vec::new()));
    stub.silences(|_| Ok(Vec::new()));
    stub.add_silence(|add| Ok(silence(add.matcher)));
    stub.remove_silence(|_| Ok(silence(AlertMatcher::default())));
    stub.add_token(|_| Ok(()));
    stub.remove_token(|_| Ok(()));
    stub.tokens_read(|_| Ok(vec![push_token()]));
    stub.content(|read| {
        let record =
            WorkflowRecord { path: read.path, hash: String::new(), problem: String::new(), content: "x".into() };
        Ok(Some(record))
    });
    stub.changes(|_| Ok(flowlord_messages::audit::AuditRecordPage::default()));
    stub.record_change(|_| Ok(()));
    stub.enqueue(|_| Ok(1));
    stub.fate(|_| Ok(DeliveryStatus::Arrived));
    stub.ping(|_| Ok(Pong { restarts: 0 }));
    stub.read_cluster(|_| Ok(state_of(NodeRole::Leader)));
    stub.nodes(|_| Ok(nodes()));
    stub.hand_over(|_| Ok(()));
    stub
}

fn push_token() -> StoredToken {
    let hash = hash_of(EXAMPLE_PUSH_TOKEN);
    StoredToken { name: "pubsub".to_owned(), role: Role::Push, hash, created: noon() }
}

fn silence(matcher: AlertMatcher) -> Silence {
    Silence { id: 7, from: noon(), until: noon(), matcher, by: "ada".to_owned(), reason: "moves".to_owned() }
}

/// The request of the document's examples.
fn example(operation: &Operation) -> TestRequest {
    request(operation, &operation.example_path())
}

fn request(operation: &Operation, path: &str) -> TestRequest {
    let request = TestRequest::default().method(operation.method.to_uppercase().parse().unwrap()).uri(path);
    match &operation.body {
        Some(body) => request.insert_header(("content-type", body.media)).set_payload(body.example.to_string()),
        None => request,
    }
}

fn with_body(request: TestRequest, body: impl Into<web::Bytes>) -> TestRequest {
    request.insert_header(("content-type", "application/json")).set_payload(body.into())
}

fn name(operation: &Operation) -> String {
    format!("{} {}", operation.method, operation.path)
}

#[actix::test]
async fn the_examples_are_answered_as_the_document_says() {
    let stub = serving();
    // What goes on for ever has tests of its own.
    for operation in table().operations().iter().filter(|operation| operation.path != "/api/v1/events") {
        let reply = stub.send(example(operation)).await;
        assert_eq!(reply.status, operation.successes[0].status, "{}: {reply:?}", name(operation));
        let media =
            operation.document(&mut SchemaRegistry::default())["responses"][reply.status.to_string()]["content"]
                .clone();
        let kind = reply.header("content-type").split(';').next().unwrap().to_owned();
        assert!(kind.is_empty() || media.get(&kind).is_some(), "{}: {kind}", name(operation));
        if kind == "application/json" {
            let said = conforms(&media[kind]["schema"], &reply.json());
            assert_eq!(said, Ok(()), "{}: {reply:?}", name(operation));
        }
    }
}

#[actix::test]
async fn every_problem_that_the_document_promises_can_be_provoked() {
    for operation in table().operations() {
        for code in &operation.codes {
            // A body that pauses for 30 seconds: provoked where bodies are read, for all that read one.
            if *code == Code::RequestTimeout {
                assert!(operation.body.is_some());
                continue;
            }
            let reply = provoke(&operation, *code).await;
            assert_eq!(reply.code(), code.as_str(), "{}", name(&operation));
        }
    }
}

async fn provoke(operation: &Operation, code: Code) -> Reply {
    match code {
        Code::Unauthorized => send(closed().1, example(operation)).await,
        Code::Forbidden => {
            let role = Role::ALL.into_iter().find(|role| !operation.role.lets_in(*role)).unwrap().as_str();
            let path = operation.example_path().replace(EXAMPLE_PUSH_TOKEN, role);
            send(closed().1, bearer(request(operation, &path), role)).await
        }
        Code::ForbiddenOrigin => serving().send(example(operation).insert_header(("host", "evil.example.org"))).await,
        Code::TooManyAttempts => {
            let (_stub, context) = closed();
            for _ in 0..10 {
                let guess = send(context.clone(), bearer(example(operation), "guess")).await;
                assert_eq!(guess.code(), "unauthorized");
            }
            send(context, bearer(example(operation), "guess")).await
        }
        Code::InvalidJson if operation.path.ends_with("/log") => {
            serving().send(example(operation).insert_header(("content-encoding", "gzip"))).await
        }
        Code::RangeUnsatisfiable => serving().send(example(operation).insert_header(("range", "bytes=8-"))).await,
        Code::InvalidJson => serving().send(with_body(example(operation), "{")).await,
        Code::TooLarge => serving().send(example(operation).set_payload(vec![b' '; MAX_RESULTS + 1])).await,
        Code::UnsupportedMediaType => {
            serving().send(example(operation).insert_header(("content-type", "text/xml"))).await
        }
        Code::InvalidRequest | Code::InvalidTopic | Code::NotFound => {
            let (path, body) = mistaken(operation, code);
            let path = path.unwrap_or_else(|| operation.example_path());
            let mistaken = request(operation, &path);
            let mistaken = match body {
                Some(body) => with_body(mistaken, body),
                None => mistaken,
            };
            let context = if operation.path == "/notify" { without_slack() } else { broken_workflow().context() };
            send(context, mistaken).await
        }
        Code::NotReady => Stub::failing(Code::Storage).send(example(operation)).await,
        Code::Stopping if operation.path == "/readyz" => {
            let context = WebContext::new(config(), serving().deps(), table());
            context.turn_unready();
            send(web::Data::new(context), example(operation)).await
        }
        below => {
            let stub = Stub::failing(below);
            stub.read_cluster(|_| Ok(state_of(NodeRole::Leader)));
            stub.send(example(operation)).await
        }
    }
}

fn bearer(request: TestRequest, token: &str) -> TestRequest {
    request.peer_addr(PEER.parse().unwrap()).insert_header(("authorization", format!("Bearer {token}")))
}

fn without_slack() -> ContextRef {
    let config = Config { slack: false, ..config() };
    web::Data::new(WebContext::new(config, serving().deps(), table()))
}

/// A workflow file doesn't load, which `/refresh` tells.
fn broken_workflow() -> Stub {
    let stub = serving();
    stub.reload(|_| Ok(ReloadReport { broken: current().broken.as_ref().clone(), ..ReloadReport::default() }));
    stub
}

/// A path or a body that is wrong in this way.
fn mistaken(operation: &Operation, code: Code) -> (Option<String>, Option<&'static str>) {
    if operation.method == "get" {
        return (Some(format!("{}?zzz=1", operation.example_path())), None);
    }
    let topic = code == Code::InvalidTopic;
    let body = match operation.path.as_str() {
        "/api/v1/results" => return (Some("/api/v1/results?adopt=no".to_owned()), None),
        "/api/v1/tasks/{uid}/rerun"
        | "/api/v1/tasks/{uid}/cancel"
        | "/api/v1/tasks/{uid}/complete"
        | "/api/v1/lease/{lease}/log" => {
            return (Some(format!("{}?zzz=1", operation.example_path())), None);
        }
        path if path.starts_with("/hooks/") => {
            return (Some(format!("/hooks/{EXAMPLE_PUSH_TOKEN}/other")), None);
        }
        "/api/v1/lease" if topic => r#"{"topics":["a b"],"worker":"w"}"#,
        "/api/v1/lease" => r#"{"topics":[],"worker":"w"}"#,
        "/api/v1/lease/{lease}/heartbeat" => r#"{"progress":2}"#,
        "/api/v1/lease/{lease}/result" => r#"{"result":"fine"}"#,
        "/api/v1/lease/{lease}/release" => r#"{"delay":"-1s"}"#,
        "/api/v1/tasks" if topic => r#"{"type":"a b","info":"x"}"#,
        "/api/v1/tasks" => r#"{"type":"a"}"#,
        "/api/v1/files" => r#"{"size":1}"#,
        "/api/v1/tasks/rerun"
        | "/api/v1/tasks/cancel"
        | "/api/v1/phases/pause"
        | "/api/v1/phases/resume"
        | "/api/v1/phases/run"
        | "/rerun" => "{}",
        "/api/v1/backload" | "/backload" if topic => r#"{"task":"a b","template":"x","at":"2026-01-01"}"#,
        "/api/v1/backload" | "/backload" => r#"{"task":"a","template":"x","at":"yesterday"}"#,
        "/api/v1/snapshots" => r#"{"to":"relative.db"}"#,
        "/api/v1/cluster/handover" => return (Some(format!("{}?zzz=1", operation.example_path())), None),
        "/api/v1/tokens" => r#"{"name":"a b","role":"worker"}"#,
        "/api/v1/alerts/ack" => r#"{"by":"a\nb"}"#,
        "/api/v1/silences" => r#"{"for":"4h"}"#,
        "/api/v1/backloads/{id}/{change}" if code == Code::InvalidRequest => r#"{"tasks":false}"#,
        "/api/v1/backloads/{id}/{change}" => return (Some("/api/v1/backloads/4/stop".to_owned()), None),
        "/refresh" | "/notify" => return (None, None),
        other => panic!("what is wrong for {other}?"),
    };
    (None, Some(body))
}

#[actix::test]
async fn what_fails_below_is_not_hidden() {
    let stub = Stub::default();
    stub.find_tasks(|_| Err(Error::new(Code::Busy, "much to do")));
    assert_eq!(stub.get("/api/v1/tasks").await.problem(), (503, "busy".to_owned(), "much to do".to_owned()));
}
