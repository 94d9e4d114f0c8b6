//! No value of a request becomes a header or a line of a log of its own.

use super::raw;
use crate::support::TestApp;

#[actix::test]
async fn what_a_request_says_never_becomes_a_header() {
    let app = TestApp::start().await;
    for target in [
        "/login?next=/x%0d%0aset-cookie:%20planted=1",
        "/web/task?date=2026-03-02%0d%0aset-cookie:%20planted=1",
        "/api/v1/tasks?cursor=%0d%0aset-cookie:%20planted=1",
        "/workflow/%0d%0aset-cookie:%20planted=1",
        "/%0d%0aset-cookie:%20planted=1",
    ] {
        let request = format!("GET {target} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        let answer = raw(&app.api, request.as_bytes()).await;
        let (headers, _) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        assert!(answer.starts_with("HTTP/1.1 "), "{target}: {answer}");
        assert!(!headers.to_lowercase().contains("\r\nset-cookie: planted"), "{target}: {headers}");
    }
    let body = "token=x&next=/ok%0d%0aset-cookie:%20planted=1";
    let login = format!(
        "POST /login HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let answer = raw(&app.api, login.as_bytes()).await;
    assert!(!answer.to_lowercase().contains("\r\nset-cookie: planted"), "{answer}");
    app.stop().await;
}
