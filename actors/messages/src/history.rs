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
    /// Tasks are looked at only after this one.
    pub after: Option<Uid>,
    /// At most this many rows of each kind.
    pub limit: usize,
}

/// What [`RemoveHistory`] did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemovedHistory {
    /// How many attempts were removed.
    pub tasks: usize,
    /// How many slots, alerts, messages, file events and the like.
    pub others: usize,
    /// From where to go on with tasks; none when all were looked at.
    pub next: Option<Uid>,
    /// Whether anything is left to remove.
    pub more: bool,
}

/// Begins to remove what is older than it is kept; nothing happens while that is under way.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct RemoveOldHistory;
