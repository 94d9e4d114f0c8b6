//! Joins that are late: `join_by` after the end of their period.

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use super::{JoinCount, JoinKey, JoinPeriod, JoinProgress, JoinStart, zone_of};
use crate::alert::{AlertKind, NewAlert};
use crate::batch::cut_to_hour;
use crate::duration;
use crate::ids::IdSource;
use crate::rule::{BatchStep, LateJoinRule};
use crate::schedule::RowSource;
use crate::task::NewTask;
use crate::workflow::{Phase, Workflows};

/// How many periods of a join one check takes.
const AT_ONCE: usize = 1_000;

/// How people read a time in UTC.
const TIME: &str = "%Y-%m-%d %H:%M:%S";

/// A join that is late, and all that is needed to end its waiting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LateJoin {
    /// The join and its period.
    pub key: JoinKey,
    /// What it waits for.
    pub count: Arc<JoinCount>,
    /// Whether it starts with what is there.
    pub starts: bool,
    /// What starts then.
    pub start: JoinStart,
    /// When the period began: a join that nothing reached is late only if its schedules counted by then.
    pub begins: DateTime<Utc>,
    /// The phases whose schedules these are: workflow and task.
    pub starters: Vec<(String, String)>,
    /// The time that its tasks are about.
    about: DateTime<Utc>,
    /// What was missed: `(join_by=6h after the end of 2024-01-15)`.
    limit: String,
    by: DateTime<Utc>,
}

impl LateJoin {
    /// The alert that says what is missing.
    pub fn alert(&self, progress: &JoinProgress, now: DateTime<Utc>) -> NewAlert {
        let base = self.start.base();
        let msg = format!("not complete by {} UTC {}: {}", self.by.format(TIME), self.limit, progress.to_words());
        NewAlert {
            job: base.job.clone(),
            workflow: base.workflow.clone(),
            task_time: Some(self.about),
            ..NewAlert::without_task(AlertKind::JoinLate, &base.topic, msg, now)
        }
    }
}

/// The phase that a key names, if it still is such a join.
pub(super) fn join_named<'a>(workflows: &'a Workflows, key: &JoinKey) -> Option<&'a Phase> {
    let is_meant = |phase: &&Phase| {
        phase.is_join && phase.task_name() == key.task && phase.rule.join.over.unwrap_or(BatchStep::Hour) == key.over
    };
    workflows.file_at(&key.workflow)?.phases.iter().find(is_meant)
}

/// How far a join is that has these; none where the workflows have no such join any more.
pub fn join_progress(workflows: &Workflows, key: &JoinKey, arrived: &[String]) -> Option<(JoinPeriod, JoinProgress)> {
    let phase = join_named(workflows, key)?;
    let period = phase.join_period(workflows, key.period)?;
    let count = JoinCount::of_period(workflows, phase, &period);
    Some((period, count.progress(arrived.iter().map(String::as_str))))
}

/// The meta file that a join's rows are in.
pub fn meta_file_of(workflows: &Workflows, key: &JoinKey) -> Option<String> {
    join_named(workflows, key)?.rule.meta_file.clone()
}

/// What is to happen to a join that is late; none where the workflows don't want that any more.
pub fn late_join(
    workflows: &Workflows,
    key: &JoinKey,
    (now, host): (DateTime<Utc>, &str),
    ids: &mut dyn IdSource,
    files: &dyn RowSource,
) -> Option<LateJoin> {
    let phase = join_named(workflows, key)?;
    let limit = phase.rule.join.by?;
    let period = phase.join_period(workflows, key.period)?;
    let base = NewTask::of_new_chain((&phase.task.topic, &phase.task.job), &phase.workflow, now, ids);
    Some(LateJoin {
        key: key.clone(),
        count: JoinCount::of_period(workflows, phase, &period),
        starts: phase.rule.join.then == LateJoinRule::Start,
        start: JoinStart::new(phase, period.about, base, (now, host), ids, files),
        begins: period.begins,
        starters: starters_of(workflows, phase),
        about: period.about,
        limit: format!("(join_by={} after the end of {period})", duration::print_duration(limit)),
        by: period.ends.checked_add_signed(limit)?,
    })
}

/// The joins whose `join_by` passed after one time and up to another.
pub fn passed_joins(workflows: &Workflows, after: DateTime<Utc>, until: DateTime<Utc>) -> Vec<JoinKey> {
    let joins = workflows.phases().filter(|phase| phase.is_join);
    let late = joins.filter_map(|phase| Some((phase, phase.rule.join.by?)));
    let keys = late.flat_map(|(phase, limit)| {
        let ended = periods_after(workflows, phase, after - limit).take_while(move |it| it.ends <= until - limit);
        let waits = |period: &JoinPeriod| JoinCount::of_period(workflows, phase, period).is_scheduled();
        // Bounded before the filter, which reads the schedules of each period.
        ended.take(AT_ONCE).filter(waits).map(|period| phase.join_key(&period)).collect::<Vec<_>>()
    });
    keys.collect()
}

/// The periods of a join that end after a time.
pub(crate) fn periods_after(
    workflows: &Workflows,
    phase: &Phase,
    after: DateTime<Utc>,
) -> impl Iterator<Item = JoinPeriod> + use<> {
    let (over, zone) = (phase.rule.join.over.unwrap_or(BatchStep::Hour), zone_of(workflows, phase));
    // One too early at most, which the filter leaves out.
    let first = JoinPeriod::of_hour(over, zone, cut_to_hour(after) - TimeDelta::hours(1));
    let numbers = first.into_iter().flat_map(|first| first.number..);
    let periods = numbers.map_while(move |number| JoinPeriod::numbered(over, zone, number));
    periods.filter(move |period| period.ends > after)
}

/// The phases with a schedule by which the tasks come that a join waits for.
fn starters_of(workflows: &Workflows, join: &Phase) -> Vec<(String, String)> {
    let all = workflows.phases_before(join, |_| true).into_iter();
    let starters = all.filter(|phase| phase.rule.schedule.is_some());
    let found: BTreeSet<_> = starters.map(|phase| (phase.workflow.clone(), phase.task_name())).collect();
    found.into_iter().collect()
}
