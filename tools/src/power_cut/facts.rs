//! What was acknowledged, and at which event, by the requests and answers in a recording.

use std::collections::HashMap;

use anyhow::Context as _;
use serde::Deserialize;

use super::trace::TraceEvent;
use crate::client::content_length;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum AcknowledgedFact {
    Created { uid: String, info: String },
    Finished { uid: String, result: &'static str, msg: String },
    Snapshot { path: String },
}

#[derive(Deserialize)]
struct CreatedAnswer {
    uid: String,
    info: String,
}

#[derive(Deserialize)]
struct SentResult {
    result: String,
    msg: String,
}

#[derive(Deserialize)]
struct SnapshotAnswer {
    location: String,
}

/// The facts in their order, each with the number of the event that acknowledged it.
pub(crate) fn collect_facts(events: &[TraceEvent]) -> anyhow::Result<Vec<(usize, AcknowledgedFact)>> {
    let mut exchanges: HashMap<&str, HttpExchange> = HashMap::new();
    let mut facts = Vec::new();
    for (number, event) in events.iter().enumerate() {
        match event {
            TraceEvent::Received { socket, bytes } => {
                exchanges.entry(socket).or_default().request.extend_from_slice(bytes);
            }
            TraceEvent::Sent { socket, bytes } => {
                let exchange = exchanges.entry(socket).or_default();
                exchange.answer.extend_from_slice(bytes);
                // An answer may go out in parts: it acknowledges with the last of them.
                if let Some((status, body)) = split_message(&exchange.answer) {
                    if status.starts_with("HTTP/1.1 2") {
                        facts.extend(parse_fact(&exchange.request, body)?.map(|fact| (number, fact)));
                    }
                    // The next request of the connection begins anew.
                    exchanges.remove(socket.as_str());
                }
            }
            _ => {}
        }
    }
    Ok(facts)
}

/// One connection: a request at a time.
#[derive(Default)]
struct HttpExchange {
    request: Vec<u8>,
    answer: Vec<u8>,
}

/// The first line and the body, once it is whole.
fn split_message(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let end = bytes.windows(4).position(|end| end == b"\r\n\r\n")?;
    let (head, body) = (&bytes[..end], &bytes[end + 4..]);
    let first_line = std::str::from_utf8(head).ok()?.lines().next()?;
    (body.len() >= content_length(head).unwrap_or(0)).then_some((first_line, body))
}

fn parse_fact(request: &[u8], answer: &[u8]) -> anyhow::Result<Option<AcknowledgedFact>> {
    let (first, body) = split_message(request).context("an answer without a request")?;
    let path = first.split(' ').nth(1).unwrap_or_default();
    if path == "/api/v1/snapshots" {
        let SnapshotAnswer { location } = serde_json::from_slice(answer)?;
        return Ok(Some(AcknowledgedFact::Snapshot { path: location }));
    }
    if path == "/api/v1/tasks" && first.starts_with("POST") {
        let text = std::str::from_utf8(answer)?;
        let CreatedAnswer { uid, info } = serde_json::from_str(text.trim_start_matches('[').trim_end_matches(']'))?;
        return Ok(Some(AcknowledgedFact::Created { uid, info }));
    }
    let Some(lease) = path.strip_prefix("/api/v1/lease/").and_then(|rest| rest.strip_suffix("/result")) else {
        return Ok(None);
    };
    let SentResult { result, msg } = serde_json::from_slice(body)?;
    let uid = lease.split('-').next().unwrap_or_default().to_owned();
    let result = if result == "complete" { "complete" } else { "error" };
    Ok(Some(AcknowledgedFact::Finished { uid, result, msg }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(text: &str) -> TraceEvent {
        TraceEvent::Received { socket: "socket:[1]".to_owned(), bytes: text.into() }
    }

    fn sent(text: &str) -> TraceEvent {
        TraceEvent::Sent { socket: "socket:[1]".to_owned(), bytes: text.into() }
    }

    #[test]
    fn a_fact_counts_from_the_last_byte_of_its_answer() {
        let created = r#"{"uid":"0a","info":"i"}"#;
        let events = [
            received("POST /api/v1/tasks HTTP/1.1\r\ncontent-length: 2\r\n\r\n{}"),
            sent(&format!("HTTP/1.1 201 Created\r\ncontent-length: {}\r\n\r\n", created.len())),
            sent(created),
            received("POST /api/v1/lease/0a-ff/result HTTP/1.1\r\ncontent-length: 34\r\n\r\n"),
            received(r#"{"result":"complete","msg":"m"}   "#),
            sent("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"),
            received("POST /api/v1/tasks HTTP/1.1\r\ncontent-length: 2\r\n\r\n{}"),
            sent("HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n"),
        ];
        let finished = AcknowledgedFact::Finished { uid: "0a".to_owned(), result: "complete", msg: "m".to_owned() };
        let created = AcknowledgedFact::Created { uid: "0a".to_owned(), info: "i".to_owned() };
        assert_eq!(collect_facts(&events).unwrap(), [(2, created), (5, finished)]);
    }
}
