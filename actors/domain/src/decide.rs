//! From a result to what follows from it.

use chrono::{DateTime, Utc};

use crate::alert::{AlertKind, NewAlert};
use crate::duration;
use crate::expect::LearnedValue;
use crate::ids::IdSource;
use crate::join::{JoinArrival, JoinStart, Joining};
use crate::query::{Query, merge_meta};
use crate::rerun::{Downstream, RERUN_KEY};
use crate::retry::RetryDelay;
use crate::schedule::{CreateError, NoFiles, RowSource, phase_meta, phase_rows};
use crate::task::{Attempt, NewTask, TaskResult, TaskState, Uid};
use crate::task_doc::{TaskDoc, created_text};
use crate::task_time::task_time;
use crate::template::{MetaRow, expand_meta, render_template_utc};
use crate::workflow::{Phase, TaskName, Workflows};

/// What a worker said, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerOutcome {
    /// How it ended.
    pub result: TaskResult,
    /// What the worker said.
    pub msg: String,
    /// A URL query to merge over the task's meta.
    pub meta: String,
    /// When the worker began, if it said so.
    pub started: Option<DateTime<Utc>>,
    /// When it ended, if the worker said so.
    pub ended: Option<DateTime<Utc>>,
}

/// Everything that follows from one result; stored in one transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskDecision {
    /// How the attempt ended.
    pub result: TaskResult,
    /// What the worker said.
    pub msg: String,
    /// The task's meta with the worker's merged over it.
    pub meta: String,
    /// When it began, if the worker said so; else the hand-out counts.
    pub started: Option<DateTime<Utc>>,
    /// When it ended: by the worker's clock where that says so.
    pub ended: DateTime<Utc>,
    /// The time that the task is about, for rollups.
    pub task_time: Option<DateTime<Utc>>,
    /// The tasks that follow a complete one.
    pub children: Vec<NewTask>,
    /// Whether of the children that started before only those start that failed.
    pub only_failed_children: bool,
    /// The joins that waited for a complete one.
    pub arrivals: Vec<JoinArrival>,
    /// The next attempt, if one is left.
    pub retry: Option<NewTask>,
    /// The alerts that it raises.
    pub alerts: Vec<NewAlert>,
    /// It failed and isn't tried again: a dead letter, until a person reruns it.
    pub given_up: bool,
    /// Where `meta` says that it was given up: the meta that doesn't.
    pub unmarked_meta: Option<String>,
    /// What later expectations learn from it.
    pub learned: Vec<LearnedValue>,
}

impl TaskDecision {
    /// What would have been decided if the attempt had been cancelled before.
    ///
    /// A cancellation may come between the decision and its write. Nobody wants anything more of such a task.
    #[must_use]
    pub fn as_cancelled(&self) -> Self {
        let mut cancelled = self.clone();
        if follows_nothing_when_cancelled(self.result) {
            (cancelled.children, cancelled.retry, cancelled.alerts) = (Vec::new(), None, Vec::new());
            cancelled.arrivals = Vec::new();
            cancelled.given_up = false;
            cancelled.learned.clear();
            if let Some(meta) = cancelled.unmarked_meta.take() {
                cancelled.meta = meta;
            }
        }
        cancelled
    }

    /// The same of an attempt that was taken from its worker: an alert says so.
    #[must_use]
    pub fn as_timed_out(mut self) -> Self {
        for alert in self.alerts.iter_mut().filter(|alert| alert.kind == AlertKind::Exhausted) {
            alert.kind = AlertKind::TimedOut;
        }
        self
    }

    /// The same about an attempt that has another id by now.
    #[must_use]
    pub fn with_uid(&self, uid: Uid) -> Self {
        let mut moved = self.clone();
        // Its meta and messages don't name it; only these do.
        for task in moved.children.iter_mut().chain(&mut moved.retry) {
            task.parent = Some(uid);
        }
        moved.arrivals.iter_mut().for_each(|arrival| arrival.rename_parent(uid));
        for alert in &mut moved.alerts {
            alert.uid = Some(uid);
            alert.at_once = alert.at_once.take().map(|text| rename_attempt(&text, uid));
        }
        moved
    }
}

/// Task JSON of an attempt that has another id by now.
fn rename_attempt(text: &str, uid: Uid) -> String {
    match TaskDoc::parse(text) {
        Ok(doc) => TaskDoc { attempt_uid: uid.to_string(), created: created_text(uid), ..doc }.to_pretty_json(),
        Err(_) => text.to_owned(), // it was written here, so it reads
    }
}

/// Whether nothing follows from such a result of a cancelled attempt.
fn follows_nothing_when_cancelled(result: TaskResult) -> bool {
    matches!(result, TaskResult::Complete | TaskResult::Error)
}

/// The meta files that must be read to know what follows from a result.
pub fn meta_files(workflows: &Workflows, task: &Attempt, outcome: &WorkerOutcome) -> Vec<String> {
    // No child starts then, so no file is read for one.
    let starts_children = outcome.result == TaskResult::Complete && !task.cancelled;
    if !starts_children || !workflows.may_need_meta_files(&task.topic) {
        return Vec::new();
    }
    // Which children start depends on neither the time nor the machine.
    let case = DecisionDraft::new(workflows, task, outcome, DateTime::default(), "");
    let joins = case.waiting_joins().into_iter().map(|(phase, _)| phase);
    case.ready_children().chain(joins).filter_map(|phase| phase.rule.meta_file.clone()).collect()
}

/// What follows from a result, where no phase reads a meta file.
///
/// ```
/// use chrono::{DateTime, TimeDelta, Utc};
/// use chrono_tz::Tz;
/// use flowlord_domain::decide::{WorkerOutcome, decide_result};
/// use flowlord_domain::workflow::{WorkflowFile, Workflows};
/// use flowlord_domain::{IdSource, NewTask, TaskLane, TaskResult, Uid};
///
/// struct NoIds;
/// impl IdSource for NoIds {
///     fn next_uid(&mut self, now: DateTime<Utc>) -> Uid {
///         Uid::at(now)
///     }
///     fn random_bits(&mut self) -> u64 {
///         0
///     }
/// }
///
/// let text = "[[phase]]\ntask = \"load\"\nrule = \"cron=@daily&retry_delay=1m\"\nretry = 1\n";
/// let workflows = Workflows::new([WorkflowFile::parse("w.toml", text, "", Tz::UTC).unwrap().into()]);
/// let now: DateTime<Utc> = "2024-01-15T03:00:00Z".parse().unwrap();
/// let task = NewTask {
///     uid: Uid::at(now),
///     topic: "load".to_owned(),
///     job: String::new(),
///     id: "chain".to_owned(),
///     info: "?day=2024-01-14".to_owned(),
///     meta: String::new(),
///     workflow: "w.toml".to_owned(),
///     parent: None,
///     retry: 0,
///     not_before: None,
///     lane: TaskLane::Live,
/// };
/// let msg = "disk full".to_owned();
/// let failed = WorkerOutcome { result: TaskResult::Error, msg, meta: String::new(), started: None, ended: None };
///
/// let first = decide_result(&workflows, &task.clone().into_attempt(), &failed, now, "host", &mut NoIds);
/// let retry = first.retry.expect("one retry is left");
/// assert_eq!((retry.retry, retry.not_before), (1, Some(now + TimeDelta::minutes(1))));
/// let last = decide_result(&workflows, &retry.into_attempt(), &failed, now, "host", &mut NoIds);
/// assert!(last.given_up && last.retry.is_none());
/// assert_eq!(last.alerts[0].msg, "disk full");
/// ```
pub fn decide_result(
    workflows: &Workflows,
    task: &Attempt,
    outcome: &WorkerOutcome,
    now: DateTime<Utc>,
    host: &str,
    ids: &mut dyn IdSource,
) -> TaskDecision {
    decide_result_with(workflows, task, outcome, now, host, ids, &NoFiles)
}

/// What follows from a result.
pub fn decide_result_with(
    workflows: &Workflows,
    task: &Attempt,
    outcome: &WorkerOutcome,
    now: DateTime<Utc>,
    host: &str,
    ids: &mut dyn IdSource,
    files: &dyn RowSource,
) -> TaskDecision {
    let mut case = DecisionDraft::new(workflows, task, outcome, now, host);
    match outcome.result {
        // A person cancelled it, and wants nothing more of it.
        result if task.cancelled && follows_nothing_when_cancelled(result) => {}
        TaskResult::Complete => {
            case.start_children(ids, files);
            case.note_arrivals(ids, files);
        }
        TaskResult::Error => case.retry_or_give_up(ids),
        TaskResult::Alert => case.alert_at_once(),
        // a warning asks for neither a retry nor an alert
        TaskResult::Warn => {}
    }
    case.decision
}

/// The workflow and the job by which the phase of a task is found: its own, else those in its meta.
pub(crate) fn owning_names<'a>(task: &'a Attempt, meta: &'a Query) -> [&'a str; 2] {
    [(&task.workflow, "workflow"), (&task.job, "job")].map(|(own, key)| {
        let own = Some(own.as_str()).filter(|own| !own.is_empty());
        own.or_else(|| meta.first_value(key)).unwrap_or_default()
    })
}

/// One result and what is known about it.
struct DecisionDraft<'a> {
    workflows: &'a Workflows,
    task: &'a Attempt,
    now: DateTime<Utc>,
    host: &'a str,
    meta: Query,
    workflow: String,
    job: String,
    downstream: Downstream,
    decision: TaskDecision,
}

impl<'a> DecisionDraft<'a> {
    fn new(
        workflows: &'a Workflows,
        task: &'a Attempt,
        outcome: &WorkerOutcome,
        now: DateTime<Utc>,
        host: &'a str,
    ) -> Self {
        let merged = merge_meta(&task.meta, &outcome.meta);
        let meta = Query::parse_lenient(&merged);
        let [workflow, job] = owning_names(task, &meta).map(str::to_owned);
        let decision = TaskDecision {
            result: outcome.result,
            msg: outcome.msg.clone(),
            task_time: task_time(&task.info, &meta),
            meta: merged,
            started: outcome.started,
            ended: outcome.ended.unwrap_or(now), // a worker's clock counts where it tells the time
            children: Vec::new(),
            only_failed_children: false,
            arrivals: Vec::new(),
            retry: None,
            alerts: Vec::new(),
            given_up: false,
            unmarked_meta: None,
            learned: Vec::new(),
        };
        let downstream = Downstream::of_meta(&task.meta);
        Self { workflows, task, now, host, meta, workflow, job, downstream, decision }
    }

    fn start_children(&mut self, ids: &mut dyn IdSource, files: &dyn RowSource) {
        let ready: Vec<&Phase> = self.ready_children().collect();
        // Which those are is seen where nothing changes any more: by the writer.
        self.decision.only_failed_children = self.downstream == Downstream::Failed;
        for phase in ready {
            match self.child_rows(phase, files) {
                Ok(None) => self.start_child(phase, None, ids),
                Ok(Some(rows)) => rows.iter().for_each(|row| self.start_child(phase, Some(row), ids)),
                Err(e) => self.alert_not_created(phase, &e),
            }
        }
    }

    /// The rows of a child that brings its own; its parent's meta may have what they don't.
    fn child_rows(&self, phase: &Phase, files: &dyn RowSource) -> Result<Option<Vec<MetaRow>>, CreateError> {
        if phase.task.topic.is_empty() {
            return Err(CreateError::NoTopic);
        }
        phase_rows(phase, files, |key| self.meta.first_value(key).is_some())
    }

    /// The phases that start now that the task is complete.
    fn ready_children(&self) -> impl Iterator<Item = &'a Phase> + '_ {
        let workflows = self.workflows;
        let children = workflows.children_of(&self.workflow, &self.task.topic, &self.job);
        let elsewhere = self.waiting().filter(|(phase, _)| !phase.is_join).map(|(phase, _)| phase);
        let starts = self.downstream != Downstream::None;
        children.chain(elsewhere).filter(move |phase| starts && phase.rule.is_ready(&self.meta))
    }

    fn waiting(&self) -> impl Iterator<Item = (&'a Phase, usize)> + use<'a> {
        let workflows = self.workflows;
        workflows.waiting_for(&self.workflow, &self.task.topic, &self.job).into_iter()
    }

    /// The joins that wait for the task, each with which of its parents the task is.
    fn waiting_joins(&self) -> Vec<(&'a Phase, Vec<usize>)> {
        let mut joins: Vec<(&Phase, Vec<usize>)> = Vec::new();
        if self.downstream == Downstream::None {
            return joins;
        }
        for (phase, nth) in self.waiting().filter(|(phase, _)| phase.is_join && phase.rule.is_ready(&self.meta)) {
            match joins.iter_mut().find(|(join, _)| std::ptr::eq(*join, phase)) {
                Some((_, parents)) => parents.push(nth),
                None => joins.push((phase, vec![nth])),
            }
        }
        joins
    }

    /// Has the database count the task where joins wait for it.
    fn note_arrivals(&mut self, ids: &mut dyn IdSource, files: &dyn RowSource) {
        for (phase, parents) in self.waiting_joins() {
            let Some(time) = self.decision.task_time else {
                self.alert_not_counted(phase);
                continue;
            };
            let task = TaskName { topic: self.task.topic.clone(), job: self.job.clone() }.to_string();
            let joining = Joining { workflows: self.workflows, phase, parents, time, task, info: &self.task.info };
            let arrival = joining.arrival(self.downstream == Downstream::All, |period| {
                let base = NewTask::following(self.task, self.now, ids);
                JoinStart::new(phase, period.about, base, (self.now, self.host), ids, files)
            });
            self.decision.arrivals.extend(arrival);
        }
    }

    fn alert_not_counted(&mut self, phase: &Phase) {
        let msg = format!("{} waits for this task, which is about no time: give it cron in its meta", phase.task);
        self.add_alert(AlertKind::CreateFailed, msg);
    }

    fn start_child(&mut self, phase: &Phase, row: Option<&MetaRow>, ids: &mut dyn IdSource) {
        let mut meta = phase_meta(&phase.workflow, self.meta.first_value("cron"), &phase.task.job);
        let text = render_template_utc(&phase.template, self.decision.task_time, self.host, ids);
        let (info, keys) = expand_meta(&text, |key| {
            row.and_then(|row| row.value_of(key)).or_else(|| self.meta.first_value(key)).map(str::to_owned)
        });
        if self.downstream == Downstream::Failed {
            meta.set_value(RERUN_KEY, self.downstream.meta_value());
        }
        // What tells the children of one parent apart goes with them.
        for key in keys {
            if let Some(value) = row.and_then(|row| row.value_of(&key)) {
                meta.set_value(&key, value);
            }
        }
        let child = NewTask {
            topic: phase.task.topic.clone(),
            job: phase.task.job.clone(),
            info,
            meta: meta.to_text(),
            workflow: phase.workflow.clone(),
            ..NewTask::following(self.task, self.now, ids)
        };
        self.decision.children.push(child);
    }

    fn retry_or_give_up(&mut self, ids: &mut dyn IdSource) {
        let Some(phase) = self.workflows.phase_for(&self.workflow, &self.task.topic, &self.job) else {
            // Nothing says how often to retry it. The reference system only logged that, and nobody heard of it.
            self.add_alert(AlertKind::UnknownPhase, self.decision.msg.clone());
            return;
        };
        // A task that was given up and sent again keeps that; it starts no retries of its own.
        let given_up = self.meta.first_value("retry") == Some("failed");
        let retries = self.retries_so_far();
        if !given_up && retries < phase.retry {
            self.start_retry(phase, retries + 1, ids);
        } else {
            self.give_up(phase, given_up);
        }
    }

    fn retries_so_far(&self) -> u32 {
        // Also the meta of a task that somebody sent again.
        let written = self.meta.first_value("retry").and_then(|text| text.parse().ok());
        // Tasks of the reference have it in their meta only.
        written.unwrap_or(self.task.retry)
    }

    fn start_retry(&mut self, phase: &Phase, number: u32, ids: &mut dyn IdSource) {
        let delay = phase.rule.retry_delay.delay_before(number, ids.random_bits());
        let mut meta = self.meta.clone();
        meta.set_value("retry", number.to_string());
        match phase.rule.retry_delay {
            // it says what the rule asked for, which is nothing
            RetryDelay::Default => meta.remove_key("delayed"),
            _ => meta.set_value("delayed", duration::print_duration(delay)),
        }
        self.decision.retry = Some(NewTask {
            meta: meta.sorted().to_text(),
            retry: number,
            // a delay beyond the end of time counts as none
            not_before: Some(self.now.checked_add_signed(delay).unwrap_or(self.now)),
            ..NewTask::following(self.task, self.now, ids)
        });
    }

    fn give_up(&mut self, phase: &Phase, again: bool) {
        self.decision.given_up = true;
        if !again {
            let mut meta = self.meta.clone();
            meta.set_value("retry", "failed");
            meta.set_value("retried", phase.retry.to_string());
            let marked = meta.sorted().to_text();
            self.decision.unmarked_meta = Some(std::mem::replace(&mut self.decision.meta, marked));
        }
        if !phase.rule.no_alert {
            self.add_alert(AlertKind::Exhausted, self.decision.msg.clone());
        }
    }

    fn alert_at_once(&mut self) {
        let done = Attempt {
            meta: self.decision.meta.clone(),
            state: TaskState::Done,
            result: Some(self.decision.result),
            msg: self.decision.msg.clone(),
            // What the worker said goes before when it was leased.
            started: self.decision.started.or(self.task.started),
            ended: Some(self.decision.ended),
            ..self.task.clone()
        };
        self.add_alert(AlertKind::Result, self.decision.msg.clone());
        if let Some(alert) = self.decision.alerts.last_mut() {
            alert.at_once = Some(TaskDoc::from_attempt(&done).to_pretty_json());
        }
    }

    fn alert_not_created(&mut self, phase: &Phase, error: &CreateError) {
        self.add_alert(AlertKind::CreateFailed, format!("{} was not created: {error}", phase.task_name()));
        if let Some(alert) = self.decision.alerts.last_mut() {
            // It is about the child, which has no attempt of its own.
            alert.topic.clone_from(&phase.task.topic);
            alert.job.clone_from(&phase.task.job);
            *alert = alert.clone().with_contact_of(phase);
        }
    }

    fn add_alert(&mut self, kind: AlertKind, msg: String) {
        let alert = NewAlert {
            job: self.job.clone(),
            workflow: self.workflow.clone(),
            task_time: self.decision.task_time,
            ..NewAlert::about(self.task, kind, msg, self.now)
        };
        self.decision.alerts.push(alert.with_contact(self.workflows));
    }
}

#[cfg(test)]
mod tests;
