//! Backloads: looked at first, then carried out; how they stand, paused, resumed, cancelled.

use std::sync::Arc;

use actix_web::http::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use actix_web::web::Bytes;
use flowlord_domain::backload::BackloadRequest;
use flowlord_domain::{Attempt, NewTask};
use flowlord_messages::backloads::{ChangeBackload, FinishedBackload, PlannedBackload, ReadBackloads};
use flowlord_web_core::audit_entry::AuditEntry;
use flowlord_web_core::limits::MAX_PLANNED_TASKS;
use flowlord_web_core::use_cases::backloads::{
    ExecutedBackload, STEP, broken_off, execute_backload, parse_backload_id, plan_backload, preview_backload,
    read_backload, state_after,
};
use flowlord_web_core::view::backload::{BackloadView, DryRunView, ExecutedView, FailureView, PlannedView};
use flowlord_web_core::view::task::TaskView;
use futures_util::stream::try_unfold;

use crate::prelude::*;

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::post("/api/v1/backload", Role::Operator, create)
            .audited(AuditAction::Backload)
            .documented(describe_create),
        Route::view("/api/v1/backloads", Role::Viewer, list).documented(describe_list),
        Route::view("/api/v1/backloads/{id}", Role::Viewer, one).documented(describe_one),
        Route::post("/api/v1/backloads/{id}/{change:pause|resume|cancel}", Role::Operator, change)
            .audited(AuditAction::Backload)
            .documented(describe_change),
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
    let items: Vec<_> = stored.iter().map(|stored| BackloadView::new(stored, None)).collect();
    json(StatusCode::OK, &List { items, next })
}

async fn one(context: ContextRef, path: Path<String>) -> Answer {
    let (stored, failures) = read_backload(&context, parse_backload_id(&path)?).await?;
    json(StatusCode::OK, &BackloadView::new(&stored, Some(&failures)))
}

async fn change(context: ContextRef, path: Path<(String, String)>) -> Answer {
    // The pattern of the path lets only the three changes through.
    let (number, change) = path.into_inner();
    let change = ChangeBackload { id: parse_backload_id(&number)?, to: state_after(&change) };
    let stored = context.deps.backload.call(change).await?;
    json(StatusCode::OK, &BackloadView::new(&stored, None))
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

fn describe_create(operation: Operation) -> Operation {
    operation.about("workflows", "Create a backload")
            .says("A dry run unless `execute` is true. With `Accept: application/x-ndjson` a dry run is all its tasks, one a line.")
            .body("which stretch", schema("BackloadRequest"), json!({"task": "load", "template": "?date={yyyy}-{mm}-{dd}", "by": "day", "from": "2026-01-01", "to": "2026-01-31"}))
            .answers(200, "what would be, or was created", schema("Backloaded"), json!({
                "status": "dry run: nothing is created without \"execute\":true", "count": 1, "skipped": 0,
                "failed": [], "next": null, "tasks": [{"type": "load", "info": "?date=2026-01-01", "meta": ""}],
            }))
            .or_as("application/x-ndjson", json!({"type": "string"}))
            .answers(202, "it goes on in the background: `Location` says where it stands", schema("Backloaded"), json!({}))
            .answers(207, "some tasks could not be created", schema("Backloaded"), json!({}))
            .fails(&[Code::InvalidRequest, Code::InvalidTopic, Code::WorkflowUnknown])
            .asks()
}

fn describe_list(operation: Operation) -> Operation {
    operation
        .about("workflows", "Backloads")
        .says("Newest first.")
        .pages()
        .answers(200, "backloads", list_of("Backload"), json!({"items": [backload_example()], "next": null}))
        .asks()
}

fn describe_one(operation: Operation) -> Operation {
    operation
        .about("workflows", "Read a backload")
        .path("id", "its number", "4")
        .answers(200, "how it stands, and what failed", schema("Backload"), backload_example())
        .fails(&[Code::BackloadUnknown])
        .asks()
}

fn describe_change(operation: Operation) -> Operation {
    operation
        .about("workflows", "Pause, resume or cancel a backload")
        .path("id", "its number", "4")
        .path("change", "pause, resume or cancel", "pause")
        .answers(200, "how it stands now", schema("Backload"), backload_example())
        .fails(&[Code::NotFound, Code::BackloadUnknown, Code::BackloadState])
        .asks()
}

fn backload_example() -> Value {
    json!({
        "id": 4, "state": "running", "requested": "2026-03-02T12:00:00Z", "changed": "2026-03-02T12:00:01Z",
        "count": 50, "done": 20, "created": 18, "skipped": 0, "failed": 2,
        "request": {"topic": "load", "from": "2026-01-01T00:00:00Z"},
    })
}
