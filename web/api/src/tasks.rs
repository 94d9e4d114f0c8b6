//! Tasks: created, listed, looked at.

use flowlord_domain::IdSource as _;
use flowlord_domain::NewTask;
use flowlord_domain::TaskLane;
use flowlord_domain::TaskState;
use flowlord_domain::query::Query;
use flowlord_domain::search;
use flowlord_kernel::IdGenerator;
use flowlord_messages::tasks::{IdempotencyKey, TaskSort};
use flowlord_web_core::answer::LookedList;
use flowlord_web_core::doc::{BorrowedTaskDoc, DocField, NewTaskDoc};
use flowlord_web_core::extract::{first_byte, from_json};
use flowlord_web_core::limits::{MAX_CHAIN_BYTES, MAX_IDEMPOTENCY_KEY_CHARACTERS};
use flowlord_web_core::openapi::json_of;
use flowlord_web_core::openapi::one_of;
use flowlord_web_core::openapi::one_or_array;
use flowlord_web_core::task_query as list;
use flowlord_web_core::use_cases::tasks::{create_tasks, parse_uid, read_task};
use flowlord_web_core::use_cases::waiting::explain_tasks;
use flowlord_web_core::values::check_name;
use flowlord_web_core::view::task::ExplainedTask;
use serde_json::value::RawValue;

use crate::prelude::*;

pub(crate) fn routes() -> Vec<Route> {
    vec![
        create_route(),
        list_route(),
        Route::view("/api/v1/tasks/{uid}", Role::Viewer, one)
            .about("tasks", "Read a task")
            .path("uid", "the attempt", "064c0953867001")
            .answers::<ExplainedTask<'_>>(200, "the attempt, and why it waits", task_example())
            .fails(&[Code::TaskUnknown]),
    ]
}

pub(crate) const IDEMPOTENCY_WORDS: &str = "the same request with the same key is carried out once";

const EXAMPLE: &str = r#"{"type":"load","info":"?date=2026-01-15"}"#;

/// Stores new tasks: all or none.
async fn create(context: ContextRef, request: HttpRequest, payload: Payload) -> Answer {
    let body = json_body(&request, payload).await?;
    let idempotency = idempotency(&request, &body)?;
    let (now, mut ids) = (context.deps.kit.now(), context.deps.kit.ids());
    let is_list = first_byte(&body) == Some(b'[');
    let tasks = if is_list {
        let texts: Vec<&RawValue> = from_json(&body)?;
        // One mistake refuses the whole list, so that it can be mended and sent again without doubling tasks.
        let read = texts
            .into_iter()
            .enumerate()
            .map(|(index, text)| new_task(text.get().as_bytes(), now, &mut ids).map_err(|problem| at(index, &problem)));
        read.collect::<Result<Vec<_>, _>>()?
    } else {
        vec![new_task(&body, now, &mut ids)?]
    };
    store(&context, tasks, is_list, now, idempotency).await
}

fn at(index: usize, problem: &Problem) -> Problem {
    Problem::new(problem.code(), format!("[{index}]: {}", problem.detail()))
}

async fn store(
    context: &WebContext,
    tasks: Vec<NewTask>,
    is_list: bool,
    now: DateTime<Utc>,
    idempotency: Option<IdempotencyKey>,
) -> Answer {
    if tasks.is_empty() {
        return created(&[], true);
    }
    created(&create_tasks(context, tasks, now, idempotency).await?, is_list)
}

pub(crate) fn created(tasks: &[Attempt], is_list: bool) -> Answer {
    match tasks.first() {
        Some(task) if !is_list => json(StatusCode::CREATED, &TaskView(task)),
        _ => json(StatusCode::CREATED, &List { items: tasks.iter().map(TaskView).collect(), next: None }),
    }
}

fn new_task(text: &[u8], now: DateTime<Utc>, ids: &mut IdGenerator) -> Result<NewTask, Problem> {
    let mut doc: BorrowedTaskDoc<'_> = object(text, EXAMPLE)?;
    check_name("topic", required("type", doc.given(DocField::Type), "the topic, like \"load\"")?)?;
    required("info", doc.get(DocField::Info), "what the worker is to do, like \"?date=2026-01-15\"")?;
    if let Some(job) = doc.given(DocField::Job) {
        check_name("job", job)?;
    }
    if doc.given(DocField::Result).is_some() {
        return Err(Problem::invalid(
            "`result` is set: post done tasks to /api/v1/results; leave it out to create a new task",
        ));
    }
    check_id(doc.given(DocField::Id).unwrap_or_default())?;
    check_meta(doc.given(DocField::Meta).unwrap_or_default())?;
    // A time that has passed is as good as none: the task is ready, not delayed until a timer finds it.
    let not_before = doc.time(DocField::NotBefore)?.filter(|at| *at > now);
    let id = doc.given(DocField::Id).is_none().then(|| ids.next_chain_id(now));
    Ok(NewTask {
        uid: ids.next_uid(now),
        topic: doc.take(DocField::Type),
        job: doc.take(DocField::Job),
        id: id.unwrap_or_else(|| doc.take(DocField::Id)),
        info: doc.take(DocField::Info),
        meta: doc.take(DocField::Meta),
        workflow: String::new(),
        parent: None,
        retry: 0,
        not_before,
        lane: TaskLane::Live,
    })
}

/// Refuses chain ids that are too long.
pub(crate) fn check_id(id: &str) -> Result<(), Problem> {
    if id.len() > MAX_CHAIN_BYTES {
        let detail = format!("`id` has {} bytes: at most {MAX_CHAIN_BYTES} are allowed", id.len());
        return Err(Problem::invalid(detail));
    }
    Ok(())
}

pub(crate) fn check_meta(meta: &str) -> Result<(), Problem> {
    // Only what holds one of these characters can be unreadable, and most metas hold neither.
    if !meta.contains(['%', ';']) {
        return Ok(());
    }
    Query::parse(meta).map(drop).map_err(|err| Problem::invalid(format!("`meta`: {err}")))
}

pub(crate) fn idempotency(request: &HttpRequest, body: &[u8]) -> Result<Option<IdempotencyKey>, Problem> {
    let key = idempotency_key(request)?;
    Ok(key.map(|key| IdempotencyKey { key: key.to_owned(), digest: digest(body) }))
}

/// What a client calls a request that it may send again.
pub(crate) fn idempotency_key(request: &HttpRequest) -> Result<Option<&str>, Problem> {
    let Some(value) = request.headers().get("idempotency-key") else { return Ok(None) };
    let key = value.to_str().ok().filter(|key| (1..=MAX_IDEMPOTENCY_KEY_CHARACTERS).contains(&key.len()));
    key.map(Some).ok_or_else(|| {
        Problem::invalid(format!(
            "`Idempotency-Key` must be 1 to {MAX_IDEMPOTENCY_KEY_CHARACTERS} visible ASCII characters"
        ))
    })
}

fn digest(bytes: &[u8]) -> u64 {
    // FNV-1a: it is stored, so it must be the same in every version, which the standard library's hashes needn't be.
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

async fn list(context: ContextRef, request: HttpRequest) -> Answer {
    let params = QueryParams::parse(request.query_string(), list::PARAMETERS)?;
    let page = context.deps.view_reader.call(list::query(&params)?).await?;
    let next = page.next.map(|next| next.to_string());
    let causes = explain_tasks(&context, &page.tasks).await;
    let items = page.tasks.iter().zip(&causes).map(|(task, cause)| ExplainedTask(task, cause.as_ref())).collect();
    json(StatusCode::OK, &LookedList { items, next, looked_until: page.looked_until })
}

async fn one(context: ContextRef, path: Path<String>) -> Answer {
    let task = read_task(&context, parse_uid(&path)?).await?;
    let cause = explain_tasks(&context, std::slice::from_ref(&task)).await.pop().flatten();
    json(StatusCode::OK, &ExplainedTask(&task, cause.as_ref()))
}

fn create_route() -> Route {
    let created = json!({
        "type": "load", "info": "?date=2026-01-15", "created": "2026-03-02T12:00:00.000001Z", "id": "0195c2e0",
        "uid": "064c0953867001", "state": "ready", "attempt": 1, "delivery": 0,
    });
    Route::post("/api/v1/tasks", Role::Worker, create)
        .work()
        .audited(AuditAction::Create)
        .about("work", "Create tasks")
        .says("One task, or an array of which all or none are stored. One is answered as a task, many as a list.")
        .header("Idempotency-Key", IDEMPOTENCY_WORDS, json_of(limits::idempotency_key()))
        .body_of(
            "tasks",
            |all| one_or_array(all.one::<NewTaskDoc>()),
            json!({"type": "load", "info": "?date=2026-01-15", "meta": {"file": "a.csv"}}),
        )
        .answers_of(201, "stored", SchemaRegistry::one_or_list::<TaskView<'_>>, created)
        .fails(&[Code::InvalidTopic, Code::IdempotencyConflict])
}

fn list_route() -> Route {
    let sorts = TaskSort::ALL.map(TaskSort::as_str);
    Route::view("/api/v1/tasks", Role::Viewer, list)
        .about("tasks", "Find tasks")
        .says(
            "A page reads a bounded number of tasks. One with `looked_until` did not read all that may match, \
             and may have few or none: `next` continues there. By `created` the order is that of the whole range; any \
             other `sort` orders pieces of the newest tasks that fit, one piece after the other.",
        )
        .query("date", "a UTC day of creation", day_schema())
        .query("from", "created at or after; a time, or a day", json!({"type": "string"}))
        .query("to", "created before; a time, or a day", json!({"type": "string"}))
        .query("type", "topics", texts())
        .query("job", "jobs", texts())
        .query("result", "how they ended; running: not yet", one_of(&["complete", "error", "warn", "alert", "running"]))
        .query("state", "where they stand", named_values::<TaskState>())
        .query("id", "chains", texts())
        .query(
            "retry",
            "failed: dead letters, which are not tried again",
            json!({"type": "string", "enum": ["failed"]}),
        )
        .query(
            "q",
            "words that must all be there, \"a phrase\", field:value, -not",
            json!({"type": "string", "maxLength": search::MAX_BYTES}),
        )
        .query("sort", "by what", json!({"type": "string", "enum": sorts, "default": "created"}))
        .query(
            "order",
            "the least first, or the greatest",
            json!({"type": "string", "enum": ["asc", "desc"], "default": "desc"}),
        )
        .pages()
        .lists_looked::<ExplainedTask<'_>>("tasks, and why they wait", task_example())
}
