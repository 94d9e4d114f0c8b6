//! A client that sends a byte now and then holds nothing up, and not for long.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::TestApp;

/// How long the service may take to hang up before the test fails: far more than the ten seconds that it waits.
const PATIENCE: Duration = Duration::from_secs(120);

#[actix::test]
async fn headers_that_do_not_come_to_an_end_are_cut_off() {
    let app = TestApp::start().await;
    let address = app.api.base.trim_start_matches("http://").to_owned();
    let mut slow = Vec::new();
    for _ in 0..50 {
        let mut stream = TcpStream::connect(&address).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\nx-slow: ").await.unwrap();
        slow.push(stream);
    }
    assert_eq!(app.api.get("/healthz").await.status, 200, "the others are answered meanwhile");
    for mut stream in slow {
        let mut answer = Vec::new();
        let ended = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
        assert!(ended.is_ok(), "still open");
        assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 408"), "{answer:?}");
    }
    app.stop().await;
}
