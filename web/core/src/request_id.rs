//! What tells one request from all others: in its answer, in its problem document, in the log.

use std::sync::atomic::{AtomicU64, Ordering};

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use chrono::{DateTime, Utc};

pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The longest that is taken over.
const MAX_BYTES: usize = 128;

#[derive(Debug)]
pub struct RequestIds {
    /// Tells this process from an earlier one.
    process: String,
    next: AtomicU64,
}

impl RequestIds {
    pub fn new(started_at: DateTime<Utc>) -> Self {
        Self { process: format!("{:x}", started_at.timestamp_micros()), next: AtomicU64::new(1) }
    }

    /// The client's own, where it can be shown on one line, or a new one.
    pub fn of(&self, headers: &HeaderMap) -> HeaderValue {
        let given = headers.get(X_REQUEST_ID).filter(|id| {
            let id = id.as_bytes();
            (1..=MAX_BYTES).contains(&id.len()) && id.iter().all(u8::is_ascii_graphic)
        });
        given.cloned().unwrap_or_else(|| self.new_one())
    }

    fn new_one(&self) -> HeaderValue {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        // Hexadecimal digits and a dash always are a value.
        HeaderValue::try_from(format!("{}-{number:x}", self.process)).unwrap_or(HeaderValue::from_static("none"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(ids: &RequestIds, given: &[u8]) -> String {
        let mut headers = HeaderMap::new();
        headers.insert(X_REQUEST_ID, HeaderValue::from_bytes(given).unwrap());
        ids.of(&headers).to_str().unwrap().to_owned()
    }

    #[test]
    fn a_client_may_name_its_request_on_one_line() {
        let ids = RequestIds::new(DateTime::from_timestamp_micros(0x2a).unwrap());
        let longest = "x".repeat(MAX_BYTES);
        assert_eq!([of(&ids, b"job-7/3"), of(&ids, longest.as_bytes())], ["job-7/3", longest.as_str()]);
        let too_long = "x".repeat(MAX_BYTES + 1);
        let new: Vec<_> = [b"".as_slice(), b"a b", b"\xe9", too_long.as_bytes()].map(|given| of(&ids, given)).into();
        assert_eq!(new, ["2a-1", "2a-2", "2a-3", "2a-4"]);
        assert_eq!(ids.of(&HeaderMap::new()), "2a-5");
    }
}
