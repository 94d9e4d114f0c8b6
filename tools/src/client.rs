//! The least HTTP client that measures well: one connection, one request at a time, nothing allocated per
//! request but its body. A full client would take a larger share of the two cores than the server under test.

use anyhow::{Context as _, bail};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A connection that is kept.
#[derive(Debug)]
pub(crate) struct Client {
    stream: TcpStream,
    host: String,
    out: Vec<u8>,
    buffer: Vec<u8>,
}

impl Client {
    pub(crate) async fn connect(address: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await.with_context(|| format!("connecting to {address}"))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, host: address.to_owned(), out: Vec::new(), buffer: Vec::with_capacity(4096) })
    }

    /// Posts JSON and answers the body; any status but 2xx is an error.
    pub(crate) async fn post(&mut self, path: &str, body: &str) -> anyhow::Result<&[u8]> {
        self.send("POST", path, body).await
    }

    pub(crate) async fn get(&mut self, path: &str) -> anyhow::Result<&[u8]> {
        self.send("GET", path, "").await
    }

    async fn send(&mut self, method: &str, path: &str, body: &str) -> anyhow::Result<&[u8]> {
        let (status, answer) = self.exchange(method, path, "", body).await?;
        if !(200..300).contains(&status) {
            bail!("{method} {path}: {status} {}", String::from_utf8_lossy(answer));
        }
        Ok(answer)
    }

    /// Sends a request, with header lines of its own, and answers its status and body.
    pub(crate) async fn exchange(
        &mut self,
        method: &str,
        path: &str,
        headers: &str,
        body: &str,
    ) -> anyhow::Result<(u16, &[u8])> {
        use std::io::Write as _;
        self.out.clear();
        write!(
            self.out,
            "{method} {path} HTTP/1.1\r\nhost: {}\r\n{headers}content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            self.host,
            body.len()
        )?;
        self.stream.write_all(&self.out).await?;
        self.buffer.clear();
        let (head, length) = loop {
            if let Some(end) = find(&self.buffer, b"\r\n\r\n") {
                break (end + 4, content_length(&self.buffer[..end])?);
            }
            self.fill().await?;
        };
        while self.buffer.len() < head + length {
            self.fill().await?;
        }
        let status =
            std::str::from_utf8(&self.buffer[..head])?.split(' ').nth(1).context("no status")?.parse()?;
        Ok((status, &self.buffer[head..head + length]))
    }

    async fn fill(&mut self) -> anyhow::Result<()> {
        if self.stream.read_buf(&mut self.buffer).await? == 0 {
            bail!(Cut);
        }
        Ok(())
    }
}

/// The server closed the connection.
#[derive(Debug, thiserror::Error)]
#[error("the server closed the connection")]
struct Cut;

/// Whether a request failed because the server closed the connection.
pub(crate) fn was_cut(err: &anyhow::Error) -> bool {
    err.downcast_ref::<Cut>().is_some()
}

/// The text between `before` and the next quote: enough to take a lease out of an answer.
pub(crate) fn between<'a>(body: &'a [u8], before: &str) -> Option<&'a str> {
    let start = find(body, before.as_bytes())? + before.len();
    let length = body[start..].iter().position(|byte| *byte == b'"')?;
    std::str::from_utf8(&body[start..start + length]).ok()
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

fn content_length(head: &[u8]) -> anyhow::Result<usize> {
    let head = std::str::from_utf8(head)?;
    let field = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim())
    });
    Ok(field.map_or(Ok(0), str::parse)?)
}
