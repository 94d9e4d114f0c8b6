//! HTTP as far as the fake Slack speaks it, on a socket that can refuse.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, mpsc};

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc as channel;

use super::socket::{is_socket, serve as serve_socket};
use super::{Door, Shared, SlackMode, SlackRequest};

pub(super) fn response(status: u16, content_type: &str, headers: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status} X\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\n{headers}\r\n{body}",
        body.len()
    )
}

/// A socket on an address that other sockets of this program may have too.
fn socket(address: SocketAddr) -> std::io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseport(true)?;
    socket.bind(address)?;
    Ok(socket)
}

#[expect(clippy::expect_used, reason = "a test without a port can't go on")]
pub(super) async fn serve(
    shared: Arc<Shared>,
    mut doors: channel::UnboundedReceiver<Door>,
    tell: mpsc::Sender<SocketAddr>,
) {
    // Never listens: it keeps the port ours while nobody does.
    let keeper = socket((Ipv4Addr::LOCALHOST, 0).into()).expect("a free port");
    let address = keeper.local_addr().expect("an address");
    let listen = || socket(address).and_then(|socket| socket.listen(64)).expect("our own port");
    let mut listener = Some(listen());
    let _nobody_waits = tell.send(address);
    loop {
        tokio::select! {
            stream = accept(listener.as_ref()) => {
                tokio::spawn(converse(stream, Arc::clone(&shared)));
            }
            door = doors.recv() => {
                let Some((open, done)) = door else { return };
                match open {
                    false => listener = None,
                    true if listener.is_none() => listener = Some(listen()),
                    true => {}
                }
                let _nobody_waits = done.send(());
            }
        }
    }
}

async fn accept(listener: Option<&TcpListener>) -> TcpStream {
    let Some(listener) = listener else { return std::future::pending().await };
    loop {
        if let Ok((stream, _)) = listener.accept().await {
            return stream;
        }
    }
}

/// Answers the requests of one connection, until either side closes it.
async fn converse(mut stream: TcpStream, shared: Arc<Shared>) {
    let mut unread = Vec::new();
    let mut released = shared.released.subscribe();
    while let Some(request) = read_request(&mut stream, &mut unread).await {
        released.mark_unchanged();
        if is_socket(&request) {
            return serve_socket(stream, &request, &shared).await;
        }
        let mut mode = shared.take(&request);
        if mode == SlackMode::Hang {
            if released.changed().await.is_err() {
                return;
            }
            mode = shared.after_hanging();
        }
        if matches!(mode, SlackMode::Cut | SlackMode::Refuse)
            || stream.write_all(shared.answer(mode, &request).as_bytes()).await.is_err()
        {
            return;
        }
    }
}

async fn read_request(stream: &mut TcpStream, unread: &mut Vec<u8>) -> Option<SlackRequest> {
    const END_OF_HEAD: &[u8] = b"\r\n\r\n";
    let head = loop {
        if let Some(at) = unread.windows(END_OF_HEAD.len()).position(|window| window == END_OF_HEAD) {
            let head: Vec<u8> = unread.drain(..at + END_OF_HEAD.len()).collect();
            break String::from_utf8_lossy(&head).trim_end().to_owned();
        }
        read_more(stream, unread).await?;
    };
    let mut lines = head.lines().map(str::to_owned);
    let path = lines.next()?.split(' ').nth(1)?.to_owned();
    let mut request = SlackRequest { path, head: lines.collect(), body: Value::Null, at: None };
    let length = request.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    while unread.len() < length {
        read_more(stream, unread).await?;
    }
    let body: Vec<u8> = unread.drain(..length).collect();
    request.body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    Some(request)
}

async fn read_more(stream: &mut TcpStream, unread: &mut Vec<u8>) -> Option<()> {
    match stream.read_buf(unread).await {
        Ok(0) | Err(_) => None,
        Ok(_) => Some(()),
    }
}
