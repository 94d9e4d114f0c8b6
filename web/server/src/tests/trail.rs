//! What people change is stored with who, what, when and from where; and nothing else is.

use std::sync::{Arc, Mutex};

use actix_web::http::Method;
use actix_web::test::TestRequest;
use actix_web::web;
use flowlord_domain::Role;
use flowlord_kernel::{Code, Error};
use flowlord_messages::audit::{AuditAction, AuditRecord, AuditRecordPage, StoredAuditRecord};
use flowlord_messages::tokens::StoredToken;
use flowlord_web_core::auth::{AccessRules, TrustedProxies, hash_of};
use flowlord_web_core::context::Config;
use flowlord_web_core::context::{ContextRef, WebContext};
use serde_json::json;

use super::stub::{Stub, config, noon, request, send};

type Stored = Arc<Mutex<Vec<AuditRecord>>>;

/// A service behind a proxy, where ann is an admin.
fn closed() -> (Stub, ContextRef, Stored) {
    let stub = Stub::default();
    let stored = Stored::default();
    stub.tokens_read(|_| {
        let (name, role, hash) = ("ann".to_owned(), Role::Admin, hash_of("secret"));
        Ok(vec![StoredToken { name, role, hash, created: noon() }])
    });
    stub.remove_token(|_| Ok(()));
    stub.add_token(|_| Ok(()));
    let store = Arc::clone(&stored);
    stub.record_change(move |record| {
        store.lock().unwrap().push(record.change);
        Ok(())
    });
    let proxies = TrustedProxies::parse(&["10.0.0.0/8".to_owned()]).unwrap();
    let config = Config { access: AccessRules { proxies, ..AccessRules::default() }, ..config() };
    let context = web::Data::new(WebContext::new(config, stub.deps(), crate::routes::table()));
    (stub, context, stored)
}

fn by_ann(request: TestRequest) -> TestRequest {
    request
        .peer_addr("10.0.0.1:4000".parse().unwrap())
        .insert_header(("x-forwarded-for", "192.0.2.7"))
        .insert_header(("authorization", "Bearer secret"))
}

#[actix::test]
async fn a_change_is_stored_with_who_what_and_from_where() {
    let (_stub, context, stored) = closed();
    let add = request(Method::POST, "/api/v1/tokens").set_payload(r#"{"name":"etl","role":"worker"}"#);
    let added = send(context.clone(), by_ann(add)).await.ok();
    let removed = send(context.clone(), by_ann(request(Method::DELETE, "/api/v1/tokens/etl"))).await;
    assert_eq!(removed.status, 204);
    let changes = stored.lock().unwrap().clone();
    let expected = AuditRecord {
        at: noon(),
        who: "ann".to_owned(),
        from: "192.0.2.7".to_owned(),
        action: AuditAction::Token,
        what: "POST /api/v1/tokens".to_owned(),
        detail: r#"{"name":"etl","role":"worker"}"#.to_owned(),
        status: 201,
    };
    assert_eq!(changes[0], expected);
    assert_eq!((changes[1].what.as_str(), changes[1].status), ("DELETE /api/v1/tokens/etl", 204));
    assert!(!format!("{changes:?}").contains(added["token"].as_str().unwrap()), "no secret is in it");
}

#[actix::test]
async fn what_changes_nothing_leaves_no_trail() {
    let (stub, context, stored) = closed();
    stub.remove_token(|_| Err(Error::new(Code::TokenUnknown, "planned")));
    stub.alerts(|_| Ok(Vec::new()));
    let refused = send(context.clone(), by_ann(request(Method::DELETE, "/api/v1/tokens/nobody"))).await;
    assert_eq!(refused.code(), "token_unknown");
    assert_eq!(send(context.clone(), by_ann(request(Method::GET, "/api/v1/alerts"))).await.status, 200);
    assert_eq!(send(context.clone(), request(Method::DELETE, "/api/v1/tokens/etl")).await.code(), "unauthorized");
    let login = request(Method::POST, "/login").set_payload("token=secret");
    assert_eq!(send(context.clone(), by_ann(login)).await.status, 303);
    assert_eq!(*stored.lock().unwrap(), Vec::new());
}

#[actix::test]
async fn a_trail_that_can_not_be_stored_takes_no_answer_away() {
    let (stub, context, _) = closed();
    stub.record_change(|_| Err(Error::new(Code::Storage, "planned")));
    let removed = send(context.clone(), by_ann(request(Method::DELETE, "/api/v1/tokens/etl"))).await;
    assert_eq!(removed.status, 204);
}

#[actix::test]
async fn a_form_that_failed_is_no_change() {
    let (stub, context, stored) = closed();
    stub.reload(|_| Err(Error::new(Code::Storage, "planned")));
    stub.pause(|_| Err(Error::new(Code::WorkflowUnknown, "planned")));
    stub.change_backload(|_| Err(Error::new(Code::BackloadState, "planned")));
    for path in ["/web/workflow/refresh", "/web/workflow/pause", "/web/backload/7/cancel"] {
        let form = request(Method::POST, path).insert_header(("content-type", "application/x-www-form-urlencoded"));
        assert_eq!(send(context.clone(), by_ann(form)).await.status, 303, "{path}");
    }
    assert_eq!(*stored.lock().unwrap(), Vec::new());
    stub.pause(|_| Ok(None));
    let form = request(Method::POST, "/web/workflow/resume").set_payload("workflow=a.toml&task=load");
    assert_eq!(send(context.clone(), by_ann(form)).await.status, 303);
    let changes = stored.lock().unwrap().clone();
    assert_eq!((changes[0].action, changes[0].detail.as_str()), (AuditAction::Resume, "workflow=a.toml&task=load"));
}

fn change(id: i64) -> StoredAuditRecord {
    let change = AuditRecord {
        at: noon(),
        who: "ann".to_owned(),
        from: "192.0.2.7".to_owned(),
        action: AuditAction::Refresh,
        what: "POST /refresh".to_owned(),
        detail: String::new(),
        status: 200,
    };
    StoredAuditRecord { id, change }
}

#[actix::test]
async fn the_trail_is_listed_by_day_by_who_and_by_what() {
    let stub = Stub::default();
    stub.changes(|query| {
        assert_eq!((query.after, query.limit), (Some(9), 2));
        assert_eq!(
            (query.who, query.actions),
            (vec!["ann".to_owned()], vec![AuditAction::Pause, AuditAction::Refresh])
        );
        Ok(AuditRecordPage { changes: vec![change(8), change(7)], next: Some(7), looked_until: None })
    });
    let filter = "who=ann&action=pause,refresh";
    let list = stub.get(&format!("/api/v1/audit?date=2026-03-02&limit=2&cursor=9&{filter}")).await.ok();
    assert_eq!(list["next"], "7");
    assert_eq!(
        list["items"][0],
        json!({"id": 8, "at": "2026-03-02T12:00:00Z", "who": "ann", "from": "192.0.2.7", "action": "refresh",
               "what": "POST /refresh", "detail": "", "status": 200})
    );
    assert_eq!(list.get("looked_until"), None);
    stub.changes(|_| Ok(AuditRecordPage { looked_until: Some(noon()), next: Some(3), ..AuditRecordPage::default() }));
    let list = stub.get("/api/v1/audit").await.ok();
    assert_eq!((&list["looked_until"], &list["items"]), (&json!("2026-03-02T12:00:00Z"), &json!([])));
    assert_eq!(stub.get("/api/v1/audit?day=x").await.code(), "invalid_request");
    let (status, code, detail) = stub.get("/api/v1/audit?action=dance").await.problem();
    assert_eq!((status, code.as_str()), (400, "invalid_request"));
    assert!(detail.contains("`action` is `dance`: write one of acknowledge, backload,"), "{detail}");
}

#[actix::test]
async fn packed_bodies_are_refused() {
    let packed = request(Method::POST, "/api/v1/tasks").insert_header(("content-encoding", "gzip"));
    let reply = Stub::default().send(packed.set_payload("x")).await;
    assert_eq!(reply.code(), "unsupported_media_type");
}

#[actix::test]
async fn a_cookie_by_https_stays_there() {
    let (_stub, context, _) = closed();
    let login = |proto: &str| {
        let login = request(Method::POST, "/login").set_payload("token=secret");
        send(context.clone(), by_ann(login).insert_header(("x-forwarded-proto", proto)))
    };
    assert!(login("https").await.header("set-cookie").contains("; Secure"));
    assert!(!login("http").await.header("set-cookie").contains("; Secure"));
}
