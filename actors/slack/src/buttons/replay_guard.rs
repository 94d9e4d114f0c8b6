//! The replay guard: a request that somebody recorded is refused, and a click that Slack reports twice is done once.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use flowlord_kernel::{Code, Error, Result};

// Longer than a signature is valid, and than Slack repeats a click.
const KEPT_FOR: TimeDelta = TimeDelta::minutes(15);

// Nobody clicks as often as this; only what is signed gets here.
const MAX_ENTRIES: usize = 10_000;

/// Keys of requests or clicks seen lately, and when.
#[derive(Debug, Default)]
pub(super) struct ReplayGuard(BTreeMap<String, DateTime<Utc>>);

impl ReplayGuard {
    /// Adds a key. Answers whether it is new.
    pub(super) fn add_key(&mut self, key: &str, now: DateTime<Utc>) -> Result<bool> {
        if self.0.contains_key(key) {
            return Ok(false);
        }
        self.0.retain(|_, at| (now - *at).abs() <= KEPT_FOR);
        if self.0.len() >= MAX_ENTRIES {
            return Err(Error::new(Code::Busy, "too many recent clicks; try again in a few minutes"));
        }
        self.0.insert(key.to_owned(), now);
        Ok(true)
    }

    /// Forgets a key whose click wasn't done: when it comes again it is new.
    pub(super) fn forget_key(&mut self, key: &str) {
        self.0.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_heard_is_known_for_a_while() {
        let noon: DateTime<Utc> = "2026-03-02T12:00:00Z".parse().unwrap();
        let mut guard = ReplayGuard::default();
        assert_eq!(guard.add_key("a", noon), Ok(true));
        assert_eq!(guard.add_key("a", noon + TimeDelta::minutes(14)), Ok(false));
        assert_eq!(guard.add_key("b", noon + TimeDelta::minutes(16)), Ok(true));
        assert_eq!(guard.0.len(), 1, "old ones leave");
        guard.forget_key("b");
        assert_eq!(guard.add_key("b", noon), Ok(true));
    }

    #[test]
    fn it_is_bounded() {
        let noon: DateTime<Utc> = "2026-03-02T12:00:00Z".parse().unwrap();
        let mut guard = ReplayGuard((0..MAX_ENTRIES).map(|nth| (nth.to_string(), noon)).collect());
        assert_eq!(guard.add_key("a", noon).unwrap_err().code, Code::Busy);
        assert_eq!(guard.add_key("7", noon), Ok(false));
        assert_eq!(guard.add_key("a", noon + TimeDelta::minutes(16)), Ok(true));
    }
}
