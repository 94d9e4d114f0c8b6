//! Results beside what their phase expects, and what is learned from them.

use std::borrow::Cow;
use std::collections::HashMap;

use chrono::{DateTime, Datelike as _, TimeDelta, Timelike as _, Utc};

use super::{ExpectElse, Figure, FigureExpectation, WantedFigure};
use crate::alert::{AlertKind, NewAlert};
use crate::decide::{TaskDecision, WorkerOutcome, owning_names};
use crate::duration::print_duration;
use crate::query::{Query, merge_meta};
use crate::task::{Attempt, TaskResult};
use crate::task_time::task_time;
use crate::workflow::{Phase, Workflows};

/// So many values make a median: the last ones.
pub const MAX_LEARNED: usize = 30;

/// Fewer values say nothing yet.
const MIN_LEARNED: usize = 3;

/// As for a `max_run` that is written out.
const LONGEST_RUN: TimeDelta = TimeDelta::days(365);

/// As much of a worker's text as a message repeats.
const MAX_SHOWN_CHARS: usize = 40;

/// What values are learned of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LearnedKey {
    /// The workflow file of the phase.
    pub workflow: String,
    /// `topic:job` of the phase.
    pub task: String,
    /// The key of the meta; empty for the run time, in milliseconds.
    pub key: String,
    /// The hour of the week in the phase's time zone, from Monday's first on; 0 for the run time.
    pub hour: u32,
}

impl LearnedKey {
    fn of_run_time(phase: &Phase) -> Self {
        Self { workflow: phase.workflow.clone(), task: phase.task_name(), key: String::new(), hour: 0 }
    }

    fn of_figure(phase: &Phase, key: &str, about: DateTime<Utc>) -> Self {
        let local = about.with_timezone(&phase.rule.expectations.zone);
        let hour = local.weekday().num_days_from_monday() * 24 + local.hour();
        Self { key: key.to_owned(), hour, ..Self::of_run_time(phase) }
    }
}

/// A value of a complete task, from which the expectations of later ones follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LearnedValue {
    /// What it is of.
    pub of: LearnedKey,
    /// The value.
    pub value: Figure,
}

/// The last values of each key, at most [`MAX_LEARNED`]; none of those that weren't read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LearnedValues(HashMap<LearnedKey, Vec<Figure>>);

impl FromIterator<(LearnedKey, Vec<Figure>)> for LearnedValues {
    fn from_iter<T: IntoIterator<Item = (LearnedKey, Vec<Figure>)>>(values: T) -> Self {
        Self(values.into_iter().collect())
    }
}

impl LearnedValues {
    /// The median; none where there are too few values.
    pub fn median_of(&self, key: &LearnedKey) -> Option<Figure> {
        let mut values: Vec<f64> = self.0.get(key)?.iter().map(|value| value.0).collect();
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        let upper = values.get(middle).filter(|_| values.len() >= MIN_LEARNED)?;
        let lower = if values.len().is_multiple_of(2) { values.get(middle - 1)? } else { upper };
        // Halved first: the sum of two large ones isn't finite.
        Figure::new(lower / 2.0 + upper / 2.0)
    }

    /// How long a task of this phase may be at work by `max_run=3x`; none before enough of them were complete.
    pub fn max_run_of(&self, phase: &Phase) -> Option<TimeDelta> {
        let factor = phase.rule.expectations.max_run_factor?;
        let median = self.median_of(&LearnedKey::of_run_time(phase))?;
        #[expect(clippy::cast_possible_truncation, reason = "more than the largest number is the largest one")]
        let limit = TimeDelta::try_milliseconds((median.0 * factor.0) as i64)?;
        Some(limit.clamp(TimeDelta::seconds(1), LONGEST_RUN))
    }

    /// The keys that [`max_run_of`](Self::max_run_of) needs, for all phases.
    pub fn max_run_keys(workflows: &Workflows) -> Vec<LearnedKey> {
        let learning = workflows.phases().filter(|phase| phase.rule.expectations.max_run_factor.is_some());
        learning.map(LearnedKey::of_run_time).collect()
    }
}

/// A complete task of a phase that expects something.
struct CompleteTask<'a> {
    phase: &'a Phase,
    /// The time that it is about.
    about: DateTime<Utc>,
}

impl<'a> CompleteTask<'a> {
    /// None for what isn't judged: other results, and those of which nobody wants anything more.
    fn find(workflows: &'a Workflows, task: &Attempt, outcome: &WorkerOutcome) -> Option<Self> {
        if !workflows.expect_anything() || outcome.result != TaskResult::Complete || task.cancelled {
            return None;
        }
        let meta = Query::parse_lenient(&task.meta);
        let [workflow, job] = owning_names(task, &meta);
        let phase = workflows.phase_for(workflow, &task.topic, job)?;
        let about = task_time(&task.info, &meta).unwrap_or_else(|| task.uid.created_at());
        phase.rule.expectations.need_results().then_some(Self { phase, about })
    }

    fn figures(&self) -> impl Iterator<Item = (&'a FigureExpectation, LearnedKey)> + '_ {
        let figures = self.phase.rule.expectations.figures.iter();
        figures.map(|expected| (expected, LearnedKey::of_figure(self.phase, &expected.key, self.about)))
    }

    fn learned_figures(&self) -> impl Iterator<Item = LearnedKey> + '_ {
        let learned = self.figures().filter(|(expected, _)| matches!(expected.wanted, WantedFigure::OfMedian(..)));
        learned.map(|(_, key)| key)
    }

    fn find_failed(&self, run: Option<TimeDelta>, meta: &Query, values: &LearnedValues) -> Vec<(AlertKind, String)> {
        let too_short = self.phase.rule.expectations.min_run.zip(run).filter(|(limit, run)| run < limit);
        let too_short = too_short.map(|(limit, run)| {
            (AlertKind::TooShort, format!("took {}, at least {} expected", print_duration(run), print_duration(limit)))
        });
        let unexpected = self.figures().filter_map(|(expected, key)| {
            let text = expected.find_failure(meta.first_value(&expected.key), values.median_of(&key))?;
            Some((AlertKind::Unexpected, text))
        });
        too_short.into_iter().chain(unexpected).collect()
    }

    /// What is learned from its run time, where that is known, and from its meta.
    fn learn(&self, run: Option<TimeDelta>, meta: &Query) -> Vec<LearnedValue> {
        let run = run.filter(|_| self.phase.rule.expectations.max_run_factor.is_some()).and_then(|run| {
            #[expect(clippy::cast_precision_loss, reason = "a run of 285,000 years is off by a millisecond")]
            let value = Figure::new(run.num_milliseconds() as f64)?;
            Some(LearnedValue { of: LearnedKey::of_run_time(self.phase), value })
        });
        let figures = self.learned_figures().filter_map(|of| {
            let value = Figure::parse(meta.first_value(&of.key)?)?;
            Some(LearnedValue { of, value })
        });
        run.into_iter().chain(figures).collect()
    }
}

impl FigureExpectation {
    /// What is wrong with a value. Where the median isn't known yet, every number is as expected.
    fn find_failure(&self, value: Option<&str>, median: Option<Figure>) -> Option<String> {
        let Self { key, wanted } = self;
        let figure = value.and_then(Figure::parse);
        let is_met = figure.is_some_and(|figure| match wanted {
            WantedFigure::Compared(comparison, than) => comparison.holds(figure, *than),
            WantedFigure::OfMedian(low, high) => {
                median.is_none_or(|median| (low.0 * median.0..=high.0 * median.0).contains(&figure.0))
            }
        });
        let found = match (value, figure) {
            (None, _) => "missing".to_owned(),
            (_, Some(figure)) => figure.to_string(),
            (Some(text), None) => format!("`{}`", text.chars().take(MAX_SHOWN_CHARS).collect::<String>()),
        };
        let of_median = match (wanted, median) {
            (WantedFigure::Compared(..), _) => String::new(),
            (WantedFigure::OfMedian(..), Some(median)) => format!(" of the median {median}"),
            (WantedFigure::OfMedian(..), None) => " of the median".to_owned(),
        };
        (!is_met).then(|| format!("{key} is {found}, {wanted}{of_median} expected"))
    }
}

/// The keys whose values must be read to judge a result.
pub fn learned_keys(workflows: &Workflows, task: &Attempt, outcome: &WorkerOutcome) -> Vec<LearnedKey> {
    match CompleteTask::find(workflows, task, outcome).filter(|_| task.result.is_none()) {
        Some(complete) => complete.learned_figures().collect(),
        None => Vec::new(),
    }
}

/// A result as it counts beside what its phase expects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JudgedResult<'a> {
    /// What counts as the worker's answer, from which the decision follows.
    pub outcome: Cow<'a, WorkerOutcome>,
    otherwise: ExpectElse,
    /// One for each expectation that isn't met.
    alerts: Vec<NewAlert>,
    learned: Vec<LearnedValue>,
}

impl<'a> JudgedResult<'a> {
    fn as_it_is(outcome: &'a WorkerOutcome, learned: Vec<LearnedValue>) -> Self {
        Self { outcome: Cow::Borrowed(outcome), otherwise: ExpectElse::default(), alerts: Vec::new(), learned }
    }

    /// A worker's result. `values` has those of [`learned_keys`].
    pub fn of_worker(
        workflows: &Workflows,
        task: &Attempt,
        outcome: &'a WorkerOutcome,
        values: &LearnedValues,
        now: DateTime<Utc>,
    ) -> Self {
        let Some(complete) = CompleteTask::find(workflows, task, outcome) else {
            return Self::as_it_is(outcome, Vec::new());
        };
        if task.result.is_some() {
            return Self::repeated(task, outcome);
        }
        let ended = outcome.ended.unwrap_or(now);
        // Clocks differ: a worker's may say that it ended before it was leased.
        let run = outcome.started.or(task.started).map(|started| (ended - started).max(TimeDelta::zero()));
        let meta = Query::parse_lenient(&outcome.meta);
        let failed = complete.find_failed(run, &meta, values);
        let learned = complete.learn(run, &meta);
        if failed.is_empty() {
            return Self::as_it_is(outcome, learned);
        }
        let alert = |(kind, text): &(AlertKind, String)| NewAlert {
            job: complete.phase.task.job.clone(),
            workflow: complete.phase.workflow.clone(),
            ..NewAlert::about(task, *kind, text.clone(), now)
        };
        let alerts = failed.iter().map(alert).collect();
        Self::as_it_counts(outcome, complete.phase.rule.expectations.otherwise, alerts, learned)
    }

    /// A result that isn't as expected; each of the alerts says why.
    fn as_it_counts(
        outcome: &WorkerOutcome,
        otherwise: ExpectElse,
        alerts: Vec<NewAlert>,
        mut learned: Vec<LearnedValue>,
    ) -> Self {
        let result = match otherwise {
            ExpectElse::Error => TaskResult::Error,
            ExpectElse::Alert => TaskResult::Complete,
            ExpectElse::Warn => TaskResult::Warn,
        };
        // Medians are of complete tasks.
        learned.retain(|_| result == TaskResult::Complete);
        let texts: Vec<&str> = alerts.iter().map(|alert| alert.msg.as_str()).collect();
        let msg = texts.join("; ") + &words_of_worker(&outcome.msg);
        Self { outcome: Cow::Owned(WorkerOutcome { result, msg, ..outcome.clone() }), otherwise, alerts, learned }
    }

    /// The same result once more: what it counted as stands, though medians have changed since.
    fn repeated(task: &Attempt, outcome: &'a WorkerOutcome) -> Self {
        let mut judged = Self::as_it_is(outcome, Vec::new());
        if let Some(result) = task.result.filter(|_| task.msg.ends_with(&words_of_worker(&outcome.msg))) {
            judged.outcome = Cow::Owned(WorkerOutcome { result, msg: task.msg.clone(), ..outcome.clone() });
        }
        judged
    }

    /// What a person says in place of the worker: its figures are accepted, whatever they are.
    pub fn of_person(workflows: &Workflows, task: &Attempt, outcome: &'a WorkerOutcome) -> Self {
        let complete = CompleteTask::find(workflows, task, outcome);
        let learned = complete.map(|complete| {
            // The time until somebody comes by isn't how long it runs.
            complete.learn(None, &Query::parse_lenient(&merge_meta(&task.meta, &outcome.meta)))
        });
        Self::as_it_is(outcome, learned.unwrap_or_default())
    }

    /// Adds to the decision what its outcome doesn't say.
    pub fn complete_decision(self, decision: &mut TaskDecision) {
        decision.learned = self.learned;
        let raises = match self.otherwise {
            ExpectElse::Alert => true,
            ExpectElse::Warn => false,
            // As for any error: in the place of the alert that tells that no retries are left.
            ExpectElse::Error => {
                let used_up = decision.alerts.iter().position(|alert| alert.kind == AlertKind::Exhausted);
                used_up.filter(|_| !self.alerts.is_empty()).map(|at| decision.alerts.remove(at)).is_some()
            }
        };
        decision.alerts.extend(self.alerts.into_iter().filter(|_| raises));
    }
}

/// What stands behind the reasons in a message.
fn words_of_worker(msg: &str) -> String {
    let colon = if msg.is_empty() { "" } else { ": " };
    format!("; the worker said complete{colon}{msg}")
}
