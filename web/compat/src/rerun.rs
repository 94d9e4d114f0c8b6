//! `POST /rerun`: a task that is named as the reference system names it.

use chrono::SubsecRound as _;
use flowlord_domain::rerun::Downstream;
use flowlord_domain::task_doc::parse_time;
use flowlord_messages::tasks::ReadChain;
use flowlord_web_core::answer::json;
use flowlord_web_core::limits;
use flowlord_web_core::openapi::task_example;
use flowlord_web_core::use_cases::tasks::rerun_task;
use flowlord_web_core::view::task::TaskView;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::prelude::*;

pub(crate) fn routes() -> Vec<Route> {
    let example = json!({"type": "load", "job": "daily", "id": "chain-1", "created": "2026-03-02T12:00:00Z"});
    vec![
        Route::post("/rerun", Role::Operator, rerun)
            .audited(AuditAction::Rerun)
            .about("kept", "Rerun a task")
            .says("Named by what the reference system knows of it.")
            .body::<TaskReference>("which", example)
            .answers::<TaskView<'_>>(200, "the new task", task_example())
            .fails(&[Code::TaskUnknown, Code::TaskUnfinished]),
    ]
}

/// The reference system's way to name a task.
#[derive(Debug, Deserialize, ToSchema)]
struct TaskReference {
    #[serde(rename = "type", default)]
    #[schema(required)]
    topic: String,
    #[serde(default)]
    job: String,
    #[serde(default)]
    #[schema(required)]
    id: String,
    #[serde(default)]
    #[schema(required, schema_with = limits::time)]
    created: String,
}

const EXAMPLE: &str = r#"{"type":"load","job":"daily","id":"…","created":"2026-01-15T05:00:00Z"}"#;

async fn rerun(context: ContextRef, request: HttpRequest, payload: Payload) -> Answer {
    let body = json_body(&request, payload).await?;
    let wanted: TaskReference = object(&body, EXAMPLE)?;
    for (name, text) in [("type", &wanted.topic), ("id", &wanted.id), ("created", &wanted.created)] {
        if text.is_empty() {
            return Err(Problem::invalid(format!("`{name}` is missing: send the task like {EXAMPLE}")));
        }
    }
    let created = parse_time(&wanted.created)
        .map_err(|_| Problem::invalid(format!("`created` is `{}`: write it as the task has it", wanted.created)))?;
    let attempts = context.deps.view_reader.call(ReadChain { id: wanted.id.clone() }).await?;
    let named = attempts.into_iter().filter(|task| task.topic == wanted.topic && task.job == wanted.job);
    let task = of_that_time(named.collect(), created).ok_or_else(|| {
        let detail = format!("no task `{}` of that type and job was created at {}", wanted.id, wanted.created);
        Problem::new(Code::TaskUnknown, detail)
    })?;
    json(StatusCode::OK, &TaskView(&rerun_task(&context, &task, Downstream::All).await?))
}

fn of_that_time(mut tasks: Vec<Attempt>, created: DateTime<Utc>) -> Option<Attempt> {
    // Old clients know whole seconds only: then it is the last one of that second.
    let exact = tasks.iter().position(|task| task.uid.created_at() == created);
    let at = exact.or_else(|| tasks.iter().rposition(|task| task.uid.created_at().trunc_subsecs(0) == created))?;
    Some(tasks.swap_remove(at))
}
