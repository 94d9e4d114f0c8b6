//! Who changed what: one entry for each change that a person made.

use actix::Message;
use chrono::{DateTime, Utc};

use crate::error::Result;

/// A change that a person made, by a page, the API or a button in Slack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// When.
    pub at: DateTime<Utc>,
    /// The name of the token, or what else tells who it was; empty where nobody has to say.
    pub who: String,
    /// From which address; empty where there is none.
    pub from: String,
    /// What was asked: method and path, or the name of the action.
    pub what: String,
    /// How: the body of the request, shortened. Never a secret.
    pub detail: String,
    /// The status that answered it.
    pub status: u16,
}

/// Stores a change.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[rtype(result = "Result<()>")]
pub struct RecordChange {
    /// Which.
    pub change: Change,
}

/// The changes, the newest first.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Result<Vec<StoredChange>>")]
pub struct ListChanges {
    /// Not before this.
    pub from: DateTime<Utc>,
    /// Before this.
    pub to: DateTime<Utc>,
    /// Only what comes after this one.
    pub after: Option<i64>,
    /// At most this many.
    pub limit: usize,
}

/// A change as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredChange {
    /// Its id, growing.
    pub id: i64,
    /// What it is.
    pub change: Change,
}
