//! Where new ids and randomness come from: the caller.

use chrono::{DateTime, Utc};

use crate::task::Uid;

/// The source of everything a decision can't derive from its inputs.
pub trait Ids {
    /// A fresh attempt id for a task created at `now`; never the same twice from one source.
    fn uid(&mut self, now: DateTime<Utc>) -> Uid;

    /// 64 uniform random bits: jitter, `{uuid}`, chain ids, lease secrets.
    fn random(&mut self) -> u64;

    /// A fresh chain id: a version 7 UUID, so that the index over chains grows at its end.
    fn chain(&mut self, now: DateTime<Utc>) -> String {
        let millis = u64::try_from(now.timestamp_millis()).unwrap_or(0);
        let mut bytes = [0_u8; 10];
        bytes[..8].copy_from_slice(&self.random().to_le_bytes());
        bytes[8..].copy_from_slice(&self.random().to_le_bytes()[..2]);
        uuid::Builder::from_unix_timestamp_millis(millis, &bytes).into_uuid().to_string()
    }
}
