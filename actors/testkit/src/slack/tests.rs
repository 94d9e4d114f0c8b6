//! It records, answers and fails as it is told.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::*;

const TEXT: &str = r#"{"text":"a"}"#;

const PATIENCE: Duration = Duration::from_secs(20);

/// What a request is answered; nothing when the connection ends first.
async fn post(url: &str, body: &str) -> std::io::Result<String> {
    post_as("xoxb-1", url, body).await
}

async fn post_as(token: &str, url: &str, body: &str) -> std::io::Result<String> {
    let (host, path) = url.trim_start_matches("http://").split_once('/').unwrap();
    let mut stream = TcpStream::connect(host).await?;
    let length = body.len();
    let head = format!("Host: {host}\r\nAuthorization: Bearer {token}\r\nContent-Length: {length}");
    let request = format!("POST /{path} HTTP/1.1\r\n{head}\r\n\r\n{body}");
    stream.write_all(request.as_bytes()).await?;
    stream.shutdown().await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

#[tokio::test]
async fn it_records_in_order_and_answers_as_slack_does() {
    let slack = FakeSlack::start();
    let answer = post(&slack.webhook_url(), r#"{"text":"a"}"#).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\nok"), "{answer}");
    assert!(answer.contains("content-type: text/html\r\n"), "{answer}");
    let post_message = format!("{}/chat.postMessage", slack.api_url());
    let answer = post(&post_message, r##"{"channel":"#c","text":"b"}"##).await.unwrap();
    assert!(answer.contains(r#""ok":true"#) && answer.contains("1700000000.000001"), "{answer}");
    let update = format!("{}/chat.update", slack.api_url());
    assert!(
        post(&update, r#"{"channel":"CC","ts":"1700000000.000001","text":"c"}"#)
            .await
            .unwrap()
            .contains(r#""ok":true"#)
    );
    let requests = slack.wait_for(3, PATIENCE).await;
    assert_eq!((&requests[0].path[..], &requests[0].body["text"]), ("/hook", &json!("a")));
    assert_eq!((requests[0].header("content-length"), &requests[1].body["channel"]), (Some("12"), &json!("#c")));
    slack.clear();
    assert_eq!(slack.requests(), []);
}

#[tokio::test]
async fn it_fails_as_it_is_told() {
    let slack = FakeSlack::start();
    let url = slack.webhook_url();
    slack.answer_next(SlackMode::Status(503));
    slack.answer_next(SlackMode::Bare(204));
    slack.set_mode(SlackMode::TooMany { retry_after: 7 });
    assert!(post(&url, TEXT).await.unwrap().starts_with("HTTP/1.1 503 "));
    assert!(post(&url, TEXT).await.unwrap().starts_with("HTTP/1.1 204 "));
    assert!(post(&url, TEXT).await.unwrap().contains("retry-after: 7\r\n"));
    slack.set_mode(SlackMode::Cut);
    assert_eq!(post(&url, TEXT).await.unwrap_or_default(), "");
    slack.set_mode(SlackMode::NotOk);
    assert!(post(&url, TEXT).await.unwrap().ends_with("no_service"));
    assert_eq!(slack.requests().len(), 5, "each of them came");
}

#[tokio::test]
async fn refused_connections_leave_no_trace_and_end() {
    let slack = FakeSlack::start();
    for _ in 0..3 {
        slack.set_mode(SlackMode::Refuse);
        let refused = post(&slack.webhook_url(), TEXT).await.unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
        slack.set_mode(SlackMode::Ok);
        post(&slack.webhook_url(), TEXT).await.unwrap();
    }
    assert_eq!(slack.requests().len(), 3);
}

#[tokio::test]
async fn a_hung_request_is_answered_once_it_is_let_go() {
    let slack = FakeSlack::start();
    for mode in [SlackMode::Hang, SlackMode::Status(500)] {
        slack.set_mode(SlackMode::Hang);
        slack.clear();
        let url = slack.webhook_url();
        let hanging = tokio::spawn(async move { post(&url, TEXT).await.unwrap() });
        slack.wait_for(1, PATIENCE).await;
        assert!(!hanging.is_finished());
        slack.set_mode(mode);
        slack.release();
        let end = if mode == SlackMode::Hang { "ok" } else { "broken" };
        assert!(hanging.await.unwrap().ends_with(end), "{mode:?}");
    }
}

#[tokio::test]
async fn the_board_shows_posts_threads_and_edits() {
    let slack = FakeSlack::start();
    let call = async |method: &str, body: &str| post(&format!("{}/{method}", slack.api_url()), body).await.unwrap();
    call("chat.postMessage", r##"{"channel":"#c","text":"a"}"##).await;
    call("chat.postMessage", r#"{"channel":"CC","thread_ts":"1700000000.000001","text":"b"}"#).await;
    let edit = r#"{"channel":"CC","ts":"1700000000.000001","text":"A"}"#;
    call("chat.update", edit).await;
    let seen: Vec<_> =
        slack.board().into_iter().map(|post| (post.body["text"].clone(), post.thread, post.edits)).collect();
    let thread = Some("1700000000.000001".to_owned());
    assert_eq!(seen, [(json!("A"), None, 1), (json!("b"), thread, 0)]);
    for (method, body, error) in [
        ("chat.update", r##"{"channel":"#c","ts":"1700000000.000001","text":"A"}"##, "channel_not_found"),
        ("chat.update", r#"{"channel":"CC","ts":"9","text":"A"}"#, "message_not_found"),
        ("chat.update", r#"{"channel":"CC","ts":"1700000000.000001","text":"<"}"#, "invalid_blocks"),
        ("chat.postMessage", r#"{"channel":"CC"}"#, "no_text"),
        ("chat.postMessage", r#"{"text":"x"}"#, "channel_not_found"),
        ("chat.postMessage", r#"{"channel":"CC","thread_ts":"9","text":"b"}"#, "thread_not_found"),
        ("chat.delete", "{}", "unknown_method"),
    ] {
        let answer = call(method, body).await;
        assert!(answer.contains(error), "{method} {body}: {answer}");
    }
    slack.delete("1700000000.000001");
    assert!(call("chat.update", edit).await.contains("message_not_found"));
    assert_eq!(slack.board(), []);
    let refused = post_as("xapp-1", &format!("{}/auth.test", slack.api_url()), "{}").await.unwrap();
    assert!(refused.contains("not_allowed_token_type"), "{refused}");
    assert!(post(&slack.webhook_url(), "{}").await.unwrap().starts_with("HTTP/1.1 400 "));
}

#[tokio::test]
async fn clicks_go_through_the_newest_connection_and_are_acknowledged() {
    use futures_util::{SinkExt as _, StreamExt as _};
    use tokio_tungstenite::tungstenite::{Message, protocol::Role};
    let slack = FakeSlack::start();
    let opened = post_as("xapp-1", &format!("{}/apps.connections.open", slack.api_url()), "{}").await.unwrap();
    let url = opened.split("\"url\":\"ws://").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let (host, path) = url.split_once('/').unwrap();
    let connect = async || {
        let mut stream = TcpStream::connect(host).await.unwrap();
        let head = format!("GET /{path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\n");
        let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        stream.write_all(format!("{head}{key}").as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            answer.push(stream.read_u8().await.unwrap());
        }
        (stream, String::from_utf8(answer).unwrap())
    };
    let (stream, answer) = connect().await;
    assert!(answer.contains("101") && answer.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{answer}");
    assert!(connect().await.1.contains("403"), "a ticket is good once");
    let mut socket = tokio_tungstenite::WebSocketStream::from_raw_socket(stream, Role::Client, None).await;
    slack.wait_for_sockets(1, PATIENCE).await;
    let client = async {
        while let Some(Ok(Message::Text(text))) = socket.next().await {
            let said: Value = serde_json::from_str(&text).unwrap();
            if let Some(id) = said["envelope_id"].as_str() {
                let answer = json!({"envelope_id": id}).to_string();
                socket.send(Message::text(answer)).await.unwrap();
            }
        }
    };
    let test = async {
        assert!(slack.interact(json!({"type": "block_actions"}), PATIENCE).await);
        slack.cut_sockets();
    };
    tokio::join!(client, test);
    assert_eq!(slack.sockets(), 0);
    assert!(!slack.interact(json!({}), Duration::ZERO).await, "nobody hears");
}
