//! JSON answers.

use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use actix_web::{HttpResponse, HttpResponseBuilder};
use chrono::{DateTime, Utc};
use flowlord_kernel::Code;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa::openapi::schema::ObjectBuilder;

use crate::limits;
use crate::problem::{Answer, Problem};

/// A page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub struct List<T> {
    pub items: Vec<T>,
    /// `cursor` of the next page; null when this is the last.
    #[schema(required)]
    pub next: Option<String>,
}

/// A page of a list that reads a bounded number of rows, and says how far it came.
#[derive(Debug, Serialize, ToSchema)]
pub struct LookedList<T> {
    pub items: Vec<T>,
    /// `cursor` of the next page; null when this is the last.
    #[schema(required)]
    pub next: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = looked_until)]
    pub looked_until: Option<DateTime<Utc>>,
}

fn looked_until() -> ObjectBuilder {
    limits::time().description(Some("what is older was not read; `next` goes on there"))
}

/// Cuts rows that were read with a limit of one more than the page has, and tells where the next page begins.
pub fn cut_page<Row>(rows: &mut Vec<Row>, limit: usize, cursor: impl Fn(&Row) -> String) -> Option<String> {
    // The row too many only tells that there is a next page: counting all rows would take as long as reading them.
    let has_more = rows.len() > limit;
    rows.truncate(limit);
    rows.last().filter(|_| has_more).map(cursor)
}

pub fn json(status: StatusCode, value: &impl Serialize) -> Answer {
    let mut body = Vec::with_capacity(512);
    serde_json::to_writer(&mut body, value)
        .map_err(|err| Problem::new(Code::Internal, format!("the answer can't be written: {err}")))?;
    Ok(json_text(status, body))
}

// Proxies that gather answers before they pass them on are asked not to.
const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// The beginning of an answer that goes on as server-sent events.
pub fn event_stream() -> HttpResponseBuilder {
    let mut answer = HttpResponse::Ok();
    answer
        .insert_header((CONTENT_TYPE, HeaderValue::from_static("text/event-stream")))
        .insert_header((X_ACCEL_BUFFERING, HeaderValue::from_static("no")));
    answer
}

/// Answers JSON that was written already.
pub fn json_text(status: StatusCode, body: impl actix_web::body::MessageBody + 'static) -> HttpResponse {
    HttpResponse::build(status).insert_header((CONTENT_TYPE, HeaderValue::from_static("application/json"))).body(body)
}

#[cfg(test)]
mod tests {
    use chrono::{SecondsFormat, TimeDelta};

    use super::*;

    #[test]
    fn times_have_the_digits_that_they_need() {
        let start: DateTime<Utc> = "2026-01-15T03:04:05Z".parse().unwrap();
        for nanos in [0, 1_000, 120_000_000, 123_456_000, 123_456_789, 999_999_000, -62_000_000_000_000_000] {
            let at = start + TimeDelta::nanoseconds(nanos);
            assert_eq!(serde_json::to_value(at).unwrap(), at.to_rfc3339_opts(SecondsFormat::AutoSi, true));
        }
    }

    #[test]
    fn a_page_has_a_next_one_only_where_a_row_more_was_read() {
        for (read, kept, next) in [(0, 0, None), (2, 2, None), (3, 2, Some("1")), (4, 2, Some("1"))] {
            let mut rows: Vec<usize> = (0..read).collect();
            let cursor = cut_page(&mut rows, 2, ToString::to_string);
            assert_eq!((rows.len(), cursor.as_deref()), (kept, next), "{read}");
        }
    }
}
