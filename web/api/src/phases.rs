//! Phases: paused, and let go on.

use flowlord_messages::schedule::PausePhase;
use flowlord_web_core::values::required;

use crate::prelude::*;

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::post("/api/v1/phases/pause", Role::Operator, pause)
            .audited(AuditAction::Pause)
            .documented(describe_pause),
        Route::post("/api/v1/phases/resume", Role::Operator, resume)
            .audited(AuditAction::Resume)
            .documented(describe_resume),
    ]
}

const EXAMPLE: &str = r#"{"workflow":"etl/daily.toml","task":"load:hourly"}"#;

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = PhaseName)]
pub(crate) struct PhaseBody {
    /// The workflow file.
    #[schema(required, nullable = false)]
    workflow: Option<String>,
    /// Its topic, or topic and job, like `load:hourly`.
    #[schema(required, nullable = false)]
    task: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = PhaseState)]
pub(crate) struct PhaseAnswer<'a> {
    workflow: &'a str,
    task: &'a str,
    paused: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = limits::time)]
    paused_since: Option<TimeStamp>,
}

async fn pause(context: ContextRef, request: HttpRequest, payload: Payload) -> Answer {
    set(&context, request, payload, true).await
}

async fn resume(context: ContextRef, request: HttpRequest, payload: Payload) -> Answer {
    set(&context, request, payload, false).await
}

async fn set(context: &WebContext, request: HttpRequest, payload: Payload, paused: bool) -> Answer {
    let phase: PhaseBody = strict_body(&request, payload, EXAMPLE).await?;
    let workflow = required("workflow", phase.workflow, "the workflow file, like \"etl/daily.toml\"")?;
    let task = required("task", phase.task, "the phase, like \"load:hourly\"")?;
    let ask = PausePhase { workflow: workflow.clone(), task: task.clone(), paused };
    let since = context.deps.scheduler.call(ask).await?;
    let (paused, paused_since) = (since.is_some(), since.map(TimeStamp));
    json(StatusCode::OK, &PhaseAnswer { workflow: &workflow, task: &task, paused, paused_since })
}

fn describe_pause(operation: Operation) -> Operation {
    describe(operation.about("workflows", "Pause a phase"), true)
}

fn describe_resume(operation: Operation) -> Operation {
    describe(operation.about("workflows", "Resume a phase"), false).says(
        "`missed` decides what becomes of the slots of the pause; other tasks that would have started become ready.",
    )
}

fn describe(operation: Operation, paused: bool) -> Operation {
    let example = json!({"workflow": "etl/main.toml", "task": "load", "paused": paused});
    operation
        .body("which phase", schema("PhaseName"), json!({"workflow": "etl/main.toml", "task": "load"}))
        .answers(200, "the state of the phase", schema("PhaseState"), example)
        .fails(&[Code::InvalidRequest, Code::WorkflowUnknown])
        .asks()
}
