//! Where a topic is: what nsqlookupd answers.

use std::time::Duration;

use anyhow::Context as _;
use reqwest::StatusCode;
use serde::Deserialize;

const PATIENCE: Duration = Duration::from_secs(5);
const MAX_ANSWER_BYTES: usize = 1024 * 1024;
/// More nsqd than this for one topic are not connected to.
const MAX_NSQDS: usize = 64;

#[derive(Debug)]
pub(in super::super) struct LookupClient {
    http: reqwest::Client,
    /// `host:port` of each nsqlookupd.
    addresses: Vec<String>,
}

/// The answer of one from 2017 on; before, all of it was within `data`.
#[derive(Deserialize)]
struct LookupAnswer {
    #[serde(default)]
    producers: Vec<NsqdAddress>,
    data: Option<Box<LookupAnswer>>,
}

#[derive(Deserialize)]
struct NsqdAddress {
    broadcast_address: String,
    tcp_port: u16,
}

impl LookupClient {
    pub(in super::super) fn new(addresses: &[String]) -> anyhow::Result<Self> {
        // They are of this network: a proxy for the world outside doesn't reach them.
        let http = reqwest::Client::builder().timeout(PATIENCE).no_proxy().build().context("no HTTP client")?;
        Ok(Self { http, addresses: addresses.to_vec() })
    }

    /// All nsqd that have the topic, as the nsqlookupd know it that answer; an error when none answers.
    pub(in super::super) async fn find_nsqds(&self, topic: &str) -> anyhow::Result<Vec<String>> {
        let (mut found, mut failure) = (Vec::new(), None);
        let mut has_answer = false;
        for address in &self.addresses {
            match self.ask(address, topic).await {
                Ok(nsqds) => {
                    has_answer = true;
                    found.extend(nsqds);
                }
                Err(err) => failure = Some(err.context(format!("nsqlookupd {address}"))),
            }
        }
        // Each nsqlookupd names the same nsqd again.
        found.sort_unstable();
        found.dedup();
        found.truncate(MAX_NSQDS);
        // One answer is enough: an nsqd usually registers with every nsqlookupd.
        failure.filter(|_| !has_answer).map_or(Ok(found), Err)
    }

    async fn ask(&self, address: &str, topic: &str) -> anyhow::Result<Vec<String>> {
        // Without this header a newer one gives the old form of the answer.
        let request = self.http.get(format!("http://{address}/lookup?topic={topic}"));
        let mut response = request.header("accept", "application/vnd.nsq; version=1.0").send().await?;
        let mut body = Vec::new();
        // In pieces, so that an endless answer can't fill the memory.
        while let Some(piece) = response.chunk().await? {
            anyhow::ensure!(
                body.len() + piece.len() <= MAX_ANSWER_BYTES,
                "its answer is over {MAX_ANSWER_BYTES} bytes"
            );
            body.extend_from_slice(&piece);
        }
        read_answer(response.status(), &body)
    }
}

fn read_answer(status: StatusCode, body: &[u8]) -> anyhow::Result<Vec<String>> {
    // Nobody has published it yet; the status of that depends on the version.
    if String::from_utf8_lossy(body).contains("TOPIC_NOT_FOUND") {
        return Ok(Vec::new());
    }
    anyhow::ensure!(status.is_success(), "it answers {status}");
    let answer: LookupAnswer = serde_json::from_slice(body).context("its answer can't be read")?;
    let producers = answer.data.map_or(answer.producers, |data| data.producers);
    Ok(producers.iter().map(NsqdAddress::to_text).collect())
}

impl NsqdAddress {
    fn to_text(&self) -> String {
        let Self { broadcast_address: host, tcp_port } = self;
        // An IPv6 address needs brackets before a port.
        if host.contains(':') { format!("[{host}]:{tcp_port}") } else { format!("{host}:{tcp_port}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_the_answer_are_read() {
        let new = r#"{"channels":["flowlord"],"producers":[{"remote_address":"10.0.0.1:5","hostname":"a",
            "broadcast_address":"a.example","tcp_port":4150,"http_port":4151,"version":"1.3.0"}]}"#;
        let old = format!(r#"{{"status_code":200,"status_txt":"OK","data":{new}}}"#);
        let read = |answer: &str| read_answer(StatusCode::OK, answer.as_bytes());
        for answer in [new, &old] {
            assert_eq!(read(answer).unwrap(), ["a.example:4150"], "{answer}");
        }
        let by_number = r#"{"producers":[{"broadcast_address":"fd00::1","tcp_port":4150}]}"#;
        assert_eq!(read(by_number).unwrap(), ["[fd00::1]:4150"]);
        assert!(read("<html>").is_err());
    }

    #[test]
    fn a_topic_that_is_not_there_yet_is_nowhere_and_no_error() {
        for (status, answer) in [
            (StatusCode::NOT_FOUND, r#"{"message":"TOPIC_NOT_FOUND"}"#),
            (StatusCode::INTERNAL_SERVER_ERROR, r#"{"status_code":500,"status_txt":"TOPIC_NOT_FOUND","data":null}"#),
        ] {
            assert_eq!(read_answer(status, answer.as_bytes()).unwrap(), Vec::<String>::new());
        }
        assert!(read_answer(StatusCode::BAD_GATEWAY, b"{}").unwrap_err().to_string().contains("502"));
    }
}
