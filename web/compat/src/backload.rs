//! `POST /backload`: what would be created, or was.
//!
//! An answer may have a million tasks, so it is written piece by piece.

use std::sync::Arc;

use actix_web::web::Bytes;
use flowlord_domain::NewTask;
use flowlord_domain::backload::{BackloadRequest, TaskSelection};
use flowlord_messages::backloads::{BackloadFailure, FinishedBackload, MAX_BACKLOAD_FAILURES, PlannedBackload};
use flowlord_web_core::audit_entry::AuditEntry;
use flowlord_web_core::openapi::backload_request_example;
use flowlord_web_core::use_cases::backloads::{
    ExecutedBackload, STEP, broken_off, execute_backload, plan_backload, preview_backload,
};
use flowlord_web_core::view::backload::BackloadRequestDoc;
use futures_util::stream::try_unfold;

use super::{compact, time};
use crate::prelude::*;

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::post("/backload", Role::Operator, backload)
            .audited(AuditAction::Backload)
            .about("kept", "Create a backload")
            .body::<BackloadRequestDoc>("which stretch", backload_request_example())
            .answers_object(200, "the tasks", json!({"Status": "DRY RUN ONLY", "Count": 0, "Tasks": []}))
            .answers_object(202, "it goes on in the background", json!({}))
            .answers_object(207, "some tasks could not be created", json!({}))
            .fails(&[Code::InvalidTopic, Code::WorkflowUnknown]),
    ]
}

const EXAMPLE: &str = r#"{"task":"load","from":"2026-01-01","to":"2026-01-31"}"#;

async fn backload(context: ContextRef, request: HttpRequest, payload: Payload) -> Answer {
    // Parameters and doubtful values are passed over, as the reference system does: its programs may send them.
    let body = json_body(&request, payload).await?;
    let wanted: BackloadRequest = object(&body, EXAMPLE)?;
    let (execute, background) = (wanted.execute, wanted.background);
    let planned = plan_backload(&context, wanted).await?;
    if execute {
        return Ok(executed_answer(&execute_backload(&context, planned, background).await?));
    }
    AuditEntry::nothing_changed(&request);
    Ok(dry_run(context, planned))
}

/// Where an answer that is being written stands.
enum WritingStep {
    Begin,
    Tasks { next: usize, written: usize, failed: Vec<BackloadFailure> },
    End,
}

/// All tasks of a dry run in one JSON document.
fn dry_run(context: ContextRef, planned: Arc<PlannedBackload>) -> HttpResponse {
    // Made as the client reads it: a million tasks never stand in memory together.
    let text = try_unfold(WritingStep::Begin, move |writing| {
        let (context, planned) = (context.clone(), Arc::clone(&planned));
        async move {
            let total = planned.plan.count();
            // With `only` it isn't known before all was looked up.
            let counted = planned.plan.order().only == TaskSelection::All;
            Ok::<_, std::io::Error>(match writing {
                WritingStep::Begin => {
                    let status = status(false, &planned.message);
                    let text = begin(&status, counted.then_some(total));
                    Some((Bytes::from(text), WritingStep::Tasks { next: 0, written: 0, failed: Vec::new() }))
                }
                WritingStep::Tasks { next, written, failed } if next >= total => {
                    let text = end(written > 0, (!counted).then_some(written), &failed);
                    Some((Bytes::from(text), WritingStep::End))
                }
                WritingStep::Tasks { next, written, mut failed } => {
                    let page = preview_backload(&context, &planned, next, STEP)
                        .await
                        .map_err(|problem| broken_off(&problem))?;
                    let text = tasks(&page.tasks, written == 0);
                    // They are written at the end and wait in memory until then, so not all of a million may.
                    let room = MAX_BACKLOAD_FAILURES.saturating_sub(failed.len());
                    failed.extend(page.failed.into_iter().take(room));
                    let written = written + page.tasks.len();
                    Some((Bytes::from(text), WritingStep::Tasks { next: page.next, written, failed }))
                }
                WritingStep::End => None,
            })
        }
    });
    HttpResponse::Ok().insert_header((CONTENT_TYPE, HeaderValue::from_static("application/json"))).streaming(text)
}

fn executed_answer(executed: &ExecutedBackload) -> HttpResponse {
    let FinishedBackload { created, failed, .. } = &executed.finished;
    let all_well = !executed.goes_on && failed.is_empty();
    let status = if all_well { status(true, &executed.planned.message) } else { executed.status() };
    // As many as there are tasks, unless some were left out on purpose.
    let count = if executed.finished.skipped > 0 { created.len() } else { executed.planned.plan.count() };
    executed.located(json_text(executed.status_code(), answer(&status, count, created, failed)))
}

/// Task JSON as the reference system wrote it.
#[derive(Serialize)]
struct BackloadTask<'a> {
    #[serde(rename = "type")]
    topic: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    job: &'a str,
    info: &'a str,
    created: String,
    id: &'a str,
    meta: &'a str,
}

/// Beyond what the reference system tells: only there when something failed.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct FailedTasks<'a> {
    index: usize,
    reason: &'a str,
}

/// The status of a dry run, or of one in which all went well.
pub fn status(executed: bool, message: &str) -> String {
    format!("{}: {message}", if executed { "Executed" } else { "DRY RUN ONLY" })
}

/// Begins an answer; the count is told at its end when it isn't known before.
fn begin(status: &str, count: Option<usize>) -> String {
    let count = count.map(|count| format!(r#""Count":{count},"#)).unwrap_or_default();
    format!(r#"{{"Status":{},{count}"Tasks":"#, compact(&status))
}

/// Some more tasks; `first` is set for the first ones of an answer.
fn tasks(tasks: &[NewTask], first: bool) -> String {
    let written = tasks.iter().map(|task| {
        compact(&BackloadTask {
            topic: &task.topic,
            job: &task.job,
            info: &task.info,
            created: time(task.uid.created_at()),
            id: &task.id,
            meta: &task.meta,
        })
    });
    let mut text = String::new();
    for (number, task) in written.enumerate() {
        text.push(if first && number == 0 { '[' } else { ',' });
        text.push_str(&task);
    }
    text
}

fn end(any: bool, count: Option<usize>, failed: &[BackloadFailure]) -> String {
    // Go writes a list that nothing was put into as `null`.
    let mut text = if any { "]" } else { "null" }.to_owned();
    if let Some(count) = count {
        text.push_str(&format!(r#","Count":{count}"#));
    }
    if !failed.is_empty() {
        let failed: Vec<_> = failed.iter().map(|f| FailedTasks { index: f.index, reason: &f.why }).collect();
        text.push_str(&format!(r#","Failed":{}"#, compact(&failed)));
    }
    text + "}"
}

pub fn answer(status: &str, count: usize, created: &[NewTask], failed: &[BackloadFailure]) -> String {
    begin(status, Some(count)) + &tasks(created, true) + &end(!created.is_empty(), None, failed)
}
