//! Times as JSON, written without an allocation.

use chrono::{DateTime, Datelike as _, Timelike as _, Utc};
use flowlord_domain::task_doc::time_text;
use serde::{Serialize, Serializer};

/// A time as clients get it: RFC 3339 in UTC, with as many digits as it needs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stamp(pub(crate) DateTime<Utc>);

impl Serialize for Stamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let micros = self.0.nanosecond() / 1_000;
        let digits = if micros == 0 {
            0
        } else if micros.is_multiple_of(1_000) {
            3
        } else {
            6
        };
        serialize(self.0, digits, serializer)
    }
}

/// A creation instant: always with microseconds, which tell attempts apart.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Created(pub(crate) DateTime<Utc>);

impl Serialize for Created {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serialize(self.0, 6, serializer)
    }
}

fn serialize<S: Serializer>(at: DateTime<Utc>, digits: usize, serializer: S) -> Result<S::Ok, S::Error> {
    let mut text = *b"0000-00-00T00:00:00.000000Z";
    let Some(end) = write(at, digits, &mut text) else { return serializer.serialize_str(&time_text(at)) };
    serializer.serialize_str(str::from_utf8(text.get(..end).unwrap_or_default()).unwrap_or_default())
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
    use flowlord_domain::Uid;
    use flowlord_domain::task_doc::created_text;

    use super::*;

    #[test]
    fn times_are_written_as_task_json_has_them() {
        let start: DateTime<Utc> = "2026-01-15T03:04:05Z".parse().unwrap();
        for nanos in [0, 1_000, 120_000_000, 123_456_000, 123_456_789, 999_999_000] {
            let at = start + TimeDelta::nanoseconds(nanos);
            assert_eq!(serde_json::to_value(Stamp(at)).unwrap(), time_text(at));
        }
        for micros in [0, -1, 5, 1_768_446_245_000_000, 1_768_446_245_123_450, -62_135_596_800_000_000] {
            let uid = Uid(micros);
            assert_eq!(serde_json::to_value(Created(uid.created())).unwrap(), created_text(uid));
        }
    }
}
