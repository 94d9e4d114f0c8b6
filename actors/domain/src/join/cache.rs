//! What was read from schedules, kept for the next task of the same period: a month of hours is long to walk through.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Utc};

use super::JoinCount;

/// When so many slots are kept they are forgotten: those that are needed come again.
const MAX_KEPT_SLOTS: usize = 200_000;

/// What the joins of workflows wait for, as far as it was asked for.
#[derive(Debug, Default)]
pub(crate) struct JoinCache {
    pub(super) counts: PeriodCache<Arc<JoinCount>>,
    /// The hour of each day's slot of a parent, where the day has only one.
    pub(super) only_hours: PeriodCache<Option<DateTime<Utc>>>,
}

/// A workflow file, where a phase or a parent stands in it, and the number of a period or day.
pub(super) type PeriodKey = (String, (usize, usize), i64);

#[derive(Debug)]
pub(super) struct PeriodCache<V>(Mutex<KeptValues<V>>);

#[derive(Debug)]
struct KeptValues<V> {
    values: HashMap<PeriodKey, V>,
    slots: usize,
}

impl<V> Default for PeriodCache<V> {
    fn default() -> Self {
        Self(Mutex::new(KeptValues { values: HashMap::new(), slots: 0 }))
    }
}

impl<V: Clone> PeriodCache<V> {
    /// The value of a key; `read` reads it, and answers how many slots it has.
    pub(super) fn find_or_read(&self, key: PeriodKey, read: impl FnOnce() -> (V, usize)) -> V {
        let kept = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = kept().values.get(&key) {
            return known.clone();
        }
        // Without the lock: others go on meanwhile.
        let (value, slots) = read();
        let mut kept = kept();
        if kept.slots >= MAX_KEPT_SLOTS {
            *kept = KeptValues { values: HashMap::new(), slots: 0 };
        }
        kept.slots += slots + 1;
        kept.values.insert(key, value.clone());
        value
    }
}

/// A copy of workflows reads anew.
impl Clone for JoinCache {
    fn clone(&self) -> Self {
        Self::default()
    }
}

/// Workflows are the same by what their files say.
impl PartialEq for JoinCache {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for JoinCache {}
