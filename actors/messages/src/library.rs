//! What the library actor answers: workflow files.

use std::sync::Arc;

use actix::Message;
use chrono::{DateTime, Utc};
use flowlord_domain::template::Row;
use flowlord_domain::workflow::{Finding, Workflows};

use flowlord_kernel::Result;

/// Looks at the workflow files now.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Result<Reloaded>")]
pub struct Reload;

/// What a look found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reloaded {
    /// New files.
    pub added: Vec<String>,
    /// Files whose content changed.
    pub changed: Vec<String>,
    /// Files that left.
    pub removed: Vec<String>,
    /// Files that don't load, with why; their last good version stays.
    pub broken: Vec<Finding>,
}

/// The workflows that count now.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Result<Current>")]
pub struct CurrentWorkflows;

/// The answer.
#[derive(Debug, Clone)]
pub struct Current {
    /// The workflows.
    pub workflows: Arc<Workflows>,
    /// When the files were looked at last.
    pub looked_at: DateTime<Utc>,
    /// When they are looked at next.
    pub next_look: DateTime<Utc>,
    /// Files that don't load, with why.
    pub broken: Arc<Vec<Finding>>,
}

/// Reads the rows of a phase's `meta-file`: JSON lines or CSV with a header, also gzipped and by glob.
///
/// Refused with `invalid` when it can't be had or read; the text says what to change.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[rtype(result = "Result<Arc<Vec<Row>>>")]
pub struct MetaRows {
    /// As it is written in the rule: relative to the workflow root, or in an object store.
    pub path: String,
}

/// Told after each look, also when nothing changed, so that a lost hint heals.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct WorkflowsChanged {
    /// The workflows that count now.
    pub workflows: Arc<Workflows>,
}
