//! Removing what is older than it is kept.

use actix::Message;
use chrono::{DateTime, Utc};
use flowlord_domain::Uid;

use flowlord_kernel::Result;

/// Removes a bounded part of what is older than it is kept. Tasks that aren't done stay, and so do totals.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[rtype(result = "Result<RemovedHistory>")]
pub struct RemoveHistory {
    /// What was created before.
    pub before: DateTime<Utc>,
    /// How far the steps before came.
    pub after: HistoryPosition,
    /// At most this many rows of each kind.
    pub limit: usize,
}

/// How far a run of [`RemoveHistory`] came where some rows stay: it reads each of them once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HistoryPosition {
    /// The last task that was read.
    pub task: Option<Uid>,
    /// The last message that was read.
    pub message: Option<i64>,
}

/// What [`RemoveHistory`] did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemovedHistory {
    /// How many attempts were removed.
    pub tasks: usize,
    /// How many slots, alerts, messages, file events and the like.
    pub others: usize,
    /// From where the next step goes on.
    pub next: HistoryPosition,
    /// Whether anything is left to remove.
    pub more: bool,
}

/// Begins to remove what is older than it is kept; nothing happens while that is under way.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct RemoveOldHistory;
