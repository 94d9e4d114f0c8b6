//! Times and ids as texts, written on the stack.

use std::io::Write as _;

use chrono::{DateTime, Datelike, Timelike, Utc};

use crate::task::Uid;

/// When an attempt was created, with the microseconds that tell it from others.
pub fn created_text(uid: Uid) -> String {
    TimeText::in_micros(uid.created_at()).as_str().to_owned()
}

/// A time on the wire: RFC 3339 in UTC, whole seconds.
pub fn time_text(at: DateTime<Utc>) -> String {
    TimeText::in_seconds(at).as_str().to_owned()
}

/// A text that is no time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a time: write it like 2026-03-01T12:00:00Z (RFC 3339)")]
pub struct InvalidTime {
    text: String,
}

/// Reads a time on the wire.
pub fn parse_time(text: &str) -> Result<DateTime<Utc>, InvalidTime> {
    match DateTime::parse_from_rfc3339(text) {
        Ok(at) => Ok(at.with_timezone(&Utc)),
        Err(_) => Err(InvalidTime { text: text.chars().take(100).collect() }),
    }
}

/// A short text on the stack.
pub(super) struct StackText<const N: usize> {
    bytes: [u8; N],
    length: usize,
}

impl<const N: usize> StackText<N> {
    pub(super) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.length]).unwrap_or_default()
    }
}

/// A time like `2026-03-01T12:00:00.000123Z`.
pub(super) type TimeText = StackText<27>;

impl TimeText {
    pub(super) fn in_seconds(at: DateTime<Utc>) -> Self {
        let mut bytes = *b"0000-00-00T00:00:00Z       ";
        Self::date_and_time(at, &mut bytes);
        Self { bytes, length: 20 }
    }

    pub(super) fn in_micros(at: DateTime<Utc>) -> Self {
        let mut bytes = *b"0000-00-00T00:00:00.000000Z";
        Self::date_and_time(at, &mut bytes);
        // A leap second is written as the last microsecond before it ends.
        write_digits(&mut bytes[20..26], (at.nanosecond() / 1000).min(999_999));
        Self { bytes, length: 27 }
    }

    fn date_and_time(at: DateTime<Utc>, bytes: &mut [u8; 27]) {
        // RFC 3339 has years of four digits only.
        write_digits(&mut bytes[0..4], u32::try_from(at.year().clamp(0, 9999)).unwrap_or(0));
        write_digits(&mut bytes[5..7], at.month());
        write_digits(&mut bytes[8..10], at.day());
        write_digits(&mut bytes[11..13], at.hour());
        write_digits(&mut bytes[14..16], at.minute());
        write_digits(&mut bytes[17..19], at.second());
    }
}

/// Fills `place` with the last decimal digits of `number`.
fn write_digits(place: &mut [u8], number: u32) {
    let mut rest = number;
    for byte in place.iter_mut().rev() {
        *byte = b'0' + u8::try_from(rest % 10).unwrap_or(0);
        rest /= 10;
    }
}

/// The digits of an attempt id.
pub(super) type UidText = StackText<16>;

impl UidText {
    pub(super) fn new(uid: Uid) -> Self {
        let mut bytes = [0; 16];
        let mut free = &mut bytes[..];
        // 64 bits are at most 16 digits, so that there is room.
        let _ = write!(free, "{uid}");
        let left = free.len();
        Self { bytes, length: 16 - left }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_error_says_how_to_write_a_time() {
        for text in ["", "yesterday", "2026-03-01", "2026-03-01T12:00:00"] {
            let error = parse_time(text).unwrap_err().to_string();
            assert_eq!(error, format!("`{text}` is not a time: write it like 2026-03-01T12:00:00Z (RFC 3339)"));
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(micros in 0..(1_i64 << 56)) {
            let uid = Uid(micros);
            prop_assert_eq!(parse_time(&created_text(uid)), Ok(uid.created_at()));
            prop_assert_eq!(parse_time(&time_text(uid.created_at())).unwrap().timestamp(), uid.created_at().timestamp());
            prop_assert_eq!(UidText::new(uid).as_str().to_owned(), uid.to_string());
        }

        #[test]
        fn any_time_is_written(seconds in -9_000_000_000_000_i64..9_000_000_000_000, nanos in 0_u32..2_000_000_000) {
            if let Some(at) = DateTime::from_timestamp(seconds, nanos) {
                prop_assert_eq!((time_text(at).len(), TimeText::in_micros(at).as_str().len()), (20, 27));
            }
        }
    }
}
