//! A client of protocols whose answer is a line, after which a payload may follow.

use anyhow::{bail, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

#[derive(Debug)]
pub(super) struct LineClient {
    stream: TcpStream,
    answer: Vec<u8>,
}

impl LineClient {
    pub(super) async fn connect_to(address: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        // As the client of flowlord does it, for the same reason.
        stream.set_nodelay(true)?;
        Ok(Self { stream, answer: Vec::with_capacity(4096) })
    }

    /// Sends a request and returns its whole answer, which must begin as expected.
    pub(super) async fn exchange(&mut self, request: &str, expected: &str) -> anyhow::Result<&str> {
        self.stream.write_all(request.as_bytes()).await?;
        self.answer.clear();
        // One answer at a time, so nothing of another one follows it in the buffer.
        while answer_bytes(&self.answer)?.is_none_or(|bytes| self.answer.len() < bytes) {
            if self.stream.read_buf(&mut self.answer).await? == 0 {
                bail!("the server closed the connection");
            }
        }
        let answer = std::str::from_utf8(&self.answer)?;
        ensure!(answer.starts_with(expected), "{request:?}: {answer:?}");
        Ok(answer)
    }
}

/// The bytes of an answer with its payload, once its line is complete: `$5` of Redis and `RESERVED 1 5` of beanstalkd
/// announce five and a line break.
fn answer_bytes(answer: &[u8]) -> anyhow::Result<Option<usize>> {
    let Some(end) = answer.windows(2).position(|pair| pair == b"\r\n") else { return Ok(None) };
    let line = std::str::from_utf8(&answer[..end])?;
    let payload = match line.strip_prefix("RESERVED ") {
        Some(reserved) => reserved.rsplit(' ').next(),
        None => line.strip_prefix('$'),
    };
    // Redis says `$-1` for no value.
    let payload = payload.and_then(|bytes| bytes.parse::<usize>().ok());
    Ok(Some(end + 2 + payload.map_or(0, |bytes| bytes + 2)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_ends_with_its_line_or_its_payload() {
        let answers = ["", "INSERTED 1\r", "INSERTED 12\r\n", "RESERVED 12 5\r\nab", ":1\r\n", "$-1\r\n", "$5\r\n"];
        let bytes = answers.map(|answer| answer_bytes(answer.as_bytes()).unwrap());
        assert_eq!(bytes, [None, None, Some(13), Some(22), Some(4), Some(5), Some(11)]);
    }
}
