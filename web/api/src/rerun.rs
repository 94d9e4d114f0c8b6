//! Tasks that run again, one or many.

use std::borrow::Cow;

use flowlord_domain::TaskState;
use flowlord_domain::rerun::Downstream;
use flowlord_messages::tasks::{FindLaterAttempts, FindTasks, TaskPage};
use flowlord_web_core::audit_entry::AuditEntry;
use flowlord_web_core::use_cases::tasks::{parse_uid, read_task, rerun_task, rerun_tasks};
use serde::Deserializer;
use serde::de::Error as _;
use utoipa::PartialSchema;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{AnyOfBuilder, ObjectBuilder, Schema, SchemaType, Type};

use crate::prelude::*;
use crate::task_choice::{
    CHOICE_STEP, ChoiceFailure, MAX_SHOWN, TaskChoice, choice_schema, refuse_too_many, shown_task,
};

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
    ]
}

const EXAMPLE: &str = r#"{"date":"2026-01-15","result":"error","retry":"failed","execute":true}"#;

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Rerun)]
pub(crate) struct RerunBody {
    /// False for a dry run.
    execute: Option<bool>,
    downstream: Option<DownstreamChoice>,
}

const DOWNSTREAM_WORDS: &str = "true, false or \"failed\"";

/// Which children start when the task completes: `true`, `false` or `"failed"`.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct DownstreamChoice(Downstream);

impl<'de> Deserialize<'de> for DownstreamChoice {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let choice = match &value {
            Value::Bool(all) => Downstream::parse(&all.to_string()),
            Value::String(text) => Downstream::parse(text).filter(|choice| *choice == Downstream::Failed),
            _ => None,
        };
        choice.map(Self).ok_or_else(|| D::Error::custom(format!("it is {value}: write {DOWNSTREAM_WORDS}")))
    }
}

impl ToSchema for DownstreamChoice {
    fn name() -> Cow<'static, str> {
        "Downstream".into()
    }
}

impl PartialSchema for DownstreamChoice {
    fn schema() -> RefOr<Schema> {
        AnyOfBuilder::new()
            .description(Some(
                "the children that start when the task completes: all (true), none (false), or those that failed or \
                 never started",
            ))
            .item(ObjectBuilder::new().schema_type([Type::Boolean, Type::Null].into_iter().collect::<SchemaType>()))
            .item(ObjectBuilder::new().schema_type(Type::String).enum_values(Some(["failed"])))
            .into()
    }
}

/// Has one task run again; only with `"execute":false` it says which.
async fn one(context: ContextRef, path: Path<String>, request: HttpRequest, payload: Payload) -> Answer {
    QueryParams::none(&request)?;
    let body = json_body(&request, payload).await?;
    let uid = parse_uid(&path)?;
    let RerunBody { execute, downstream } = object(&body, r#"{"execute":true}"#)?;
    let task = read_task(&context, uid).await?;
    if execute == Some(false) {
        AuditEntry::nothing_changed(&request);
        refuse_unfinished(&context, &task).await?;
        return json(StatusCode::OK, &TaskView(&task));
    }
    json(StatusCode::CREATED, &TaskView(&rerun_task(&context, &task, downstream.unwrap_or_default().0).await?))
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
    failed: Vec<ChoiceFailure>,
    /// In a dry run those that would run again, else the new ones; the first of them.
    #[schema(value_type = Vec<TaskView>)]
    tasks: Vec<Value>,
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
        choice_schema().property("downstream", DownstreamChoice::schema()).into()
    }
}

/// Has all tasks of a filter run again; by default only says which.
async fn many(context: ContextRef, request: HttpRequest, payload: Payload) -> Answer {
    let body = json_body(&request, payload).await?;
    let mut choice = TaskChoice::read(&body, request.query_string(), EXAMPLE, &["downstream"])?;
    let DownstreamChoice(downstream) = choice.other("downstream", DOWNSTREAM_WORDS)?.unwrap_or_default();
    // Without it each unfinished task of the filter would be one more failure in the answer.
    choice.default_states(&[TaskState::Done]);
    let (chosen, skipped) = choose(&context, choice.first_page()).await?;
    let mut many = RerunReport { count: chosen.len(), skipped, ..RerunReport::default() };
    if !choice.execute {
        AuditEntry::nothing_changed(&request);
        many.status = "dry run: nothing is rerun without \"execute\":true".to_owned();
        many.tasks = chosen.iter().take(MAX_SHOWN).map(shown_task).collect::<Result<_, _>>()?;
        return json(StatusCode::OK, &many);
    }
    // In steps: the writer carries out a command as a whole, and workers wait for it.
    for step in chosen.chunks(CHOICE_STEP) {
        many.take(&context, step, downstream).await?;
    }
    many.status = format!("{}/{} tasks rerun", many.created, many.count);
    let status = if many.failed.is_empty() { StatusCode::OK } else { StatusCode::MULTI_STATUS };
    json(status, &many)
}

/// The tasks of a filter, oldest first, without those that were tried again since; and how many those are.
async fn choose(context: &WebContext, mut step: FindTasks) -> Result<(Vec<Attempt>, usize), Problem> {
    let (mut chosen, mut skipped) = (Vec::new(), 0);
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
        refuse_too_many(chosen.len())?;
        if next.is_none() {
            return Ok((chosen, skipped));
        }
        step.after = next;
    }
}

impl RerunReport {
    async fn take(&mut self, context: &WebContext, step: &[Attempt], downstream: Downstream) -> Result<(), Problem> {
        let answers = match rerun_tasks(context, step, downstream).await {
            Ok(answers) => answers,
            // An error here would hide what earlier steps stored.
            Err(err) if self.created == 0 && self.failed.is_empty() => return Err(err.into()),
            Err(err) => vec![Err(err); step.len()],
        };
        for (task, answer) in step.iter().zip(answers) {
            match answer {
                Ok(new) => {
                    self.created += 1;
                    if self.tasks.len() < MAX_SHOWN {
                        self.tasks.push(shown_task(&new)?);
                    }
                }
                Err(err) => self.failed.push(ChoiceFailure::new(task.uid, err)),
            }
        }
        Ok(())
    }
}
