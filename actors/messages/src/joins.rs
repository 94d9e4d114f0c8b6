//! Joins: what is there of all that they wait for.

use actix::Message;
use flowlord_domain::join::{JoinKey, JoinStanding};
use flowlord_kernel::Result;

/// How joins stand; asked of the DB readers.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Vec<JoinStanding>>")]
pub struct ReadJoins {
    /// The joins, each with one of its periods.
    pub joins: Vec<JoinKey>,
}

/// The joins of a workflow file that wait, those first where something arrived last; asked of the view readers.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Vec<WaitingJoin>>")]
pub struct ReadWaitingJoins {
    /// The file.
    pub workflow: String,
    /// At most this many.
    pub limit: usize,
}

/// A join that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitingJoin {
    /// The join and its period.
    pub key: JoinKey,
    /// What is there.
    pub arrived: Vec<String>,
}
