//! Queries to the DB readers. Each reads one consistent state of the database.

use std::collections::BTreeSet;
use std::sync::Arc;

use actix::Message;
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use flowlord_domain::foreign::ForeignTask;
use flowlord_domain::{AlertKind, Attempt, TaskResult, TaskState, Uid};

use crate::write::{CronKey, SlotKey, WorkflowRecord};
use flowlord_kernel::Result;

/// Attempts by id, in the order asked for; none where there is no such attempt.
#[derive(Debug, Message)]
#[rtype(result = "Result<Vec<Option<Attempt>>>")]
pub struct AttemptsById {
    /// The ids.
    pub uids: Vec<Uid>,
}

/// Which of these done tasks are known, in the order asked for.
#[derive(Debug, Message)]
#[rtype(result = "Result<Vec<Known>>")]
pub struct KnownTasks {
    /// The tasks, each with the uid that came with it, if one did.
    pub tasks: Vec<(Option<Uid>, Arc<ForeignTask>)>,
}

/// What is known of a done task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    /// It is this attempt.
    Created(Uid),
    /// It was created elsewhere, and recorded with its result before.
    Recorded,
    /// Nothing.
    Unknown,
}

/// All attempts of a chain, oldest first.
#[derive(Debug, Message)]
#[rtype(result = "Result<Vec<Attempt>>")]
pub struct Chain {
    /// The chain's id.
    pub id: String,
}

/// The first attempts of a chain, oldest first: a chain may be of any length. A list: of long texts the beginning.
#[derive(Debug, Message)]
#[rtype(result = "Result<Beginning>")]
pub struct ChainBeginning {
    /// The chain's id.
    pub id: String,
    /// At most this many.
    pub limit: usize,
}

/// The answer.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Beginning {
    /// The attempts.
    pub attempts: Vec<Attempt>,
    /// How many the chain has after them.
    pub more: usize,
}

/// How much of the texts of tasks is read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Texts {
    /// All of them, for what is worked with.
    #[default]
    Whole,
    /// What a list shows.
    Beginnings,
}

/// Which tasks a list shows. Empty lists don't restrict.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TaskFilter {
    /// Created at or after.
    pub from: Option<DateTime<Utc>>,
    /// Created before.
    pub to: Option<DateTime<Utc>>,
    /// Topics.
    pub topics: Vec<String>,
    /// Jobs.
    pub jobs: Vec<String>,
    /// Results.
    pub results: Vec<TaskResult>,
    /// Also, or only, those without a result.
    pub running: bool,
    /// States.
    pub states: Vec<TaskState>,
    /// Chain ids.
    pub ids: Vec<String>,
    /// Only dead letters: failed, no retry left, and not run again since.
    pub given_up: bool,
}

/// How long before an incident opened a task may have been created that failed in it.
const BEFORE: TimeDelta = TimeDelta::days(1);

impl TaskFilter {
    /// What failed for good since shortly before an incident opened and wasn't run again, of the topics of its lines,
    /// `task:job`. Other jobs of these topics are among them.
    #[must_use]
    pub fn given_up_in(opened: DateTime<Utc>, lines: &BTreeSet<&str>) -> Self {
        let topics: BTreeSet<&str> =
            lines.iter().map(|line| line.split_once(':').map_or(*line, |(topic, _)| topic)).collect();
        Self {
            from: Some(opened - BEFORE),
            topics: topics.into_iter().map(str::to_owned).collect(),
            given_up: true,
            ..Self::default()
        }
    }
}

/// Totals of a day.
#[derive(Debug, Message)]
#[rtype(result = "Result<Stats>")]
pub struct DayStats {
    /// The UTC day of creation.
    pub day: NaiveDate,
}

/// Which days of a calendar have something.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Result<Vec<DayMarks>>")]
pub struct ReadDays {
    /// The first day.
    pub from: NaiveDate,
    /// The day after the last one.
    pub to: NaiveDate,
}

impl ReadDays {
    /// So many days at once, and no more.
    pub const MOST: usize = 366;
}

/// What a day has, by UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DayMarks {
    /// The day.
    pub day: NaiveDate,
    /// Tasks were created.
    pub tasks: bool,
    /// Alerts were raised.
    pub alerts: bool,
    /// Files were heard of.
    pub files: bool,
}

/// Counts by how things ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// All attempts created.
    pub total: u64,
    /// Ended `complete`.
    pub complete: u64,
    /// Ended `error`.
    pub error: u64,
    /// Ended `alert`.
    pub alert: u64,
    /// Ended `warn`.
    pub warn: u64,
}

impl Counts {
    /// Both together.
    #[must_use]
    pub fn plus(self, other: &Self) -> Self {
        Self {
            total: self.total + other.total,
            complete: self.complete + other.complete,
            error: self.error + other.error,
            alert: self.alert + other.alert,
            warn: self.warn + other.warn,
        }
    }

    /// Those without a result.
    #[must_use]
    pub fn running(&self) -> u64 {
        self.total.saturating_sub(self.complete + self.error + self.alert + self.warn)
    }
}

/// Totals of a day, by hour of creation, topic and job.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats {
    /// One row per hour, topic and job that has any.
    pub rows: Vec<StatsRow>,
}

/// One row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatsRow {
    /// The hour of the day, 0 to 23.
    pub hour: u8,
    /// The topic.
    pub topic: String,
    /// The job; empty for none.
    pub job: String,
    /// How many.
    pub counts: Counts,
    /// Run time of those that ended, milliseconds, all together.
    pub run_millis: u64,
}

/// Which alerts a list shows. Empty lists don't restrict.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AlertFilter {
    /// Topics.
    pub topics: Vec<String>,
    /// Jobs.
    pub jobs: Vec<String>,
    /// Workflow files.
    pub workflows: Vec<String>,
    /// Why.
    pub kinds: Vec<AlertKind>,
}

/// Alerts of some time, newest first.
#[derive(Debug, Message)]
#[rtype(result = "Result<Vec<StoredAlert>>")]
pub struct ListAlerts {
    /// Raised at or after.
    pub from: DateTime<Utc>,
    /// Raised before.
    pub to: DateTime<Utc>,
    /// Which.
    pub filter: AlertFilter,
    /// Only what comes after this row.
    pub after: Option<i64>,
    /// At most this many.
    pub limit: usize,
}

/// Alerts by row, oldest first; those that are gone are left out.
#[derive(Debug, Message)]
#[rtype(result = "Result<Vec<StoredAlert>>")]
pub struct AlertsByRow {
    /// The rows.
    pub rows: Vec<i64>,
}

/// An alert as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredAlert {
    /// The row id, growing.
    pub row: i64,
    /// Why.
    pub kind: AlertKind,
    /// When it was raised.
    pub at: DateTime<Utc>,
    /// The attempt, if any.
    pub uid: Option<Uid>,
    /// The chain; empty for none.
    pub id: String,
    /// The topic.
    pub topic: String,
    /// The job.
    pub job: String,
    /// The workflow file.
    pub workflow: String,
    /// What happened; of a long text the beginning.
    pub msg: String,
    /// Whether it is only the beginning: the task has all of it.
    pub is_msg_cut: bool,
    /// The time that the task is about.
    pub task_time: Option<DateTime<Utc>>,
    /// Whether it was told at once, and so isn't told again in a summary.
    pub at_once: bool,
    /// The route by which it is told.
    pub route: String,
    /// The silence that keeps it from being told.
    pub silence: Option<i64>,
}

/// What a ladder needs to decide.
#[derive(Debug, Message)]
#[rtype(result = "Result<LadderInput>")]
pub struct ReadLadder {
    /// The route.
    pub route: String,
}

/// The answer.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LadderInput {
    /// The ladder's state as last stored, JSON; none at the first start.
    pub state: Option<String>,
    /// Alerts not told yet, oldest first, without those told at once.
    pub untold: Vec<StoredAlert>,
    /// The newest of them; 0 where there is none.
    pub newest: i64,
}

/// What the scheduler needs at its start.
#[derive(Debug, Message)]
#[rtype(result = "Result<ScheduleInput>")]
pub struct ReadSchedule;

/// The answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ScheduleInput {
    /// The last recorded slot of each phase, started or missed.
    pub last_slots: Vec<SlotKey>,
    /// The crons that counted last, and since when.
    pub crons: Vec<(CronKey, DateTime<Utc>)>,
    /// When the earliest delayed task is due.
    pub next_due: Option<DateTime<Utc>>,
    /// Phases that are paused.
    pub paused: Vec<PausedPhase>,
}

/// The phases that are paused.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Result<Vec<PausedPhase>>")]
pub struct ReadPaused;

/// A phase that starts nothing new.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PausedPhase {
    /// The workflow file.
    pub workflow: String,
    /// `topic` or `topic:job`.
    pub task: String,
    /// Since when.
    pub since: DateTime<Utc>,
}

/// For each attempt the newest one of the same task that came after it, if any: a retry, or a rerun.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Vec<Option<Uid>>>")]
pub struct LaterAttempts {
    /// The attempts.
    pub uids: Vec<Uid>,
}

/// How much there is to do.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Result<Backlog>")]
pub struct ReadBacklog;

/// The answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Ready tasks per topic, and since when the oldest is ready.
    pub ready: Vec<(String, u64, DateTime<Utc>)>,
    /// Delayed tasks per topic.
    pub delayed: Vec<(String, u64)>,
    /// Leased tasks per topic.
    pub leased: Vec<(String, u64)>,
    /// Messages that Slack wasn't told yet.
    pub messages: u64,
}

/// When the earliest lease ends.
#[derive(Debug, Message)]
#[rtype(result = "Result<Option<DateTime<Utc>>>")]
pub struct NextExpiry;

/// The workflow files as last stored.
#[derive(Debug, Message)]
#[rtype(result = "Result<Vec<WorkflowRecord>>")]
pub struct ReadWorkflows;

/// One workflow file as last stored; none where there is no such file.
#[derive(Debug, Message)]
#[rtype(result = "Result<Option<WorkflowRecord>>")]
pub struct ReadWorkflow {
    /// The path relative to the workflow root.
    pub path: String,
}

/// The last slot of each phase that has one, and the last that started.
#[derive(Debug, Message)]
#[rtype(result = "Result<Vec<LastSlot>>")]
pub struct LastSlots {
    /// Scheduled at or after.
    pub from: DateTime<Utc>,
    /// Scheduled before.
    pub to: DateTime<Utc>,
}

/// Where a phase stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastSlot {
    /// Its last slot, started or missed.
    pub key: SlotKey,
    /// Its last slot that started.
    pub started: Option<DateTime<Utc>>,
}
