//! Addresses that hold a token.

use std::sync::{Arc, Mutex};

use actix_web::http::Method;
use actix_web::test::TestRequest;
use flowlord_domain::Role;
use flowlord_kernel::{Code, Error};
use flowlord_messages::files::RecordedFile;
use flowlord_messages::results::AppliedResult;
use flowlord_messages::tasks::KnownTask;
use serde_json::json;

use super::access::closed;
use super::stub::{Reply, Stub, request, send};

/// With tokens whose text is the name of their role, also where anyone may do everything.
fn open() -> Stub {
    let stub = Stub::default();
    stub.tokens_read(|_| Ok(super::access::tokens()));
    stub.submit(|submit| Ok(submit.results.iter().map(|_| Ok(AppliedResult { duplicate: false })).collect()));
    stub.known_tasks(|query| Ok(vec![KnownTask::Unknown; query.tasks.len()]));
    stub.arrived(|_| Ok(RecordedFile { event: 5, phases: Vec::new(), tasks: Vec::new() }));
    stub
}

const DONE: &str = r#"{"type":"a","info":"i","id":"c","created":"2026-03-02T11:00:00Z","result":"complete"}"#;

#[actix::test]
async fn a_push_token_in_the_address_is_let_in_and_no_other() {
    let stub = open();
    for (path, body) in [("results", DONE), ("files", r#"{"path":"/in/a.csv"}"#)] {
        let reply = stub.post(&format!("/hooks/push/{path}"), body).await;
        assert_eq!(reply.status, 200, "{path}: {reply:?}");
        for role in [Role::Worker, Role::Viewer, Role::Operator, Role::Admin] {
            let (status, code, detail) = stub.post(&format!("/hooks/{role}/{path}"), body).await.problem();
            assert_eq!((status, code.as_str()), (403, "forbidden"), "{role}");
            assert!(detail.contains("role push"), "{detail}");
        }
        for token in ["mistyped", "%20", ""] {
            let reply = stub.post(&format!("/hooks/{token}/{path}"), body).await;
            assert_eq!(reply.problem().0, 401, "{token}: also where no token is needed");
        }
    }
    assert_eq!(stub.post("/hooks/push/other", "{}").await.problem().0, 404);
    assert_eq!(stub.get("/hooks/push/files").await.problem().0, 405);
}

#[actix::test]
async fn a_push_token_is_good_for_nothing_else() {
    let (_stub, context) = closed();
    for (method, path) in [
        (Method::POST, "/api/v1/results"),
        (Method::POST, "/api/v1/files"),
        (Method::POST, "/api/v1/lease"),
        (Method::GET, "/api/v1/tasks"),
        (Method::GET, "/metrics"),
    ] {
        let reply = send(context.clone(), super::access::with(request(method, path), "push")).await;
        assert_eq!(reply.problem().0, 403, "{path}");
    }
}

#[actix::test]
async fn guessing_a_token_in_an_address_is_slow_too() {
    let (_stub, context) = closed();
    let guess = || {
        let request = request(Method::POST, "/hooks/guess/results");
        send(context.clone(), request.peer_addr(super::access::PEER.parse().unwrap()))
    };
    for _ in 0..10 {
        assert_eq!(guess().await.problem().0, 401);
    }
    assert_eq!(guess().await.problem().0, 429);
}

/// Nothing that comes back holds it.
fn hides(reply: &Reply, secret: &str) {
    let headers = format!("{:?}", reply.headers);
    assert!(!reply.text.contains(secret) && !headers.contains(secret), "{reply:?}");
}

#[actix::test]
async fn no_answer_shows_the_token_of_the_address() {
    const SECRET: &str = "flw_planted";
    for (stub, path) in [
        (open(), "/hooks/flw_planted/results"),
        (open(), "/hooks/flw_planted/other"),
        (open(), "/hooks/flw_planted"),
        (Stub::failing(Code::Storage), "/hooks/flw_planted/files"),
    ] {
        for method in [Method::POST, Method::GET, Method::DELETE] {
            hides(&stub.send(request(method.clone(), path)).await, SECRET);
            let page = request(method, path).insert_header(("accept", "text/html"));
            let reply = stub.send(page).await;
            assert_ne!(reply.status, 303, "no way to the login page: it would hold the address");
            hides(&reply, SECRET);
        }
    }
    for (method, path) in [(Method::GET, "/hooks/push/files"), (Method::POST, "/hooks/push/other")] {
        hides(&open().send(request(method, path)).await, "/push/");
    }
}

#[actix::test]
async fn what_is_refused_for_good_is_acknowledged_and_what_may_come_again_is_not() {
    let stub = open();
    for (path, body, code) in [
        ("results", "no json", "invalid_json"),
        ("results", "", "invalid_json"),
        ("results", r#"{"type":"a b","created":"2026-03-02T11:00:00Z","result":"complete"}"#, "invalid_topic"),
        ("results", r#"{"message":{"data":"%"},"subscription":"s"}"#, "invalid_request"),
        ("files", "no json", "invalid_json"),
        ("files", "{}", "invalid_request"),
    ] {
        let reply = stub.post(&format!("/hooks/push/{path}"), body).await.ok();
        assert_eq!((&reply["accepted"], &reply["rejected"][0]["code"]), (&json!(0), &json!(code)), "{body}");
    }
    let large = vec![b' '; flowlord_web_core::extract::MAX_RESULTS + 1];
    assert_eq!(stub.post("/hooks/push/results", large).await.ok()["rejected"][0]["code"], "body_too_large");
    stub.submit(|_| Err(Error::new(Code::Storage, "no disk")));
    assert_eq!(stub.post("/hooks/push/results", DONE).await.code(), "storage");
    stub.submit(|_| Ok(vec![Err(Error::new(Code::Busy, "a file isn't read yet"))]));
    assert_eq!(stub.post("/hooks/push/results", DONE).await.problem().0, 503);
    stub.arrived(|_| Err(Error::new(Code::Busy, "much to do")));
    assert_eq!(stub.post("/hooks/push/files", r#"{"path":"/in/a.csv"}"#).await.code(), "busy");
}

#[actix::test]
async fn results_come_in_the_envelopes_of_message_buses() {
    let (seen, stub) = (Arc::new(Mutex::new(Vec::new())), open());
    let submitted = Arc::clone(&seen);
    stub.submit(move |submit| {
        submitted.lock().unwrap().extend(submit.results.iter().map(|(claim, _)| claim.clone()));
        Ok(submit.results.iter().map(|_| Ok(AppliedResult { duplicate: false })).collect())
    });
    // DONE, packed as Pub/Sub does.
    let data = "eyJ0eXBlIjoiYSIsImluZm8iOiJpIiwiaWQiOiJjIiwiY3JlYXRlZCI6IjIwMjYtMDMtMDJUMTE6MDA6MDBaIiwicmVzdWx0IjoiY29tcGxldGUifQ==";
    let pub_sub = json!({"message": {"data": data, "messageId": "7"}, "subscription": "projects/p/subscriptions/s"});
    let sns = json!({"Type": "Notification", "TopicArn": "arn", "Message": DONE});
    for (kind, body) in [
        ("application/json", pub_sub.to_string()),
        ("text/plain; charset=UTF-8", sns.to_string()),
        ("text/plain", DONE.to_owned()),
        ("application/x-ndjson", format!("{DONE}\n{DONE}\n")),
    ] {
        let request = TestRequest::post().uri("/hooks/push/results").insert_header(("content-type", kind));
        let reply = stub.send(request.set_payload(body.clone())).await.ok();
        assert_eq!(reply["rejected"], json!([]), "{kind} {body}");
    }
    let claims = seen.lock().unwrap().clone();
    assert!(claims.len() == 5 && claims.iter().all(|claim| *claim == claims[0]), "{claims:?}");
    let reply = stub.post("/api/v1/results", pub_sub.to_string()).await.ok();
    assert_eq!(reply["accepted"], 1, "with a token in the header, too");
}
