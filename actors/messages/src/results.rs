//! Results: what the ingest actor answers, and what it stores.

use std::sync::Arc;

use actix::Message;
use chrono::{DateTime, Utc};
use flowlord_domain::decide::WorkerOutcome;
use flowlord_domain::foreign::ForeignTask;
use flowlord_domain::{Attempt, TaskDecision, TaskResult, Uid};

use crate::leases::LeaseToken;
use flowlord_kernel::Result;

/// By which right a result is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ResultClaim {
    /// Under the lease that its worker holds.
    Lease(LeaseToken),
    /// In place of a worker that held this lease for longer than its phase allows.
    TimedOut(LeaseToken),
    /// As a done task in Task JSON, without one.
    Task(Uid),
    /// As a done task that nobody created here: it is recorded with its result.
    Foreign(Arc<ForeignTask>),
    /// By a person, in place of the worker, who loses the lease: refused unless the attempt still ended so, or not.
    Person {
        /// The attempt.
        uid: Uid,
        /// How it ended as far as the person knows.
        seen: Option<TaskResult>,
    },
}

impl ResultClaim {
    /// The attempt; of one that isn't recorded yet the id that it gets if that is free.
    #[must_use]
    pub fn uid(&self) -> Uid {
        match self {
            Self::Lease(lease) | Self::TimedOut(lease) => lease.uid,
            Self::Task(uid) | Self::Person { uid, .. } => *uid,
            Self::Foreign(task) => task.first_uid(),
        }
    }
}

/// Stores results and all that follows from them, each judged alone.
#[derive(Debug, Message)]
#[rtype(result = "Result<Vec<Result<AppliedResult>>>")]
pub struct ApplyOutcomes {
    /// The sender's time, UTC: SQL reads no clock.
    pub now: DateTime<Utc>,
    /// What was decided for each.
    pub outcomes: Vec<(ResultClaim, TaskDecision)>,
}

/// A result that was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AppliedResult {
    /// Whether the same result was there before; nothing follows from it again.
    pub duplicate: bool,
}

/// Attempts that were handed out: what comes back for them needn't be read then. A hint, which may be lost.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct RememberGrants {
    /// Each with its lease.
    pub grants: Vec<(LeaseToken, Arc<Attempt>)>,
}

/// Results of tasks, each judged alone.
#[derive(Debug, Message)]
#[rtype(result = "Result<Vec<Result<AppliedResult>>>")]
pub struct SubmitResults {
    /// By which right, and what.
    pub results: Vec<(ResultClaim, WorkerOutcome)>,
}

/// How many results workers gave lately. Asked of the ingest actor, which knows those since its start.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Result<Vec<WorkerResults>>")]
pub struct ReadWorkerResults;

/// The results that a worker gave within the last hour, to five minutes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerResults {
    /// Its name.
    pub worker: String,
    /// All of them.
    pub done: u64,
    /// Those that are `error` or `alert`.
    pub errors: u64,
}
