//! Times as JSON.

use chrono::{DateTime, Utc};
use serde::Serialize;

/// A time as clients get it: RFC 3339 in UTC, with as many digits as it needs.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct TimeStamp(pub DateTime<Utc>);

#[cfg(test)]
mod tests {
    use chrono::{SecondsFormat, TimeDelta};

    use super::*;

    #[test]
    fn times_have_the_digits_that_they_need() {
        let start: DateTime<Utc> = "2026-01-15T03:04:05Z".parse().unwrap();
        for nanos in [0, 1_000, 120_000_000, 123_456_000, 123_456_789, 999_999_000, -62_000_000_000_000_000] {
            let at = start + TimeDelta::nanoseconds(nanos);
            assert_eq!(serde_json::to_value(TimeStamp(at)).unwrap(), at.to_rfc3339_opts(SecondsFormat::AutoSi, true));
        }
    }
}
