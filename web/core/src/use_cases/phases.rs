//! Phases that people have run now.

use flowlord_domain::Attempt;
use flowlord_domain::backload::parse_time;
use flowlord_domain::phase_run::PhaseRun;
use flowlord_domain::query::Query;
use flowlord_domain::schedule::RowSource;
use flowlord_domain::template::MetaRow;
use flowlord_domain::workflow::{Phase, Workflows};
use flowlord_kernel::{Code, Error};
use flowlord_messages::tasks::IdempotencyKey;
use flowlord_messages::workflows::{ReadLoadedWorkflows, ReadMetaRows};

use super::tasks::create_tasks;
use crate::context::WebContext;
use crate::problem::Problem;

/// What a person asks for.
#[derive(Debug, Default)]
pub struct PhaseRunRequest {
    /// The workflow file.
    pub workflow: String,
    /// `topic` or `topic:job`.
    pub task: String,
    /// The time that the tasks are about; empty for now.
    pub time: String,
    /// Keys of the meta.
    pub meta: Query,
}

/// The rows of the phase's meta file, or what is wrong with it; none where it has none.
type ReadRows = Option<Result<Vec<MetaRow>, String>>;

/// Starts the tasks of a phase now, and answers them.
pub async fn run_phase(
    context: &WebContext,
    request: &PhaseRunRequest,
    idempotency: Option<IdempotencyKey>,
) -> Result<Vec<Attempt>, Problem> {
    let workflows = context.deps.library.call(ReadLoadedWorkflows).await?.workflows;
    let phase = find_phase(&workflows, request)?;
    let time = match request.time.trim() {
        "" => None,
        text => Some(parse_time(text).ok_or_else(|| {
            Problem::wrong_value(
                "time",
                text,
                "a day like 2026-01-15, an hour like 2026-01-15T03 or 2026-01-15T03:00:00Z",
            )
        })?),
    };
    let rows = read_rows(context, phase).await?;
    let (now, mut ids) = (context.deps.kit.now(), context.deps.kit.ids());
    let run = PhaseRun { phase, time, meta: &request.meta };
    let tasks = run.tasks(now, &context.config.host, &mut ids, &source_of(rows));
    let tasks = tasks.map_err(|err| Problem::invalid(format!("{} can't run: {err}", request.task)))?;
    create_tasks(context, tasks, now, idempotency).await
}

fn find_phase<'a>(workflows: &'a Workflows, request: &PhaseRunRequest) -> Result<&'a Phase, Problem> {
    let PhaseRunRequest { workflow, task, .. } = request;
    workflows.phase_named(workflow, task).ok_or_else(|| {
        let detail = match workflows.file_at(workflow) {
            Some(_) => format!("`{workflow}` has no phase `{task}`; GET /api/v1/workflows/{workflow} lists its phases"),
            None => format!("there is no workflow file `{workflow}`; GET /api/v1/workflows lists them"),
        };
        Problem::new(Code::WorkflowUnknown, detail)
    })
}

async fn read_rows(context: &WebContext, phase: &Phase) -> Result<ReadRows, Error> {
    let Some(path) = phase.rule.meta_file.clone() else { return Ok(None) };
    match context.deps.library.call(ReadMetaRows { path }).await {
        Ok(rows) => Ok(Some(Ok(rows.to_vec()))),
        // A broken file is reported with its phase; other errors are the service's.
        Err(Error { code: Code::InvalidRequest, detail }) => Ok(Some(Err(detail))),
        Err(err) => Err(err),
    }
}

fn source_of(rows: ReadRows) -> impl RowSource {
    move |_: &str| rows.clone().unwrap_or_else(|| Err("it wasn't read".to_owned()))
}
