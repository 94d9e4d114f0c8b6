//! Workflow files: what the library actor answers, and what is remembered of them.

use std::sync::Arc;

use actix::Message;
use chrono::{DateTime, Utc};
use flowlord_domain::NewAlert;
use flowlord_domain::template::MetaRow;
use flowlord_domain::workflow::{Finding, Workflows};

use flowlord_kernel::Result;

/// The workflow files as last stored.
#[derive(Debug, Message)]
#[rtype(result = "Result<Vec<WorkflowRecord>>")]
pub struct ReadWorkflows;

/// One workflow file as last stored; none where there is no such file.
#[derive(Debug, Message)]
#[rtype(result = "Result<Option<WorkflowRecord>>")]
pub struct ReadWorkflow {
    /// The path relative to the workflow root.
    pub path: String,
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
    /// The sender's time, UTC: SQL reads no clock.
    pub now: DateTime<Utc>,
    /// New and changed files.
    pub changed: Vec<WorkflowRecord>,
    /// Paths of files that left.
    pub removed: Vec<String>,
    /// Alerts for files that broke.
    pub alerts: Vec<NewAlert>,
}

/// Looks at the workflow files now.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Result<ReloadReport>")]
pub struct ReloadWorkflows;

/// What a look found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReloadReport {
    /// Paths of new files.
    pub added: Vec<String>,
    /// Files whose content changed.
    pub changed: Vec<String>,
    /// Paths of files that left.
    pub removed: Vec<String>,
    /// Files that don't load, with why; their last good version stays.
    pub broken: Vec<Finding>,
}

/// The workflows that count now.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Result<LoadedWorkflows>")]
pub struct ReadLoadedWorkflows;

/// What [`ReadLoadedWorkflows`] answers.
#[derive(Debug, Clone)]
pub struct LoadedWorkflows {
    /// The last good version of each file.
    pub workflows: Arc<Workflows>,
    /// When the files were looked at last.
    pub scanned_at: DateTime<Utc>,
    /// When they are looked at next.
    pub next_scan: DateTime<Utc>,
    /// Files that don't load, with why.
    pub broken: Arc<Vec<Finding>>,
}

/// Reads the rows of a phase's `meta-file`: JSON lines or CSV with a header, also gzipped and by glob.
///
/// Refused with `invalid_request` when it can't be had or read; the text says what to change.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[rtype(result = "Result<Arc<Vec<MetaRow>>>")]
pub struct ReadMetaRows {
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
