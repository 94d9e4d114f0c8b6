//! What was acknowledged, and at which event: read from the requests and answers in a recording.

use std::collections::HashMap;

use anyhow::Context as _;
use serde::Deserialize;

use super::trace::Event;

/// What a client may rely on once it was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fact {
    /// A task is there.
    Created { uid: String, info: String },
    /// A task has this result.
    Finished { uid: String, result: &'static str, msg: String },
    /// A snapshot is there, whole.
    Snapshot { path: String },
}

#[derive(Deserialize)]
struct Created {
    uid: String,
    info: String,
}

#[derive(Deserialize)]
struct Said {
    result: String,
    msg: String,
}

#[derive(Deserialize)]
struct Snapshot {
    location: String,
}

/// The facts in their order, each with the number of the event that told it.
pub(crate) fn read(events: &[Event]) -> anyhow::Result<Vec<(usize, Fact)>> {
    let mut talks: HashMap<&str, Talk> = HashMap::new();
    let mut facts = Vec::new();
    for (number, event) in events.iter().enumerate() {
        match event {
            Event::Received { socket, bytes } => {
                talks.entry(socket).or_default().request.extend_from_slice(bytes);
            }
            Event::Sent { socket, bytes } => {
                let talk = talks.entry(socket).or_default();
                talk.answer.extend_from_slice(bytes);
                if let Some((status, body)) = message(&talk.answer) {
                    if status.starts_with("HTTP/1.1 2") {
                        facts.extend(fact(&talk.request, body)?.map(|fact| (number, fact)));
                    }
                    talks.remove(socket.as_str());
                }
            }
            _ => {}
        }
    }
    Ok(facts)
}

/// One connection: a request at a time.
#[derive(Default)]
struct Talk {
    request: Vec<u8>,
    answer: Vec<u8>,
}

/// The first line and the body, once it is whole.
fn message(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let head = bytes.windows(4).position(|end| end == b"\r\n\r\n")?;
    let text = std::str::from_utf8(&bytes[..head]).ok()?;
    let length = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>())
    });
    let length = length.and_then(Result::ok).unwrap_or(0);
    let body = &bytes[head + 4..];
    (body.len() >= length).then_some((text.lines().next()?, body))
}

fn fact(request: &[u8], answer: &[u8]) -> anyhow::Result<Option<Fact>> {
    let (first, body) = message(request).context("an answer without a request")?;
    let path = first.split(' ').nth(1).unwrap_or_default();
    if path == "/api/v1/snapshots" {
        let Snapshot { location } = serde_json::from_slice(answer)?;
        return Ok(Some(Fact::Snapshot { path: location }));
    }
    if path == "/api/v1/tasks" && first.starts_with("POST") {
        let text = std::str::from_utf8(answer)?;
        let Created { uid, info } = serde_json::from_str(text.trim_start_matches('[').trim_end_matches(']'))?;
        return Ok(Some(Fact::Created { uid, info }));
    }
    let Some(lease) = path.strip_prefix("/api/v1/lease/").and_then(|rest| rest.strip_suffix("/result"))
    else {
        return Ok(None);
    };
    let Said { result, msg } = serde_json::from_slice(body)?;
    let uid = lease.split('-').next().unwrap_or_default().to_owned();
    let result = if result == "complete" { "complete" } else { "error" };
    Ok(Some(Fact::Finished { uid, result, msg }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(text: &str) -> Event {
        Event::Received { socket: "socket:[1]".to_owned(), bytes: text.into() }
    }

    fn sent(text: &str) -> Event {
        Event::Sent { socket: "socket:[1]".to_owned(), bytes: text.into() }
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
        let finished = Fact::Finished { uid: "0a".to_owned(), result: "complete", msg: "m".to_owned() };
        let created = Fact::Created { uid: "0a".to_owned(), info: "i".to_owned() };
        assert_eq!(read(&events).unwrap(), [(2, created), (5, finished)]);
    }
}
