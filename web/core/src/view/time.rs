//! Times as JSON, written without an allocation.

use chrono::{DateTime, Datelike as _, SecondsFormat, Timelike as _, Utc};
use serde::{Serialize, Serializer};

/// A time as clients get it: RFC 3339 in UTC, with as many digits as it needs.
#[derive(Debug, Clone, Copy)]
pub struct TimeStamp(pub DateTime<Utc>);

impl Serialize for TimeStamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let micros = self.0.nanosecond() / 1_000;
        let digits = if micros == 0 {
            0
        } else if micros.is_multiple_of(1_000) {
            3
        } else {
            6
        };
        let mut text = *b"0000-00-00T00:00:00.000000Z";
        match write(self.0, digits, &mut text).and_then(|end| text.get(..end)) {
            Some(text) => serializer.serialize_str(str::from_utf8(text).unwrap_or_default()),
            None => serializer.serialize_str(&self.0.to_rfc3339_opts(SecondsFormat::AutoSi, true)),
        }
    }
}

/// Writes the time and answers where it ends; none for what has no four-digit year or is finer than microseconds.
fn write(at: DateTime<Utc>, digits: usize, text: &mut [u8; 27]) -> Option<usize> {
    let year = u32::try_from(at.year()).ok().filter(|year| *year <= 9999)?;
    let nanos = at.nanosecond();
    if !nanos.is_multiple_of(1_000) || nanos >= 1_000_000_000 {
        return None;
    }
    put(year, &mut text[0..4]);
    put(at.month(), &mut text[5..7]);
    put(at.day(), &mut text[8..10]);
    put(at.hour(), &mut text[11..13]);
    put(at.minute(), &mut text[14..16]);
    put(at.second(), &mut text[17..19]);
    put(nanos / 1_000, &mut text[20..26]);
    let end = if digits == 0 { 19 } else { 20 + digits };
    text[end] = b'Z';
    Some(end + 1)
}

/// Writes a number right-aligned.
fn put(mut number: u32, place: &mut [u8]) {
    for digit in place.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn times_have_the_digits_that_they_need() {
        let start: DateTime<Utc> = "2026-01-15T03:04:05Z".parse().unwrap();
        for nanos in [0, 1_000, 120_000_000, 123_456_000, 123_456_789, 999_999_000, -62_000_000_000_000_000] {
            let at = start + TimeDelta::nanoseconds(nanos);
            assert_eq!(
                serde_json::to_value(TimeStamp(at)).unwrap(),
                at.to_rfc3339_opts(SecondsFormat::AutoSi, true)
            );
        }
    }
}
