//! Tasks: run again, one or many; cancelled.

use std::borrow::Cow;
use std::collections::BTreeMap;

use flowlord_domain::TaskState;
use flowlord_domain::Uid;
use flowlord_domain::query::Query;
use flowlord_kernel::Error;
use flowlord_messages::tasks::{FindLaterAttempts, FindTasks, TaskFilter, TaskPage};
use flowlord_web_core::audit_entry::AuditEntry;
use flowlord_web_core::extract::from_json;
use flowlord_web_core::params::meant;
use flowlord_web_core::task_query as list;
use flowlord_web_core::use_cases::tasks::{cancel_task, parse_uid, read_task, rerun_task, rerun_tasks};
use utoipa::PartialSchema;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{
    AdditionalProperties, AnyOfBuilder, ArrayBuilder, ObjectBuilder, Schema, SchemaType, Type,
};

use crate::prelude::*;

pub(crate) fn routes() -> Vec<Route> {
    let none = json!({"status": "0/0 tasks rerun", "count": 0, "created": 0, "skipped": 0, "failed": [], "tasks": []});
    vec![
        Route::post("/api/v1/tasks/rerun", Role::Operator, many)
            .audited(AuditAction::Rerun)
            .about("tasks", "Rerun tasks")
            .says(
                "Reruns the latest attempt of each task that a filter of `GET /api/v1/tasks` finds; a dry run unless \
                 `execute` is true.",
            )
            .body::<RerunFilter>("which, and whether to do it", example_of(EXAMPLE))
            .answers::<RerunReport>(200, "the tasks that are rerun, or would be", none.clone())
            .answers::<RerunReport>(207, "some could not be created", none),
        Route::post("/api/v1/tasks/{uid}/rerun", Role::Operator, one)
            .audited(AuditAction::Rerun)
            .about("tasks", "Rerun a task")
            .says(
                "A new attempt of the same chain, with all its retries before it. `\"execute\":false` makes a dry run: \
                 nothing is created, and the answer is the task that would be.",
            )
            .path("uid", "the attempt", "064c0953867001")
            .optional_body::<RerunBody>("whether to do it; true by default", json!({"execute": true}))
            .answers::<TaskView<'_>>(201, "the new attempt", task_example())
            .answers::<TaskView<'_>>(200, "the task that would be rerun", task_example())
            .fails(&[Code::TaskUnknown, Code::TaskUnfinished]),
        Route::post("/api/v1/tasks/{uid}/cancel", Role::Operator, cancel)
            .audited(AuditAction::Cancel)
            .about("tasks", "Cancel a task")
            .says("A waiting task ends at once; the worker of a leased one is told to stop at its next heartbeat.")
            .path("uid", "the attempt", "064c0953867001")
            .optional_body::<CancelBody>("why", json!({"note": "the source is wrong"}))
            .answers::<TaskView<'_>>(200, "the task", task_example())
            .fails(&[Code::TaskUnknown, Code::AlreadyFinished]),
    ]
}

/// How many tasks one request may have run again; all of them are in memory before the first is stored.
const MOST: usize = 10_000;
/// Tasks that are read, or stored, at a time.
const STEP: usize = 500;
/// How many of them the answer shows.
const SHOWN: usize = 1_000;
/// What may choose them.
const FILTERS: &[&str] = &["date", "from", "to", "type", "job", "result", "state", "id", "retry"];
const EXAMPLE: &str = r#"{"date":"2026-01-15","result":"error","retry":"failed","execute":true}"#;

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Rerun)]
pub(crate) struct RerunBody {
    /// False for a dry run.
    execute: Option<bool>,
}

/// Has one task run again; only with `"execute":false` it says which.
async fn one(context: ContextRef, path: Path<String>, request: HttpRequest, payload: Payload) -> Answer {
    QueryParams::none(&request)?;
    let body = json_body(&request, payload).await?;
    let uid = parse_uid(&path)?;
    let RerunBody { execute } = object(&body, r#"{"execute":true}"#)?;
    let task = read_task(&context, uid).await?;
    if execute == Some(false) {
        AuditEntry::nothing_changed(&request);
        refuse_unfinished(&context, &task).await?;
        return json(StatusCode::OK, &TaskView(&task));
    }
    json(StatusCode::CREATED, &TaskView(&rerun_task(&context, &task).await?))
}

async fn refuse_unfinished(context: &WebContext, task: &Attempt) -> Result<(), Problem> {
    let later = context.deps.view_reader.call(FindLaterAttempts { uids: vec![task.uid] }).await?.pop().flatten();
    // The writer would refuse it, but a dry run doesn't get as far.
    let last = match later {
        Some(uid) => read_task(context, uid).await?,
        None => task.clone(),
    };
    if last.state == TaskState::Done {
        return Ok(());
    }
    let detail = format!("{} has no result yet: wait for it, or cancel it first", last.uid);
    Err(Problem::new(Code::TaskUnfinished, detail))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Cancel)]
pub(crate) struct CancelBody {
    /// Why; it becomes the message of the task.
    note: Option<String>,
}

async fn cancel(context: ContextRef, path: Path<String>, request: HttpRequest, payload: Payload) -> Answer {
    QueryParams::none(&request)?;
    let body = json_body(&request, payload).await?;
    let uid = parse_uid(&path)?;
    let CancelBody { note } = object(&body, r#"{"note":"the source is wrong"}"#)?;
    json(StatusCode::OK, &TaskView(&cancel_task(&context, uid, note).await?))
}

/// What came of many.
#[derive(Debug, Default, Serialize, ToSchema)]
#[schema(as = RerunTasks)]
pub(crate) struct RerunReport {
    status: String,
    /// How many were chosen.
    count: usize,
    created: usize,
    /// How many have a later attempt: that one counts.
    skipped: usize,
    failed: Vec<RerunFailure>,
    /// In a dry run those that would run again, else the new ones; the first of them.
    #[schema(value_type = Vec<TaskView>)]
    tasks: Vec<Value>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RerunFailure)]
struct RerunFailure {
    #[schema(schema_with = limits::uid)]
    uid: Uid,
    code: &'static str,
    detail: String,
}

/// What chooses the tasks, and whether it is carried out.
pub(crate) struct RerunFilter;

impl ToSchema for RerunFilter {
    fn name() -> Cow<'static, str> {
        "RerunFilter".into()
    }
}

impl PartialSchema for RerunFilter {
    fn schema() -> RefOr<Schema> {
        let text = ObjectBuilder::new().schema_type(Type::String).build();
        let filter = AnyOfBuilder::new().item(text.clone()).item(ArrayBuilder::new().items(text));
        let filter = RefOr::from(filter);
        let execute = ObjectBuilder::new()
            .schema_type([Type::Boolean, Type::Null].into_iter().collect::<SchemaType>())
            .description(Some("true carries it out; else it is a dry run"));
        FILTERS
            .iter()
            .fold(ObjectBuilder::new(), |object, name| object.property(*name, filter.clone()))
            .property("execute", execute)
            .additional_properties(Some(AdditionalProperties::FreeForm(false)))
            .into()
    }
}

/// Has all tasks of a filter run again; by default only says which.
async fn many(context: ContextRef, request: HttpRequest, payload: Payload) -> Answer {
    let body = json_body(&request, payload).await?;
    let (filter, execute) = wanted(&body, request.query_string())?;
    let (chosen, skipped) = choose(&context, filter).await?;
    let mut many = RerunReport { count: chosen.len(), skipped, ..RerunReport::default() };
    if !execute {
        AuditEntry::nothing_changed(&request);
        many.status = "dry run: nothing is rerun without \"execute\":true".to_owned();
        many.tasks = chosen.iter().take(SHOWN).map(shown).collect::<Result<_, _>>()?;
        return json(StatusCode::OK, &many);
    }
    // In steps: the writer carries out a command as a whole, and workers wait for it.
    for step in chosen.chunks(STEP) {
        many.take(&context, step).await?;
    }
    many.status = format!("{}/{} tasks rerun", many.created, many.count);
    let status = if many.failed.is_empty() { StatusCode::OK } else { StatusCode::MULTI_STATUS };
    json(status, &many)
}

/// The filter may stand in the body, in the query string, or in both.
fn wanted(body: &[u8], query: &str) -> Result<(TaskFilter, bool), Problem> {
    let mut fields: BTreeMap<String, Value> = object(body, EXAMPLE)?;
    let execute = match fields.remove("execute") {
        None | Some(Value::Null) => false,
        Some(execute) => from_json(execute.to_string().as_bytes())
            .map_err(|_| Problem::invalid(format!("`execute` is {execute}: write true or false")))?,
    };
    // The parameters are checked below, but their error would name a parameter where this is a field.
    if let Some(name) = fields.keys().find(|name| !FILTERS.contains(&name.as_str())) {
        let hint = meant(name, &[FILTERS, &["execute"]].concat());
        return Err(Problem::invalid(format!("unknown field `{name}`: {hint}")));
    }
    let mut params = Query::parse_lenient(query);
    for (name, value) in &fields {
        for value in texts(name, value)? {
            params.push_pair(name, value);
        }
    }
    let params = QueryParams::parse(&params.to_text(), FILTERS)?;
    let mut filter = list::filter(&params)?;
    if filter == TaskFilter::default() {
        let detail = format!("name the tasks to rerun by at least one of {}", FILTERS.join(", "));
        return Err(Problem::invalid(detail));
    }
    // Without it each unfinished task of the filter would be one more failure in the answer.
    if filter.states.is_empty() {
        filter.states = vec![TaskState::Done];
    }
    Ok((filter, execute))
}

fn texts<'a>(name: &str, value: &'a Value) -> Result<Vec<&'a str>, Problem> {
    let texts = match value {
        Value::String(text) => Some(vec![text.as_str()]),
        Value::Array(list) => list.iter().map(Value::as_str).collect(),
        _ => None,
    };
    texts.ok_or_else(|| Problem::invalid(format!("`{name}` is {value}: write a text, or a list of texts")))
}

/// The tasks of a filter, oldest first, without those that were tried again since; and how many those are.
async fn choose(context: &WebContext, filter: TaskFilter) -> Result<(Vec<Attempt>, usize), Problem> {
    let (mut chosen, mut skipped, mut step) = (Vec::new(), 0, FindTasks::oldest_first(filter, STEP));
    loop {
        let TaskPage { tasks, next, .. } = context.deps.view_reader.call(step.clone()).await?;
        let later = FindLaterAttempts { uids: tasks.iter().map(|task| task.uid).collect() };
        let later = context.deps.view_reader.call(later).await?;
        let read = tasks.len();
        // What was retried or rerun already must not run twice: only the latest attempt is chosen.
        let latest: Vec<_> =
            tasks.into_iter().zip(later).filter(|(_, later)| later.is_none()).map(|(task, _)| task).collect();
        skipped += read - latest.len();
        chosen.extend(latest);
        // Asked after each page: a wide filter would else load the whole history first.
        if chosen.len() > MOST {
            let detail = format!("these are more than {MOST} tasks: choose fewer, by from and to");
            return Err(Problem::invalid(detail));
        }
        if next.is_none() {
            return Ok((chosen, skipped));
        }
        step.after = next;
    }
}

impl RerunReport {
    async fn take(&mut self, context: &WebContext, step: &[Attempt]) -> Result<(), Problem> {
        let answers = match rerun_tasks(context, step).await {
            Ok(answers) => answers,
            // An error here would hide what earlier steps stored.
            Err(err) if self.created == 0 && self.failed.is_empty() => return Err(err.into()),
            Err(err) => vec![Err(err); step.len()],
        };
        for (task, answer) in step.iter().zip(answers) {
            match answer {
                Ok(new) => {
                    self.created += 1;
                    if self.tasks.len() < SHOWN {
                        self.tasks.push(shown(&new)?);
                    }
                }
                Err(Error { code, detail }) => {
                    self.failed.push(RerunFailure { uid: task.uid, code: code.as_str(), detail });
                }
            }
        }
        Ok(())
    }
}

fn shown(task: &Attempt) -> Result<Value, Problem> {
    serde_json::to_value(TaskView(&task.clone().cut_for_list()))
        .map_err(|err| Problem::new(Code::Internal, format!("the task can't be written: {err}")))
}
