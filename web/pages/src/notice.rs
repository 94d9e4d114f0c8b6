//! What a form did, told on the page that it leads back to: a cookie of one minute carries it there, so that the
//! address stays one that can be shared.

use actix_web::cookie::time::Duration;
use actix_web::cookie::{Cookie, SameSite};
use actix_web::http::header::LOCATION;
use actix_web::{HttpRequest, HttpResponse};
use flowlord_web_core::audit_entry::AuditEntry;
use flowlord_web_core::problem::Problem;
use percent_encoding::utf8_percent_encode;

use crate::link::NOT_IN_QUERY;

const COOKIE: &str = "flowlord_notice";

// Browsers drop a cookie of more than 4 KB: a longer text is cut.
const MAX_VALUE_BYTES: usize = 3_900;

const GOOD: &str = "good";

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    pub(crate) good: bool,
    pub(crate) text: String,
}

impl Notice {
    pub(crate) fn good(text: impl Into<String>) -> Self {
        Self { good: true, text: text.into() }
    }

    pub fn bad(text: impl Into<String>) -> Self {
        Self { good: false, text: text.into() }
    }

    pub(crate) fn of(request: &HttpRequest) -> Option<Self> {
        let cookie = request.cookie(COOKIE)?;
        let (good, text) = cookie.value().split_once(' ')?;
        Some(Self { good: good == GOOD, text: text.to_owned() })
    }

    /// What came of a form. What failed changed nothing, so the audit log has no change to list.
    pub(crate) fn after(request: &HttpRequest, done: Result<Self, Problem>) -> Self {
        done.unwrap_or_else(|problem| {
            AuditEntry::nothing_changed(request);
            Self::bad(problem.detail())
        })
    }

    /// Leads back to a page of ours, which tells it.
    pub fn back_to(&self, path: &str) -> HttpResponse {
        let cookie = notice_cookie(self.cookie_value(), Duration::MINUTE);
        // The browser goes on by GET, so that loading the page again sends no form again.
        HttpResponse::SeeOther().insert_header((LOCATION, path)).cookie(cookie).finish()
    }

    fn cookie_value(&self) -> String {
        let mut value = format!("{}%20", if self.good { GOOD } else { "bad" });
        for char in self.text.chars() {
            // A plus sign would stay one: a cookie's value is only percent-decoded.
            let encoded = utf8_percent_encode(char.encode_utf8(&mut [0; 4]), NOT_IN_QUERY).to_string();
            // Counted as it is sent: a character takes up to twelve bytes.
            if value.len() + encoded.len() > MAX_VALUE_BYTES {
                break;
            }
            value.push_str(&encoded);
        }
        value
    }
}

/// Takes a told notice away.
pub(crate) fn clear_notice(answer: &mut HttpResponse) {
    let gone = answer.add_cookie(&notice_cookie(String::new(), Duration::ZERO));
    if let Err(err) = gone {
        log::debug!("event=cookie_not_written error={err}");
    }
}

fn notice_cookie<'a>(value: String, max_age: Duration) -> Cookie<'a> {
    Cookie::build(COOKIE, value).path("/").http_only(true).same_site(SameSite::Lax).max_age(max_age).finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notice_in_any_language_fits_into_a_cookie() {
        for text in ["a b".repeat(2_000), "déjà vu ".repeat(900), "\u{1f6a8}".repeat(900)] {
            let answer = Notice::bad(text.clone()).back_to("/");
            let cookie = answer.cookies().next().expect("it has the notice");
            assert!(cookie.value().len() <= MAX_VALUE_BYTES, "{}", cookie.value().len());
            let decoded = percent_decoded(cookie.value());
            let told = decoded.strip_prefix("bad ").expect("how it went comes first");
            assert!(text.starts_with(told) && told.len() > 1_000, "{told}");
        }
    }

    fn percent_decoded(value: &str) -> String {
        let cookie = Cookie::parse_encoded(format!("{COOKIE}={value}")).expect("it is a cookie");
        cookie.value().to_owned()
    }
}
