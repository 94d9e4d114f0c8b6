//! Tasks as JSON, written from what is stored without a copy.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use flowlord_domain::task_doc::AttemptDoc;
use flowlord_domain::waiting::{WaitingCause, WaitingReason};
use flowlord_domain::{Attempt, TaskState, Uid};
use flowlord_messages::LeaseToken;
use flowlord_messages::leases::LeaseGrant;
use serde::{Serialize, Serializer};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::limits;

/// Task JSON.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the document of what `AttemptDoc` writes; the domain knows no OpenAPI")]
pub struct TaskMembers {
    /// The topic.
    r#type: String,
    /// The job within the topic.
    #[schema(nullable = false)]
    job: Option<String>,
    /// What the worker is to do.
    info: String,
    #[schema(schema_with = limits::time)]
    created: String,
    /// The chain: children and retries keep it.
    id: String,
    /// A URL query.
    #[schema(nullable = false)]
    meta: Option<String>,
    #[schema(schema_with = limits::task_result)]
    result: Option<String>,
    #[schema(nullable = false)]
    msg: Option<String>,
    #[schema(schema_with = limits::time)]
    started: Option<String>,
    #[schema(schema_with = limits::time)]
    ended: Option<String>,
    #[schema(schema_with = limits::uid)]
    uid: String,
}

/// A task in a list or on its own: Task JSON, and where it stands.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(into = "TaskFields<'a>")]
pub struct TaskView<'a>(pub &'a Attempt);

impl ToSchema for TaskView<'_> {
    fn name() -> Cow<'static, str> {
        "Task".into()
    }
}

impl PartialSchema for TaskView<'_> {
    fn schema() -> RefOr<Schema> {
        TaskFields::schema()
    }
}

/// The same with why it waits.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(into = "TaskFields<'a>")]
pub struct ExplainedTask<'a>(pub &'a Attempt, pub Option<&'a WaitingCause>);

impl ToSchema for ExplainedTask<'_> {
    fn name() -> Cow<'static, str> {
        TaskView::name()
    }
}

impl PartialSchema for ExplainedTask<'_> {
    fn schema() -> RefOr<Schema> {
        TaskView::schema()
    }
}

impl<'a> From<ExplainedTask<'a>> for TaskFields<'a> {
    fn from(ExplainedTask(task, cause): ExplainedTask<'a>) -> Self {
        Self { waiting: cause.map(WaitingView::from), ..Self::from(TaskView(task)) }
    }
}

/// What a task in a list has.
#[derive(Serialize, ToSchema)]
struct TaskFields<'a> {
    #[serde(flatten)]
    #[schema(schema_with = TaskMembers::schema)]
    doc: AttemptDoc<'a>,
    #[schema(schema_with = limits::named::<TaskState>)]
    state: &'static str,
    /// 1 + retries so far.
    #[schema(minimum = 1)]
    attempt: u32,
    /// How often this attempt was leased.
    delivery: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = limits::time)]
    not_before: Option<DateTime<Utc>>,
    /// Somebody cancelled it: nothing follows from it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    cancelled: bool,
    #[serde(skip_serializing_if = "str::is_empty")]
    worker: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = limits::time)]
    lease_expires: Option<DateTime<Utc>>,
    /// When its worker has had it for too long.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = limits::time)]
    times_out: Option<DateTime<Utc>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 1, nullable = false)]
    progress: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = parent_uid)]
    parent: Option<Uid>,
    /// Why it waits, where it is listed or read by itself, and ready or delayed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = WaitingView::schema)]
    waiting: Option<WaitingView<'a>>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(schema_with = limits::truncated)]
    info_truncated: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(schema_with = limits::truncated)]
    meta_truncated: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(schema_with = limits::truncated)]
    msg_truncated: bool,
}

/// Why a task waits.
#[derive(Clone, Serialize, ToSchema)]
struct WaitingView<'a> {
    #[schema(schema_with = limits::named::<WaitingReason>)]
    reason: &'static str,
    #[schema(schema_with = limits::time)]
    since: DateTime<Utc>,
    /// A sentence, without its full stop.
    text: &'a str,
}

impl<'a> From<&'a WaitingCause> for WaitingView<'a> {
    fn from(WaitingCause { reason, since, text }: &'a WaitingCause) -> Self {
        Self { reason: reason.as_str(), since: *since, text }
    }
}

fn parent_uid() -> ObjectBuilder {
    limits::uid().description(Some("the attempt that led to this one"))
}

impl<'a> From<TaskView<'a>> for TaskFields<'a> {
    fn from(TaskView(task): TaskView<'a>) -> Self {
        Self {
            doc: AttemptDoc(task),
            state: task.state.as_str(),
            attempt: attempt_number(task),
            delivery: task.delivery,
            not_before: task.not_before,
            cancelled: task.cancelled,
            worker: &task.worker,
            lease_expires: task.lease_expires,
            times_out: task.times_out.filter(|_| task.state == TaskState::Leased),
            progress: task.progress,
            parent: task.parent,
            waiting: None,
            info_truncated: task.cut.info,
            meta_truncated: task.cut.meta,
            msg_truncated: task.cut.msg,
        }
    }
}

fn attempt_number(task: &Attempt) -> u32 {
    task.retry.saturating_add(1)
}

/// A task with its lease.
#[derive(Debug, Serialize, ToSchema)]
pub struct GrantedView<'a> {
    #[serde(serialize_with = "as_text")]
    #[schema(value_type = String)]
    lease: &'a LeaseToken,
    expires: DateTime<Utc>,
    /// 1 + retries so far.
    #[schema(minimum = 1)]
    attempt: u32,
    #[schema(schema_with = TaskMembers::schema)]
    task: AttemptDoc<'a>,
}

impl<'a> From<&'a LeaseGrant> for GrantedView<'a> {
    fn from(LeaseGrant { lease, expires, task }: &'a LeaseGrant) -> Self {
        Self { lease, expires: *expires, attempt: attempt_number(task), task: AttemptDoc(task) }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde hands it over")]
fn as_text<S: Serializer>(lease: &&LeaseToken, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(lease)
}

#[cfg(test)]
mod tests {
    use flowlord_testkit::sample::{finished, leased};

    use super::*;

    #[test]
    fn a_task_in_a_list_has_at_most_2_kb_of_a_text_and_says_which_are_cut() {
        let mut task = finished(2);
        // The limit lies within a character.
        (task.info, task.meta, task.msg) = (format!("x{}", "é".repeat(2_000)), "m".repeat(2_048), "m".repeat(2_049));
        let listed = serde_json::to_value(TaskView(&task.clone().cut_for_list())).unwrap();
        let lengths = ["info", "meta", "msg"].map(|name| listed[name].as_str().unwrap().len());
        assert_eq!(lengths, [2_047, 2_048, 2_048]);
        assert_eq!((&listed["info_truncated"], &listed["msg_truncated"]), (&true.into(), &true.into()));
        assert!(listed.get("meta_truncated").is_none(), "{listed}");
        let whole = serde_json::to_string(&TaskView(&task)).unwrap();
        assert!(whole.len() > 8_000 && !whole.contains("truncated"));
    }

    #[test]
    fn a_task_says_where_it_stands() {
        insta::assert_snapshot!(serde_json::to_string(&TaskView(&leased(1))).unwrap(), @r#"{"type":"load","job":"daily","info":"?date=2026-03-02","created":"2026-03-02T12:00:00.000001Z","id":"chain-1","meta":"workflow=main.toml","msg":"a quarter","started":"2026-03-02T12:00:00Z","uid":"064c0953867001","state":"leased","attempt":1,"delivery":1,"worker":"w1","lease_expires":"2026-03-02T12:01:00Z","progress":0.25}"#);
        insta::assert_snapshot!(serde_json::to_string(&TaskView(&finished(2))).unwrap(), @r#"{"type":"load","job":"daily","info":"?date=2026-03-02","created":"2026-03-02T12:00:00.000002Z","id":"chain-1","meta":"workflow=main.toml","result":"error","msg":"no disk","started":"2026-03-02T12:00:02Z","ended":"2026-03-02T12:00:05Z","uid":"064c0953867002","state":"done","attempt":2,"delivery":2,"worker":"w1","parent":"064c0953867000"}"#);
    }
}
