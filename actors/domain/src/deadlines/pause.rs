//! Pauses: what they hold is no breach, and counts from when it goes on.

use std::collections::VecDeque;

use chrono::{DateTime, TimeDelta, Utc};

use super::{AT_ONCE, DeadlineMoment, DeadlineOrigin, PassedDeadline, attempts_of, chain_before};
use crate::task::Attempt;
use crate::workflow::{Phase, TaskName, Workflows};

/// How many slots or periods are walked through to find those that a pause touched.
const WALKED: usize = 10_000;

/// A time in which the phases of a name started nothing new.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PhasePause {
    /// The workflow file, relative to the workflow root.
    pub workflow: String,
    /// The phases' name, `topic` or `topic:job`.
    pub task: String,
    /// When it was paused.
    pub since: DateTime<Utc>,
    /// When it went on; none while it is paused.
    pub until: Option<DateTime<Utc>>,
}

impl PhasePause {
    fn contains_time(&self, at: DateTime<Utc>) -> bool {
        self.since <= at && self.until.is_none_or(|until| at < until)
    }
}

/// The pauses of the phases from a starter to one that follows it, in the order of time.
pub(super) fn on_the_way<'a>(
    workflows: &Workflows,
    (starter, phase): (&Phase, &Phase),
    pauses: &'a [PhasePause],
) -> Vec<&'a PhasePause> {
    if pauses.is_empty() {
        return Vec::new();
    }
    let follows = |phase: &&Phase| chain_before(workflows, phase).iter().any(|it| std::ptr::eq(*it, starter));
    // A pause of another branch holds nothing of this one.
    let between = chain_before(workflows, phase).into_iter().filter(follows);
    let names: Vec<_> = between.map(|phase| (phase.workflow.as_str(), phase.task_name())).collect();
    let is_own = |pause: &&PhasePause| names.iter().any(|(file, task)| pause.workflow == *file && pause.task == *task);
    let mut own: Vec<_> = pauses.iter().filter(is_own).collect();
    own.sort_by_key(|pause| pause.since);
    own
}

/// What a pause touched, where what it held came due after one time and up to another: the latest ones.
pub(super) fn moments_let_go(
    origin: DeadlineOrigin<'_>,
    pauses: &[&PhasePause],
    limit: TimeDelta,
    (after, until): (DateTime<Utc>, DateTime<Utc>),
) -> VecDeque<DeadlineMoment> {
    let mut latest = VecDeque::new();
    for pause in pauses {
        let Some(end) = pause.until.filter(|end| after < *end + limit && *end + limit <= until) else {
            continue;
        };
        let moments = origin.moments_after(pause.since - limit).take_while(|(from, _)| *from < end);
        for moment in moments.take(WALKED) {
            if latest.len() == AT_ONCE {
                latest.pop_front(); // the newest ones are what people can still do something about
            }
            latest.push_back(moment);
        }
    }
    latest
}

impl PassedDeadline<'_> {
    /// Its slot fell into a pause of what starts it.
    pub(super) fn is_left_out(&self) -> bool {
        self.pauses.iter().any(|pause| self.pauses_slots(pause) && pause.contains_time(self.from))
    }

    /// Whether it leaves out slots: that of a join holds its tasks.
    fn pauses_slots(&self, pause: &PhasePause) -> bool {
        let Phase { workflow, task, .. } = self.starter;
        self.period.is_none() && pause.workflow == *workflow && pause.task == task.to_string()
    }

    /// The deadline of a chain: what a pause held counts from its end. None while one holds it.
    pub(super) fn held_until(&self, chain: &[Attempt]) -> Option<DateTime<Utc>> {
        let limit = self.by - self.from;
        self.pauses.iter().try_fold(self.by, |by, pause| match self.is_held(chain, pause, by) {
            true => Some(by.max(pause.until? + limit)),
            false => Some(by),
        })
    }

    /// Whether the pause held the slot or a task of this chain; or, where the phase wasn't reached yet, would.
    fn is_held(&self, chain: &[Attempt], pause: &PhasePause, by: DateTime<Utc>) -> bool {
        if self.pauses_slots(pause) {
            return pause.contains_time(self.from);
        }
        let reached = attempts_of(&TaskName::parse(&pause.task), chain);
        if reached.is_empty() {
            return pause.contains_time(by);
        }
        // Retries of what was created before go on.
        reached.iter().any(|attempt| attempt.retry == 0 && pause.contains_time(attempt.uid.created_at()))
    }
}
