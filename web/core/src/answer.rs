//! JSON answers.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_TYPE, HeaderValue};
use flowlord_kernel::Code;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa::openapi::schema::ObjectBuilder;

use crate::limits;
use crate::problem::{Answer, Problem};
use crate::view::time::TimeStamp;

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
    pub looked_until: Option<TimeStamp>,
}

fn looked_until() -> ObjectBuilder {
    limits::time().description(Some("what is older was not read; `next` goes on there"))
}

pub fn json(status: StatusCode, value: &impl Serialize) -> Answer {
    let mut body = Vec::with_capacity(512);
    serde_json::to_writer(&mut body, value)
        .map_err(|err| Problem::new(Code::Internal, format!("the answer can't be written: {err}")))?;
    Ok(json_text(status, body))
}

/// Answers JSON that was written already.
pub fn json_text(status: StatusCode, body: impl actix_web::body::MessageBody + 'static) -> HttpResponse {
    HttpResponse::build(status).insert_header((CONTENT_TYPE, HeaderValue::from_static("application/json"))).body(body)
}
