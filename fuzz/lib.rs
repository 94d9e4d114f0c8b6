//! What the targets share.

use chrono::{DateTime, Utc};
use flowlord_domain::{IdSource, Uid};

/// Ids that are the same in each run.
#[derive(Debug, Default)]
pub struct Counted(i64);

impl IdSource for Counted {
    fn next_uid(&mut self, now: DateTime<Utc>) -> Uid {
        self.0 += 1;
        Uid(now.timestamp_micros() + self.0)
    }

    fn random_bits(&mut self) -> u64 {
        self.0 += 1;
        self.0.cast_unsigned().wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
}

/// An instant of the four centuries for which time zones are known, from four bytes.
pub fn instant(bytes: [u8; 4]) -> DateTime<Utc> {
    let seconds = i64::from(u32::from_le_bytes(bytes)) * 3 - 8_000_000_000;
    DateTime::from_timestamp(seconds, u32::from(bytes[0]) * 1000).unwrap_or_default()
}
