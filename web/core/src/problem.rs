//! Every error that HTTP answers: a problem document (RFC 9457) with a code of the one error table.

use std::borrow::Cow;
use std::fmt;

use actix_web::body::BoxBody;
use actix_web::http::StatusCode;
use actix_web::http::header::{ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use actix_web::{HttpResponse, ResponseError};
use flowlord_kernel::{Code, Error};
use serde::Serialize;
use utoipa::ToSchema;

use crate::base_path::BasePath;
use crate::request_id::X_REQUEST_ID;

/// Where the codes are explained; the code follows.
const DOCS: &str = "/api/docs/errors#";

#[derive(Debug, thiserror::Error)]
#[error("{}: {detail}", code.as_str())]
pub struct Problem {
    code: Code,
    detail: Cow<'static, str>,
    /// The methods that the path does take, for 405.
    allow: Option<String>,
    /// What is known beyond the detail: a member of the document.
    more: Option<(&'static str, serde_json::Value)>,
    /// The rest of the request isn't worth reading.
    hang_up: bool,
    // In a box, as every result of a handler is as large as its problem.
    asked: Option<Box<(HeaderValue, BasePath)>>,
}

pub type Answer = Result<HttpResponse, Problem>;

impl Problem {
    pub fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { code, detail: detail.into(), allow: None, more: None, hang_up: false, asked: None }
    }

    pub fn invalid(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::InvalidRequest, detail)
    }

    /// The value `given` for `name` can't be; `expected` says what to write.
    pub fn wrong_value(name: &str, given: &str, expected: impl fmt::Display) -> Self {
        Self::invalid(format!("`{name}` is `{given}`: write {expected}"))
    }

    pub fn allowing(mut self, methods: impl Into<String>) -> Self {
        self.allow = Some(methods.into());
        self
    }

    pub fn with(mut self, name: &'static str, value: serde_json::Value) -> Self {
        self.more = Some((name, value));
        self
    }

    pub fn hanging_up(mut self) -> Self {
        self.hang_up = true;
        self
    }

    /// Of the request that failed, which found the service below a base path.
    pub fn of(mut self, request_id: HeaderValue, base: &BasePath) -> Self {
        self.asked = Some(Box::new((request_id, base.clone())));
        self
    }

    pub fn code(&self) -> Code {
        self.code
    }

    pub fn is_temporary(&self) -> bool {
        self.code.retry_after().is_some() || matches!(self.code.status(), 408 | 429 | 500..)
    }

    pub fn detail(&self) -> &str {
        &self.detail
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        Self::new(error.code, error.detail)
    }
}

/// A problem document (RFC 9457).
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemDocument<'a> {
    /// Where the code is explained.
    r#type: String,
    title: &'a str,
    status: u16,
    /// What happened, and what to change.
    detail: &'a str,
    /// What a program may rely on.
    code: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    request_id: Option<&'a str>,
    #[serde(flatten)]
    more: serde_json::Map<String, serde_json::Value>,
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn error_response(&self) -> HttpResponse<BoxBody> {
        match self.asked.as_deref() {
            Some((request_id, base)) => self.answer(Some(request_id), base),
            None => self.answer(None, &BasePath::default()),
        }
    }
}

impl Problem {
    /// The answer to the request of this id; its code is among its extensions, for what goes round handlers.
    pub fn answer(&self, request_id: Option<&HeaderValue>, base: &BasePath) -> HttpResponse<BoxBody> {
        let document = ProblemDocument {
            r#type: base.at(DOCS) + self.code.as_str(),
            title: self.code.title(),
            status: self.code.status(),
            detail: &self.detail,
            code: self.code.as_str(),
            request_id: request_id.and_then(|id| id.to_str().ok()),
            more: self.more.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect(),
        };
        let mut answer = HttpResponse::build(self.status_code());
        answer.insert_header((CONTENT_TYPE, HeaderValue::from_static("application/problem+json")));
        // From a cache it would outlive its cause.
        answer.insert_header((CACHE_CONTROL, HeaderValue::from_static("no-store")));
        if let Some(id) = request_id {
            answer.insert_header((X_REQUEST_ID, id.clone()));
        }
        if let Some(seconds) = self.code.retry_after() {
            answer.insert_header((RETRY_AFTER, HeaderValue::from(seconds)));
        }
        if let Some(methods) = &self.allow {
            answer.insert_header((ALLOW, methods.as_str()));
        }
        if self.hang_up {
            answer.insert_header((CONNECTION, HeaderValue::from_static("close"))).force_close();
        }
        answer.extensions_mut().insert(self.code);
        answer.body(serde_json::to_vec(&document).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(problem: &Problem, base: &BasePath) -> (HttpResponse<BoxBody>, serde_json::Value) {
        let id = HeaderValue::from_static("r-1");
        let (answer, body) = problem.answer(Some(&id), base).into_parts();
        let body = actix_web::body::MessageBody::try_into_bytes(body).unwrap();
        (answer.set_body(BoxBody::new(())), serde_json::from_slice(&body).unwrap())
    }

    fn header<'a>(answer: &'a HttpResponse<BoxBody>, name: &str) -> Option<&'a str> {
        answer.headers().get(name).map(|value| value.to_str().unwrap())
    }

    #[test]
    fn a_problem_says_what_happened_where_to_read_more_and_for_which_request() {
        let problem = Problem::wrong_value("limit", "0", format_args!("1 to {}", 9)).with("more", 7.into());
        let (answer, document) = told(&problem, &BasePath::of(Some("https://h/flow")));
        let expected = serde_json::json!({
            "type": "/flow/api/docs/errors#invalid_request", "title": Code::InvalidRequest.title(), "status": 400,
            "detail": "`limit` is `0`: write 1 to 9", "code": "invalid_request", "request_id": "r-1", "more": 7,
        });
        assert_eq!(document, expected);
        assert_eq!(header(&answer, "content-type"), Some("application/problem+json"));
        assert_eq!(
            (header(&answer, "cache-control"), header(&answer, "x-request-id")),
            (Some("no-store"), Some("r-1"))
        );
        assert_eq!(
            (header(&answer, "retry-after"), header(&answer, "allow"), header(&answer, "connection")),
            (None, None, None)
        );
    }

    #[test]
    fn headers_say_what_a_client_may_do_next() {
        let busy = Problem::new(Code::Busy, "later").allowing("GET, POST").hanging_up();
        let (answer, _) = told(&busy, &BasePath::default());
        let seconds = Code::Busy.retry_after().map(|seconds| seconds.to_string());
        assert!(seconds.is_some() && header(&answer, "retry-after") == seconds.as_deref());
        assert_eq!((header(&answer, "allow"), header(&answer, "connection")), (Some("GET, POST"), Some("close")));
    }

    #[test]
    fn only_what_may_end_by_itself_is_temporary() {
        let temporary = |code| Problem::new(code, "").is_temporary();
        assert!(
            [Code::Busy, Code::Storage, Code::RequestTimeout, Code::TooManyRequests, Code::Internal]
                .map(temporary)
                .iter()
                .all(|is| *is)
        );
        assert!(
            ![Code::InvalidRequest, Code::LeaseLost, Code::TooLarge, Code::NotFound]
                .map(temporary)
                .iter()
                .any(|is| *is)
        );
    }
}
