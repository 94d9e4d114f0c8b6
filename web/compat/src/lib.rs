//! JSON that programs of the reference system read, written as Go writes it.
//!
//! Each is a pure function of what its handler reads; `tests/golden` compares them with what
//! the reference system answered.

pub mod backload;
mod handlers;
pub mod info;
mod prelude;
pub mod recap;
mod rerun;
pub mod task;

use chrono::{DateTime, SecondsFormat, Utc};
use flowlord_web_core::route::Route;
use serde::Serialize;

pub fn routes() -> Vec<Route> {
    [handlers::routes(), backload::routes(), rerun::routes()].into_iter().flatten().collect()
}

/// JSON on one line.
fn compact(value: &impl Serialize) -> String {
    escape(serde_json::to_string(value).unwrap_or_default())
}

/// JSON over several lines, indented by two.
pub(crate) fn pretty(value: &impl Serialize) -> String {
    escape(serde_json::to_string_pretty(value).unwrap_or_default())
}

/// Escapes what Go escapes so that JSON may stand within a page.
fn escape(json: String) -> String {
    // In the finished JSON, since outside of texts it has none of these.
    const ESCAPES: [(char, &str); 5] =
        [('&', r"\u0026"), ('<', r"\u003c"), ('>', r"\u003e"), ('\u{2028}', r"\u2028"), ('\u{2029}', r"\u2029")];
    // Most answers have none of them, and some are large: they aren't copied for nothing.
    ESCAPES.iter().fold(
        json,
        |json, (special, escaped)| {
            if json.contains(*special) { json.replace(*special, escaped) } else { json }
        },
    )
}

// Go's zero time, which stands for none.
const NO_TIME: &str = "0001-01-01T00:00:00Z";

pub(crate) fn time(at: DateTime<Utc>) -> String {
    // Go writes as many digits of a second as are needed; chrono writes them by threes.
    let text = at.to_rfc3339_opts(SecondsFormat::AutoSi, true);
    match text.trim_end_matches('Z').split_once('.') {
        Some((seconds, fraction)) => format!("{seconds}.{}Z", fraction.trim_end_matches('0')),
        None => text,
    }
}

fn time_or_none(at: Option<DateTime<Utc>>) -> String {
    at.map_or_else(|| NO_TIME.to_owned(), time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_escaped_as_go_does() {
        assert_eq!(compact(&"a=<1>&b=\u{2028}\u{2029}é\n"), r#""a=\u003c1\u003e\u0026b=\u2028\u2029é\n""#);
        assert_eq!(pretty(&["&"]), "[\n  \"\\u0026\"\n]");
    }

    #[test]
    fn times_have_no_zeros_at_their_end() {
        let at = |nanos: u32| time(DateTime::from_timestamp(1_705_284_000, nanos).unwrap());
        assert_eq!(at(0), "2024-01-15T02:00:00Z");
        assert_eq!(at(400_000_000), "2024-01-15T02:00:00.4Z");
        assert_eq!(at(12_000), "2024-01-15T02:00:00.000012Z");
        assert_eq!(time_or_none(None), "0001-01-01T00:00:00Z");
    }
}
