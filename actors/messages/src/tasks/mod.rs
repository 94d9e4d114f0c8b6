//! Tasks: created, found by id and by chain, run again, cancelled.

mod search;

use std::sync::Arc;

use actix::Message;
use chrono::{DateTime, Utc};
use flowlord_domain::foreign::ForeignTask;
use flowlord_domain::limits::OverlapRule;
use flowlord_domain::{Attempt, NewAlert, NewTask, Uid};

use crate::schedule::SlotKey;
use flowlord_kernel::Result;

pub use self::search::{FindTasks, InvalidTaskCursor, SortKey, TaskCursor, TaskFilter, TaskPage, TaskSort, TextExtent};

/// Attempts by id, in the order asked for; none where there is no such attempt.
#[derive(Debug, Message)]
#[rtype(result = "Result<Vec<Option<Attempt>>>")]
pub struct ReadAttempts {
    /// The ids; an unknown one is answered by none.
    pub uids: Vec<Uid>,
}

/// Which of these done tasks are known, in the order asked for.
#[derive(Debug, Message)]
#[rtype(result = "Result<Vec<KnownTask>>")]
pub struct FindKnownTasks {
    /// The tasks, each with the uid that came with it, if one did.
    pub tasks: Vec<(Option<Uid>, Arc<ForeignTask>)>,
}

/// What is known of a done task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KnownTask {
    /// It is this attempt.
    Created(Uid),
    /// It was created elsewhere, and recorded with its result before.
    Recorded,
    /// Nothing: it may be recorded.
    Unknown,
}

/// All attempts of a chain, oldest first.
#[derive(Debug, Message)]
#[rtype(result = "Result<Vec<Attempt>>")]
pub struct ReadChain {
    /// The chain's id, which all its attempts have.
    pub id: String,
}

/// The first attempts of a chain, oldest first: a chain may be of any length. A list: of long texts the beginning.
#[derive(Debug, Message)]
#[rtype(result = "Result<ChainStart>")]
pub struct ReadChainStart {
    /// The chain's id, which all its attempts have.
    pub id: String,
    /// At most this many.
    pub limit: usize,
}

/// What [`ReadChainStart`] answers.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ChainStart {
    /// The first attempts, oldest first.
    pub attempts: Vec<Attempt>,
    /// How many the chain has after them.
    pub more: usize,
}

/// For each attempt the newest one of the same task that came after it, if any: a retry, or a rerun.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Vec<Option<Uid>>>")]
pub struct FindLaterAttempts {
    /// The ids of the attempts, in the order of the answer.
    pub uids: Vec<Uid>,
}

/// A request that may come twice and counts once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// The `Idempotency-Key` of the client.
    pub key: String,
    /// A digest of the request, to tell a repetition from a mistake.
    pub digest: u64,
}

/// Stores tasks: all or none.
#[derive(Debug, Message)]
#[rtype(result = "Result<CreatedTasks>")]
pub struct CreateTasks {
    /// The sender's time, UTC: SQL reads no clock.
    pub now: DateTime<Utc>,
    /// The tasks, each complete but for a free id.
    pub tasks: Vec<NewTask>,
    /// The slot that they are for: refused with `slot_taken` when it was started before.
    pub slot: Option<SlotKey>,
    /// What becomes of the slot while one before it hasn't ended.
    pub overlap: OverlapRule,
    /// Answers the tasks of the first time when the same request comes again.
    pub idempotency: Option<IdempotencyKey>,
    /// Alerts that go with them (a task of the slot that could not be created).
    pub alerts: Vec<NewAlert>,
}

/// What [`CreateTasks`] stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreatedTasks {
    /// The final ids, in the order of the tasks.
    pub uids: Vec<Uid>,
    /// Whether an earlier request with the same key had stored them.
    pub repeated: bool,
}

/// Stores new attempts of finished tasks, each judged alone: refused with `task_unfinished` while the task itself or
/// a later attempt of it has no result.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Vec<Result<Uid>>>")]
pub struct RerunTasks {
    /// The sender's time, UTC: SQL reads no clock.
    pub now: DateTime<Utc>,
    /// The new attempts; `parent` is the one that runs again.
    pub tasks: Vec<NewTask>,
}

/// Ends tasks that wait, as `warn`; one that a worker has is marked, and its worker told by the next heartbeat. Each is
/// judged alone: refused with `already_finished` when it has a result.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[rtype(result = "Result<Vec<Result<()>>>")]
pub struct CancelTasks {
    /// The sender's time, UTC: SQL reads no clock.
    pub now: DateTime<Utc>,
    /// The attempts to cancel.
    pub uids: Vec<Uid>,
    /// What is said of them.
    pub msg: String,
}
