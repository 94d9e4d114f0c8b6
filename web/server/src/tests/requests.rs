//! Requests that can't be, and what goes round all of them.

use actix_web::http::Method;
use actix_web::test::TestRequest;
use flowlord_kernel::Code;
use flowlord_web_core::extract::{MAX_BODY, MAX_RESULTS};
use flowlord_web_pages::CONTENT_SECURITY_POLICY;

use super::stub::{Stub, request};

#[actix::test]
async fn unknown_paths_are_problems() {
    let stub = Stub::default();
    for path in
        ["/nowhere", "/api", "/api/v1", "/api/v1/nothing", "/api/v2/tasks", "/assets/none.css", "/api/v1/tasks/"]
    {
        let reply = stub.get(path).await;
        assert_eq!((reply.status, reply.code().as_str()), (404, "not_found"), "{path}");
    }
    assert_eq!(stub.post("/nowhere", "").await.code(), "not_found");
}

#[actix::test]
async fn methods_that_a_path_does_not_take_are_told_which_it_takes() {
    let stub = Stub::default();
    let lease = "/api/v1/lease/x";
    for (method, path, allow) in [
        (Method::GET, "/api/v1/lease", "POST"),
        (Method::GET, &format!("{lease}/heartbeat"), "POST"),
        (Method::PUT, &format!("{lease}/result"), "POST"),
        (Method::DELETE, &format!("{lease}/release"), "POST"),
        (Method::GET, "/api/v1/results", "POST"),
        (Method::DELETE, "/api/v1/tasks", "GET, HEAD, POST"),
        (Method::POST, "/api/v1/tasks/x", "GET, HEAD"),
        (Method::POST, "/api/v1/chains/x", "GET, HEAD"),
        (Method::POST, "/api/v1/workflows", "GET, HEAD"),
        (Method::POST, "/api/v1/workflows/a/b", "GET, HEAD"),
        (Method::PATCH, "/api/v1/alerts", "GET, HEAD"),
        (Method::POST, "/api/v1/stats", "GET, HEAD"),
        (Method::POST, "/healthz", "GET, HEAD"),
        (Method::POST, "/readyz", "GET, HEAD"),
        (Method::POST, "/status", "GET, HEAD"),
        (Method::POST, "/", "GET, HEAD"),
        (Method::POST, "/info", "GET, HEAD"),
        (Method::POST, "/recap", "GET, HEAD"),
        (Method::POST, "/task/x", "GET, HEAD"),
        (Method::DELETE, "/workflow/x.toml", "GET, HEAD"),
        (Method::HEAD, "/refresh", "GET, POST"),
        (Method::PUT, "/notify", "GET, POST"),
        (Method::GET, "/slack/interactive", "POST"),
        (Method::OPTIONS, "/api/docs/errors", "GET, HEAD"),
        (Method::POST, "/assets/x/y", "GET, HEAD"),
    ] {
        let reply = stub.send(request(method.clone(), path)).await;
        assert_eq!(reply.code(), "method_not_allowed", "{method} {path}");
        assert_eq!(reply.header("allow"), allow, "{method} {path}");
    }
}

#[actix::test]
async fn bodies_have_limits() {
    let stub = Stub::default();
    let spaces = |count: usize, rest: &str| format!("{}{rest}", " ".repeat(count - rest.len()));
    for (path, body, most, says) in [
        ("/api/v1/tasks", "{}", MAX_BODY, "1 MiB"),
        ("/api/v1/lease", "{}", MAX_BODY, "1 MiB"),
        ("/api/v1/lease/x/heartbeat", "{}", MAX_BODY, "1 MiB"),
        ("/api/v1/lease/x/result", "{}", MAX_RESULTS, "8 MiB"),
        ("/api/v1/results", "[]", MAX_RESULTS, "8 MiB"),
    ] {
        assert_ne!(stub.post(path, spaces(most, body)).await.status, 413, "{path}");
        let (status, code, detail) = stub.post(path, spaces(most + 1, body)).await.problem();
        assert_eq!((status, code.as_str()), (413, "body_too_large"), "{path}");
        assert!(detail.contains(says), "{detail}");
    }
}

#[actix::test]
async fn bodies_are_json() {
    let stub = Stub::default();
    for (kind, status) in [
        ("application/json", 201),
        ("Application/JSON; charset=utf-8", 201),
        ("application/vnd.task+json", 201),
        ("application/x-www-form-urlencoded", 201),
        ("", 201),
        ("text/plain", 415),
        ("application/xml", 415),
        ("multipart/form-data; boundary=x", 415),
        ("application/x-ndjson", 415),
    ] {
        let request = TestRequest::post().uri("/api/v1/tasks").insert_header(("content-type", kind)).set_payload("[]");
        let reply = stub.send(request).await;
        assert_eq!(reply.status, status, "{kind}");
        if status == 415 {
            assert!(reply.problem().2.contains("Content-Type: application/json"), "{kind}");
        }
    }
}

#[actix::test]
async fn foreign_pages_get_nothing_done() {
    let stub = Stub::default();
    let rebound = TestRequest::get().uri("/status").insert_header(("host", "evil.example.org"));
    assert_eq!(stub.send(rebound).await.code(), "forbidden_origin");
    let cross =
        |kind: &str| TestRequest::post().uri("/api/v1/tasks").insert_header(("sec-fetch-site", kind)).set_payload("[]");
    let reply = stub.send(cross("cross-site")).await;
    assert_eq!(reply.problem().0, 403);
    assert_eq!(reply.header("x-content-type-options"), "nosniff");
    assert_eq!(stub.send(cross("same-origin")).await.status, 201);
}

#[actix::test]
async fn browsers_are_told_what_they_may_do() {
    let stub = Stub::default();
    for path in ["/", "/api/docs/errors", "/nowhere", "/status"] {
        let reply = stub.get(path).await;
        assert_eq!(reply.header("content-security-policy"), CONTENT_SECURITY_POLICY, "{path}");
        assert_eq!(reply.header("x-frame-options"), "DENY", "{path}");
        assert_eq!(reply.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(reply.header("cache-control"), "no-store", "{path}");
    }
    assert_eq!(stub.get("/healthz").await.header("x-content-type-options"), "nosniff");
    assert!(!CONTENT_SECURITY_POLICY.contains("unsafe"));
}

#[actix::test]
async fn every_answer_names_its_request() {
    let stub = Stub::default();
    let with = |path: &str, id: &str| TestRequest::get().uri(path).insert_header(("x-request-id", id));
    for path in ["/healthz", "/api/v1/tasks", "/nowhere"] {
        let own = stub.get(path).await;
        let id = own.header("x-request-id").to_owned();
        assert!(id.ends_with("-1") && id.len() > 10, "{id}");
        let given = stub.send(with(path, "trace-7")).await;
        assert_eq!(given.header("x-request-id"), "trace-7", "{path}");
        if given.status >= 400 {
            assert_eq!(given.json()["request_id"], "trace-7", "{path}");
            given.problem();
        }
    }
    for bad in ["", "two words", &"x".repeat(129)] {
        assert!(stub.send(with("/healthz", bad)).await.header("x-request-id").ends_with("-1"), "{bad}");
    }
    let refused = TestRequest::get().uri("/status").insert_header(("host", "evil.example.org"));
    let refused = stub.send(refused.insert_header(("x-request-id", "trace-8"))).await;
    assert_eq!((refused.code().as_str(), &refused.json()["request_id"]), ("forbidden_origin", &"trace-8".into()));
}

#[actix::test]
async fn a_head_request_is_answered_like_a_get() {
    assert_eq!(Stub::default().send(request(Method::HEAD, "/healthz")).await.status, 200);
}

#[actix::test]
async fn every_code_is_explained_on_the_page_that_problems_point_to() {
    let page = Stub::default().get("/api/docs/errors").await.text;
    for code in Code::ALL {
        assert!(page.contains(&format!("<tr id=\"{}\">", code.as_str())), "{code:?}");
    }
}
