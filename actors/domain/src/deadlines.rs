//! Deadlines of slots and of the periods of joins: what should have begun or ended by a time, and whether it did.
//!
//! They follow from the schedules alone, so that also what was never created is missed. What can't begin because
//! something before it didn't end is part of that one's alert, and has none of its own.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use crate::alert::{AlertKind, NewAlert};
use crate::cron::CronSchedule;
use crate::duration;
use crate::expect::LearnedValues;
use crate::join::{JoinCount, JoinKey, JoinPeriod, JoinStanding, periods_after};
use crate::task::{Attempt, TaskResult, TaskState};
use crate::workflow::{Phase, TaskName, Workflows};

mod pause;
pub use pause::PhasePause;

/// How many deadlines of a phase one check takes; after a long downtime the first ones of a dense schedule.
const AT_ONCE: usize = 1_000;

/// How people read a time in UTC.
const TIME: &str = "%Y-%m-%d %H:%M:%S";

/// What a deadline is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DeadlineKind {
    /// The task was leased (`start_by`).
    Started,
    /// The task is complete (`done_by`).
    Done,
}

impl DeadlineKind {
    /// Its key in a rule, what should have happened, and the alert where it didn't.
    fn names(self) -> (&'static str, &'static str, AlertKind) {
        match self {
            Self::Started => ("start_by", "leased", AlertKind::NotStarted),
            Self::Done => ("done_by", "complete", AlertKind::NotDone),
        }
    }
}

/// A deadline that has passed.
#[derive(Debug, Clone)]
pub struct PassedDeadline<'a> {
    /// What should have happened.
    pub what: DeadlineKind,
    /// The phase whose task is late.
    pub phase: &'a Phase,
    /// The phase from which it counts, by its cron or as a join: itself, or one that it follows.
    pub starter: &'a Phase,
    /// From when it counts: a slot of the starter, or the end of one of its periods.
    pub from: DateTime<Utc>,
    /// By when, as long as no pause holds it.
    pub by: DateTime<Utc>,
    /// The period, and what the join waits for in it; none for a slot.
    period: Option<CountedPeriod>,
    /// Why the starter has no task.
    why_none: Cow<'static, str>,
    workflows: &'a Workflows,
    /// Of the phases from the starter to this one, in the order of time.
    pauses: Vec<&'a PhasePause>,
}

/// The deadlines that passed after one time and up to another. `pauses` are those that go on, and those that ended
/// no longer before that than the longest limit.
pub fn passed_deadlines<'a>(
    workflows: &'a Workflows,
    pauses: &'a [PhasePause],
    after: DateTime<Utc>,
    until: DateTime<Utc>,
) -> Vec<PassedDeadline<'a>> {
    let mut all = Vec::new();
    for phase in workflows.phases() {
        let limits = [(DeadlineKind::Started, phase.rule.start_by), (DeadlineKind::Done, phase.rule.done_by)];
        let limits = limits.into_iter().filter_map(|(what, limit)| Some((what, limit?)));
        for (what, limit) in limits {
            for (starter, origin) in origins_of(workflows, phase) {
                let pauses = pause::on_the_way(workflows, (starter, phase), pauses);
                for (from, period) in passed_moments(origin, &pauses, limit, (after, until)) {
                    let (by, pauses, why_none) = (from + limit, pauses.clone(), NEVER_CREATED.into());
                    all.push(PassedDeadline { what, phase, starter, from, by, period, why_none, workflows, pauses });
                }
            }
        }
    }
    all
}

const NEVER_CREATED: &str = "no task was created for it";

/// From when deadlines count: the slots of a schedule, or the ends of the periods of a join.
#[derive(Clone, Copy)]
enum DeadlineOrigin<'a> {
    Slots(&'a CronSchedule),
    Periods(&'a Workflows, &'a Phase),
}

/// A slot, or the end of a period.
type DeadlineMoment = (DateTime<Utc>, Option<JoinPeriod>);

/// The period of a join, and what it waits for in it.
type CountedPeriod = (JoinPeriod, Arc<JoinCount>);

/// The phase and those that start it, in whatever file; a join starts by its own count.
fn chain_before<'a>(workflows: &'a Workflows, phase: &'a Phase) -> Vec<&'a Phase> {
    workflows.phases_before(phase, |phase| !phase.is_join)
}

/// From where the deadlines of a phase count: its own schedule, or those of what it follows.
fn origins_of<'a>(workflows: &'a Workflows, phase: &'a Phase) -> impl Iterator<Item = (&'a Phase, DeadlineOrigin<'a>)> {
    chain_before(workflows, phase).into_iter().flat_map(move |starter| {
        let slots = starter.rule.schedule.as_ref().map(DeadlineOrigin::Slots);
        let periods = starter.is_join.then_some(DeadlineOrigin::Periods(workflows, starter));
        slots.into_iter().chain(periods).map(move |origin| (starter, origin))
    })
}

impl<'a> DeadlineOrigin<'a> {
    fn moments_after(self, after: DateTime<Utc>) -> Box<dyn Iterator<Item = DeadlineMoment> + 'a> {
        match self {
            Self::Slots(schedule) => {
                let slots = std::iter::successors(schedule.next_after(after), |slot| schedule.next_after(*slot));
                Box::new(slots.map(|slot| (slot, None)))
            }
            Self::Periods(workflows, join) => {
                Box::new(periods_after(workflows, join, after).map(|period| (period.ends, Some(period))))
            }
        }
    }

    /// None for a period in which the join waits for nothing.
    fn count_period(self, period: Option<JoinPeriod>) -> Option<Option<CountedPeriod>> {
        let (Self::Periods(workflows, join), Some(period)) = (self, period) else { return Some(None) };
        let count = JoinCount::of_period(workflows, join, &period);
        count.is_scheduled().then_some(Some((period, count)))
    }
}

/// Those whose limit passed after one time and up to another, by themselves or by the end of a pause: each once.
fn passed_moments(
    origin: DeadlineOrigin<'_>,
    pauses: &[&PhasePause],
    limit: TimeDelta,
    (after, until): (DateTime<Utc>, DateTime<Utc>),
) -> Vec<(DateTime<Utc>, Option<CountedPeriod>)> {
    let passed = origin.moments_after(after - limit).take_while(|(from, _)| *from <= until - limit);
    // A schedule by the second has too many after a long downtime.
    let passed = passed.take(AT_ONCE).chain(pause::moments_let_go(origin, pauses, limit, (after, until)));
    let once: BTreeSet<DeadlineMoment> = passed.collect();
    once.into_iter().filter_map(|(from, period)| Some((from, origin.count_period(period)?))).collect()
}

/// A deadline that wasn't kept.
struct MissedDeadline<'a> {
    /// By when it should have been.
    by: DateTime<Utc>,
    /// The phase to name: the one that is late, or the one that keeps it from beginning.
    line: &'a Phase,
    attempt: Option<&'a Attempt>,
    why: Cow<'static, str>,
}

/// The alerts of deadlines that weren't kept: a key for each, and an alert where no other one covers it.
/// `chains` are all attempts of each chain that the slot or the join started.
pub fn missed_deadlines(
    judged: &[(PassedDeadline<'_>, Vec<Vec<Attempt>>)],
    now: DateTime<Utc>,
) -> Vec<(String, Option<NewAlert>)> {
    let late: Vec<_> = judged.iter().filter_map(|(due, chains)| Some((due, due.find_late(chains, now)?))).collect();
    // What is late by itself has an alert, which covers what waits for it.
    let own: BTreeSet<_> =
        late.iter().filter(|(due, late)| !due.is_starved(late)).map(|(due, late)| due.line_key(late)).collect();
    let mut behind: BTreeMap<_, Vec<String>> = BTreeMap::new();
    for (due, late) in late.iter().filter(|(due, late)| due.is_starved(late)) {
        let names = behind.entry(due.line_key(late)).or_default();
        if !names.contains(&due.phase.task_name()) {
            names.push(due.phase.task_name());
        }
    }
    let breaches = late.iter().map(|(due, late)| {
        let line = due.line_key(late);
        let msg = if !due.is_starved(late) {
            Some(due.words_of_late(late))
        } else if own.contains(&line) {
            None
        } else {
            // Taken out: the first of a line tells of all that wait for it.
            behind.remove(&line).map(|names| due.words_of_starved(late, &names))
        };
        (due.key_text(), msg.map(|msg| due.to_alert(late, msg, now)))
    });
    breaches.collect()
}

/// What an alert names: workflow file, task, and from when it counts.
type LineKey = (String, String, DateTime<Utc>);

impl<'a> PassedDeadline<'a> {
    /// The join, with its period, from which it counts; none where it counts from a slot.
    pub fn join_key(&self) -> Option<JoinKey> {
        self.period.as_ref().map(|(period, _)| self.starter.join_key(period))
    }

    /// Itself with the chains that the join started; none where these have left the history.
    pub fn with_join(mut self, standing: JoinStanding) -> Option<(Self, Vec<Vec<Attempt>>)> {
        if let Some((_, count)) = &self.period {
            let progress = count.progress(standing.arrived.iter().map(String::as_str));
            self.why_none = format!("it has {}", progress.to_words()).into();
        }
        let has_started = standing.has_started;
        let chains = standing.into_chains(&self.starter.task);
        (!has_started || !chains.is_empty()).then_some((self, chains))
    }

    /// What names the deadline.
    fn key_text(&self) -> String {
        let (what, ..) = self.what.names();
        let (workflow, from) = (&self.phase.workflow, self.from.timestamp_micros());
        format!("{what}/{workflow}/{}/{}/{from}", self.phase.task_name(), self.starter.task_name())
    }

    fn line_key(&self, late: &MissedDeadline<'_>) -> LineKey {
        (late.line.workflow.clone(), late.line.task_name(), self.from)
    }

    fn is_starved(&self, late: &MissedDeadline<'_>) -> bool {
        (&late.line.task, &late.line.workflow) != (&self.phase.task, &self.phase.workflow)
    }

    /// Why the deadline wasn't kept; none when it was, or when a pause keeps it from counting yet.
    fn find_late<'b>(&'b self, chains: &'b [Vec<Attempt>], now: DateTime<Utc>) -> Option<MissedDeadline<'b>> {
        if chains.is_empty() {
            let by = self.held_until(&[]).filter(|by| *by <= now && !self.is_left_out())?;
            return Some(MissedDeadline { by, line: self.starter, attempt: None, why: self.why_none.clone() });
        }
        chains.iter().find_map(|chain| {
            let by = self.held_until(chain).filter(|by| *by <= now)?;
            let own = attempts_of(&self.phase.task, chain);
            if own.is_empty() {
                return Some(self.find_blocker(chain, by));
            }
            let late = own.iter().find(|attempt| !keeps_deadline(self.what, attempt, &own, by))?;
            Some(MissedDeadline { by, line: self.phase, attempt: Some(late), why: words_of_standing(late).into() })
        })
    }

    /// Nothing of the phase was created in this chain: what keeps it from that?
    fn find_blocker<'b>(&'b self, chain: &'b [Attempt], by: DateTime<Utc>) -> MissedDeadline<'b> {
        let mut phase = self.phase;
        // As many steps as there are phases: a circle must not hang it.
        for _ in chain_before(self.workflows, phase) {
            let parents = if phase.is_join { Vec::new() } else { self.workflows.parents_of(phase) };
            let begun: Vec<_> = parents.iter().flat_map(|parent| attempts_of(&parent.task, chain)).collect();
            let open = begun.iter().find(|attempt| !is_complete(attempt) && !was_tried_again(attempt, &begun));
            if let Some(open) = open {
                let line = parents.iter().find(|parent| is_of(&parent.task, open)).copied().unwrap_or(phase);
                return MissedDeadline { by, line, attempt: Some(open), why: words_of_standing(open).into() };
            }
            match parents.first() {
                Some(parent) if begun.is_empty() => phase = parent,
                // Something began, and nothing of it is open: the next phase is what is missing.
                _ => break,
            }
        }
        MissedDeadline { by, line: phase, attempt: None, why: NEVER_CREATED.into() }
    }

    /// What should have happened, when, and how it stands.
    fn words_of_late(&self, late: &MissedDeadline<'_>) -> String {
        let (key, verb, _) = self.what.names();
        let limit = self.by - self.from;
        let since = match &self.period {
            _ if late.by != self.by => format!("a pause that ended at {}", (late.by - limit).format(TIME)),
            None => format!("the slot of {}", self.from.format(TIME)),
            Some((period, _)) => format!("the end of {period}"),
        };
        let (by, limit) = (late.by.format(TIME), duration::print_duration(limit));
        format!("not {verb} by {by} UTC ({key}={limit} after {since}): {}", late.why)
    }

    fn words_of_starved(&self, late: &MissedDeadline<'_>, names: &[String]) -> String {
        let by = late.by.format(TIME);
        format!("{} can't be in time (by {by} UTC): this comes first, and {}", names.join(", "), late.why)
    }

    fn to_alert(&self, late: &MissedDeadline<'_>, msg: String, now: DateTime<Utc>) -> NewAlert {
        let (.., kind) = self.what.names();
        let slot_time = || self.from.checked_add_signed(self.starter.rule.offset).unwrap_or(self.from);
        let about = self.period.as_ref().map_or_else(slot_time, |(period, _)| period.about);
        NewAlert {
            uid: late.attempt.map(|attempt| attempt.uid),
            id: late.attempt.map(|attempt| attempt.id.clone()).unwrap_or_default(),
            job: late.line.task.job.clone(),
            workflow: late.line.workflow.clone(),
            task_time: Some(about),
            ..NewAlert::without_task(kind, &late.line.task.topic, msg, now)
        }
        .with_contact_of(late.line)
    }
}

/// A task that is at work for longer than its phase's `max_run`: the key, and its alert.
pub fn check_max_run(
    workflows: &Workflows,
    learned: &LearnedValues,
    task: &Attempt,
    now: DateTime<Utc>,
) -> Option<(String, NewAlert)> {
    let phase = workflows.phase_for(&task.workflow, &task.topic, &task.job)?;
    let limit = run_limit(phase, learned)?;
    let started = task.started.filter(|started| now - *started > limit)?;
    let factor = phase.rule.expectations.max_run_factor;
    let msg = format!(
        "running for more than {} (max_run{}) since {} UTC on {}",
        duration::print_duration(limit),
        factor.map(|factor| format!("={factor}x, times the median")).unwrap_or_default(),
        started.format(TIME),
        task.worker
    );
    let alert = NewAlert::about(task, AlertKind::RunsLong, msg, now).with_contact_of(phase);
    Some((format!("max_run/{}", task.uid), alert))
}

/// The longest time that a phase has to begin or end.
pub fn longest_limit(workflows: &Workflows) -> TimeDelta {
    let limits = workflows.phases().flat_map(|phase| [phase.rule.start_by, phase.rule.done_by]);
    limits.flatten().max().unwrap_or_default()
}

/// The shortest `max_run` of all phases.
pub fn shortest_max_run(workflows: &Workflows, learned: &LearnedValues) -> Option<TimeDelta> {
    workflows.phases().filter_map(|phase| run_limit(phase, learned)).min()
}

fn run_limit(phase: &Phase, learned: &LearnedValues) -> Option<TimeDelta> {
    phase.rule.max_run.or_else(|| learned.max_run_of(phase))
}

fn attempts_of<'b>(task: &TaskName, chain: &'b [Attempt]) -> Vec<&'b Attempt> {
    chain.iter().filter(|attempt| is_of(task, attempt)).collect()
}

/// Whether an attempt, one of all of its task, has begun or ended in time.
fn keeps_deadline(what: DeadlineKind, attempt: &Attempt, own: &[&Attempt], by: DateTime<Utc>) -> bool {
    let has_started = attempt.started.is_none_or(|at| at <= by);
    let has_ended = attempt.ended.is_none_or(|at| at <= by);
    match what {
        // Of a task that was handed out again only the last time is known.
        DeadlineKind::Started => {
            // A retry shows that the first try had begun.
            attempt.retry > 0
                || attempt.state == TaskState::Done && has_ended
                || attempt.delivery > 1
                || attempt.delivery == 1 && has_started
        }
        DeadlineKind::Done => was_tried_again(attempt, own) || is_complete(attempt) && has_ended,
    }
}

pub(crate) fn is_of(task: &TaskName, attempt: &Attempt) -> bool {
    attempt.topic == task.topic && attempt.job == task.job
}

/// Whether another attempt followed this one, so that it no longer counts.
fn was_tried_again(attempt: &Attempt, others: &[&Attempt]) -> bool {
    others.iter().any(|other| other.parent == Some(attempt.uid))
}

fn is_complete(attempt: &Attempt) -> bool {
    // `warn` asks for no retry and no alert, so it is an end as well.
    matches!(attempt.result, Some(TaskResult::Complete | TaskResult::Warn))
}

fn words_of_standing(attempt: &Attempt) -> &'static str {
    match (attempt.state, attempt.result) {
        (_, Some(TaskResult::Complete | TaskResult::Warn)) => "it was late",
        (_, Some(TaskResult::Error)) => "it failed",
        (_, Some(TaskResult::Alert)) => "it ended with an alert",
        (TaskState::Ready, _) => "it waits for a worker",
        (TaskState::Delayed, _) => "it is delayed",
        (TaskState::Leased, _) => "a worker has it",
        (TaskState::Done, None) => "it has no result",
    }
}

#[cfg(test)]
mod tests;
