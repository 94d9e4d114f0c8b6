//! Backloads as JSON.

use chrono::{DateTime, Utc};
use flowlord_domain::{LISTED_BYTES, NewTask};
use flowlord_messages::backloads::{BackloadFailure, BackloadState, StoredBackload};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;
use utoipa::openapi::schema::ObjectBuilder;

use super::task::TaskView;
use crate::limits;

/// What a backload is asked by; keys may be in any case.
#[derive(ToSchema)]
#[schema(as = BackloadRequest)]
#[expect(dead_code, reason = "the document of what the domain's request reads; the domain knows no OpenAPI")]
pub struct BackloadRequestDoc {
    /// `topic` or `topic:job`.
    task: String,
    job: Option<String>,
    /// The one time.
    at: Option<String>,
    /// The first time: a day, an hour of a day, or RFC 3339.
    from: Option<String>,
    /// The last time; earlier than the first for backwards.
    to: Option<String>,
    /// The steps: hour, day, week, month or year, or a number of them.
    by: Option<String>,
    /// The template, where no phase has one.
    template: Option<String>,
    /// The workflow file.
    workflow: Option<String>,
    /// Lists that are zipped into rows; a single text is for every row.
    #[schema(value_type = Option<Object>)]
    meta: Option<()>,
    /// A file with a row a line.
    #[schema(rename = "meta-file")]
    meta_file: Option<String>,
    /// Create the tasks, instead of only showing them.
    execute: Option<bool>,
    #[schema(schema_with = selection_names)]
    only: Option<String>,
    /// How many tasks are created in how long, like 100/1m; then nobody waits for them.
    rate: Option<String>,
    /// Don't wait for the tasks to be stored.
    background: Option<bool>,
    /// The first task of a dry run to show.
    offset: Option<usize>,
    #[schema(schema_with = limits::planned_tasks)]
    limit: Option<usize>,
}

fn selection_names() -> ObjectBuilder {
    limits::one_of(["all", "missing", "failed"])
}

/// A task that would be created.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PlannedTask)]
pub struct PlannedView<'a> {
    r#type: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    job: &'a str,
    info: &'a str,
    meta: &'a str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(schema_with = limits::truncated)]
    info_truncated: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(schema_with = limits::truncated)]
    meta_truncated: bool,
}

impl<'a> From<&'a NewTask> for PlannedView<'a> {
    fn from(task: &'a NewTask) -> Self {
        let (info, meta) = (listed_part(&task.info), listed_part(&task.meta));
        let (info_truncated, meta_truncated) = (info.len() < task.info.len(), meta.len() < task.meta.len());
        Self { r#type: &task.topic, job: &task.job, info, meta, info_truncated, meta_truncated }
    }
}

fn listed_part(text: &str) -> &str {
    text.get(..text.floor_char_boundary(LISTED_BYTES)).unwrap_or_default()
}

/// A task that can't be created.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Failure)]
pub struct FailureView<'a> {
    index: usize,
    #[schema(required)]
    time: Option<DateTime<Utc>>,
    reason: &'a str,
}

impl<'a> From<&'a BackloadFailure> for FailureView<'a> {
    fn from(failure: &'a BackloadFailure) -> Self {
        Self { index: failure.index, time: failure.time, reason: &failure.why }
    }
}

/// What would be created: a page of it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BackloadDryRun)]
pub struct DryRunView<'a> {
    pub status: String,
    pub count: usize,
    pub tasks: Vec<PlannedView<'a>>,
    pub failed: Vec<FailureView<'a>>,
    pub skipped: usize,
    /// `offset` of the next page; null when this is the last.
    #[schema(required)]
    pub next: Option<usize>,
}

/// What was created so far.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BackloadExecuted)]
pub struct ExecutedView<'a> {
    pub status: String,
    /// Of the backload.
    pub id: i64,
    pub count: usize,
    pub created: usize,
    pub skipped: usize,
    pub failed: Vec<FailureView<'a>>,
    pub tasks: Vec<TaskView<'a>>,
}

/// How a backload stands.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Backload)]
pub struct BackloadView<'a> {
    id: i64,
    #[schema(schema_with = limits::named::<BackloadState>)]
    state: &'static str,
    requested: DateTime<Utc>,
    changed: DateTime<Utc>,
    count: usize,
    done: usize,
    created: usize,
    skipped: usize,
    /// How many could not be created.
    not_created: usize,
    /// How many of those that were created ended, retries included; null where that wasn't counted.
    #[schema(required)]
    finished: Option<usize>,
    /// How many could not be created, or ended with error or alert.
    failed: usize,
    /// How many end in an hour, on average since it was asked for.
    #[schema(required)]
    rate: Option<f64>,
    /// When all will have ended at that rate.
    #[schema(required)]
    eta: Option<DateTime<Utc>>,
    #[serde(skip_serializing_if = "str::is_empty")]
    message: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    problem: &'a str,
    /// As it was asked for, with what was looked up.
    #[schema(required, value_type = Option<Object>)]
    request: Option<&'a RawValue>,
    /// The request is too long for a list: null, and the backload on its own has it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    request_truncated: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    failures: Option<Vec<FailureView<'a>>>,
}

impl<'a> BackloadView<'a> {
    /// One on its own comes with its failures; others leave a long request out.
    pub fn new(stored: &'a StoredBackload, failures: Option<&'a [BackloadFailure]>, now: DateTime<Utc>) -> Self {
        let request_truncated = failures.is_none() && stored.order.len() > LISTED_BYTES;
        Self {
            id: stored.id,
            state: stored.state.as_str(),
            requested: stored.requested,
            changed: stored.changed,
            count: stored.total,
            done: stored.next,
            created: stored.created,
            skipped: stored.skipped,
            not_created: stored.failed,
            finished: stored.finished,
            failed: stored.failed + stored.unsuccessful,
            // A tenth of a task is enough.
            rate: stored.hourly_rate(now).map(|rate| (rate * 10.0).round() / 10.0),
            eta: stored.expected_end(now),
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
        let created = flowlord_testkit::sample::attempt(1);
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
        assert_eq!((planned["info"].as_str().unwrap().len(), &planned["info_truncated"]), (2_048, &true.into()));
        assert!(planned.get("meta_truncated").is_none(), "{planned}");
    }
}
