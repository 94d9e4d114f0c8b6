//! Where new ids and randomness come from: the caller.

use chrono::{DateTime, Utc};

use crate::task::Uid;

/// The source of everything a decision can't derive from its inputs.
pub trait IdSource {
    /// A fresh attempt id for a task created at `now`; never the same twice from one source.
    fn next_uid(&mut self, now: DateTime<Utc>) -> Uid;

    /// 64 uniform random bits: jitter, `{uuid}`, chain ids, lease secrets.
    fn random_bits(&mut self) -> u64;

    /// A fresh chain id: a version 7 UUID, so that the index over chains grows at its end.
    fn next_chain_id(&mut self, now: DateTime<Utc>) -> String {
        // A clock before 1970 must not stop the service.
        let millis = u64::try_from(now.timestamp_millis()).unwrap_or(0);
        let mut bytes = [0_u8; 10];
        bytes[..8].copy_from_slice(&self.random_bits().to_le_bytes());
        bytes[8..].copy_from_slice(&self.random_bits().to_le_bytes()[..2]);
        uuid::Builder::from_unix_timestamp_millis(millis, &bytes).into_uuid().to_string()
    }
}

#[cfg(test)]
pub(crate) mod fixed {
    //! Ids that are the same in each run.

    use super::*;

    #[derive(Debug, Default)]
    pub(crate) struct FixedIds {
        uids: i64,
        random: u64,
    }

    impl IdSource for FixedIds {
        fn next_uid(&mut self, now: DateTime<Utc>) -> Uid {
            self.uids += 1;
            Uid(now.timestamp_micros() + self.uids)
        }

        fn random_bits(&mut self) -> u64 {
            self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
            self.random
        }
    }
}

#[cfg(test)]
mod tests {
    use super::fixed::FixedIds;
    use super::*;

    #[test]
    fn chain_ids_are_uuids_in_the_order_of_time() {
        let mut ids = FixedIds::default();
        let mut chain = |millis: i64| ids.next_chain_id(DateTime::from_timestamp_millis(millis).unwrap());
        let (first, same, later) = (chain(1_700_000_000_000), chain(1_700_000_000_000), chain(1_700_000_000_001));
        assert!(first.starts_with("018bcfe5-6800-7") && later.starts_with("018bcfe5-6801-7"), "{first} {later}");
        assert!(first != same && same < later, "{first} {same} {later}");
        assert!(chain(-1).starts_with("00000000-0000-7"), "no time before 1970 is written");
    }
}
