//! Backloads as JSON.

use flowlord_domain::NewTask;
use flowlord_messages::backload::{Failure, StoredBackload};
use serde::Serialize;
use serde_json::value::RawValue;

use super::task::TaskView;
use super::time::Stamp;

/// A task that would be created.
#[derive(Debug, Serialize)]
pub(crate) struct PlannedView<'a> {
    r#type: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    job: &'a str,
    info: &'a str,
    meta: &'a str,
}

impl<'a> From<&'a NewTask> for PlannedView<'a> {
    fn from(task: &'a NewTask) -> Self {
        Self { r#type: &task.topic, job: &task.job, info: &task.info, meta: &task.meta }
    }
}

/// A task that can't be created.
#[derive(Debug, Serialize)]
pub(crate) struct FailureView<'a> {
    index: usize,
    time: Option<Stamp>,
    reason: &'a str,
}

impl<'a> From<&'a Failure> for FailureView<'a> {
    fn from(failure: &'a Failure) -> Self {
        Self { index: failure.index, time: failure.time.map(Stamp), reason: &failure.why }
    }
}

/// What would be created: a page of it.
#[derive(Debug, Serialize)]
pub(crate) struct DryRunView<'a> {
    pub(crate) status: String,
    pub(crate) count: usize,
    pub(crate) tasks: Vec<PlannedView<'a>>,
    pub(crate) failed: Vec<FailureView<'a>>,
    pub(crate) skipped: usize,
    pub(crate) next: Option<usize>,
}

/// What was created so far.
#[derive(Debug, Serialize)]
pub(crate) struct ExecutedView<'a> {
    pub(crate) status: String,
    pub(crate) id: i64,
    pub(crate) count: usize,
    pub(crate) created: usize,
    pub(crate) skipped: usize,
    pub(crate) failed: Vec<FailureView<'a>>,
    pub(crate) tasks: Vec<TaskView<'a>>,
}

/// How a backload stands.
#[derive(Debug, Serialize)]
pub(crate) struct BackloadView<'a> {
    id: i64,
    state: &'static str,
    requested: Stamp,
    changed: Stamp,
    count: usize,
    done: usize,
    created: usize,
    skipped: usize,
    failed: usize,
    #[serde(skip_serializing_if = "str::is_empty")]
    message: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    problem: &'a str,
    request: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failures: Option<Vec<FailureView<'a>>>,
}

impl<'a> BackloadView<'a> {
    pub(crate) fn new(stored: &'a StoredBackload, failures: Option<&'a [Failure]>) -> Self {
        Self {
            id: stored.id,
            state: stored.state.as_str(),
            requested: Stamp(stored.requested),
            changed: Stamp(stored.changed),
            count: stored.total,
            done: stored.next,
            created: stored.created,
            skipped: stored.skipped,
            failed: stored.failed,
            message: &stored.message,
            problem: &stored.problem,
            request: serde_json::from_str(&stored.order).ok(),
            failures: failures.map(|failures| failures.iter().map(FailureView::from).collect()),
        }
    }
}
