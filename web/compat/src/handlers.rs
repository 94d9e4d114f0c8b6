//! Paths of the reference system, for programs that were written for it.

use std::collections::BTreeSet;

use actix_web::http::header::ACCEPT;
use actix_web::web::Path;
use flowlord_domain::IdSource as _;
use flowlord_messages::history::RemoveOldHistory;
use flowlord_messages::outbox::{
    AwaitDelivery, DeliveryStatus, EnqueueMessage, MessageColour, MessagePayload, NewMessage,
};
use flowlord_messages::snapshots::TakeBackup;
use flowlord_messages::stats::ReadDayTotals;
use flowlord_messages::tasks::{FindTasks, ReadChain, TaskFilter};
use flowlord_messages::workflows::{ReadLoadedWorkflows, ReadWorkflow, ReloadWorkflows};
use flowlord_web_core::context::WebContext;
use flowlord_web_core::params::day;
use flowlord_web_core::use_cases::workflows::read_workflows;

use super::{info, pretty, task, time};
use crate::info::{ServiceInfo, stamp};
use crate::prelude::*;
use crate::recap::DayRecap;

pub(crate) fn routes() -> Vec<Route> {
    let chain = json!({"LastUpdate": "2026-03-02T12:00:00Z", "Completed": true, "Events": []});
    vec![
        Route::view("/info", Role::Viewer, show_info).about("kept", "Upcoming slots").answers_object(
            200,
            "files, phases and their times",
            json!({"app_name": "flowlord", "workflow": {}}),
        ),
        Route::view("/recap", Role::Viewer, recap)
            .about("kept", "How today's tasks ended")
            .says("Text, or JSON when `Accept` is exactly `application/json`.")
            .answers_text(200, "by task and job", &["text/plain"], "load:daily\n")
            .or_as("application/json", |_| json!({"type": "object"})),
        Route::view("/task/{id:.*}", Role::Viewer, show_task)
            .about("kept", "The attempts of a chain")
            .says("Zero values for one that nobody knows.")
            .path("id", "the chain", "chain-1")
            .answers_object(200, "the attempts", chain),
        refresh_route(),
        notify_route(),
        Route::view("/workflow", Role::Viewer, workflow_root)
            .about("kept", "Files and folders of the workflow root")
            .answers_text(200, "one a line", &["text/plain"], "etl/\nmain.toml\n"),
        Route::view("/workflow/{path:.*}", Role::Viewer, workflow)
            .about("kept", "A file as it was when it loaded last, or what a folder holds")
            .path("path", "below the workflow root", "etl/main.toml")
            .answers_text(
                200,
                "its content",
                &["text/plain", "application/toml", "application/json", "text/x-yaml"],
                "[[phase]]\n",
            )
            .fails(&[Code::WorkflowUnknown]),
    ]
}

fn refresh_route() -> Route {
    Route::get_or_post("/refresh", Role::Operator, refresh)
        .audited(AuditAction::Refresh)
        .about("kept", "Reload workflows")
        .says(
            "Also removes old history and takes a snapshot. 400 while any file doesn't load; the others are still used.",
        )
        .answers_object(
            200,
            "what changed",
            json!({"Files": ["a.toml"], "Cache": "…", "Updated": "2026-03-02T12:00:00Z"}),
        )
        .fails(&[Code::InvalidRequest])
}

fn notify_route() -> Route {
    let [sent, stored] = ["sent: Slack took the message\n", "stored, and not sent yet: no attempt was made yet\n"];
    Route::get_or_post("/notify", Role::Operator, notify)
        .audited(AuditAction::Notify)
        .about("kept", "Send a test message to Slack")
        .says("400 when no Slack is configured.")
        .answers_text(200, "Slack took it", &["text/plain"], sent)
        .answers_text(202, "stored, and not sent yet", &["text/plain"], stored)
        .fails(&[Code::InvalidRequest, Code::SlackFailed])
}

// Between two steps other views get their turn at the reader.
const ATTEMPTS_PER_STEP: usize = 1_000;

async fn show_info(context: ContextRef) -> Answer {
    let (current, times) = read_workflows(&context).await?;
    let service = ServiceInfo {
        version: &context.config.version,
        up: context.deps.kit.now() - context.config.started_at,
        next_look: current.next_scan,
        last_look: current.scanned_at,
    };
    let info = info::info(&service, &current.workflows, |phase| times.runs(phase));
    Ok(json_text(StatusCode::OK, info))
}

/// The attempts of a chain.
async fn show_task(context: ContextRef, path: Path<String>) -> Answer {
    let id = path.into_inner();
    // The reference system answers an unknown id with zero values and 200: its clients expect no 404.
    let attempts = if id.is_empty() { Vec::new() } else { context.deps.view_reader.call(ReadChain { id }).await? };
    Ok(json_text(StatusCode::OK, task::chain(&attempts)))
}

/// How today's tasks ended, as text or, when nothing but JSON is accepted, as that.
async fn recap(context: ContextRef, request: HttpRequest) -> Answer {
    let recap = read_recap(&context).await?;
    // This text exactly, as the reference system compares it: a browser that accepts JSON among others gets the text.
    if request.headers().get(ACCEPT).is_some_and(|accept| accept == "application/json") {
        return Ok(json_text(StatusCode::OK, recap.json()));
    }
    Ok(text(recap.text()))
}

async fn read_recap(context: &WebContext) -> Result<DayRecap, Problem> {
    let today = context.deps.kit.now().date_naive();
    // Counts come from the rollups; only times and run times are nowhere but in the attempts that ended.
    let mut recap = DayRecap::new(&context.deps.view_reader.call(ReadDayTotals { day: today }).await?);
    let (from, to) = day(today);
    let filter = TaskFilter {
        from: Some(from),
        to: Some(to),
        results: vec![TaskResult::Complete, TaskResult::Error],
        ..TaskFilter::default()
    };
    let mut step = FindTasks::oldest_first(filter, ATTEMPTS_PER_STEP);
    loop {
        let page = context.deps.view_reader.call(step.clone()).await?;
        page.tasks.iter().for_each(|task| recap.add(task));
        if page.next.is_none() {
            return Ok(recap);
        }
        step.after = page.next;
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct RefreshedFiles {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    files: Vec<String>,
    cache: &'static str,
    updated: String,
}

/// Looks at the workflow files now. A file that doesn't load fails the request, as ever; the others count.
async fn refresh(context: ContextRef, request: HttpRequest) -> Answer {
    // It changes something by GET, too, for which a link on a page of another site would be enough.
    context.hosts.may_change(request.headers())?;
    let found = context.deps.library.call(ReloadWorkflows).await?;
    if let Some(first) = found.broken.first() {
        let more = match found.broken.len() {
            1 => String::new(),
            count => format!(" (and {} more)", count - 1),
        };
        let detail = format!("{first}{more}: the last good version stays in use until it is fixed");
        return Err(Problem::invalid(detail));
    }
    let mut files = found.added;
    files.extend(found.changed);
    files.sort();
    // A dash before its name is how the reference system lists a file that is gone.
    files.extend(found.removed.into_iter().map(|path| format!("-{path}")));
    let updated = time(context.deps.kit.now());
    // As ever, a refresh is also when old history leaves and a snapshot is made; neither is waited for.
    let cache = if context.deps.retention.hint(RemoveOldHistory) {
        "history older than history.retention is being removed"
    } else {
        "history older than history.retention is removed after midnight"
    };
    context.deps.backup.hint(TakeBackup);
    Ok(json_text(StatusCode::OK, pretty(&RefreshedFiles { files, cache, updated })))
}

/// Sends a message to Slack, to see whether it gets there.
async fn notify(context: ContextRef, request: HttpRequest) -> Answer {
    context.hosts.may_change(request.headers())?;
    if !context.config.slack {
        return Err(Problem::invalid(
            "Slack is not configured: set notify.url, or notify.token and notify.channel, and restart",
        ));
    }
    let now = context.deps.kit.now();
    let payload = MessagePayload {
        headline: format!("Test message of flowlord on {}", context.config.host),
        lines: vec![stamp(&context.config.version, now - context.config.started_at)],
        link: None,
        footer: "asked for by /notify".to_owned(),
        colour: MessageColour::Green,
        incident: None,
    };
    let payload = serde_json::to_string(&payload)
        .map_err(|err| Problem::new(Code::Internal, format!("the message can't be written: {err}")))?;
    let message = NewMessage {
        route: "default".to_owned(),
        kind: "test".to_owned(),
        // The outbox takes each key once, and each test is to be sent.
        key: format!("test:{}", context.deps.kit.ids().next_uid(now)),
        payload,
    };
    let id = context.deps.writer.call(EnqueueMessage { now, message }).await?;
    arrived(context.deps.notifier.call(AwaitDelivery { id }).await?)
}

/// What became of the message, in words.
fn arrived(fate: DeliveryStatus) -> Answer {
    // It isn't lost in any case: it comes when it can.
    let failed = match fate {
        DeliveryStatus::Arrived => return Ok(text("sent: Slack took the message\n".to_owned())),
        DeliveryStatus::Refused { error, retry_at } => {
            format!("the message didn't arrive: {error}; it is sent again from {} on", time(retry_at))
        }
        DeliveryStatus::Unknown { error, retry_at } => format!(
            "it is unknown whether the message arrived: {error}; it is sent again, and says so, from {} on",
            time(retry_at)
        ),
        DeliveryStatus::Waits { ahead: 0, .. } => return Ok(waits("no attempt was made yet")),
        DeliveryStatus::Waits { ahead, error } => {
            let why = error.map(|error| format!(", and of the first one Slack said: {error}"));
            let are = if ahead == 1 { "message is" } else { "messages are" };
            return Ok(waits(&format!("{ahead} {are} sent before it{}", why.unwrap_or_default())));
        }
    };
    Err(Problem::new(Code::SlackFailed, failed))
}

fn waits(why: &str) -> HttpResponse {
    let mut answer = text(format!("stored, and not sent yet: {why}\n"));
    *answer.status_mut() = StatusCode::ACCEPTED;
    answer
}

/// The files and folders of the workflow root.
async fn workflow_root(context: ContextRef) -> Answer {
    listing(&context, "").await
}

/// A file as it was when it loaded last, or what a folder holds.
async fn workflow(context: ContextRef, path: Path<String>) -> Answer {
    let path = path.into_inner();
    // Nothing is read from the disk by it, but a name that leads outside is a mistake, and says so.
    if path.split(['/', '\\']).any(|part| part == "..") {
        return Err(missing(&path));
    }
    let path = path.trim_matches('/');
    if path.is_empty() {
        return listing(&context, path).await;
    }
    // No such file: it may be a folder, which the reference system lists by the same path.
    let Some(record) = context.deps.view_reader.call(ReadWorkflow { path: path.to_owned() }).await? else {
        return listing(&context, path).await;
    };
    // Answered with its content, a file that never loaded would look empty.
    if record.content.is_empty() && !record.problem.is_empty() {
        let detail = format!("`{path}` never loaded: {}", record.problem);
        return Err(Problem::new(Code::WorkflowUnknown, detail));
    }
    let content_type = match path.rsplit_once('.').map(|(_, extension)| extension) {
        Some("toml") => "application/toml",
        Some("json") => "application/json",
        Some("yaml" | "yml") => "text/x-yaml",
        _ => TEXT,
    };
    Ok(typed(content_type, record.content))
}

async fn listing(context: &WebContext, folder: &str) -> Answer {
    let current = context.deps.library.call(ReadLoadedWorkflows).await?;
    let loaded = current.workflows.files().iter().map(|file| file.path.as_str());
    // Also files that never loaded: they are there, after all.
    let broken = current.broken.iter().map(|finding| finding.file.as_str());
    let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
    let below = loaded.chain(broken).filter_map(|path| path.strip_prefix(&prefix));
    let names: BTreeSet<String> = below
        .map(|rest| match rest.split_once('/') {
            Some((folder, _)) => format!("{prefix}{folder}/\n"),
            None => format!("{prefix}{rest}\n"),
        })
        .collect();
    if names.is_empty() && !folder.is_empty() {
        return Err(missing(folder));
    }
    Ok(text(names.into_iter().collect()))
}

fn missing(path: &str) -> Problem {
    let detail = format!("there is no workflow file or folder `{path}`; GET /workflow lists them");
    Problem::new(Code::WorkflowUnknown, detail)
}

const TEXT: &str = "text/plain; charset=utf-8";

fn text(body: String) -> HttpResponse {
    typed(TEXT, body)
}

fn typed(content_type: &'static str, body: String) -> HttpResponse {
    HttpResponse::Ok().insert_header((CONTENT_TYPE, HeaderValue::from_static(content_type))).body(body)
}
