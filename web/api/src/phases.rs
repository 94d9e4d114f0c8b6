//! Phases: paused, let go on, and run now.

use flowlord_domain::query::Query;
use flowlord_messages::schedule::PausePhase;
use flowlord_web_core::openapi::json_of;
use flowlord_web_core::route::ServeRoute;
use flowlord_web_core::use_cases::phases::{PhaseRunRequest, run_phase};
use flowlord_web_core::values::MetaQuery;

use crate::prelude::*;
use crate::tasks::{IDEMPOTENCY_WORDS, check_meta, created, idempotency};

pub(crate) fn routes() -> Vec<Route> {
    vec![
        phase_route("/api/v1/phases/pause", AuditAction::Pause, "Pause a phase", pause),
        phase_route("/api/v1/phases/resume", AuditAction::Resume, "Resume a phase", resume).says(
            "`missed` decides what becomes of the slots of the pause; other tasks that would have started become ready.",
        ),
        run_route(),
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

const RUN_EXAMPLE: &str =
    r#"{"workflow":"etl/main.toml","task":"load","time":"2026-01-15T03","meta":{"file":"a.csv"}}"#;

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, bound(deserialize = "'de: 'a"))]
#[schema(as = PhaseRun)]
pub(crate) struct PhaseRunBody<'a> {
    /// The workflow file.
    #[schema(required, nullable = false)]
    workflow: Option<String>,
    /// Its topic, or topic and job, like `load:hourly`.
    #[schema(required, nullable = false)]
    task: Option<String>,
    /// The time that the tasks are about: a day, an hour, or a time; by default that of a slot of this hour.
    time: Option<String>,
    /// Goes before the rows of the phase, and into the meta of each task.
    meta: Option<MetaQuery<'a>>,
}

async fn run(context: ContextRef, request: HttpRequest, payload: Payload) -> Answer {
    QueryParams::none(&request)?;
    let body = json_body(&request, payload).await?;
    let PhaseRunBody { workflow, task, time, meta } = object(&body, RUN_EXAMPLE)?;
    let MetaQuery(meta) = meta.unwrap_or_default();
    check_meta(&meta)?;
    let wanted = PhaseRunRequest {
        workflow: required("workflow", workflow, "the workflow file, like \"etl/daily.toml\"")?,
        task: required("task", task, "the phase, like \"load:hourly\"")?,
        time: time.unwrap_or_default(),
        meta: Query::parse_lenient(&meta),
    };
    created(&run_phase(&context, &wanted, idempotency(&request, &body)?).await?, true)
}

fn run_route() -> Route {
    Route::post("/api/v1/phases/run", Role::Operator, run)
        .audited(AuditAction::Run)
        .about("workflows", "Run a phase now")
        .says(
            "Starts the tasks that a slot of the phase would start, each row of its `meta` or `meta-file` included. The \
             schedule goes on as it would, and so does a pause.",
        )
        .header("Idempotency-Key", IDEMPOTENCY_WORDS, json_of(limits::idempotency_key()))
        .body::<PhaseRunBody<'_>>("which phase, and for which time", example_of(RUN_EXAMPLE))
        .answers_of(201, "the tasks", SchemaRegistry::list::<TaskView<'_>>, json!({"items": [task_example()], "next": null}))
        .fails(&[Code::WorkflowUnknown, Code::IdempotencyConflict])
}
