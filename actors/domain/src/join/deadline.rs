//! Deadlines of joins: `start_by` and `done_by` count from the end of a period.

use chrono::{DateTime, Utc};

use super::late::{TIME, periods_ended, words_of_limit};
use super::{JoinCount, JoinKey, JoinPeriod};
use crate::alert::NewAlert;
use crate::deadlines::{DeadlineKind, PhasePause, is_of, keeps_deadline, words_of_standing};
use crate::task::Attempt;
use crate::workflow::{Phase, Workflows};

/// A deadline of a join that has passed.
#[derive(Debug, Clone)]
pub struct JoinDeadline<'a> {
    /// The join and its period.
    pub key: JoinKey,
    what: DeadlineKind,
    phase: &'a Phase,
    period: JoinPeriod,
    count: JoinCount,
    by: DateTime<Utc>,
    limit: String,
}

/// How a join stands.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct JoinStanding {
    /// What is there of all that it waits for.
    pub arrived: Vec<String>,
    /// Whether it started.
    pub has_started: bool,
    /// The attempts of what it started, and others of their chain; empty where they have left the history.
    pub attempts: Vec<Attempt>,
}

/// The deadlines of joins that passed after one time and up to another, but for those that a pause holds.
pub fn passed_join_deadlines<'a>(
    workflows: &'a Workflows,
    pauses: &[PhasePause],
    after: DateTime<Utc>,
    until: DateTime<Utc>,
) -> Vec<JoinDeadline<'a>> {
    let mut all = Vec::new();
    for phase in workflows.phases().filter(|phase| phase.is_join) {
        let limits = [(DeadlineKind::Started, phase.rule.start_by), (DeadlineKind::Done, phase.rule.done_by)];
        for (what, limit) in limits.into_iter().filter_map(|(what, limit)| Some((what, limit?))) {
            let ended = periods_ended(workflows, phase, limit, (after, until));
            all.extend(ended.into_iter().map(|(period, count)| JoinDeadline {
                key: phase.join_key(&period),
                what,
                phase,
                by: period.ends + limit,
                limit: words_of_limit(what.names().0, limit, &period),
                period,
                count,
            }));
        }
    }
    all.retain(|due| !pauses.iter().any(|pause| due.is_held(pause)));
    all
}

/// The alerts of deadlines that weren't kept, each with its key.
pub fn missed_join_deadlines(
    judged: &[(JoinDeadline<'_>, JoinStanding)],
    now: DateTime<Utc>,
) -> Vec<(String, NewAlert)> {
    judged.iter().filter_map(|(due, standing)| due.find_late(standing, now)).collect()
}

impl JoinDeadline<'_> {
    fn is_held(&self, pause: &PhasePause) -> bool {
        let is_own = pause.workflow == self.key.workflow && pause.task == self.key.task;
        is_own && pause.since <= self.by && pause.until.is_none_or(|until| until >= self.by)
    }

    fn find_late(&self, standing: &JoinStanding, now: DateTime<Utc>) -> Option<(String, NewAlert)> {
        let own: Vec<&Attempt> = standing.attempts.iter().filter(|attempt| is_of(&self.phase.task, attempt)).collect();
        let late = own.iter().find(|attempt| !keeps_deadline(self.what, attempt, &own, self.by));
        let why = match late {
            Some(attempt) => words_of_standing(attempt).to_owned(),
            None if standing.has_started => return None,
            None => self.count.progress(standing.arrived.iter().map(String::as_str)).to_words(),
        };
        let (key, verb, kind) = self.what.names();
        let (task, by) = (&self.phase.task, self.by.format(TIME));
        let alert = NewAlert {
            uid: late.map(|attempt| attempt.uid),
            id: late.map(|attempt| attempt.id.clone()).unwrap_or_default(),
            job: task.job.clone(),
            workflow: self.key.workflow.clone(),
            task_time: Some(self.period.about),
            ..NewAlert::without_task(kind, &task.topic, format!("not {verb} by {by} UTC {}: {why}", self.limit), now)
        };
        Some((format!("{key}/{}/{task}/{}", self.key.workflow, self.period), alert))
    }
}
