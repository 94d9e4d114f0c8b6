//! What isn't HTTP, or is it in a way that proxies read otherwise, is refused, and the service goes on.

use super::raw;
use crate::support::TestApp;

#[actix::test]
async fn malformed_requests_are_refused_and_change_nothing() {
    let app = TestApp::start().await;
    let task = r#"{"type":"smuggled","info":"x"}"#;
    let smuggled =
        format!("POST /api/v1/tasks HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n{task}", task.len());
    let long = "x".repeat(300_000);
    let mut accepted = Vec::new();
    for request in [
        "\0\0\0\0\r\n\r\n".to_owned(),
        "GET\r\n\r\n".to_owned(),
        "GET / HTTP/9.9\r\nhost: localhost\r\n\r\n".to_owned(),
        format!("GET /{long} HTTP/1.1\r\nhost: localhost\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nhost: localhost\r\nx-long: {long}\r\n\r\n"),
        "GET / HTTP/1.1\r\nhost: localhost\r\nno colon\r\n\r\n".to_owned(),
        "POST /api/v1/tasks HTTP/1.1\r\nhost: localhost\r\ncontent-length: -1\r\n\r\n".to_owned(),
        "POST /api/v1/tasks HTTP/1.1\r\nhost: localhost\r\ncontent-length: 99999999999999999999\r\n\r\n".to_owned(),
        "POST /api/v1/tasks HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n".to_owned(),
        // Two lengths: the one that a proxy goes by and the one that the service would.
        format!(
            "POST /api/v1/lease HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\ncontent-length: 200\r\n\r\n{{}}{smuggled}"
        ),
        format!(
            "POST /api/v1/lease HTTP/1.1\r\nhost: localhost\r\ncontent-length: 200\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n{smuggled}"
        ),
        format!(
            "POST /api/v1/lease HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: xchunked\r\n\r\n0\r\n\r\n{smuggled}"
        ),
    ] {
        let answer = raw(&app.api, request.as_bytes()).await;
        let status = answer.split(' ').nth(1).unwrap_or_default().to_owned();
        if !answer.is_empty() && !status.starts_with('4') {
            accepted.push((request.chars().take(120).collect::<String>(), answer));
        }
    }
    assert_eq!(accepted, Vec::new());
    assert_eq!(app.api.tasks("&type=smuggled").await.len(), 0, "nothing of a refused request is carried out");
    assert_eq!(app.api.get("/healthz").await.status, 200);
    app.stop().await;
}
