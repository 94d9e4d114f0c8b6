//! Backloads: looked at first, then carried out; how they stand, paused, resumed, cancelled.

use std::sync::Arc;

use actix_web::http::header::ACCEPT;
use actix_web::web::Bytes;
use flowlord_domain::NewTask;
use flowlord_domain::backload::BackloadRequest;
use flowlord_messages::backloads::{BackloadState, ChangeBackload, FinishedBackload, PlannedBackload, ReadBackloads};
use flowlord_web_core::audit_entry::AuditEntry;
use flowlord_web_core::limits::MAX_PLANNED_TASKS;
use flowlord_web_core::openapi::any_of;
use flowlord_web_core::openapi::backload_request_example;
use flowlord_web_core::openapi::text_schema;
use flowlord_web_core::use_cases::backloads::{
    ExecutedBackload, STEP, broken_off, execute_backload, parse_backload_id, plan_backload, preview_backload,
    read_backload, state_after,
};
use flowlord_web_core::view::backload::{
    BackloadRequestDoc, BackloadView, DryRunView, ExecutedView, FailureView, PlannedView,
};
use futures_util::stream::try_unfold;

use crate::prelude::*;

pub(crate) fn routes() -> Vec<Route> {
    vec![
        create_route(),
        Route::view("/api/v1/backloads", Role::Viewer, list)
            .about("workflows", "Backloads")
            .says("Newest first.")
            .pages()
            .lists::<BackloadView<'_>>("backloads", backload_example()),
        Route::view("/api/v1/backloads/{id}", Role::Viewer, one)
            .about("workflows", "Read a backload")
            .path("id", "its number", "4")
            .answers::<BackloadView<'_>>(200, "how it stands, and what failed", backload_example())
            .fails(&[Code::BackloadUnknown]),
        Route::post("/api/v1/backloads/{id}/{change:pause|resume|cancel}", Role::Operator, change)
            .audited(AuditAction::Backload)
            .about("workflows", "Pause, resume or cancel a backload")
            .path("id", "its number", "4")
            .path("change", "pause, resume or cancel", "pause")
            .says("A cancellation also cancels its tasks that wait, unless `tasks` is false.")
            .optional_body::<ChangeBody>("what becomes of its tasks", json!({}))
            .answers::<BackloadView<'_>>(200, "how it stands now", backload_example())
            .fails(&[Code::NotFound, Code::BackloadUnknown, Code::BackloadState]),
    ]
}

const EXAMPLE: &str = r#"{"task":"load","from":"2026-01-01","to":"2026-01-31"}"#;

async fn create(context: ContextRef, request: HttpRequest, payload: Payload) -> Answer {
    let wanted: BackloadRequest = strict_body(&request, payload, EXAMPLE).await?;
    // What the path of the reference system has to pass over is refused here.
    wanted.refuse_doubtful().map_err(|err| Problem::invalid(err.to_string()))?;
    let (execute, background) = (wanted.execute, wanted.background);
    let (offset, limit) = (wanted.offset, limit(&wanted)?);
    let planned = plan_backload(&context, wanted).await?;
    if execute {
        return executed_answer(&execute_backload(&context, planned, background).await?);
    }
    // A dry run is asked by the same path, but is no change for the audit log.
    AuditEntry::nothing_changed(&request);
    if request.headers().get(ACCEPT).is_some_and(|accept| accept == LINES) {
        return Ok(lines(context, planned, offset));
    }
    let page = preview_backload(&context, &planned, offset, limit).await?;
    let status = match planned.message.as_str() {
        "" => "dry run: nothing is created without \"execute\":true".to_owned(),
        told => format!("dry run: nothing is created without \"execute\":true; {told}"),
    };
    json(
        StatusCode::OK,
        &DryRunView {
            status,
            count: planned.plan.count(),
            tasks: page.tasks.iter().map(PlannedView::from).collect(),
            failed: page.failed.iter().map(FailureView::from).collect(),
            skipped: page.skipped,
            next: Some(page.next).filter(|next| *next < planned.plan.count()),
        },
    )
}

fn limit(wanted: &BackloadRequest) -> Result<usize, Problem> {
    let limit = wanted.limit.unwrap_or(MAX_PLANNED_TASKS);
    if (1..=MAX_PLANNED_TASKS).contains(&limit) {
        return Ok(limit);
    }
    Err(Problem::invalid(format!(
        "`limit` is {limit}: write 1 to {MAX_PLANNED_TASKS}, or ask for all with `Accept: application/x-ndjson`"
    )))
}

const LINES: &str = "application/x-ndjson";

/// All tasks of a dry run from one on, a line each.
fn lines(context: ContextRef, planned: Arc<PlannedBackload>, from: usize) -> HttpResponse {
    // Made as the client reads them: a million tasks never stand in memory together.
    let lines = try_unfold(from, move |next| {
        let (context, planned) = (context.clone(), Arc::clone(&planned));
        async move {
            if next >= planned.plan.count() {
                return Ok(None);
            }
            // A client must be able to tell a list that broke off from one that ended.
            let page =
                preview_backload(&context, &planned, next, STEP).await.map_err(|problem| broken_off(&problem))?;
            let mut text = Vec::new();
            for task in &page.tasks {
                serde_json::to_writer(&mut text, &PlannedView::from(task))?;
                text.push(b'\n');
            }
            for failure in &page.failed {
                serde_json::to_writer(&mut text, &FailureView::from(failure))?;
                text.push(b'\n');
            }
            Ok::<_, std::io::Error>(Some((Bytes::from(text), page.next)))
        }
    });
    HttpResponse::Ok().insert_header((CONTENT_TYPE, HeaderValue::from_static(LINES))).streaming(lines)
}

async fn list(context: ContextRef, request: HttpRequest) -> Answer {
    let params = QueryParams::parse(request.query_string(), &["limit", "cursor"])?;
    let limit = params.limit()?;
    let read = ReadBackloads { running: false, after: params.cursor()?, limit: limit + 1 };
    let mut stored = context.deps.view_reader.call(read).await?;
    let next = cut_page(&mut stored, limit, |stored| stored.id.to_string());
    let items: Vec<_> = stored.iter().map(|stored| BackloadView::new(stored, None, context.deps.kit.now())).collect();
    json(StatusCode::OK, &List { items, next })
}

async fn one(context: ContextRef, path: Path<String>) -> Answer {
    let (stored, failures) = read_backload(&context, parse_backload_id(&path)?).await?;
    json(StatusCode::OK, &BackloadView::new(&stored, Some(&failures), context.deps.kit.now()))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = BackloadChange)]
pub(crate) struct ChangeBody {
    /// Of a cancellation: false lets those of its tasks that wait run nevertheless.
    tasks: Option<bool>,
}

async fn change(context: ContextRef, path: Path<(String, String)>, request: HttpRequest, payload: Payload) -> Answer {
    // The pattern of the path lets only the three changes through.
    let (number, change) = path.into_inner();
    let id = parse_backload_id(&number)?;
    let ChangeBody { tasks } = strict_body(&request, payload, r#"{"tasks":false}"#).await?;
    let to = state_after(&change);
    if tasks.is_some() && to != BackloadState::Cancelled {
        return Err(Problem::invalid(format!("`tasks` is for a cancellation: leave it out of a {change}")));
    }
    let change = ChangeBackload { id, to, end_tasks: tasks.unwrap_or(true) };
    let stored = context.deps.backload.call(change).await?;
    json(StatusCode::OK, &BackloadView::new(&stored, None, context.deps.kit.now()))
}

fn executed_answer(executed: &ExecutedBackload) -> Answer {
    let FinishedBackload { created, failed, skipped, .. } = &executed.finished;
    let attempts: Vec<_> = created.iter().cloned().map(NewTask::into_attempt).map(Attempt::cut_for_list).collect();
    let view = ExecutedView {
        status: executed.status(),
        id: executed.id,
        count: executed.planned.plan.count(),
        created: created.len(),
        skipped: *skipped,
        failed: failed.iter().map(FailureView::from).collect(),
        tasks: attempts.iter().map(TaskView).collect(),
    };
    json(executed.status_code(), &view).map(|answer| executed.located(answer))
}

fn create_route() -> Route {
    let planned = json!({
        "status": "dry run: nothing is created without \"execute\":true", "count": 1, "skipped": 0, "failed": [],
        "next": null, "tasks": [{"type": "load", "info": "?date=2026-01-01", "meta": ""}],
    });
    Route::post("/api/v1/backload", Role::Operator, create)
        .audited(AuditAction::Backload)
        .about("workflows", "Create a backload")
        .says(
            "A dry run unless `execute` is true. With `Accept: application/x-ndjson` a dry run is all its tasks, one a \
             line.",
        )
        .body::<BackloadRequestDoc>("which stretch", backload_request_example())
        .answers_of(200, "what would be, or was created", backloaded, planned)
        .or_as(LINES, text_schema)
        .answers_of(202, "it goes on in the background: `Location` says where it stands", backloaded, json!({}))
        .answers_of(207, "some tasks could not be created", backloaded, json!({}))
        .fails(&[Code::InvalidTopic, Code::WorkflowUnknown])
}

/// Without `execute` a dry run, with it what was created.
fn backloaded(all: &mut SchemaRegistry) -> Value {
    let either = any_of([all.one::<DryRunView<'_>>(), all.one::<ExecutedView<'_>>()]);
    all.named("Backloaded", either)
}

fn backload_example() -> Value {
    json!({
        "id": 4, "state": "running", "requested": "2026-03-02T12:00:00Z", "changed": "2026-03-02T12:00:01Z",
        "count": 50, "done": 20, "created": 18, "skipped": 0, "not_created": 2, "finished": 9,
        "failed": 3, "rate": 540.0, "eta": "2026-03-02T12:04:00Z",
        "request": {"topic": "load", "from": "2026-01-01T00:00:00Z"},
    })
}
