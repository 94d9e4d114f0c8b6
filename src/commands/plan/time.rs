//! Times as people write them.

use chrono::{DateTime, NaiveDate, NaiveDateTime, TimeZone as _, Utc};
use chrono_tz::Tz;

/// Reads a date, a date and an hour, or RFC 3339. What names no zone is in `zone`.
pub(crate) fn parse_time(text: &str, zone: Tz) -> anyhow::Result<DateTime<Utc>> {
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Ok(time.with_timezone(&Utc));
    }
    let Some(wall) = parse_wall(text) else {
        anyhow::bail!("`{text}` is not a time: write it like 2024-01-15, 2024-01-15T05 or 2024-01-15T05:00:00Z");
    };
    // An hour that comes twice is meant from its beginning.
    match zone.from_local_datetime(&wall).earliest() {
        Some(time) => Ok(time.with_timezone(&Utc)),
        None => anyhow::bail!("the clocks of {zone} skip `{text}`: write another hour"),
    }
}

fn parse_wall(text: &str) -> Option<NaiveDateTime> {
    let (date, hour) = match text.split_once('T') {
        Some((date, hour)) => (date, hour.parse().ok().filter(|_| hour.len() == 2)?),
        None => (text, 0),
    };
    let date = NaiveDate::parse_from_str(date, "%Y-%m-%d").ok().filter(|_| date.len() == 10)?;
    date.and_hms_opt(hour, 0, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_without_a_zone_are_local() {
        let read = |text: &str| parse_time(text, Tz::Europe__Berlin).map(|time| time.to_rfc3339());
        assert_eq!(read("2024-01-15").unwrap(), "2024-01-14T23:00:00+00:00");
        assert_eq!(read("2024-07-15T05").unwrap(), "2024-07-15T03:00:00+00:00");
        assert_eq!(read("2024-07-15T05:30:00-01:00").unwrap(), "2024-07-15T06:30:00+00:00");
        for text in ["", "today", "2024-1-15", "2024-01-15T", "2024-01-15T5", "2024-01-15T24", "2024-02-30"] {
            let error = read(text).unwrap_err().to_string();
            assert_eq!(
                error,
                format!("`{text}` is not a time: write it like 2024-01-15, 2024-01-15T05 or 2024-01-15T05:00:00Z")
            );
        }
        assert_eq!(
            read("2024-03-31T02").unwrap_err().to_string(),
            "the clocks of Europe/Berlin skip `2024-03-31T02`: write another hour"
        );
    }
}
