//! What was heard before: a request that somebody recorded is refused, and a click that Slack tells of twice is
//! done once.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use flowlord_kernel::{Code, Error, Result};

/// Longer than a signature holds, and than Slack tells of a click.
const KEPT: TimeDelta = TimeDelta::minutes(15);

/// No people click as often as this; only what is signed gets here.
const MOST: usize = 10_000;

/// Names of what was heard lately, and when.
#[derive(Debug, Default)]
pub(super) struct Heard(BTreeMap<String, DateTime<Utc>>);

impl Heard {
    /// Notes it. Answers whether it is new.
    pub(super) fn note(&mut self, what: &str, now: DateTime<Utc>) -> Result<bool> {
        if self.0.contains_key(what) {
            return Ok(false);
        }
        self.0.retain(|_, at| (now - *at).abs() <= KEPT);
        if self.0.len() >= MOST {
            return Err(Error::new(Code::Busy, "too many clicks came lately; try again in some minutes"));
        }
        self.0.insert(what.to_owned(), now);
        Ok(true)
    }

    /// It wasn't done: when it comes again it is new.
    pub(super) fn forget(&mut self, what: &str) {
        self.0.remove(what);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_heard_is_known_for_a_while() {
        let noon: DateTime<Utc> = "2026-03-02T12:00:00Z".parse().unwrap();
        let mut heard = Heard::default();
        assert_eq!(heard.note("a", noon), Ok(true));
        assert_eq!(heard.note("a", noon + TimeDelta::minutes(14)), Ok(false));
        assert_eq!(heard.note("b", noon + TimeDelta::minutes(16)), Ok(true));
        assert_eq!(heard.0.len(), 1, "old ones leave");
        heard.forget("b");
        assert_eq!(heard.note("b", noon), Ok(true));
    }

    #[test]
    fn it_is_bounded() {
        let noon: DateTime<Utc> = "2026-03-02T12:00:00Z".parse().unwrap();
        let mut heard = Heard((0..MOST).map(|nth| (nth.to_string(), noon)).collect());
        assert_eq!(heard.note("a", noon).unwrap_err().code, Code::Busy);
        assert_eq!(heard.note("7", noon), Ok(false));
        assert_eq!(heard.note("a", noon + TimeDelta::minutes(16)), Ok(true));
    }
}
