//! The process's source of ids and randomness.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use flowlord_domain::{IdSource, Uid};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::locked::Locked;

/// A step of the wall clock back by more than this is followed; a smaller one is jitter of the clock, and ids
/// go on growing.
const FOLLOW_BACK_MICROS: i64 = 1_000_000;

/// Makes ids; clones share one sequence.
#[derive(Debug, Clone)]
pub struct IdGenerator(Arc<Locked<IdState>>);

#[derive(Debug)]
struct IdState {
    last: i64,
    rng: StdRng,
}

impl IdGenerator {
    /// From the machine's randomness.
    #[must_use]
    pub fn new() -> Self {
        Self::from_rng(StdRng::from_rng(&mut rand::rng()))
    }

    /// The same sequence each time, for tests.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self::from_rng(StdRng::seed_from_u64(seed))
    }

    fn from_rng(rng: StdRng) -> Self {
        Self(Arc::new(Locked::new(IdState { last: 0, rng })))
    }

    fn with_state<T>(&self, f: impl FnOnce(&mut IdState) -> T) -> T {
        f(&mut self.0.lock())
    }
}

impl Default for IdGenerator {
    fn default() -> Self {
        Self::new()
    }
}

impl IdSource for IdGenerator {
    fn next_uid(&mut self, now: DateTime<Utc>) -> Uid {
        let now = now.timestamp_micros();
        self.with_state(|state| {
            let stepped_back = state.last - now > FOLLOW_BACK_MICROS;
            state.last = if stepped_back { now } else { now.max(state.last + 1) };
            Uid(state.last)
        })
    }

    fn random_bits(&mut self) -> u64 {
        self.with_state(|state| state.rng.next_u64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_differ_within_one_instant_and_follow_a_clock_that_steps_back() {
        let mut ids = IdGenerator::seeded(1);
        let now = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
        let (first, second) = (ids.next_uid(now), ids.next_uid(now));
        assert!(first < second);
        assert!(ids.next_uid(now - chrono::TimeDelta::milliseconds(20)) > second);
        let hour_ago = now - chrono::TimeDelta::hours(1);
        assert_eq!(ids.next_uid(hour_ago), Uid::at(hour_ago));
    }
}
