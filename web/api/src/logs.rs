//! Logs: sent by workers while a task runs, read by people.

use actix_web::http::header::{ACCEPT_RANGES, ByteRangeSpec, ContentRange, ContentRangeSpec, Header as _, Range};
use actix_web::web::Bytes;
use flowlord_web_core::extract::text_body;
use flowlord_web_core::log_stream::{FollowRequest, answer_followed, last_event_id};
use flowlord_web_core::log_text::end_of;
use flowlord_web_core::use_cases::logs::{append_log, read_log};
use flowlord_web_core::use_cases::tasks::{parse_uid, read_task};

use crate::lease::{lease_token, leased_route};
use crate::prelude::*;

const EXAMPLE_LOG: &str = "loading a.csv\n5 rows\n";

pub(crate) fn routes() -> Vec<Route> {
    let whole_number = json!({"type": "integer", "minimum": 0});
    vec![
        leased_route("/api/v1/lease/{lease}/log", "Append to the log", append)
            .says(
                "Takes a piece of what the command wrote. Answered once it is written, which doesn't outlive a power \
                 cut. A piece after the result is refused.",
            )
            .header("Upload-Offset", "how many bytes come before, unpacked; 0 unless given", whole_number.clone())
            .header("Content-Encoding", "gzip, or nothing", json!({"type": "string"}))
            .text_body("a piece of the log", EXAMPLE_LOG)
            .answers::<LogAnswer>(200, "written", json!({"offset": 21}))
            .fails(&[Code::LogOffset]),
        Route::get("/api/v1/tasks/{uid}/log", Role::Viewer, read)
            .about("tasks", "Read the log of a task")
            .says(
                "The end of what its command wrote, up to `logs.max_task`, with the escape sequences of colours and no \
                 others. `follow` goes on as server-sent events until the task has ended, and then says `end`.",
            )
            .path("uid", "the attempt", "064c0953867001")
            .query("follow", "go on while the task runs", json!({"type": "boolean"}))
            .query("tail", "only this many bytes, from the end", whole_number)
            .header("Range", "a part of it, as `bytes=0-999`", json!({"type": "string"}))
            .header("Last-Event-ID", "with `follow`: where to go on", json!({"type": "string"}))
            .answers_text(200, "the log", &["text/plain", "text/event-stream"], EXAMPLE_LOG)
            .answers_text(206, "the part of the range", &["text/plain"], EXAMPLE_LOG)
            .fails(&[Code::InvalidRequest, Code::TaskUnknown, Code::NoLog, Code::RangeUnsatisfiable]),
    ]
}

#[derive(Serialize, ToSchema)]
#[schema(as = LogOffset)]
pub(crate) struct LogAnswer {
    /// Where the next piece goes.
    offset: u64,
}

async fn append(context: ContextRef, path: Path<String>, request: HttpRequest, payload: Payload) -> Answer {
    let piece = text_body(&request, payload).await?;
    QueryParams::none(&request)?;
    let (lease, offset) = (lease_token(&path)?, upload_offset(&request)?);
    json(StatusCode::OK, &LogAnswer { offset: append_log(&context, lease, offset, piece).await? })
}

fn upload_offset(request: &HttpRequest) -> Result<u64, Problem> {
    let Some(offset) = request.headers().get("upload-offset") else { return Ok(0) };
    let offset = offset.to_str().unwrap_or("?");
    offset.parse().map_err(|_| Problem::wrong_value("Upload-Offset", offset, "how many bytes of the log come before"))
}

async fn read(context: ContextRef, path: Path<String>, request: HttpRequest) -> Answer {
    let params = QueryParams::parse(request.query_string(), &["follow", "tail"])?;
    let uid = parse_uid(&path)?;
    let tail = params.one("tail")?.map(|text| {
        text.parse::<usize>().map_err(|_| Problem::wrong_value("tail", text, "a number of bytes, like 10000"))
    });
    let tail = tail.transpose()?;
    if params.switch("follow")? {
        // One that isn't there would be followed for nothing.
        read_task(&context, uid).await?;
        let after = last_event_id(&request);
        let asked = FollowRequest { uid, after: after.unwrap_or(0), tail: tail.filter(|_| after.is_none()) };
        return answer_followed(context, &request, asked, str::to_owned);
    }
    let log = read_log(&context, uid).await?;
    part_of(&request, end_of(&log.text, tail.unwrap_or(usize::MAX)))
}

/// All of a text, or the part that the request names.
fn part_of(request: &HttpRequest, text: &str) -> Answer {
    let length = text.len() as u64;
    let plain = (CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    let ranges = (ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    let Some(range) = one_range(request) else {
        return Ok(HttpResponse::Ok().insert_header(plain).insert_header(ranges).body(text.to_owned()));
    };
    let Some((first, last)) = range.to_satisfiable_range(length) else {
        let detail = format!("the log has {length} bytes: ask for a range of them");
        return Err(Problem::new(Code::RangeUnsatisfiable, detail));
    };
    let part = ContentRangeSpec::Bytes { range: Some((first, last)), instance_length: Some(length) };
    let [from, to] = [first, last + 1].map(|at| usize::try_from(at).unwrap_or(text.len()).min(text.len()));
    let bytes = Bytes::copy_from_slice(&text.as_bytes()[from..to]);
    let mut answer = HttpResponse::PartialContent();
    Ok(answer.insert_header(plain).insert_header(ranges).insert_header(ContentRange(part)).body(bytes))
}

/// The one range of bytes that is asked for; several, or another unit, are answered with all.
fn one_range(request: &HttpRequest) -> Option<ByteRangeSpec> {
    match Range::parse(request).ok()? {
        Range::Bytes(ranges) => <[_; 1]>::try_from(ranges).ok().map(|[range]| range),
        Range::Unregistered(..) => None,
    }
}
