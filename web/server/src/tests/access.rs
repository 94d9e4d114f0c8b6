//! Who is let in, with what, and what the others hear.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use actix_web::http::Method;
use actix_web::test::TestRequest;
use actix_web::web;
use flowlord_domain::Role;
use flowlord_kernel::Code;
use flowlord_messages::tokens::StoredToken;
use flowlord_web_core::auth::{AccessRules, hash_of};
use flowlord_web_core::context::Config;
use flowlord_web_core::context::{ContextRef, WebContext};
use serde_json::json;

use super::stub::{Reply, Stub, config, noon, request, send};

pub(super) const PEER: &str = "10.0.0.1:4000";

/// Tokens whose text is the name of their role.
pub(super) fn tokens() -> Vec<StoredToken> {
    let token =
        |role: Role| StoredToken { name: format!("the.{role}"), role, hash: hash_of(role.as_str()), created: noon() };
    Role::ALL.map(token).to_vec()
}

/// A service with tokens whose text is the name of their role.
pub(super) fn closed() -> (Stub, ContextRef) {
    let stub = Stub::default();
    stub.tokens_read(|_| Ok(tokens()));
    stub.alerts(|_| Ok(Vec::new()));
    let access = AccessRules { local: Some(hash_of("local")), ..AccessRules::default() };
    let config = Config { access, ..config() };
    let context = web::Data::new(WebContext::new(config, stub.deps(), crate::routes::table()));
    (stub, context)
}

pub(crate) fn with(request: TestRequest, token: &str) -> TestRequest {
    request.peer_addr(PEER.parse().unwrap()).insert_header(("authorization", format!("Bearer {token}")))
}

async fn get(context: &ContextRef, path: &str, token: &str) -> Reply {
    send(context.clone(), with(request(Method::GET, path), token)).await
}

#[actix::test]
async fn each_role_may_do_what_it_is_for() {
    let (_stub, context) = closed();
    // What no actor answers comes back as `storage` or a mistake of the request: it was let in.
    for (method, path, needed) in [
        (Method::POST, "/api/v1/lease", Role::Worker),
        (Method::POST, "/api/v1/tasks", Role::Worker),
        (Method::POST, "/api/v1/results", Role::Worker),
        (Method::GET, "/api/v1/tasks", Role::Viewer),
        (Method::GET, "/api/v1/alerts", Role::Viewer),
        (Method::GET, "/metrics", Role::Viewer),
        (Method::GET, "/", Role::Viewer),
        (Method::POST, "/api/v1/workflows/refresh", Role::Operator),
        (Method::GET, "/notify", Role::Operator),
        (Method::POST, "/api/v1/snapshots", Role::Admin),
        (Method::GET, "/api/v1/tokens", Role::Admin),
        (Method::DELETE, "/api/v1/tokens/x", Role::Admin),
    ] {
        for role in Role::ALL {
            let reply = send(context.clone(), with(request(method.clone(), path), role.as_str())).await;
            assert_eq!(reply.status != 403, role.covers_role(needed), "{role} {method} {path}: {reply:?}");
            assert_ne!(reply.status, 401, "{role} {method} {path}");
        }
        let local = send(context.clone(), with(request(method.clone(), path), "local")).await;
        assert!(![401, 403].contains(&local.status), "{method} {path}: {local:?}");
    }
}

#[actix::test]
async fn without_a_token_programs_get_a_problem_and_people_the_login_page() {
    let (_stub, context) = closed();
    let reply = send(context.clone(), request(Method::GET, "/api/v1/tasks")).await;
    let (status, code, detail) = reply.problem();
    assert_eq!((status, code.as_str(), reply.header("www-authenticate")), (401, "unauthorized", "Bearer"));
    assert!(detail.contains("flowlord token add"), "{detail}");
    let page = request(Method::GET, "/web/alert?date=2026-03-01&type=a").insert_header(("accept", "text/html,*/*"));
    let reply = send(context.clone(), page).await;
    let to = "/login?next=/web/alert?date=2026-03-01%26type=a";
    assert_eq!((reply.status, reply.header("location")), (303, to));
    for open in ["/healthz", "/status", "/login"] {
        assert_eq!(send(context.clone(), request(Method::GET, open)).await.status, 200, "{open}");
    }
    let basic = request(Method::GET, "/").insert_header(("authorization", "Basic YTpi"));
    assert_eq!(send(context.clone(), basic).await.code(), "unauthorized");
    assert_eq!(send(context, request(Method::GET, "/no/such/path")).await.code(), "unauthorized");
}

#[actix::test]
async fn a_path_written_in_other_bytes_needs_the_same_role() {
    let (_stub, context) = closed();
    for (method, path, needed) in [
        (Method::POST, "/api/v1/%74okens", Role::Admin),
        (Method::GET, "/api/v1/a%75dit", Role::Admin),
        (Method::POST, "/api/v1/%6cease", Role::Worker),
        (Method::GET, "/%6eotify", Role::Operator),
        (Method::POST, "/%68ooks/operator/results", Role::Push),
    ] {
        for role in [Role::Worker, Role::Viewer, Role::Operator] {
            let reply = send(context.clone(), with(request(method.clone(), path), role.as_str())).await;
            assert_eq!(reply.status != 403, role.covers_role(needed), "{role} {method} {path}: {reply:?}");
        }
    }
}

#[actix::test]
async fn a_viewer_hears_which_role_is_needed() {
    let (_stub, context) = closed();
    let (_, code, detail) = send(context, with(request(Method::POST, "/notify"), "viewer")).await.problem();
    assert_eq!(code, "forbidden");
    assert!(detail.contains("the.viewer is the token of a viewer") && detail.contains("operator"), "{detail}");
}

#[actix::test]
async fn guessing_is_slow_and_known_tokens_of_others_go_on() {
    let (_stub, context) = closed();
    for _ in 0..10 {
        assert_eq!(get(&context, "/api/v1/alerts", "wrong").await.code(), "unauthorized");
    }
    assert_eq!(get(&context, "/api/v1/alerts", "wrong").await.code(), "too_many_attempts");
    assert_eq!(get(&context, "/api/v1/alerts", "viewer").await.code(), "too_many_attempts", "or it could guess on");
    let elsewhere = request(Method::GET, "/api/v1/alerts").peer_addr("10.0.0.2:4000".parse().unwrap());
    let elsewhere = elsewhere.insert_header(("authorization", "bearer viewer"));
    assert_eq!(send(context, elsewhere).await.status, 200);
}

#[actix::test]
async fn tokens_that_changed_while_they_were_read_are_read_again() {
    let (stub, context) = closed();
    let reads = Arc::new(AtomicUsize::new(0));
    let (count, changed) = (Arc::clone(&reads), context.clone());
    stub.tokens_read(move |_| {
        if count.fetch_add(1, Ordering::SeqCst) == 0 {
            changed.tokens.changed();
        }
        Ok(tokens())
    });
    for reads_so_far in [1, 2, 2] {
        assert_ne!(get(&context, "/api/v1/alerts", "viewer").await.status, 401);
        assert_eq!(reads.load(Ordering::SeqCst), reads_so_far);
    }
}

#[actix::test]
async fn a_person_logs_in_and_out() {
    let (_stub, context) = closed();
    let form = |token: &str| {
        let form = ("content-type", "application/x-www-form-urlencoded");
        let body = format!("token={token}&next=%2Fapi%2Fv1%2Falerts");
        request(Method::POST, "/login").peer_addr(PEER.parse().unwrap()).insert_header(form).set_payload(body)
    };
    let wrong = send(context.clone(), form("wrong")).await;
    assert_eq!(wrong.status, 401);
    assert!(wrong.text.contains("It was removed, or is mistyped."), "{}", wrong.text);
    let reply = send(context.clone(), form("viewer")).await;
    assert_eq!((reply.status, reply.header("location")), (303, "/api/v1/alerts"));
    let cookie = reply.header("set-cookie").to_owned();
    for part in ["flowlord_session=the.viewer.", "HttpOnly", "SameSite=Lax", "Path=/", "Max-Age=43200"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    let session = cookie.split(';').next().unwrap().to_owned();
    let by_cookie = |method, path| request(method, path).insert_header(("cookie", session.clone()));
    assert_eq!(send(context.clone(), by_cookie(Method::GET, "/api/v1/alerts")).await.status, 200);
    assert_eq!(send(context.clone(), by_cookie(Method::POST, "/notify")).await.code(), "forbidden");
    let foreign = by_cookie(Method::POST, "/notify").insert_header(("sec-fetch-site", "cross-site"));
    assert_eq!(send(context.clone(), foreign).await.code(), "forbidden_origin");
    let forged = session.replace("viewer", "admin");
    let forged = request(Method::GET, "/api/v1/alerts").insert_header(("cookie", forged));
    assert_eq!(send(context.clone(), forged).await.code(), "unauthorized");
    let out = send(context, by_cookie(Method::POST, "/logout")).await;
    assert!(out.header("set-cookie").contains("Max-Age=0"), "{out:?}");
}

#[actix::test]
async fn tokens_are_made_shown_once_and_removed() {
    let (stub, context) = closed();
    let stored = Arc::new(std::sync::Mutex::new(None));
    let seen = Arc::clone(&stored);
    stub.add_token(move |add| {
        *seen.lock().unwrap() = Some(add.hash);
        Ok(())
    });
    let post = |body: &str| {
        let json = ("content-type", "application/json");
        with(request(Method::POST, "/api/v1/tokens"), "admin").insert_header(json).set_payload(body.to_owned())
    };
    let made = send(context.clone(), post(r#"{"name":"etl","role":"worker"}"#)).await;
    assert_eq!(made.status, 201);
    let token = made.ok()["token"].as_str().unwrap().to_owned();
    assert!(token.starts_with("flw_") && token.len() == 68, "{token}");
    assert_eq!(*stored.lock().unwrap(), Some(hash_of(&token)), "only its hash is stored");
    for (body, said) in [
        (r#"{"name":"a b","role":"worker"}"#, "name: write"),
        (r#"{"name":"etl","role":"root"}"#, "worker, viewer, operator, admin or push"),
    ] {
        let (_, code, detail) = send(context.clone(), post(body)).await.problem();
        assert_eq!(code, "invalid_request");
        assert!(detail.contains(said), "{detail}");
    }
    let listed = get(&context, "/api/v1/tokens", "admin").await;
    assert_eq!(
        listed.ok()["items"][0],
        json!({"name": "the.worker", "role": "worker", "created": "2026-03-02T12:00:00Z"})
    );
    stub.remove_token(|remove| match remove.name.as_str() {
        "etl" => Ok(()),
        _ => Err(flowlord_kernel::Error::new(Code::TokenUnknown, "there is no token named x")),
    });
    let remove = |name: &str| with(request(Method::DELETE, &format!("/api/v1/tokens/{name}")), "admin");
    assert_eq!(send(context.clone(), remove("etl")).await.status, 204);
    assert_eq!(send(context, remove("x")).await.code(), "token_unknown");
}

#[actix::test]
async fn metrics_may_be_open_and_a_database_that_does_not_answer_lets_nobody_in() {
    let (stub, _) = closed();
    let access = AccessRules { open_metrics: true, ..AccessRules::default() };
    let context = web::Data::new(WebContext::new(Config { access, ..config() }, stub.deps(), crate::routes::table()));
    assert_eq!(send(context.clone(), request(Method::GET, "/metrics")).await.status, 200);
    stub.tokens_read(|_| Err(flowlord_kernel::Error::new(Code::Storage, "gone")));
    assert_eq!(get(&context, "/api/v1/alerts", "viewer").await.code(), "storage");
}
