//! Phases: paused, and let go on.

use flowlord_messages::schedule::PausePhase;
use flowlord_web_core::route::ServeRoute;

use crate::prelude::*;

pub(crate) fn routes() -> Vec<Route> {
    vec![
        phase_route("/api/v1/phases/pause", AuditAction::Pause, "Pause a phase", pause),
        phase_route("/api/v1/phases/resume", AuditAction::Resume, "Resume a phase", resume).says(
            "`missed` decides what becomes of the slots of the pause; other tasks that would have started become ready.",
        ),
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
    paused_since: Option<DateTime<Utc>>,
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
    let (paused, paused_since) = (since.is_some(), since);
    json(StatusCode::OK, &PhaseAnswer { workflow: &workflow, task: &task, paused, paused_since })
}

fn phase_route<A>(
    path: &'static str,
    action: AuditAction,
    summary: &'static str,
    handler: impl ServeRoute<A>,
) -> Route {
    let phase = json!({"workflow": "etl/main.toml", "task": "load"});
    let state = json!({"workflow": "etl/main.toml", "task": "load", "paused": action == AuditAction::Pause});
    Route::post(path, Role::Operator, handler)
        .audited(action)
        .about("workflows", summary)
        .body::<PhaseBody>("which phase", phase)
        .answers::<PhaseAnswer<'_>>(200, "the state of the phase", state)
        .fails(&[Code::WorkflowUnknown])
}
