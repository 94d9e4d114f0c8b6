//! Commands to the DB owner. Each is complete and deterministic: it carries its own times, ids and jitter, so
//! that the same commands in the same order give the same database. Each is applied wholly or refused wholly,
//! and answered after its commit is on disk.

use std::sync::Arc;

use actix::Message;
use chrono::{DateTime, TimeDelta, Utc};
use flowlord_domain::foreign::ForeignTask;
use flowlord_domain::{Attempt, Decision, NewAlert, NewTask, Uid};

use crate::lease::LeaseToken;
use flowlord_kernel::Result;

/// A phase's slot: starts at most once, ever.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SlotKey {
    /// The workflow file.
    pub workflow: String,
    /// `topic` or `topic:job`.
    pub task: String,
    /// The scheduled time.
    pub at: DateTime<Utc>,
}

/// A request that may come twice and counts once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// The client's key.
    pub key: String,
    /// A digest of the request, to tell a repetition from a mistake.
    pub digest: u64,
}

/// Stores tasks: all or none.
#[derive(Debug, Message)]
#[rtype(result = "Result<Created>")]
pub struct CreateTasks {
    /// When.
    pub now: DateTime<Utc>,
    /// The tasks.
    pub tasks: Vec<NewTask>,
    /// The slot that they are for: refused with `slot_taken` when it was started before.
    pub slot: Option<SlotKey>,
    /// Answers the tasks of the first time when the same request comes again.
    pub idempotency: Option<IdempotencyKey>,
    /// Alerts that go with them (a task of the slot that could not be created).
    pub alerts: Vec<NewAlert>,
}

/// What [`CreateTasks`] stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Created {
    /// The final ids, in the order of the tasks.
    pub uids: Vec<Uid>,
    /// Whether an earlier request with the same key had stored them.
    pub repeated: bool,
}

/// A cron of a phase.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CronKey {
    /// The workflow file.
    pub workflow: String,
    /// `topic` or `topic:job`.
    pub task: String,
    /// The cron expression.
    pub cron: String,
}

/// Remembers which crons count and since when, so that downtime is noticed also before the first slot of one.
#[derive(Debug, Message)]
#[rtype(result = "Result<()>")]
pub struct SaveCrons {
    /// New ones, and since when each counts.
    pub added: Vec<(CronKey, DateTime<Utc>)>,
    /// Those that no longer count.
    pub removed: Vec<CronKey>,
}

/// Records slots that were not started and won't be.
#[derive(Debug, Message)]
#[rtype(result = "Result<()>")]
pub struct RecordMissed {
    /// The slots; those already recorded stay as they are.
    pub slots: Vec<SlotKey>,
    /// Alerts that go with them; none is raised where all slots were recorded before.
    pub alerts: Vec<NewAlert>,
    /// When.
    pub now: DateTime<Utc>,
}

/// Pauses a phase, or lets it go on: what was kept for it is ready then. Answers since when it is paused.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[rtype(result = "Result<Option<DateTime<Utc>>>")]
pub struct SetPaused {
    /// When.
    pub now: DateTime<Utc>,
    /// The workflow file.
    pub workflow: String,
    /// `topic` or `topic:job`.
    pub task: String,
    /// Whether it is to be paused.
    pub paused: bool,
}

/// Stores new attempts of finished tasks, each judged alone: refused with `task_unfinished` while the task itself or
/// a later attempt of it has no result.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Vec<Result<Uid>>>")]
pub struct RerunTasks {
    /// When.
    pub now: DateTime<Utc>,
    /// The new attempts; `parent` is the one that runs again.
    pub tasks: Vec<NewTask>,
}

/// Ends a task that waits, as `warn`; one that a worker has is marked, and its worker told by the next heartbeat.
/// Refused with `already_finished` when it has a result.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[rtype(result = "Result<()>")]
pub struct CancelTask {
    /// When.
    pub now: DateTime<Utc>,
    /// Which.
    pub uid: Uid,
    /// What is said of it.
    pub msg: String,
}

/// Moves delayed tasks whose time has come to ready.
#[derive(Debug, Message)]
#[rtype(result = "Result<Promoted>")]
pub struct PromoteDue {
    /// What counts as now.
    pub now: DateTime<Utc>,
}

/// What [`PromoteDue`] did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Promoted {
    /// How many became ready.
    pub count: usize,
    /// When the next one is due; at or before `now` when there was too much for one step.
    pub next: Option<DateTime<Utc>>,
}

/// A topic, or one job of it, that a worker takes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicFilter {
    /// The topic.
    pub topic: String,
    /// Only this job; none means any.
    pub job: Option<String>,
}

/// What one waiting worker wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedLease {
    /// Topics, in the order in which they take turns.
    pub topics: Vec<TopicFilter>,
    /// At most this many tasks.
    pub max: usize,
    /// The worker's name.
    pub worker: String,
    /// For how long.
    pub lease: TimeDelta,
    /// Random bits from which the secrets of the leases are made.
    pub seed: u64,
}

/// Hands ready tasks to workers.
#[derive(Debug, Message)]
#[rtype(result = "Result<Vec<Vec<Granted>>>")]
pub struct GrantLeases {
    /// When.
    pub now: DateTime<Utc>,
    /// The workers, those that waited longest first.
    pub wanted: Vec<WantedLease>,
}

/// A task handed out.
#[derive(Debug, Clone, PartialEq)]
pub struct Granted {
    /// Its lease.
    pub lease: LeaseToken,
    /// When the lease ends.
    pub expires: DateTime<Utc>,
    /// The attempt.
    pub task: Attempt,
}

/// Keeps a lease alive.
#[derive(Debug, Message)]
#[rtype(result = "Result<Extended>")]
pub struct ExtendLease {
    /// When.
    pub now: DateTime<Utc>,
    /// Which.
    pub lease: LeaseToken,
    /// For how long from now; none means as long as was asked for last.
    pub by: Option<TimeDelta>,
    /// For how long where nobody ever asked.
    pub default: TimeDelta,
    /// How far the worker is, 0 to 1.
    pub progress: Option<f64>,
    /// What the worker says.
    pub msg: Option<String>,
}

/// What [`ExtendLease`] answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extended {
    /// When the lease ends now.
    pub expires: DateTime<Utc>,
    /// Whether the worker should give up.
    pub cancel: bool,
}

/// Gives a task back; the attempt isn't counted.
#[derive(Debug, Message)]
#[rtype(result = "Result<()>")]
pub struct ReleaseLease {
    /// When.
    pub now: DateTime<Utc>,
    /// Which.
    pub lease: LeaseToken,
    /// Ready again after this long.
    pub delay: TimeDelta,
}

/// Puts tasks back whose leases ran out.
#[derive(Debug, Message)]
#[rtype(result = "Result<Reaped>")]
pub struct ReapLeases {
    /// When.
    pub now: DateTime<Utc>,
    /// A task whose lease ran out this often isn't put back but answered in `exhausted`; releases don't count.
    pub max_deliveries: u32,
}

/// What [`ReapLeases`] did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reaped {
    /// How many became ready again.
    pub requeued: usize,
    /// Leases of tasks that were handed out too often: to be ended with an error.
    pub exhausted: Vec<LeaseToken>,
    /// When the next lease ends.
    pub next: Option<DateTime<Utc>>,
}

/// By which right a result is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// Under a lease.
    Lease(LeaseToken),
    /// As a done task in Task JSON, without one.
    Task(Uid),
    /// As a done task that nobody created here: it is recorded with its result.
    Foreign(Arc<ForeignTask>),
}

impl Claim {
    /// The attempt; of one that isn't recorded yet the id that it gets if that is free.
    #[must_use]
    pub fn uid(&self) -> Uid {
        match self {
            Self::Lease(lease) => lease.uid,
            Self::Task(uid) => *uid,
            Self::Foreign(task) => task.uid(),
        }
    }
}

/// Stores results and all that follows from them, each judged alone.
#[derive(Debug, Message)]
#[rtype(result = "Result<Vec<Result<Applied>>>")]
pub struct ApplyOutcomes {
    /// When.
    pub now: DateTime<Utc>,
    /// What was decided for each.
    pub outcomes: Vec<(Claim, Decision)>,
}

/// A result that was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Applied {
    /// Whether the same result was there before; nothing follows from it again.
    pub duplicate: bool,
}

/// A workflow file as it is to be remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkflowRecord {
    /// The path relative to the workflow root.
    pub path: String,
    /// The hash of the content that was looked at, good or broken.
    pub hash: String,
    /// Why it doesn't load; empty when it does.
    pub problem: String,
    /// The last good content.
    pub content: String,
}

/// Remembers what changed in the workflow folder.
#[derive(Debug, Message)]
#[rtype(result = "Result<()>")]
pub struct SaveWorkflows {
    /// When.
    pub now: DateTime<Utc>,
    /// New and changed files.
    pub changed: Vec<WorkflowRecord>,
    /// Paths of files that left.
    pub removed: Vec<String>,
    /// Alerts for files that broke.
    pub alerts: Vec<NewAlert>,
}

/// Raises alerts that come with no other command; by a [`AlertSender`](crate::AlertSender), which tries again.
#[derive(Debug, Message)]
#[rtype(result = "Result<()>")]
pub struct RaiseAlerts {
    /// The alerts.
    pub alerts: Vec<NewAlert>,
}

/// A message to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewMessage {
    /// The route.
    pub route: String,
    /// What it is: `alert`, `summary`, `all_clear`, `test`.
    pub kind: String,
    /// A message with the same key is stored once.
    pub key: String,
    /// The payload, JSON of [`crate::notifier::Payload`].
    pub payload: String,
}

/// Moves a route's ladder on: its state, what it tells, and up to which alert it told, in one transaction.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<()>")]
pub struct AdvanceLadder {
    /// When.
    pub now: DateTime<Utc>,
    /// The route.
    pub route: String,
    /// Its new state, JSON of the ladder's ladder state.
    pub state: String,
    /// Its alerts up to this row id are told.
    pub told_until: i64,
    /// The incident that this step opened, went on with or closed.
    pub incident: Option<IncidentRecord>,
    /// What to send.
    pub messages: Vec<NewMessage>,
}

/// An incident as it is to be remembered; known by its route and when it was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IncidentRecord {
    /// When its first alert was told.
    pub opened: DateTime<Utc>,
    /// When the all-clear was told.
    pub closed: Option<DateTime<Utc>>,
    /// How many alerts so far.
    pub alerts: u64,
    /// What happened.
    pub step: StepRecord,
}

/// One step of an incident; a step that was stored before stays as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepRecord {
    /// Its number, from 1.
    pub number: u32,
    /// What: `summary`, `update`, `acknowledged`, `all_clear`.
    pub kind: String,
    /// The headline.
    pub headline: String,
    /// What was new.
    pub details: Vec<String>,
}

/// Puts a message into the outbox.
#[derive(Debug, Message)]
#[rtype(result = "Result<i64>")]
pub struct EnqueueMessage {
    /// When.
    pub now: DateTime<Utc>,
    /// The message.
    pub message: NewMessage,
}

/// Removes a bounded part of what is older than it is kept. Tasks that aren't done stay, and so do totals.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[rtype(result = "Result<Removed>")]
pub struct RemoveHistory {
    /// What was created before.
    pub before: DateTime<Utc>,
    /// Tasks are looked at only after this one.
    pub after: Option<Uid>,
    /// At most this many rows of each kind.
    pub limit: usize,
}

/// What [`RemoveHistory`] did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removed {
    /// How many tasks.
    pub tasks: usize,
    /// How many slots, alerts, messages, file events and the like.
    pub others: usize,
    /// From where to go on with tasks; none when all were looked at.
    pub next: Option<Uid>,
    /// Whether anything is left to remove.
    pub more: bool,
}

/// Drains the queue, checkpoints and closes; the last message that the DB owner takes.
#[derive(Debug, Message)]
#[rtype(result = "Result<()>")]
pub struct Close;
