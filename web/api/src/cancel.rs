//! Tasks that are cancelled, one or many.

use std::borrow::Cow;

use flowlord_domain::{TaskState, Uid};
use flowlord_messages::tasks::{FindTasks, ReadAttempts, TextExtent};
use flowlord_web_core::audit_entry::AuditEntry;
use flowlord_web_core::use_cases::tasks::{cancel_task, cancel_tasks, parse_uid};
use flowlord_web_core::values::matching::note;
use utoipa::PartialSchema;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, SchemaType, Type};

use crate::prelude::*;
use crate::task_choice::{
    CHOICE_STEP, ChoiceFailure, MAX_SHOWN, TaskChoice, choice_schema, refuse_too_many, shown_task,
};

pub(crate) fn routes() -> Vec<Route> {
    let none = json!({"status": "0/0 tasks cancelled", "matched": 0, "cancelled": 0, "failed": [], "tasks": []});
    vec![
        Route::post("/api/v1/tasks/cancel", Role::Operator, cancel_many)
            .audited(AuditAction::Cancel)
            .about("tasks", "Cancel tasks")
            .says(
                "Cancels the tasks without a result that a filter of `GET /api/v1/tasks` finds, each as \
                 `POST /api/v1/tasks/{uid}/cancel` does; a dry run unless `execute` is true.",
            )
            .body::<CancelFilter>("which, and whether to do it", example_of(EXAMPLE))
            .answers::<CancelReport>(200, "the tasks that are cancelled, or would be", none.clone())
            .answers::<CancelReport>(207, "some had a result meanwhile", none),
        Route::post("/api/v1/tasks/{uid}/cancel", Role::Operator, cancel_one)
            .audited(AuditAction::Cancel)
            .about("tasks", "Cancel a task")
            .says("A waiting task ends at once; the worker of a leased one is told to stop at its next heartbeat.")
            .path("uid", "the attempt", "064c0953867001")
            .optional_body::<CancelBody>("why", json!({"note": "the source is wrong"}))
            .answers::<TaskView<'_>>(200, "the task", task_example())
            .fails(&[Code::TaskUnknown, Code::AlreadyFinished]),
    ]
}

const EXAMPLE: &str = r#"{"type":"load","state":["ready","delayed"],"execute":true}"#;
const UNFINISHED: [TaskState; 3] = [TaskState::Ready, TaskState::Delayed, TaskState::Leased];

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Cancel)]
pub(crate) struct CancelBody {
    /// Why; it becomes the message of the task.
    note: Option<String>,
}

async fn cancel_one(context: ContextRef, path: Path<String>, request: HttpRequest, payload: Payload) -> Answer {
    QueryParams::none(&request)?;
    let body = json_body(&request, payload).await?;
    let uid = parse_uid(&path)?;
    let CancelBody { note } = object(&body, r#"{"note":"the source is wrong"}"#)?;
    json(StatusCode::OK, &TaskView(&cancel_task(&context, uid, note).await?))
}

/// What came of many.
#[derive(Debug, Default, Serialize, ToSchema)]
#[schema(as = CancelTasks)]
pub(crate) struct CancelReport {
    status: String,
    /// How many were chosen.
    matched: usize,
    /// How many ended, or have a worker that is told to stop.
    cancelled: usize,
    failed: Vec<ChoiceFailure>,
    /// In a dry run those that would be cancelled, else those that were, as they stand now; the first of them.
    #[schema(value_type = Vec<TaskView>)]
    tasks: Vec<Value>,
}

/// What chooses the tasks, why, and whether it is carried out.
pub(crate) struct CancelFilter;

impl ToSchema for CancelFilter {
    fn name() -> Cow<'static, str> {
        "CancelFilter".into()
    }
}

impl PartialSchema for CancelFilter {
    fn schema() -> RefOr<Schema> {
        let note = ObjectBuilder::new()
            .schema_type([Type::String, Type::Null].into_iter().collect::<SchemaType>())
            .description(Some("why; it becomes the message of the tasks"));
        choice_schema().property("note", note).into()
    }
}

/// Cancels all tasks of a filter; by default only says which.
async fn cancel_many(context: ContextRef, request: HttpRequest, payload: Payload) -> Answer {
    let body = json_body(&request, payload).await?;
    let mut choice = TaskChoice::read(&body, request.query_string(), EXAMPLE, &["note"])?;
    let reason = note("note", choice.other("note", "a text")?)?;
    // Without this, a filter that names no state would choose finished tasks and fail for each.
    choice.default_states(&UNFINISHED);
    if choice.filter.states.contains(&TaskState::Done) {
        let detail = "`state` is done: a task that has a result can't be cancelled; write ready, delayed or leased";
        return Err(Problem::invalid(detail));
    }
    // All are chosen before the first is cancelled: the filter may not find cancelled ones any more.
    let chosen = choose(&context, choice.first_page()).await?;
    let mut report = CancelReport { matched: chosen.len(), ..CancelReport::default() };
    if !choice.execute {
        // The route is audited, but a dry run changes nothing.
        AuditEntry::nothing_changed(&request);
        report.status = "dry run: nothing is cancelled without \"execute\":true".to_owned();
        report.show(&context, &chosen).await?;
        return json(StatusCode::OK, &report);
    }
    // In steps: the writer carries out a command as a whole, and workers wait for it.
    for step in chosen.chunks(CHOICE_STEP) {
        report.cancel_step(&context, step, reason.as_deref()).await?;
    }
    report.status = format!("{}/{} tasks cancelled", report.cancelled, report.matched);
    let status = if report.failed.is_empty() { StatusCode::OK } else { StatusCode::MULTI_STATUS };
    json(status, &report)
}

/// The tasks of a filter, oldest first.
async fn choose(context: &WebContext, first: FindTasks) -> Result<Vec<Uid>, Problem> {
    // Only ids are kept, so whole texts need not be read.
    let mut step = FindTasks { texts: TextExtent::Beginnings, ..first };
    let mut chosen = Vec::new();
    loop {
        let page = context.deps.view_reader.call(step.clone()).await?;
        chosen.extend(page.tasks.iter().map(|task| task.uid));
        refuse_too_many(chosen.len())?;
        if page.next.is_none() {
            return Ok(chosen);
        }
        step.after = page.next;
    }
}

impl CancelReport {
    async fn cancel_step(&mut self, context: &WebContext, step: &[Uid], reason: Option<&str>) -> Result<(), Problem> {
        let answers = match cancel_tasks(context, step.to_vec(), reason).await {
            Ok(answers) => answers,
            // An error here would hide what earlier steps stored.
            Err(err) if self.cancelled == 0 && self.failed.is_empty() => return Err(err.into()),
            Err(err) => vec![Err(err); step.len()],
        };
        let mut cancelled = Vec::with_capacity(step.len());
        for (uid, answer) in step.iter().zip(answers) {
            match answer {
                Ok(()) => cancelled.push(*uid),
                Err(err) => self.failed.push(ChoiceFailure::new(*uid, err)),
            }
        }
        self.cancelled += cancelled.len();
        self.show(context, &cancelled).await
    }

    async fn show(&mut self, context: &WebContext, uids: &[Uid]) -> Result<(), Problem> {
        let left = MAX_SHOWN.saturating_sub(self.tasks.len());
        for uids in uids[..uids.len().min(left)].chunks(CHOICE_STEP) {
            let tasks = context.deps.view_reader.call(ReadAttempts { uids: uids.to_vec() }).await?;
            self.tasks.extend(tasks.iter().flatten().map(shown_task).collect::<Result<Vec<_>, _>>()?);
        }
        Ok(())
    }
}
