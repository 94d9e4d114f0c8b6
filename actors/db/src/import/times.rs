//! Times as a database of the reference system may hold them: texts of several forms, or seconds.

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, Utc};
use rusqlite::types::Value;

/// Texts without a zone are UTC.
const FORMS: [&str; 3] = ["%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H"];

/// The time of a value; none where it says none: empty, or the zero time of its program.
pub(super) fn read_time(value: &Value) -> Result<Option<DateTime<Utc>>, InvalidTime> {
    let time = match value {
        Value::Null => return Ok(None),
        Value::Integer(number) => from_number(*number),
        #[expect(clippy::cast_possible_truncation, reason = "a time beyond every calendar is none")]
        Value::Real(number) => DateTime::from_timestamp_micros((number * 1e6) as i64),
        Value::Text(text) if text.trim().is_empty() => return Ok(None),
        Value::Text(text) => from_text(text.trim()),
        Value::Blob(_) => None,
    };
    let time = time.ok_or(InvalidTime)?;
    let zero = NaiveDate::from_ymd_opt(1, 1, 1).is_some_and(|zero| time.date_naive() == zero);
    Ok(Some(time).filter(|_| !zero))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct InvalidTime;

/// Seconds, or their thousandth or millionth parts where seconds would lie beyond the year 5000.
fn from_number(number: i64) -> Option<DateTime<Utc>> {
    match number.unsigned_abs() {
        0..100_000_000_000 => DateTime::from_timestamp(number, 0),
        100_000_000_000..100_000_000_000_000 => DateTime::from_timestamp_millis(number),
        _ => DateTime::from_timestamp_micros(number),
    }
}

fn from_text(text: &str) -> Option<DateTime<Utc>> {
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Some(time.to_utc());
    }
    // As Go prints a time: `2024-01-15 05:00:00.5 +0000 UTC m=+0.1`.
    let mut words = text.split(' ');
    let (date, clock, zone) = (words.next()?, words.next(), words.next());
    if let (Some(clock), Some(zone)) = (clock, zone) {
        let with_zone = format!("{date} {clock} {zone}");
        return DateTime::parse_from_str(&with_zone, "%Y-%m-%d %H:%M:%S%.f %z").ok().map(|at| at.to_utc());
    }
    // As SQLite's drivers print one: `2024-01-15 05:00:00+00:00`.
    if let Ok(time) = DateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f%:z") {
        return Some(time.to_utc());
    }
    let naive = FORMS.iter().find_map(|form| NaiveDateTime::parse_from_str(text, form).ok());
    // Some programs cut a time at its hour, or at its day.
    let naive = naive
        .or_else(|| NaiveDateTime::parse_from_str(&format!("{text}:00"), "%Y-%m-%dT%H:%M").ok())
        .or_else(|| Some(NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?.and_time(NaiveTime::MIN)));
    naive.map(|time| time.and_utc())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_read_and_none_is_told_from_nonsense() {
        let five: DateTime<Utc> = "2024-01-15T05:00:00Z".parse().unwrap();
        for text in [
            "2024-01-15T05:00:00Z",
            "2024-01-15T06:00:00+01:00",
            "2024-01-15 05:00:00",
            "2024-01-15 05:00:00+00:00",
            "2024-01-15 05:00:00.000 +0000 UTC",
            "2024-01-15 00:00:00 -0500 EST m=+0.5",
            "2024-01-15T05:00:00",
            "2024-01-15T05",
        ] {
            assert_eq!(read_time(&Value::Text(text.to_owned())), Ok(Some(five)), "{text}");
        }
        let half = five + chrono::TimeDelta::milliseconds(500);
        assert_eq!(read_time(&Value::Text("2024-01-15T05:00:00.5Z".to_owned())), Ok(Some(half)));
        let day = read_time(&Value::Text("2024-01-15".to_owned())).unwrap().unwrap();
        assert_eq!(day.to_rfc3339(), "2024-01-15T00:00:00+00:00");
        let seconds = five.timestamp();
        for number in [seconds, seconds * 1_000, seconds * 1_000_000] {
            assert_eq!(read_time(&Value::Integer(number)), Ok(Some(five)), "{number}");
        }
        assert_eq!(read_time(&Value::Real(1_705_294_800.5)), Ok(Some(half)));
        for none in [Value::Null, Value::Text(" ".to_owned()), Value::Text("0001-01-01T00:00:00Z".to_owned())] {
            assert_eq!(read_time(&none), Ok(None), "{none:?}");
        }
        for nonsense in
            [Value::Text("yesterday".to_owned()), Value::Blob(vec![1]), Value::Text("2024-13-01".to_owned())]
        {
            assert_eq!(read_time(&nonsense), Err(InvalidTime), "{nonsense:?}");
        }
    }
}
