//! The least HTTP client that measures well: one connection, one request at a time, nothing allocated per
//! request but its body. A full client would take a larger share of the two cores than the server under test.

use std::io::Write as _;

use anyhow::{Context as _, bail};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

#[derive(Debug)]
pub(crate) struct HttpClient {
    stream: TcpStream,
    host: String,
    request: Vec<u8>,
    buffer: Vec<u8>,
}

impl HttpClient {
    pub(crate) async fn connect_to(address: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await.with_context(|| format!("connecting to {address}"))?;
        // Else Nagle's algorithm would wait for more, and be measured as the server's time.
        stream.set_nodelay(true)?;
        Ok(Self { stream, host: address.to_owned(), request: Vec::new(), buffer: Vec::with_capacity(4096) })
    }

    /// Posts JSON and returns the body; any status but 2xx is an error.
    pub(crate) async fn post_json(&mut self, path: &str, body: &str) -> anyhow::Result<&[u8]> {
        self.expect_success("POST", path, body).await
    }

    pub(crate) async fn get_body(&mut self, path: &str) -> anyhow::Result<&[u8]> {
        self.expect_success("GET", path, "").await
    }

    async fn expect_success(&mut self, method: &str, path: &str, body: &str) -> anyhow::Result<&[u8]> {
        let (status, answer) = self.send_request(method, path, "", body).await?;
        if !(200..300).contains(&status) {
            bail!("{method} {path}: {status} {}", String::from_utf8_lossy(answer));
        }
        Ok(answer)
    }

    /// Sends a request of JSON, with more header lines, and returns its status and body.
    pub(crate) async fn send_request(
        &mut self,
        method: &str,
        path: &str,
        headers: &str,
        body: &str,
    ) -> anyhow::Result<(u16, &[u8])> {
        self.send_body(method, path, (headers, "application/json"), body).await
    }

    /// The same with a body of any type.
    pub(crate) async fn send_body(
        &mut self,
        method: &str,
        path: &str,
        (headers, content_type): (&str, &str),
        body: &str,
    ) -> anyhow::Result<(u16, &[u8])> {
        self.request.clear();
        write!(
            self.request,
            "{method} {path} HTTP/1.1\r\nhost: {}\r\n{headers}content-type: {content_type}\r\ncontent-length: {}\r\n\r\n{body}",
            self.host,
            body.len()
        )?;
        self.stream.write_all(&self.request).await?;
        self.buffer.clear();
        // One answer at a time, so nothing of another one follows it in the buffer.
        let (head, length) = loop {
            if let Some(end) = find_bytes(&self.buffer, b"\r\n\r\n") {
                break (end + 4, content_length(&self.buffer[..end])?);
            }
            self.fill_buffer().await?;
        };
        while self.buffer.len() < head + length {
            self.fill_buffer().await?;
        }
        let status = std::str::from_utf8(&self.buffer[..head])?.split(' ').nth(1).context("no status")?.parse()?;
        Ok((status, &self.buffer[head..head + length]))
    }

    async fn fill_buffer(&mut self) -> anyhow::Result<()> {
        if self.stream.read_buf(&mut self.buffer).await? == 0 {
            bail!(ConnectionClosed);
        }
        Ok(())
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the server closed the connection")]
struct ConnectionClosed;

/// Whether a request failed because the server was gone, before it or within it.
pub(crate) fn is_disconnect(err: &anyhow::Error) -> bool {
    err.downcast_ref::<ConnectionClosed>().is_some() || err.downcast_ref::<std::io::Error>().is_some()
}

pub(crate) fn find_lease(body: &[u8]) -> Option<&str> {
    // A search costs less than parsing, and the load generator shares the server's cores.
    text_after(body, "\"lease\":\"")
}

pub(crate) fn text_after<'a>(body: &'a [u8], start: &str) -> Option<&'a str> {
    let begin = find_bytes(body, start.as_bytes())? + start.len();
    let length = body[begin..].iter().position(|byte| *byte == b'"')?;
    std::str::from_utf8(&body[begin..begin + length]).ok()
}

fn find_bytes(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

/// The body's length by the lines of a head; 0 when they don't have it.
pub(crate) fn content_length(head: &[u8]) -> anyhow::Result<usize> {
    let head = std::str::from_utf8(head)?;
    let field = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim())
    });
    Ok(field.map_or(Ok(0), str::parse)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_found_in_an_answer_without_reading_all_of_it() {
        let answer = br#"{"tasks":[{"lease":"06-00ff","expires":"x"},{"lease":"07-00aa"}]}"#;
        assert_eq!(find_lease(answer), Some("06-00ff"));
        assert_eq!(find_lease(br#"{"tasks":[]}"#), None);
        assert_eq!(find_lease(br#"{"lease":"06-00"#), None, "it isn't all there");
        assert_eq!(text_after(br#"{"uid":"","id":"7"}"#, "\"uid\":\""), Some(""));
        assert_eq!(text_after(b"", "x"), None);
        assert_eq!(text_after(b"x\xff\"", "x"), None, "it is no text");
    }

    #[test]
    fn the_length_of_a_body_is_in_its_head() {
        let length = |head: &str| content_length(head.as_bytes()).ok();
        assert_eq!(length("HTTP/1.1 200 OK\r\nContent-Length: 17\r\nx: y"), Some(17));
        assert_eq!(length("HTTP/1.1 200 OK\r\nCONTENT-LENGTH:0"), Some(0));
        assert_eq!(length("HTTP/1.1 204 No Content\r\nx-content-length: 9"), Some(0), "it has no body");
        assert_eq!(length("HTTP/1.1 200 OK\r\ncontent-length: many"), None);
    }

    #[test]
    fn only_a_lost_connection_is_a_disconnect() {
        assert!(is_disconnect(&anyhow::Error::new(ConnectionClosed)));
        assert!(is_disconnect(&anyhow::Error::new(std::io::Error::from(std::io::ErrorKind::ConnectionReset))));
        assert!(!is_disconnect(&anyhow::anyhow!("status 500")));
    }
}
