//! What people are told about.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::task::Uid;

/// Why an alert was raised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlertKind {
    /// A task failed and its retries are used up.
    Exhausted,
    /// A worker answered `alert`.
    Result,
    /// A task is unfinished past `tasks.ttl`.
    Unfinished,
    /// A task failed that no phase knows.
    UnknownPhase,
    /// A task could not be created.
    CreateFailed,
    /// A workflow file doesn't load.
    Workflow,
    /// A snapshot failed.
    Snapshot,
    /// A phase missed its slot.
    MissedSlot,
}

impl AlertKind {
    /// All kinds.
    pub const ALL: [Self; 8] = [
        Self::Exhausted,
        Self::Result,
        Self::Unfinished,
        Self::UnknownPhase,
        Self::CreateFailed,
        Self::Workflow,
        Self::Snapshot,
        Self::MissedSlot,
    ];

    /// The name on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Exhausted => "exhausted",
            Self::Result => "result",
            Self::Unfinished => "unfinished",
            Self::UnknownPhase => "unknown_phase",
            Self::CreateFailed => "create_failed",
            Self::Workflow => "workflow",
            Self::Snapshot => "snapshot",
            Self::MissedSlot => "missed_slot",
        }
    }
}

/// An alert to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewAlert {
    /// Why.
    pub kind: AlertKind,
    /// When it was raised.
    pub at: DateTime<Utc>,
    /// The attempt it is about, if any.
    pub uid: Option<Uid>,
    /// The chain it is about; empty for none.
    pub id: String,
    /// The topic, or for alerts without a task what failed (`workflow`, `snapshot`).
    pub topic: String,
    /// The job, or for alerts without a task which one.
    pub job: String,
    /// The workflow file; empty for none.
    pub workflow: String,
    /// What happened.
    pub msg: String,
    /// The time that the task is about.
    pub task_time: Option<DateTime<Utc>>,
    /// Told at once: the text of its own message, ahead of the ladder.
    pub at_once: Option<String>,
}
