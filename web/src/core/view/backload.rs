//! Backloads as JSON.

use flowlord_domain::{LISTED_BYTES, NewTask};
use flowlord_messages::backloads::{Failure, StoredBackload};
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
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    info_truncated: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    meta_truncated: bool,
}

impl<'a> From<&'a NewTask> for PlannedView<'a> {
    fn from(task: &'a NewTask) -> Self {
        let part = |text: &'a str| text.get(..text.floor_char_boundary(LISTED_BYTES)).unwrap_or_default();
        let (info, meta) = (part(&task.info), part(&task.meta));
        let (info_truncated, meta_truncated) = (info.len() < task.info.len(), meta.len() < task.meta.len());
        Self { r#type: &task.topic, job: &task.job, info, meta, info_truncated, meta_truncated }
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
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    request_truncated: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    failures: Option<Vec<FailureView<'a>>>,
}

impl<'a> BackloadView<'a> {
    /// One on its own comes with its failures; others leave a long request out.
    pub(crate) fn new(stored: &'a StoredBackload, failures: Option<&'a [Failure]>) -> Self {
        let request_truncated = failures.is_none() && stored.order.len() > LISTED_BYTES;
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
            request: serde_json::from_str(&stored.order).ok().filter(|_| !request_truncated),
            request_truncated,
            failures: failures.map(|failures| failures.iter().map(FailureView::from).collect()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_planned_task_has_the_beginning_of_a_long_text() {
        let created = crate::tests::stub::attempt(1);
        let task = NewTask {
            uid: created.uid,
            topic: created.topic,
            job: created.job,
            id: created.id,
            info: "é".repeat(2_000),
            meta: "m".repeat(2_048),
            workflow: created.workflow,
            parent: None,
            retry: 0,
            not_before: None,
            lane: created.lane,
        };
        let planned = serde_json::to_value(PlannedView::from(&task)).unwrap();
        assert_eq!(
            (planned["info"].as_str().unwrap().len(), &planned["info_truncated"]),
            (2_048, &true.into())
        );
        assert!(planned.get("meta_truncated").is_none(), "{planned}");
    }
}
