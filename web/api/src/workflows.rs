//! Workflow files: phases, how they are, when they run.

use flowlord_domain::workflow::Finding;
use flowlord_messages::workflows::ReloadWorkflows;
use flowlord_web_core::use_cases::workflows::{read_waiting_joins, read_workflows};
use flowlord_web_core::view::workflow::{FileView, FindingDoc, broken_views, file_view};

use crate::prelude::*;

pub(crate) fn routes() -> Vec<Route> {
    let reloaded = json!({"added": ["a.toml"], "changed": [], "removed": [], "broken": []});
    vec![
        Route::view("/api/v1/workflows", Role::Viewer, list)
            .about("workflows", "Workflow files")
            .says("Each with its phases, what its author should know, and when it runs.")
            .lists::<FileView<'_>>("the files", workflow_example()),
        Route::view("/api/v1/workflows/{file:.*}", Role::Viewer, one)
            .about("workflows", "Read a workflow file")
            .path("file", "its path below the workflow root, with its slashes", "etl/main.toml")
            .answers::<FileView<'_>>(200, "the file", workflow_example())
            .fails(&[Code::WorkflowUnknown]),
        Route::post("/api/v1/workflows/refresh", Role::Operator, refresh)
            .audited(AuditAction::Refresh)
            .about("workflows", "Reload workflows")
            .answers::<RefreshAnswer>(200, "what changed", reloaded),
    ]
}

async fn list(context: ContextRef) -> Answer {
    let (current, times) = read_workflows(&context).await?;
    let files = current.workflows.files().iter();
    let mut items: Vec<FileView<'_>> = files.map(|file| file_view(&current, file, &times)).collect();
    items.extend(broken_views(&current));
    items.sort_by_key(|item| item.file);
    json(StatusCode::OK, &List { items, next: None })
}

async fn one(context: ContextRef, path: Path<String>) -> Answer {
    let path = path.into_inner();
    let (current, times) = read_workflows(&context).await?;
    if let Some(file) = current.workflows.file_at(&path) {
        let joins = read_waiting_joins(&context, &current.workflows, file).await?;
        return json(StatusCode::OK, &file_view(&current, file, &times).with_joins(joins));
    }
    // A file that never loaded is none of the workflows, but it is there, and its author wants to know why.
    let broken = broken_views(&current).into_iter().find(|view| view.file == path);
    let broken = broken.ok_or_else(|| {
        let detail = format!("there is no workflow file `{path}`; GET /api/v1/workflows lists them");
        Problem::new(Code::WorkflowUnknown, detail)
    })?;
    json(StatusCode::OK, &broken)
}

#[derive(Serialize, ToSchema)]
#[schema(as = Refreshed)]
pub(crate) struct RefreshAnswer {
    added: Vec<String>,
    changed: Vec<String>,
    removed: Vec<String>,
    #[schema(value_type = Vec<FindingDoc>)]
    broken: Vec<Finding>,
}

async fn refresh(context: ContextRef) -> Answer {
    let found = context.deps.library.call(ReloadWorkflows).await?;
    let (added, changed, removed, broken) = (found.added, found.changed, found.removed, found.broken);
    json(StatusCode::OK, &RefreshAnswer { added, changed, removed, broken })
}

fn workflow_example() -> Value {
    json!({"file": "etl/main.toml", "status": "ok", "findings": [], "phases": [{
        "task": "extract:orders", "rule": "cron=0 * * * *", "retry": 2, "template": "?h={hh}", "line": 1,
        "status": "ok", "paused": false, "next": "2026-03-02T13:00:00Z", "children": ["load"],
    }]})
}
