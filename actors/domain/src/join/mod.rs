//! Joins: phases that start once a period, by several tasks.
//!
//! What a join waits for follows from the schedules of its parents; what is there is rows. A result brings along all that is
//! needed to start it, and the database, which alone knows what else is there, decides with [`JoinCount`] whether it starts.

mod cache;
mod expected;
mod late;
mod period;
mod standing;
mod start;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;

pub(crate) use cache::JoinCache;
pub use expected::UnknownSlots;
pub(crate) use late::periods_after;
pub use late::{LateJoin, join_progress, late_join, meta_file_of, passed_joins};
pub use period::JoinPeriod;
pub use standing::JoinStanding;
pub use start::JoinStart;
use start::JoinedTask;

use crate::batch::cut_to_hour;
use crate::rule::{BatchStep, JoinNeed};
use crate::task::{NewTask, Uid};
use crate::task_time::cron_text;
use crate::workflow::{ParentName, Phase, Workflows};
use expected::{SlotCounter, hour_of_slot, zone_of};

/// How many of the tasks that are missing a text names.
const NAMED: usize = 10;

/// A join and one of its periods.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct JoinKey {
    /// The workflow file of the phase that waits.
    pub workflow: String,
    /// The phase.
    pub task: String,
    /// How long its periods are.
    pub over: BatchStep,
    /// The number of the period.
    pub period: i64,
}

/// A complete task for which a join waited.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinArrival {
    /// The join and its period.
    pub key: JoinKey,
    /// What the task is among those that it waits for.
    pub slots: Vec<String>,
    /// What it waits for.
    pub count: Arc<JoinCount>,
    /// Whether it starts again if it has started already.
    pub again: bool,
    /// When it is late; none for never.
    pub late_at: Option<DateTime<Utc>>,
    /// What starts.
    pub start: JoinStart,
}

impl JoinArrival {
    /// The same of a task that has another id by now.
    pub(crate) fn rename_parent(&mut self, uid: Uid) {
        self.start.rename_parent(uid);
    }
}

/// What a join waits for in a period.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinCount {
    need: JoinNeed,
    slots: Vec<ExpectedSlot>,
    /// A schedule says that there is something to wait for.
    is_scheduled: bool,
    /// Why not all of them are known.
    unknown: Option<UnknownSlots>,
}

/// An hour of a parent.
#[derive(Debug, Clone, PartialEq, Eq)]
struct ExpectedSlot {
    key: String,
    /// How people call it.
    label: String,
    /// So many tasks are about it.
    count: usize,
}

/// How far a join is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinProgress {
    /// How many tasks are there.
    pub have: usize,
    /// How many it takes; zero when nobody knows.
    pub need: usize,
    /// Those that aren't there, as people call them.
    pub missing: Vec<String>,
}

impl JoinProgress {
    /// Whether the join starts.
    pub fn is_complete(&self) -> bool {
        self.need > 0 && self.have >= self.need
    }

    /// `22 of 24: waits for T07, T19`.
    pub fn to_words(&self) -> String {
        let Self { have, need, missing } = self;
        let mut text = if *need > 0 { format!("{have} of {need}") } else { format!("{have} are there") };
        if !missing.is_empty() && !self.is_complete() {
            text += ": waits for ";
            text += &missing.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
            if missing.len() > NAMED {
                text += &format!(" and {} more", missing.len() - NAMED);
            }
        }
        text
    }
}

impl JoinCount {
    /// What the join `phase` waits for in a period.
    pub fn of_period(workflows: &Workflows, phase: &Phase, period: &JoinPeriod) -> Arc<Self> {
        let key = (phase.workflow.clone(), (phase.line, phase.column), period.number);
        workflows.join_cache().counts.find_or_read(key, || {
            let count = Self::new(workflows, phase, period);
            let slots = count.slots.len();
            (Arc::new(count), slots)
        })
    }

    fn new(workflows: &Workflows, phase: &Phase, period: &JoinPeriod) -> Self {
        let (mut slots, mut unknown, mut is_scheduled) = (Vec::new(), None, false);
        let join = &phase.rule.join;
        for parent in &phase.parents {
            let hours = hours_in(workflows, phase, parent, period);
            is_scheduled |= hours.as_ref().is_ok_and(|hours| !hours.is_empty());
            match (hours, join.over) {
                // The hour itself is what they have in common, whatever their schedules say.
                (Ok(hours), None) if hours.is_empty() => slots.push((parent, period.about, 1)),
                (Err(_), None) => slots.push((parent, period.about, 1)),
                (Ok(hours), _) => slots.extend(hours.into_iter().map(|(hour, count)| (parent, hour, count))),
                (Err(why), _) => unknown = unknown.or(Some(why)),
            }
        }
        let slots = label_slots(workflows, phase, period, slots);
        Self { need: join.need, slots, is_scheduled, unknown }
    }

    /// Why it can't be known when all is there.
    pub fn impossible(&self) -> Option<&UnknownSlots> {
        self.unknown.as_ref().filter(|_| self.need == JoinNeed::All)
    }

    /// Whether schedules say that there is something to wait for.
    pub(crate) fn is_scheduled(&self) -> bool {
        self.unknown.is_none() && self.is_scheduled
    }

    /// Whether several tasks of one parent are about the same hour.
    pub(crate) fn has_shared_hour(&self) -> bool {
        self.slots.iter().any(|slot| slot.count > 1)
    }

    /// How many tasks are expected.
    pub fn count_expected(&self) -> usize {
        self.slots.iter().map(|slot| slot.count).sum()
    }

    /// How far it is with these.
    pub fn progress<'a>(&self, arrived: impl IntoIterator<Item = &'a str>) -> JoinProgress {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for key in arrived {
            *counts.entry(slot_of(key)).or_default() += 1;
        }
        // A number asks for so many, whichever they are: also for tasks that no schedule told of.
        let all: usize = counts.values().sum();
        let here = |slot: &ExpectedSlot| counts.get(slot.key.as_str()).copied().unwrap_or_default().min(slot.count);
        let missing = self.slots.iter().filter(|slot| here(slot) < slot.count).map(|slot| slot.label.clone()).collect();
        let (have, need) = match self.need {
            JoinNeed::All if self.unknown.is_some() => (all, 0),
            JoinNeed::All => (self.slots.iter().map(here).sum(), self.count_expected()),
            JoinNeed::Count(count) => (all, count),
        };
        JoinProgress { have, need, missing }
    }

    /// Whether it starts with these.
    pub fn is_complete<'a>(&self, arrived: impl ExactSizeIterator<Item = &'a str>) -> bool {
        let need = match self.need {
            JoinNeed::All => self.count_expected(),
            JoinNeed::Count(count) => count,
        };
        // Of a month of hours most arrive too early: these aren't told apart.
        arrived.len() >= need && self.progress(arrived).is_complete()
    }

    /// What arrived, in the order of the parents and then of time.
    fn sort_arrived<T>(&self, arrived: &mut [(String, T)]) {
        let places: BTreeMap<&str, usize> =
            self.slots.iter().enumerate().map(|(nth, slot)| (slot.key.as_str(), nth)).collect();
        arrived.sort_by_cached_key(|(key, _)| (places.get(slot_of(key)).copied().unwrap_or(usize::MAX), key.clone()));
    }

    /// The tasks that start after these slots with their metas, or why none can.
    pub fn start_tasks(&self, start: &JoinStart, arrived: Vec<(String, String)>) -> Result<Vec<NewTask>, String> {
        start.tasks(&self.joined_tasks(arrived), false)
    }

    /// The same in a plan: what only workers know stays as it is written.
    pub(crate) fn plan_tasks(&self, start: &JoinStart, arrived: Vec<(String, String)>) -> Result<Vec<NewTask>, String> {
        start.tasks(&self.joined_tasks(arrived), true)
    }

    fn joined_tasks(&self, mut arrived: Vec<(String, String)>) -> Vec<JoinedTask> {
        self.sort_arrived(&mut arrived);
        arrived.iter().map(|(key, meta)| JoinedTask::new(key, meta)).collect()
    }
}

/// The hours of a period that a parent's tasks are about.
fn hours_in(
    workflows: &Workflows,
    phase: &Phase,
    parent: &ParentName,
    period: &JoinPeriod,
) -> Result<BTreeMap<DateTime<Utc>, usize>, UnknownSlots> {
    let range = cut_to_hour(period.begins)..period.ends;
    let mut hours = SlotCounter::new(workflows).hours_of_parent(phase, parent, &range)?;
    let zone = zone_of(workflows, phase);
    hours.retain(|hour, _| JoinPeriod::number_of_hour(period.over, zone, *hour) == Some(period.number));
    Ok(hours)
}

/// Whether no hour of a time has a task of each parent; false where that isn't known.
pub(crate) fn never_meets(workflows: &Workflows, phase: &Phase, range: &Range<DateTime<Utc>>) -> bool {
    let mut common: Option<BTreeSet<DateTime<Utc>>> = None;
    for parent in &phase.parents {
        let hours = SlotCounter::new(workflows).hours_of_parent(phase, parent, range);
        let Some(hours) = hours.ok().filter(|hours| !hours.is_empty()) else { return false };
        let hours: BTreeSet<_> = hours.into_keys().collect();
        common = Some(common.map_or(hours.clone(), |common| &common & &hours));
    }
    common.is_some_and(|common| common.is_empty())
}

/// Calls each slot by what tells it apart: its hour, its day, its task.
fn label_slots(
    workflows: &Workflows,
    phase: &Phase,
    period: &JoinPeriod,
    slots: Vec<(&ParentName, DateTime<Utc>, usize)>,
) -> Vec<ExpectedSlot> {
    let is_daily = || {
        let day = |(parent, hour, _): &(&ParentName, DateTime<Utc>, usize)| (&raw const **parent, hour.date_naive());
        slots.iter().map(day).collect::<BTreeSet<_>>().len() == slots.len()
    };
    let form = match period.over {
        BatchStep::Hour => "",
        BatchStep::Day => " T%H",
        BatchStep::Week | BatchStep::Month if is_daily() => " %m-%d",
        BatchStep::Week | BatchStep::Month => " %m-%dT%H",
    };
    let is_named = phase.parents.len() > 1 || form.is_empty();
    let label = |parent: &ParentName, hour: DateTime<Utc>| {
        let name = if is_named { parent.task.to_string() } else { String::new() };
        format!("{name}{}", hour.format(form)).trim().to_owned()
    };
    let mut seen = BTreeSet::new();
    let all = slots.into_iter().map(|(parent, hour, count)| {
        let key = slot_key(workflows, phase, parent, hour);
        ExpectedSlot { key, label: label(parent, hour), count }
    });
    // The same parent may be written twice.
    all.filter(|slot| seen.insert(slot.key.clone())).collect()
}

/// What names an hour of a parent, as it is stored.
fn slot_key(workflows: &Workflows, phase: &Phase, parent: &ParentName, hour: DateTime<Utc>) -> String {
    let file = workflows.file_of_parent(phase, parent).map_or(parent.file.as_str(), |file| &file.path);
    format!("{file}#{}@{}", parent.task, cron_text(hour))
}

/// The slot of what arrived: several tasks of one have a digest behind it.
fn slot_of(key: &str) -> &str {
    let at = key.rfind('@').unwrap_or_default();
    key[at..].find('/').map_or(key, |end| &key[..at + end])
}

/// The period of a join to which a task about this hour belongs.
fn period_of(
    workflows: &Workflows,
    phase: &Phase,
    parent: &ParentName,
    hour: DateTime<Utc>,
) -> Option<(JoinPeriod, DateTime<Utc>)> {
    let hour = cut_to_hour(hour);
    let join = &phase.rule.join;
    // Without `over` the hour is the period, and no other hour may stand for it.
    let hour = if join.over.is_some() { hour_of_slot(workflows, phase, parent, hour) } else { hour };
    let zone = zone_of(workflows, phase);
    Some((JoinPeriod::of_hour(join.over.unwrap_or(BatchStep::Hour), zone, hour)?, hour))
}

impl Phase {
    /// The period of that number of this join.
    pub fn join_period(&self, workflows: &Workflows, number: i64) -> Option<JoinPeriod> {
        JoinPeriod::numbered(self.rule.join.over.unwrap_or(BatchStep::Hour), self.join_zone(workflows), number)
    }

    /// The number of its period that an hour belongs to.
    pub(crate) fn join_number_at(&self, workflows: &Workflows, hour: DateTime<Utc>) -> Option<i64> {
        let over = self.rule.join.over.unwrap_or(BatchStep::Hour);
        JoinPeriod::number_of_hour(over, self.join_zone(workflows), hour)
    }

    /// Where its days begin.
    pub(crate) fn join_zone(&self, workflows: &Workflows) -> Tz {
        zone_of(workflows, self)
    }

    pub(crate) fn join_key(&self, period: &JoinPeriod) -> JoinKey {
        let (over, period) = (period.over, period.number);
        JoinKey { workflow: self.workflow.clone(), task: self.task_name(), over, period }
    }
}

/// A complete task, and the phase that waits for it.
pub(crate) struct Joining<'a> {
    pub(crate) workflows: &'a Workflows,
    pub(crate) phase: &'a Phase,
    /// Which of its parents the task is.
    pub(crate) parents: Vec<usize>,
    /// The time that the task is about.
    pub(crate) time: DateTime<Utc>,
    /// `topic` or `topic:job`.
    pub(crate) task: String,
    pub(crate) info: &'a str,
}

impl Joining<'_> {
    /// The period, and what the task is in it.
    pub(crate) fn place(&self) -> Option<(JoinPeriod, Arc<JoinCount>, Vec<String>)> {
        let parents = self.parents.iter().filter_map(|nth| self.phase.parents.get(*nth));
        let slots: Vec<_> = parents
            .filter_map(|parent| {
                let (own, hour) = period_of(self.workflows, self.phase, parent, self.time)?;
                Some((own, slot_key(self.workflows, self.phase, parent, hour)))
            })
            .collect();
        let (period, _) = *slots.first()?;
        let count = JoinCount::of_period(self.workflows, self.phase, &period);
        let slots = slots.into_iter().filter(|(own, _)| own.number == period.number).map(|(_, key)| {
            // Of several tasks of one slot each has to be told apart, but a slot with one task counts once.
            let is_one_of_many = count.slots.iter().any(|slot| slot.key == key && slot.count > 1);
            if is_one_of_many { format!("{key}/{:016x}", digest(&self.task, self.info)) } else { key }
        });
        let slots = slots.collect();
        Some((period, count, slots))
    }

    pub(crate) fn arrival(&self, again: bool, start: impl FnOnce(&JoinPeriod) -> JoinStart) -> Option<JoinArrival> {
        let (period, count, slots) = self.place()?;
        Some(JoinArrival {
            key: self.phase.join_key(&period),
            slots,
            count,
            again: again && self.phase.rule.join.again,
            late_at: self.phase.rule.join.by.and_then(|by| period.ends.checked_add_signed(by)),
            start: start(&period),
        })
    }
}

/// Tells apart the tasks of one slot (FNV-1a): what is stored must be the same in the next version.
fn digest(task: &str, info: &str) -> u64 {
    let bytes = task.bytes().chain([0]).chain(info.bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod count_tests;
#[cfg(test)]
mod start_tests;
#[cfg(test)]
mod tests;
