//! From a result to what follows from it.

use chrono::{DateTime, Utc};

use crate::alert::NewAlert;
use crate::task::{NewTask, TaskResult};

/// What a worker said, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
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
pub struct Decision {
    /// How the attempt ended.
    pub result: TaskResult,
    /// What the worker said.
    pub msg: String,
    /// The task's meta with the worker's merged over it.
    pub meta: String,
    /// When it began, if the worker said so; else the hand-out counts.
    pub started: Option<DateTime<Utc>>,
    /// When it ended.
    pub ended: DateTime<Utc>,
    /// The time that the task is about, for rollups.
    pub task_time: Option<DateTime<Utc>>,
    /// Children to start.
    pub children: Vec<NewTask>,
    /// The next attempt.
    pub retry: Option<NewTask>,
    /// What people are told.
    pub alerts: Vec<NewAlert>,
}
