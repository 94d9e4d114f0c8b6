//! Which tasks a join waits for: the hours that its parents' tasks are about, from the schedules at their beginning.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;

use chrono::{DateTime, NaiveTime, TimeDelta, Utc};
use chrono_tz::Tz;

use super::period::JoinPeriod;
use crate::batch::{cut_to_hour, times_of_range};
use crate::cron::CronSchedule;
use crate::rule::{BatchStep, JoinNeed};
use crate::workflow::{ParentName, Phase, Workflows};

/// How many slots one look goes through.
pub(super) const MAX_SLOTS: usize = 10_000;

/// No chain that people write is that long.
const MAX_DEPTH: usize = 20;

/// How many tasks are about each hour.
type HourCounts = BTreeMap<DateTime<Utc>, usize>;

/// Why nobody knows which tasks there will be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnknownSlots {
    /// The phase starts by files, by REST or by `@every`.
    #[error("no schedule says when {0} starts: give it a cron with five fields, or write join= with a number")]
    NoSchedule(String),
    /// Its rows are in a file.
    #[error("how many rows the meta-file of {0} has isn't known: write join= with a number")]
    MetaFile(String),
    /// More than anybody waits for.
    #[error("{0} has more than {MAX_SLOTS} slots in that time: write a shorter `over`, or join= with a number")]
    TooMany(String),
    /// It waits for itself.
    #[error("{0} waits for itself")]
    Circle(String),
    /// There is no such phase.
    #[error("there is no phase {0}")]
    NoPhase(String),
}

/// Reads schedules, within a bound.
pub(super) struct SlotCounter<'a> {
    workflows: &'a Workflows,
    left: usize,
    /// The hours of phases: one that leads here on many ways is counted once.
    known: HashMap<(*const Phase, Range<DateTime<Utc>>), HourCounts>,
}

impl<'a> SlotCounter<'a> {
    pub(super) fn new(workflows: &'a Workflows) -> Self {
        Self { workflows, left: MAX_SLOTS, known: HashMap::new() }
    }

    /// How many tasks of one parent are about each hour of a time.
    pub(super) fn hours_of_parent(
        mut self,
        phase: &Phase,
        parent: &ParentName,
        range: &Range<DateTime<Utc>>,
    ) -> Result<HourCounts, UnknownSlots> {
        self.of_parent(phase, parent, range, MAX_DEPTH)
    }

    fn of_parent(
        &mut self,
        phase: &Phase,
        parent: &ParentName,
        range: &Range<DateTime<Utc>>,
        depth: usize,
    ) -> Result<HourCounts, UnknownSlots> {
        let meant = self.workflows.meant_by(phase, parent);
        if meant.is_empty() {
            return Err(UnknownSlots::NoPhase(parent.task.to_string()));
        }
        self.sum_of(&meant, range, depth)
    }

    fn sum_of(
        &mut self,
        phases: &[&Phase],
        range: &Range<DateTime<Utc>>,
        depth: usize,
    ) -> Result<HourCounts, UnknownSlots> {
        let (mut sum, mut seen) = (HourCounts::new(), BTreeSet::new());
        for phase in phases {
            if phase.rule.schedule.is_some() && !seen.insert(phase.slot_identity()) {
                continue;
            }
            for (hour, count) in self.of_phase(phase, range, depth)? {
                *sum.entry(hour).or_default() += count;
            }
        }
        Ok(sum)
    }

    fn of_phase(
        &mut self,
        phase: &Phase,
        range: &Range<DateTime<Utc>>,
        depth: usize,
    ) -> Result<HourCounts, UnknownSlots> {
        let key = (&raw const *phase, range.clone());
        if let Some(known) = self.known.get(&key) {
            return Ok(known.clone());
        }
        let hours = self.count_hours(phase, range, depth)?;
        self.known.insert(key, hours.clone());
        Ok(hours)
    }

    /// How many tasks of a phase are about each hour: by its own schedule, and by what it follows.
    fn count_hours(
        &mut self,
        phase: &Phase,
        range: &Range<DateTime<Utc>>,
        depth: usize,
    ) -> Result<HourCounts, UnknownSlots> {
        let name = || phase.task_name();
        let depth = depth.checked_sub(1).ok_or_else(|| UnknownSlots::Circle(name()))?;
        let is_interval = phase.rule.schedule.as_ref().is_some_and(CronSchedule::is_interval);
        let starts = phase.has_parent() || phase.rule.schedule.is_some();
        if phase.rule.files.is_some() || is_interval || !starts {
            return Err(UnknownSlots::NoSchedule(name()));
        }
        let mut hours = self.of_schedule(phase, range)?;
        for (hour, count) in self.of_parents(phase, range, depth)? {
            *hours.entry(hour).or_default() += count;
        }
        let rows = row_count(phase)?;
        hours.retain(|_, count| {
            *count *= rows;
            *count > 0
        });
        Ok(hours)
    }

    fn of_parents(
        &mut self,
        phase: &Phase,
        range: &Range<DateTime<Utc>>,
        depth: usize,
    ) -> Result<HourCounts, UnknownSlots> {
        if phase.is_join {
            return self.of_join(phase, range, depth);
        }
        let mut parents: Vec<&Phase> =
            phase.parents.iter().flat_map(|parent| self.workflows.meant_by(phase, parent)).collect();
        if phase.depends_on.is_some() {
            let own = self.workflows.file_at(&phase.workflow).map(|file| file.parents_of(phase)).unwrap_or_default();
            if own.is_empty() {
                return Err(UnknownSlots::NoPhase(phase.depends_on_text.clone()));
            }
            parents.extend(own);
        }
        self.sum_of(&parents, range, depth)
    }

    /// The times of the slots of a phase.
    fn of_schedule(&mut self, phase: &Phase, range: &Range<DateTime<Utc>>) -> Result<HourCounts, UnknownSlots> {
        let mut hours = HourCounts::new();
        let rule = &phase.rule;
        let Some(schedule) = &rule.schedule else { return Ok(hours) };
        let too_many = || UnknownSlots::TooMany(phase.task_name());
        // A slot of the hour after may be about an hour of the range, since times are cut.
        let far = rule.offset + rule.span.max(TimeDelta::zero()) + TimeDelta::hours(1);
        let near = rule.offset + rule.span.min(TimeDelta::zero()) - TimeDelta::hours(1);
        let (Some(from), Some(to)) = (range.start.checked_sub_signed(far), range.end.checked_sub_signed(near)) else {
            return Err(too_many());
        };
        let slots = std::iter::successors(schedule.first_from(from), |slot| schedule.next_after(*slot));
        for slot in slots.take_while(|slot| *slot < to) {
            let first = cut_to_hour(slot + rule.offset);
            let times = times_of_range(first, first + rule.span, rule.by, self.left);
            self.left = self.left.checked_sub(times.len()).filter(|left| *left > 0).ok_or_else(too_many)?;
            for time in times.into_iter().filter(|time| range.contains(time)) {
                let count = hours.entry(time).or_default();
                // The times of batches overlap: each is worked on several times, and one of them is enough.
                *count = if rule.span.is_zero() { *count + 1 } else { 1 };
            }
        }
        Ok(hours)
    }

    /// A join has one task for each period in which it waits for something.
    fn of_join(
        &mut self,
        phase: &Phase,
        range: &Range<DateTime<Utc>>,
        depth: usize,
    ) -> Result<HourCounts, UnknownSlots> {
        let (over, zone) = (phase.rule.join.over.unwrap_or(BatchStep::Hour), zone_of(self.workflows, phase));
        let first = JoinPeriod::first_number_from(over, range.start);
        let periods = (first..).map_while(|number| JoinPeriod::numbered(over, zone, number));
        let periods: Vec<_> = periods.take_while(|period| period.about < range.end).take(MAX_SLOTS).collect();
        let (Some(begin), Some(end)) = (periods.first(), periods.last()) else { return Ok(HourCounts::new()) };
        let span = cut_to_hour(begin.begins)..end.ends;
        let mut found: Option<BTreeSet<i64>> = None;
        let is_same_hour = phase.rule.join.over.is_none() && phase.rule.join.need == JoinNeed::All;
        for parent in &phase.parents {
            let hours = self.of_parent(phase, parent, &span, depth)?;
            let numbers: BTreeSet<i64> =
                hours.keys().filter_map(|hour| JoinPeriod::number_of_hour(over, zone, *hour)).collect();
            found = Some(match found {
                None => numbers,
                Some(found) if is_same_hour => &found & &numbers,
                Some(found) => &found | &numbers,
            });
        }
        let found = found.unwrap_or_default();
        let joined = periods.iter().filter(|period| found.contains(&period.number));
        Ok(joined.map(|period| (period.about, 1)).collect())
    }
}

/// How many tasks a phase has for each time.
fn row_count(phase: &Phase) -> Result<usize, UnknownSlots> {
    match (&phase.rule.meta_file, phase.rule.meta.values().map(Vec::len).max()) {
        (Some(_), _) => Err(UnknownSlots::MetaFile(phase.task_name())),
        (None, rows) => Ok(rows.unwrap_or(1)),
    }
}

/// Where the days of a join begin: as in the schedule of its first parent.
pub(super) fn zone_of(workflows: &Workflows, join: &Phase) -> Tz {
    let found = join.parents.iter().find_map(|parent| {
        workflows.meant_by(join, parent).into_iter().find_map(|phase| zone_of_times(workflows, phase, MAX_DEPTH))
    });
    found.or(join.rule.join.zone).unwrap_or_default()
}

/// The zone in which the times of a phase's tasks are days.
fn zone_of_times(workflows: &Workflows, phase: &Phase, depth: usize) -> Option<Tz> {
    let depth = depth.checked_sub(1)?;
    if let Some(schedule) = &phase.rule.schedule {
        return Some(schedule.zone());
    }
    // Its tasks are about days as the wall clock shows them.
    if phase.is_join && phase.rule.join.over.is_some_and(|over| over != BatchStep::Hour) {
        return Some(Tz::UTC);
    }
    workflows.parents_of(phase).into_iter().find_map(|parent| zone_of_times(workflows, parent, depth))
}

/// The hour of the slot that a task is of: a backload gives the day's only slot the day's first hour.
pub(super) fn hour_of_slot(
    workflows: &Workflows,
    phase: &Phase,
    parent: &ParentName,
    hour: DateTime<Utc>,
) -> DateTime<Utc> {
    let day = hour.date_naive().and_time(NaiveTime::MIN).and_utc();
    let key = (phase.workflow.clone(), parent.place(), day.timestamp());
    let only_hour = workflows.join_cache().only_hours.find_or_read(key, || {
        let next = day.checked_add_signed(TimeDelta::days(1)).unwrap_or(day);
        let hours = SlotCounter::new(workflows).hours_of_parent(phase, parent, &(day..next)).unwrap_or_default();
        (hours.keys().next().copied().filter(|_| hours.len() == 1), 1)
    });
    only_hour.unwrap_or(hour)
}
