//! Backloads: looked at first, then carried out; how they stand, paused, resumed, cancelled.

use std::sync::Arc;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::{ACCEPT, CONTENT_TYPE, HeaderValue, LOCATION};
use actix_web::web::{Bytes, Path, Payload};
use actix_web::{HttpRequest, HttpResponse};
use flowlord_domain::backload::{Only, Request};
use flowlord_domain::{Attempt, NewTask, Role};
use flowlord_messages::Code;
use flowlord_messages::audit::Action;
use flowlord_messages::backload::{
    BackloadState, ChangeBackload, CheckBackload, ExecuteBackload, Failure, Finished, MAX_FAILURES,
    MAX_WAITED, PlanBackload, Planned, ReadBackload, ReadBackloads,
};
use futures_util::stream::try_unfold;
use serde_json::{Value, json};

use crate::api::{List, json, json_text};
use crate::compat::backload as kept_json;
use crate::core::audit_entry::Trail;
use crate::core::context::{Api, ApiRef};
use crate::core::extract::{json_body, object};
use crate::core::openapi::{Operation, list_of, schema};
use crate::core::params::Params;
use crate::core::problem::{Answer, Problem};
use crate::core::route::Route;
use crate::core::values::check_name;
use crate::core::view::backload::{BackloadView, DryRunView, ExecutedView, FailureView, PlannedView};
use crate::core::view::task::TaskView;

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::post("/api/v1/backload", Role::Operator, create)
            .audited(Action::Backload)
            .documented(describe_create),
        Route::view("/api/v1/backloads", Role::Viewer, list).documented(describe_list),
        Route::view("/api/v1/backloads/{id}", Role::Viewer, one).documented(describe_one),
        Route::post("/api/v1/backloads/{id}/{change:pause|resume|cancel}", Role::Operator, change)
            .audited(Action::Backload)
            .documented(describe_change),
        Route::post("/backload", Role::Operator, kept).audited(Action::Backload).documented(describe_kept),
    ]
}

const EXAMPLE: &str = r#"{"task":"load","from":"2026-01-01","to":"2026-01-31"}"#;

/// How many tasks of a dry run one answer shows.
const PAGE: usize = 1_000;

/// How many tasks are written at a time where all are.
const STEP: usize = 500;

/// How long a request waits for its tasks.
const PATIENCE: Duration = Duration::from_secs(15);

/// Shows or creates the tasks of a stretch of history.
pub(crate) async fn create(api: ApiRef, request: HttpRequest, payload: Payload) -> Answer {
    Params::none(&request)?;
    let body = json_body(&request, payload).await?;
    let wanted: Request = object(&body, EXAMPLE)?;
    wanted.strict().map_err(|err| Problem::invalid(err.to_string()))?;
    let (execute, background) = (wanted.execute, wanted.background);
    let (offset, limit) = (wanted.offset, limit(&wanted)?);
    let planned = plan(&api, wanted).await?;
    if execute {
        let executed = execute_plan(&api, planned, background).await?;
        return executed.answer();
    }
    Trail::nothing_changed(&request);
    if request.headers().get(ACCEPT).is_some_and(|accept| accept == LINES) {
        return Ok(lines(api, planned, offset));
    }
    let page = preview(&api, &planned, offset, limit).await?;
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

fn limit(wanted: &Request) -> Result<usize, Problem> {
    let limit = wanted.limit.unwrap_or(PAGE);
    if (1..=PAGE).contains(&limit) {
        return Ok(limit);
    }
    Err(Problem::invalid(format!(
        "`limit` is {limit}: write 1 to {PAGE}, or ask for all with `Accept: application/x-ndjson`"
    )))
}

pub(crate) async fn plan(api: &Api, request: Request) -> Result<Arc<Planned>, Problem> {
    let planned = api.deps.plan_backload.call(PlanBackload { request }).await?;
    let order = planned.plan.order();
    // Whatever no worker could ask for must not be created.
    check_name("topic", &order.topic)?;
    if !order.job.is_empty() {
        check_name("job", &order.job)?;
    }
    Ok(planned)
}

/// Some tasks of a plan as they would be created.
pub(crate) struct Page {
    pub(crate) tasks: Vec<NewTask>,
    pub(crate) failed: Vec<Failure>,
    pub(crate) skipped: usize,
    pub(crate) next: usize,
}

pub(crate) async fn preview(api: &Api, planned: &Planned, from: usize, most: usize) -> Result<Page, Problem> {
    let (plan, now) = (&planned.plan, api.deps.clock.now());
    let chunk = plan.chunk(from, most, now, &api.config.host, &mut api.deps.mint.clone());
    let mut tasks: Vec<NewTask> = chunk.tasks.into_iter().map(|(_, task)| task).collect();
    let all = tasks.len();
    let order = plan.order();
    if order.only != Only::All {
        let check = CheckBackload {
            topic: order.topic.clone(),
            job: order.job.clone(),
            only: order.only,
            tasks: tasks.iter().map(|task| (task.info.clone(), task.meta.clone())).collect(),
            count_to: 0,
        };
        let mut wanted = api.deps.check_backload.call(check).await?.wanted.into_iter();
        tasks.retain(|_| wanted.next().unwrap_or(true));
    }
    let failed = chunk.unmade.into_iter();
    Ok(Page {
        skipped: all - tasks.len(),
        tasks,
        failed: failed.map(|(index, unmade)| Failure { index, time: unmade.time, why: unmade.why }).collect(),
        next: chunk.next,
    })
}

const LINES: &str = "application/x-ndjson";

/// All tasks of a dry run from one on, a line each; made as the client reads them.
fn lines(api: ApiRef, planned: Arc<Planned>, from: usize) -> HttpResponse {
    let lines = try_unfold(from, move |next| {
        let (api, planned) = (api.clone(), Arc::clone(&planned));
        async move {
            if next >= planned.plan.count() {
                return Ok(None);
            }
            // A client must be able to tell a list that broke off from one that ended.
            let page = preview(&api, &planned, next, STEP).await.map_err(|problem| broken_off(&problem))?;
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

fn broken_off(problem: &Problem) -> std::io::Error {
    log::error!("event=dry_run_broken_off problem={problem:?}");
    std::io::Error::other(problem.to_string())
}

/// A backload that was begun.
pub(crate) struct Executed {
    pub(crate) id: i64,
    planned: Arc<Planned>,
    finished: Finished,
    /// Whether some tasks are still to be dealt with.
    goes_on: bool,
}

pub(crate) async fn execute_plan(
    api: &Api,
    planned: Arc<Planned>,
    background: bool,
) -> Result<Executed, Problem> {
    api.refuse_when_stopping()?;
    let wait = !background && planned.plan.count() <= MAX_WAITED;
    let execute = ExecuteBackload { planned: Arc::clone(&planned), wait };
    let started = api.deps.execute_backload.call(execute).await?;
    let Some(done) = started.done else {
        return Ok(Executed { id: started.id, planned, finished: Finished::default(), goes_on: true });
    };
    let problem = match tokio::time::timeout(PATIENCE, done).await {
        Ok(Ok(finished)) => {
            return Ok(Executed { id: started.id, planned, goes_on: finished.problem.is_some(), finished });
        }
        Ok(Err(_)) => "the backload actor was restarted meanwhile",
        Err(_) => "they are not all stored yet",
    };
    let finished = Finished { problem: Some(problem.to_owned()), ..Finished::default() };
    Ok(Executed { id: started.id, planned, finished, goes_on: true })
}

impl Executed {
    /// What was created, why the rest was not, and what was taken for what the request left open.
    fn status(&self) -> String {
        let Finished { created, failed, skipped, problem } = &self.finished;
        let mut told = Vec::new();
        if self.goes_on {
            told.extend(problem.clone());
            told.push(format!("it goes on in the background, see /api/v1/backloads/{}", self.id));
        }
        told.extend(failed.first().map(|first| first.why.clone()));
        if *skipped > 0 {
            told.push(format!("{skipped} left out by `only`"));
        }
        told.extend(Some(self.planned.message.clone()).filter(|message| !message.is_empty()));
        let total = self.planned.plan.count();
        let count = match created.len() {
            // Nobody told how many there are by now.
            0 if self.goes_on => format!("{total} tasks are being created"),
            created => format!("{created}/{total} tasks created"),
        };
        if told.is_empty() { count } else { format!("{count}: {}", told.join("; ")) }
    }

    fn code(&self) -> StatusCode {
        match (self.goes_on, self.finished.failed.is_empty()) {
            (true, _) => StatusCode::ACCEPTED,
            (false, true) => StatusCode::OK,
            (false, false) => StatusCode::MULTI_STATUS,
        }
    }

    fn located(&self, mut answer: HttpResponse) -> HttpResponse {
        if self.goes_on
            && let Ok(location) = HeaderValue::from_str(&format!("/api/v1/backloads/{}", self.id))
        {
            answer.headers_mut().insert(LOCATION, location);
        }
        answer
    }

    fn answer(&self) -> Answer {
        let Finished { created, failed, skipped, .. } = &self.finished;
        let attempts: Vec<_> =
            created.iter().cloned().map(NewTask::into_attempt).map(Attempt::listed).collect();
        let view = ExecutedView {
            status: self.status(),
            id: self.id,
            count: self.planned.plan.count(),
            created: created.len(),
            skipped: *skipped,
            failed: failed.iter().map(FailureView::from).collect(),
            tasks: attempts.iter().map(TaskView).collect(),
        };
        json(self.code(), &view).map(|answer| self.located(answer))
    }

    /// The same, as the reference system tells it.
    fn kept_answer(&self) -> HttpResponse {
        let Finished { created, failed, .. } = &self.finished;
        let all_well = !self.goes_on && failed.is_empty();
        let status = if all_well { kept_json::status(true, &self.planned.message) } else { self.status() };
        // As many as there are tasks, unless some were left out on purpose.
        let count = if self.finished.skipped > 0 { created.len() } else { self.planned.plan.count() };
        self.located(json_text(self.code(), kept_json::answer(&status, count, created, failed)))
    }
}

/// As the reference system has it: what it passes over, this does, too.
pub(crate) async fn kept(api: ApiRef, request: HttpRequest, payload: Payload) -> Answer {
    let body = json_body(&request, payload).await?;
    let wanted: Request = object(&body, EXAMPLE)?;
    let (execute, background) = (wanted.execute, wanted.background);
    let planned = plan(&api, wanted).await?;
    if execute {
        return Ok(execute_plan(&api, planned, background).await?.kept_answer());
    }
    Trail::nothing_changed(&request);
    Ok(kept_lines(api, planned))
}

/// Where an answer that is being written stands.
enum Writing {
    Begin,
    Tasks { next: usize, written: usize, failed: Vec<Failure> },
    End,
}

/// All tasks of a dry run in one JSON document; made as the client reads them.
fn kept_lines(api: ApiRef, planned: Arc<Planned>) -> HttpResponse {
    let text = try_unfold(Writing::Begin, move |writing| {
        let (api, planned) = (api.clone(), Arc::clone(&planned));
        async move {
            let total = planned.plan.count();
            // With `only` it isn't known before all was looked up.
            let counted = planned.plan.order().only == Only::All;
            Ok::<_, std::io::Error>(match writing {
                Writing::Begin => {
                    let status = kept_json::status(false, &planned.message);
                    let text = kept_json::begin(&status, counted.then_some(total));
                    Some((Bytes::from(text), Writing::Tasks { next: 0, written: 0, failed: Vec::new() }))
                }
                Writing::Tasks { next, written, failed } if next >= total => {
                    let text = kept_json::end(written > 0, (!counted).then_some(written), &failed);
                    Some((Bytes::from(text), Writing::End))
                }
                Writing::Tasks { next, written, mut failed } => {
                    let page =
                        preview(&api, &planned, next, STEP).await.map_err(|problem| broken_off(&problem))?;
                    let text = kept_json::tasks(&page.tasks, written == 0);
                    let room = MAX_FAILURES.saturating_sub(failed.len());
                    failed.extend(page.failed.into_iter().take(room));
                    let written = written + page.tasks.len();
                    Some((Bytes::from(text), Writing::Tasks { next: page.next, written, failed }))
                }
                Writing::End => None,
            })
        }
    });
    HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, HeaderValue::from_static("application/json")))
        .streaming(text)
}

/// Backloads, newest first.
pub(crate) async fn list(api: ApiRef, request: HttpRequest) -> Answer {
    let params = Params::parse(request.query_string(), &["limit", "cursor"])?;
    let limit = params.limit()?;
    let read = ReadBackloads { running: false, after: params.cursor()?, limit: limit + 1 };
    let mut stored = api.deps.backloads.call(read).await?;
    let more = stored.len() > limit;
    stored.truncate(limit);
    let next = stored.last().filter(|_| more).map(|stored| stored.id.to_string());
    let items: Vec<_> = stored.iter().map(|stored| BackloadView::new(stored, None)).collect();
    json(StatusCode::OK, &List { items, next })
}

/// One backload and what of it failed.
pub(crate) async fn one(api: ApiRef, path: Path<String>) -> Answer {
    let id = id(&path)?;
    let found = api.deps.backload.call(ReadBackload { id }).await?;
    let (stored, failures) = found.ok_or_else(|| unknown(&path))?;
    json(StatusCode::OK, &BackloadView::new(&stored, Some(&failures)))
}

/// Pauses, resumes or cancels one.
pub(crate) async fn change(api: ApiRef, path: Path<(String, String)>) -> Answer {
    let (number, change) = path.into_inner();
    let to = match change.as_str() {
        "pause" => BackloadState::Paused,
        "resume" => BackloadState::Running,
        _ => BackloadState::Cancelled,
    };
    let stored = api.deps.change_backload.call(ChangeBackload { id: id(&number)?, to }).await?;
    json(StatusCode::OK, &BackloadView::new(&stored, None))
}

fn id(text: &str) -> Result<i64, Problem> {
    text.parse().map_err(|_| unknown(text))
}

pub(crate) fn unknown(id: &str) -> Problem {
    let detail = format!("there is no backload `{id}`; GET /api/v1/backloads lists them");
    Problem::new(Code::BackloadUnknown, detail)
}

fn describe_create(operation: Operation) -> Operation {
    operation.about("workflows", "Fill history")
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
        .about("workflows", "One backload")
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

fn describe_kept(operation: Operation) -> Operation {
    operation.about("kept", "Fill history")
        .body("which stretch", schema("BackloadRequest"), json!({"task": "load", "template": "?date={yyyy}-{mm}-{dd}", "by": "day", "from": "2026-01-01", "to": "2026-01-31"}))
        .answers(200, "the tasks", json!({"type": "object"}), json!({"Status": "DRY RUN ONLY", "Count": 0, "Tasks": []}))
        .answers(202, "it goes on in the background", json!({"type": "object"}), json!({}))
        .answers(207, "some tasks could not be created", json!({"type": "object"}), json!({}))
        .fails(&[Code::InvalidRequest, Code::InvalidTopic, Code::WorkflowUnknown])
        .asks()
}
