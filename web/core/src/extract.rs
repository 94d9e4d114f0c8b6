//! Request bodies: bounded in size and in time, JSON, with errors that name the place.

use std::io::Read as _;
use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use actix_web::web::{Bytes, BytesMut, Payload};
use flate2::read::GzDecoder;
use flowlord_kernel::Code;
use futures_util::StreamExt as _;
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::audit_entry::AuditEntry;
use crate::params::meant;
use crate::problem::Problem;

pub const MAX_BODY: usize = 1024 * 1024;
const MAX_FORM: usize = 16 * 1024;
pub const MAX_RESULTS: usize = 8 * 1024 * 1024;

/// A body may pause this long.
const MAX_PAUSE: Duration = Duration::from_secs(30);

/// Of a body that is too large this much more is read and thrown away.
const MAX_DISCARDED: usize = 16 * 1024 * 1024;

// SNS sends its JSON as `text/plain`, Pub/Sub without an envelope as anything: one of these tells that it is a message.
const MESSAGE_HEADERS: [&str; 2] = ["x-amz-sns-message-type", "x-goog-pubsub-message-id"];

// The last is what curl says of every body unless told otherwise.
const JSON_TYPES: [&str; 3] = ["application/json", "", "application/x-www-form-urlencoded"];
const TEXT_TYPES: [&str; 4] = ["text/plain", "application/octet-stream", "", "application/x-www-form-urlencoded"];
const LINES_TYPES: [&str; 3] = ["application/x-ndjson", "application/jsonl", "application/ndjson"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyFormat {
    /// JSON, or not said.
    Json,
    /// One JSON value a line.
    Lines,
}

pub async fn json_body(request: &HttpRequest, payload: Payload) -> Result<Bytes, Problem> {
    require_json(request)?;
    read_noted(request, payload, MAX_BODY).await
}

pub async fn result_body(request: &HttpRequest, payload: Payload) -> Result<Bytes, Problem> {
    require_json(request)?;
    read_body(request, payload, MAX_RESULTS).await
}

fn require_json(request: &HttpRequest) -> Result<(), Problem> {
    match body_format(request)? {
        BodyFormat::Json => Ok(()),
        BodyFormat::Lines => Err(unsupported_type("application/x-ndjson", "application/json")),
    }
}

/// Reads a body of JSON that tells of files.
pub async fn event_body(request: &HttpRequest, payload: Payload) -> Result<Bytes, Problem> {
    if !MESSAGE_HEADERS.iter().any(|name| request.headers().contains_key(*name)) {
        return json_body(request, payload).await;
    }
    refuse_packed(request)?;
    read_noted(request, payload, MAX_BODY).await
}

pub async fn results_body(request: &HttpRequest, payload: Payload) -> Result<(BodyFormat, Bytes), Problem> {
    let format = body_format(request)?;
    Ok((format, read_body(request, payload, MAX_RESULTS).await?))
}

/// Reads results that a message bus pushes.
pub async fn pushed_results_body(request: &HttpRequest, payload: Payload) -> Result<(BodyFormat, Bytes), Problem> {
    refuse_packed(request)?;
    // A message bus names its own type, or none that fits: the body itself tells what it is.
    let format = body_format(request).unwrap_or(BodyFormat::Json);
    Ok((format, read_body(request, payload, MAX_RESULTS).await?))
}

/// Reads text, which may be packed by gzip: at most as much as other bodies, also when it is unpacked.
pub async fn text_body(request: &HttpRequest, payload: Payload) -> Result<Vec<u8>, Problem> {
    let kind = request.headers().get(CONTENT_TYPE).map_or(Ok(""), |kind| kind.to_str()).unwrap_or("?");
    if !is_any(kind.split(';').next().unwrap_or_default().trim(), &TEXT_TYPES) {
        return Err(unsupported_type(kind, "text/plain"));
    }
    let is_packed = request.headers().get(CONTENT_ENCODING).is_some_and(|coding| coding == "gzip");
    if !is_packed {
        refuse_packed(request)?;
    }
    let body = read_body(request, payload, MAX_BODY).await?;
    if is_packed { unpack(&body) } else { Ok(body.to_vec()) }
}

fn unpack(body: &[u8]) -> Result<Vec<u8>, Problem> {
    let mut text = Vec::new();
    // One byte more tells that it is too large: a small body may unpack to any size.
    let unpacked = GzDecoder::new(body).take(MAX_BODY as u64 + 1).read_to_end(&mut text);
    unpacked.map_err(|err| Problem::new(Code::InvalidJson, format!("the body can't be unpacked by gzip: {err}")))?;
    if text.len() > MAX_BODY { Err(too_large(MAX_BODY)) } else { Ok(text) }
}

pub async fn form_body(request: &HttpRequest, payload: Payload) -> Result<Bytes, Problem> {
    read_noted(request, payload, MAX_FORM).await
}

pub async fn slack_body(request: &HttpRequest, payload: Payload) -> Result<Bytes, Problem> {
    // A form that holds the message clicked at, so it may be long.
    read_body(request, payload, MAX_BODY).await
}

/// Reads the body of a request that another node answers.
pub async fn forwarded_body(request: &HttpRequest, payload: Payload) -> Result<Bytes, Problem> {
    read_body(request, payload, MAX_RESULTS).await
}

fn refuse_packed(request: &HttpRequest) -> Result<(), Problem> {
    // A small body that unpacks to a large one would get round every limit.
    if let Some(encoding) = request.headers().get(CONTENT_ENCODING)
        && !encoding.as_bytes().eq_ignore_ascii_case(b"identity")
    {
        let detail = "the body is compressed (Content-Encoding): send it uncompressed";
        return Err(Problem::new(Code::UnsupportedMediaType, detail));
    }
    Ok(())
}

fn body_format(request: &HttpRequest) -> Result<BodyFormat, Problem> {
    refuse_packed(request)?;
    let Some(value) = request.headers().get(CONTENT_TYPE) else { return Ok(BodyFormat::Json) };
    let value = value.to_str().unwrap_or("?");
    let kind = value.split(';').next().unwrap_or_default().trim();
    if is_any(kind, &JSON_TYPES) || kind.to_ascii_lowercase().ends_with("+json") {
        Ok(BodyFormat::Json)
    } else if is_any(kind, &LINES_TYPES) {
        Ok(BodyFormat::Lines)
    } else {
        Err(unsupported_type(value, "application/json"))
    }
}

fn is_any(kind: &str, known: &[&str]) -> bool {
    known.iter().any(|known| kind.eq_ignore_ascii_case(known))
}

fn unsupported_type(given: &str, wanted: &str) -> Problem {
    let detail = format!("the body is `{}`: send `Content-Type: {wanted}`", given.escape_default());
    Problem::new(Code::UnsupportedMediaType, detail)
}

async fn read_noted(request: &HttpRequest, payload: Payload, limit: usize) -> Result<Bytes, Problem> {
    let body = read_body(request, payload, limit).await?;
    AuditEntry::note(request, &body);
    Ok(body)
}

async fn read_body(request: &HttpRequest, mut payload: Payload, limit: usize) -> Result<Bytes, Problem> {
    let announced = request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    let Some(first) = next_chunk(&mut payload).await? else { return Ok(Bytes::new()) };
    // Most bodies come in one piece, which is taken as it is.
    if announced == Some(first.len()) && first.len() <= limit {
        return Ok(first);
    }
    // The length is only what the client says: no more than the limit is set aside for it.
    let mut body = BytesMut::with_capacity(announced.unwrap_or(0).clamp(first.len(), limit.max(first.len())));
    body.extend_from_slice(&first);
    while body.len() <= limit {
        match next_chunk(&mut payload).await? {
            Some(chunk) => body.extend_from_slice(&chunk),
            None => return Ok(body.freeze()),
        }
    }
    // A client that sends all of its body before it listens gets its answer, too.
    discard_rest(&mut payload).await;
    Err(too_large(limit))
}

fn too_large(limit: usize) -> Problem {
    let detail = format!("the body is larger than {} MiB: send it in smaller pieces", limit >> 20);
    Problem::new(Code::TooLarge, detail)
}

async fn next_chunk(payload: &mut Payload) -> Result<Option<Bytes>, Problem> {
    match tokio::time::timeout(MAX_PAUSE, payload.next()).await {
        Ok(None) => Ok(None),
        Ok(Some(Ok(chunk))) => Ok(Some(chunk)),
        Ok(Some(Err(err))) => {
            Err(Problem::new(Code::InvalidJson, format!("the body can't be read: {err}")).hanging_up())
        }
        Err(_) => {
            // What comes after it could not be told from the rest of this body.
            let detail = format!("the rest of the body did not arrive within {} s", MAX_PAUSE.as_secs());
            Err(Problem::new(Code::RequestTimeout, detail).hanging_up())
        }
    }
}

async fn discard_rest(payload: &mut Payload) {
    let mut discarded = 0;
    while discarded < MAX_DISCARDED
        && let Ok(Some(chunk)) = next_chunk(payload).await
    {
        discarded += chunk.len();
    }
}

/// Reads an object; an empty body is one without fields.
pub fn object<'a, T: Deserialize<'a>>(body: &'a [u8], example: &str) -> Result<T, Problem> {
    // Where every field has a default, `curl -X POST` without a body is a complete request.
    let text = if first_byte(body).is_none() { b"{}" } else { body };
    // Serde would read an array as the fields of the object in their order.
    if first_byte(text).is_some_and(|byte| byte != b'{') && serde_json::from_slice::<IgnoredAny>(text).is_ok() {
        return Err(Problem::new(Code::InvalidJson, format!("this must be an object, like {example}")));
    }
    from_json(text)
}

pub fn from_json<'a, T: Deserialize<'a>>(text: &'a [u8]) -> Result<T, Problem> {
    // The reader that names the place of a mistake is slower: it reads only what the first one refused.
    serde_json::from_slice(text).map_err(|_| explain_mistake::<T>(text))
}

/// What to write in the place of a field that means nothing, where that is the mistake.
fn unknown_field(message: &str, path: &str) -> Option<String> {
    let mut words = message.strip_prefix("unknown field `")?.split('`');
    let name = words.next()?;
    // Serde puts each known name in backticks, with words or a comma in between.
    let known: Vec<&str> = words.skip(1).step_by(2).collect();
    Some(format!("unknown field `{path}`: {}", meant(name, &known)))
}

fn explain_mistake<'a, T: Deserialize<'a>>(text: &'a [u8]) -> Problem {
    let mut reader = serde_json::Deserializer::from_slice(text);
    let detail = match serde_path_to_error::deserialize::<_, T>(&mut reader) {
        // The value itself is fine, so the mistake is what stands behind it.
        Ok(_) => reader.end().err().map(|err| err.to_string()).unwrap_or_default(),
        Err(err) if let Some(hint) = unknown_field(&err.inner().to_string(), &err.path().to_string()) => hint,
        Err(err) if err.inner().is_data() && err.path().iter().next().is_some() => {
            format!("`{}`: {}", err.path(), err.inner())
        }
        Err(err) => err.inner().to_string(),
    };
    Problem::new(Code::InvalidJson, detail)
}

pub fn first_byte(body: &[u8]) -> Option<u8> {
    body.iter().copied().find(|byte| !byte.is_ascii_whitespace())
}

#[cfg(test)]
mod tests {
    use actix_web::FromRequest as _;
    use actix_web::dev;
    use actix_web::error::PayloadError;
    use actix_web::test::TestRequest;
    use futures_util::stream;

    use super::*;
    use crate::doc::BorrowedTaskDoc;
    use crate::values::BodyDuration;

    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "read to see what is refused")]
    struct Sample {
        max: Option<u32>,
        wait: Option<BodyDuration>,
        needed: bool,
    }

    #[test]
    fn mistakes_are_named_with_their_place() {
        for (json, detail) in [
            ("{", "EOF while parsing an object at line 1 column 1"),
            ("{\"max\":1,\n}", "trailing comma at line 2 column 1"),
            ("{} x", "missing field `needed` at line 1 column 2"),
            ("{\"needed\":true} x", "trailing characters at line 1 column 17"),
            ("{\"max\":\"1\"}", "`max`: invalid type: string \"1\", expected u32 at line 1 column 10"),
            (
                "{\"wait\":\"soon\"}",
                "`wait`: `soon` is not a duration: write it like 250ms, 90s, 5m, 4h or 90d at line 1 column 14",
            ),
            ("[1]", "this must be an object, like {}"),
            ("", "missing field `needed` at line 1 column 2"),
        ] {
            let problem = object::<Sample>(json.as_bytes(), "{}").unwrap_err();
            assert_eq!((problem.code(), problem.detail()), (Code::InvalidJson, detail), "{json}");
        }
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "read to see what is refused")]
    struct Strict {
        workflow: Option<String>,
        task: Option<String>,
        inner: Option<Box<Strict>>,
    }

    #[test]
    fn a_field_that_means_nothing_is_named_with_what_was_meant() {
        for (json, detail) in [
            (r#"{"worklfow":"x"}"#, "unknown field `worklfow`: did you mean `workflow`?"),
            (r#"{"inner":{"tsak":"x"}}"#, "unknown field `inner.tsak`: did you mean `task`?"),
            (r#"{"zzz":"x"}"#, "unknown field `zzz`: there are workflow, task, inner"),
        ] {
            let problem = object::<Strict>(json.as_bytes(), "{}").unwrap_err();
            assert_eq!((problem.code(), problem.detail()), (Code::InvalidJson, detail), "{json}");
        }
    }

    #[test]
    fn fields_of_tasks_are_named_too() {
        let problem = from_json::<BorrowedTaskDoc<'_>>(br#"{"type":"a","info":5}"#).unwrap_err();
        assert_eq!(problem.detail(), "`info`: invalid type: integer `5`, expected a text at line 1 column 20");
        let problem = from_json::<BorrowedTaskDoc<'_>>(br#"{"meta":{"a":[]}}"#).unwrap_err();
        assert!(problem.detail().starts_with("`meta`: the value of `a` must be a text"), "{problem}");
    }

    type Chunk = Result<Bytes, PayloadError>;
    type Chunks = std::pin::Pin<Box<dyn futures_util::Stream<Item = Chunk>>>;

    async fn read_stream(chunks: impl futures_util::Stream<Item = Chunk> + 'static) -> Result<Bytes, Problem> {
        let request = TestRequest::post().to_http_request();
        let mut payload = dev::Payload::from(Box::pin(chunks) as Chunks);
        json_body(&request, Payload::from_request(&request, &mut payload).await.unwrap()).await
    }

    #[actix::test]
    async fn a_body_may_come_in_pieces_but_not_pause_for_long() {
        let pieces = || stream::iter(["{\"a\"", ":1}"]).map(|piece| Chunk::Ok(Bytes::from(piece)));
        assert_eq!(read_stream(pieces()).await.unwrap(), "{\"a\":1}");
        tokio::time::pause();
        let problem = read_stream(pieces().chain(stream::pending())).await.unwrap_err();
        assert_eq!(problem.code(), Code::RequestTimeout);
        assert!(problem.detail().contains("30 s"), "{problem}");
    }

    #[actix::test]
    async fn a_body_that_breaks_off_is_a_problem() {
        let broken = stream::iter([Chunk::Ok(Bytes::from("{")), Err(PayloadError::Incomplete(None))]);
        assert_eq!(read_stream(broken).await.unwrap_err().code(), Code::InvalidJson);
    }
}
