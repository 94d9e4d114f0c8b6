//! What people change is stored with who, what, when and from where; and nothing else is.

use std::sync::{Arc, Mutex};

use actix_web::http::Method;
use actix_web::test::TestRequest;
use actix_web::web;
use flowlord_domain::Role;
use flowlord_messages::audit::{Change, StoredChange};
use flowlord_messages::token::StoredToken;
use flowlord_messages::{Code, Error};
use serde_json::json;

use super::stub::{Stub, config, noon, request, send};
use crate::actor::Config;
use crate::api::{Api, ApiRef};
use crate::auth::{Access, Proxies, hash_of};

type Stored = Arc<Mutex<Vec<Change>>>;

/// A service behind a proxy, where ann is an admin.
fn closed() -> (Stub, ApiRef, Stored) {
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
    let proxies = Proxies::parse(&["10.0.0.0/8".to_owned()]).unwrap();
    let config = Config { access: Access { proxies, ..Access::default() }, ..config() };
    let api = web::Data::new(Api::new(config, stub.deps(), Arc::default()));
    (stub, api, stored)
}

fn by_ann(request: TestRequest) -> TestRequest {
    request
        .peer_addr("10.0.0.1:4000".parse().unwrap())
        .insert_header(("x-forwarded-for", "192.0.2.7"))
        .insert_header(("authorization", "Bearer secret"))
}

#[actix::test]
async fn a_change_is_stored_with_who_what_and_from_where() {
    let (_stub, api, stored) = closed();
    let add = request(Method::POST, "/api/v1/tokens").set_payload(r#"{"name":"etl","role":"worker"}"#);
    let added = send(api.clone(), by_ann(add)).await.ok();
    let removed = send(api.clone(), by_ann(request(Method::DELETE, "/api/v1/tokens/etl"))).await;
    assert_eq!(removed.status, 204);
    let changes = stored.lock().unwrap().clone();
    let expected = Change {
        at: noon(),
        who: "ann".to_owned(),
        from: "192.0.2.7".to_owned(),
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
    let (stub, api, stored) = closed();
    stub.remove_token(|_| Err(Error::new(Code::TokenUnknown, "planned")));
    stub.alerts(|_| Ok(Vec::new()));
    let refused = send(api.clone(), by_ann(request(Method::DELETE, "/api/v1/tokens/nobody"))).await;
    assert_eq!(refused.code(), "token_unknown");
    assert_eq!(send(api.clone(), by_ann(request(Method::GET, "/api/v1/alerts"))).await.status, 200);
    assert_eq!(send(api.clone(), request(Method::DELETE, "/api/v1/tokens/etl")).await.code(), "unauthorized");
    let login = request(Method::POST, "/login").set_payload("token=secret");
    assert_eq!(send(api.clone(), by_ann(login)).await.status, 303);
    assert_eq!(*stored.lock().unwrap(), Vec::new());
}

#[actix::test]
async fn a_trail_that_can_not_be_stored_takes_no_answer_away() {
    let (stub, api, _) = closed();
    stub.record_change(|_| Err(Error::new(Code::Storage, "planned")));
    let removed = send(api.clone(), by_ann(request(Method::DELETE, "/api/v1/tokens/etl"))).await;
    assert_eq!(removed.status, 204);
}

#[actix::test]
async fn the_trail_is_listed_by_day() {
    let stub = Stub::default();
    stub.changes(|query| {
        assert_eq!((query.after, query.limit), (Some(9), 3));
        let change = |id| StoredChange {
            id,
            change: Change {
                at: noon(),
                who: "ann".to_owned(),
                from: "192.0.2.7".to_owned(),
                what: "POST /refresh".to_owned(),
                detail: String::new(),
                status: 200,
            },
        };
        Ok([8, 7, 6].map(change).to_vec())
    });
    let list = stub.get("/api/v1/audit?date=2026-03-02&limit=2&cursor=9").await.ok();
    assert_eq!(list["next"], "7");
    assert_eq!(
        list["items"][0],
        json!({"id": 8, "at": "2026-03-02T12:00:00Z", "who": "ann", "from": "192.0.2.7",
               "what": "POST /refresh", "detail": "", "status": 200})
    );
    assert_eq!(stub.get("/api/v1/audit?day=x").await.code(), "invalid_request");
}

#[actix::test]
async fn packed_bodies_are_refused() {
    let packed = request(Method::POST, "/api/v1/tasks").insert_header(("content-encoding", "gzip"));
    let reply = Stub::default().send(packed.set_payload("x")).await;
    assert_eq!(reply.code(), "unsupported_media_type");
}

#[actix::test]
async fn a_cookie_by_https_stays_there() {
    let (_stub, api, _) = closed();
    let login = |proto: &str| {
        let login = request(Method::POST, "/login").set_payload("token=secret");
        send(api.clone(), by_ann(login).insert_header(("x-forwarded-proto", proto)))
    };
    assert!(login("https").await.header("set-cookie").contains("; Secure"));
    assert!(!login("http").await.header("set-cookie").contains("; Secure"));
}
