//! Many results in one request, each judged alone.

use std::sync::Arc;

use flowlord_domain::decide::WorkerOutcome;
use flowlord_domain::foreign::ForeignTask;
use flowlord_domain::query::Query;
use flowlord_domain::task_doc::{parse_time, time_text};
use flowlord_domain::{IdSource as _, Uid, envelope};
use flowlord_messages::results::{ResultClaim, SubmitResults};
use flowlord_messages::tasks::{FindKnownTasks, KnownTask};
use flowlord_web_core::doc::{BorrowedTaskDoc, DocField, ResultItemDoc};
use flowlord_web_core::extract::{BodyFormat, MAX_RESULTS, first_byte, from_json, results_body};
use flowlord_web_core::openapi::array_of;
use flowlord_web_core::values::check_name;
use serde_json::value::RawValue;

use crate::lease::{EXAMPLE_LEASE, lease_token};
use crate::prelude::*;
use crate::tasks::check_id;

pub(crate) fn routes() -> Vec<Route> {
    let item = json!({"lease": EXAMPLE_LEASE, "result": "complete"});
    vec![
        Route::post("/api/v1/results", Role::Worker, results)
            .work()
            .about("work", "Post many results")
            .says(
                "An array, or one JSON value a line (`application/x-ndjson`): results under a lease, or done tasks in \
                 Task JSON. Each is judged alone. A done task that nobody created here is recorded, with all that \
                 follows from it. The body may be in the envelope of a Pub/Sub or SNS push.",
            )
            .query("adopt", "`false` rejects done tasks that nobody created here", json!({"type": "boolean"}))
            .body_of("results", |all| array_of(all.one::<ResultItemDoc>()), json!([item]))
            .up_to(MAX_RESULTS)
            .answers::<ResultsAnswer>(
                200,
                "what became of each",
                json!({"accepted": 1, "duplicates": 0, "rejected": []}),
            ),
    ]
}

// More of them fit into a body only when they say nothing.
const MAX_ITEMS: usize = 50_000;

// So far ahead of our clock may another one be that says when a task was created.
const MOST_AHEAD: TimeDelta = TimeDelta::days(1);

const FORMS: &str = "send an array of results, or one result per line";

/// What became of the results.
#[derive(Debug, Default, Serialize, ToSchema)]
#[schema(as = Results)]
pub(crate) struct ResultsAnswer {
    accepted: usize,
    duplicates: usize,
    #[schema(inline)]
    rejected: Vec<Rejected>,
}

/// A result that wasn't taken.
#[derive(Debug, Serialize, ToSchema)]
struct Rejected {
    /// Its place in the request, from 0.
    index: usize,
    code: &'static str,
    detail: String,
    /// It may be taken when it comes again.
    #[serde(skip)]
    is_temporary: bool,
}

impl ResultsAnswer {
    pub(crate) fn reject(&mut self, index: usize, problem: &Problem) {
        self.rejected.push(Rejected {
            index,
            code: problem.code().as_str(),
            detail: problem.detail().to_owned(),
            is_temporary: problem.is_temporary(),
        });
    }

    /// Whether something was rejected that may be taken when it comes again.
    pub(crate) fn should_come_again(&self) -> bool {
        self.rejected.iter().any(|rejected| rejected.is_temporary)
    }

    pub(crate) fn rejected(&self) -> usize {
        self.rejected.len()
    }
}

struct ResultItem {
    index: usize,
    whose: ResultOwner,
    outcome: WorkerOutcome,
}

enum ResultOwner {
    Claimed(ResultClaim),
    /// A done task without a lease, and its uid where that came with it.
    Done(Option<Uid>, Arc<ForeignTask>),
}

/// Takes results under a lease and done tasks without one.
async fn results(context: ContextRef, request: HttpRequest, payload: Payload) -> Answer {
    let adopt = adopts(request.query_string())?;
    let (form, body) = results_body(&request, payload).await?;
    json(StatusCode::OK, &take(&context, form, &body, adopt).await?)
}

/// Takes the results of a body, which may be in the envelope of a message bus.
pub(crate) async fn take(
    context: &WebContext,
    form: BodyFormat,
    body: &[u8],
    adopt: bool,
) -> Result<ResultsAnswer, Problem> {
    let message = envelope::open_envelope(body).map_err(|err| Problem::invalid(err.to_string()))?;
    let texts = split(form, message.as_deref().unwrap_or(body))?;
    if texts.len() > MAX_ITEMS {
        let detail = format!("there are {} results: send at most {MAX_ITEMS} at once", texts.len());
        return Err(Problem::new(Code::TooLarge, detail));
    }
    let mut answer = ResultsAnswer::default();
    let mut items = Vec::with_capacity(texts.len());
    for (index, text) in texts.into_iter().enumerate() {
        match item(context, index, text) {
            Ok(item) => items.push(item),
            Err(problem) => answer.reject(index, &problem),
        }
    }
    let results = claimed(context, items, adopt, &mut answer).await?;
    submit(context, results, &mut answer).await?;
    // Some were refused when they were read, some when they were stored.
    answer.rejected.sort_by_key(|rejected| rejected.index);
    Ok(answer)
}

/// Whether done tasks that nobody created here are recorded.
pub(crate) fn adopts(query: &str) -> Result<bool, Problem> {
    // Other parameters are passed over: workers may be newer than the service.
    match Query::parse_lenient(query).first_value("adopt") {
        None | Some("" | "true") => Ok(true),
        Some("false") => Ok(false),
        Some(text) => Err(Problem::invalid(format!("`adopt` is `{text}`: write true or false"))),
    }
}

/// The texts of the single results. What holds no JSON at all fails as a whole.
fn split(form: BodyFormat, body: &[u8]) -> Result<Vec<&[u8]>, Problem> {
    let first = first_byte(body);
    if first == Some(b'[') || (first.is_none() && form == BodyFormat::Json) {
        let items: Vec<&RawValue> = from_json(body)?;
        return Ok(items.into_iter().map(|item| item.get().as_bytes()).collect());
    }
    if is_json(body) {
        if first == Some(b'{') {
            return Ok(vec![body]);
        }
        return Err(Problem::new(Code::InvalidJson, format!("a single value is not a result: {FORMS}")));
    }
    let lines: Vec<&[u8]> = body.split(|byte| *byte == b'\n').filter(|line| first_byte(line).is_some()).collect();
    // One good line makes the rest single mistakes; none at all means that this is no list of results.
    if !lines.is_empty() && !lines.iter().any(|line| is_json(line)) {
        return Err(Problem::new(Code::InvalidJson, format!("nothing in the body is JSON: {FORMS}")));
    }
    Ok(lines)
}

fn is_json(text: &[u8]) -> bool {
    serde_json::from_slice::<&RawValue>(text).is_ok()
}

fn item(context: &WebContext, index: usize, text: &[u8]) -> Result<ResultItem, Problem> {
    if first_byte(text) != Some(b'{') {
        let detail = "a result must be an object, like {\"lease\":\"…\",\"result\":\"complete\"}";
        return Err(Problem::new(Code::InvalidJson, detail));
    }
    let mut doc: BorrowedTaskDoc<'_> = from_json(text)?;
    let whose = whose(context, &mut doc)?;
    Ok(ResultItem { index, whose, outcome: doc.into_outcome()? })
}

fn whose(context: &WebContext, doc: &mut BorrowedTaskDoc<'_>) -> Result<ResultOwner, Problem> {
    if let Some(lease) = doc.given(DocField::Lease) {
        return Ok(ResultOwner::Claimed(ResultClaim::Lease(lease_token(lease)?)));
    }
    let uid = doc.given(DocField::Uid).map(|uid| {
        uid.parse::<Uid>().map_err(|_| unknown(format!("`{uid}` is not a uid: a uid is 14 hexadecimal digits")))
    });
    match (uid.transpose()?, doc.given(DocField::Type), created(doc)) {
        (Some(uid), Some(_), Ok(Some(created))) => Ok(ResultOwner::Done(Some(uid), done_task(context, doc, created))),
        // A uid names the task alone; the rest would only serve to record one that nobody created here.
        (Some(uid), ..) => Ok(ResultOwner::Claimed(ResultClaim::Task(uid))),
        (None, Some(_), Ok(Some(created))) => Ok(ResultOwner::Done(None, done_task(context, doc, created))),
        (None, _, Err(problem)) => Err(problem),
        (None, ..) => Err(Problem::invalid(
            "the task of this result is not named: write `lease`, or `uid`, or `type`, `job`, `id` and `created`",
        )),
    }
}

fn created(doc: &BorrowedTaskDoc<'_>) -> Result<Option<DateTime<Utc>>, Problem> {
    let Some(text) = doc.given(DocField::Created) else {
        // A task that was written by hand may not say it. These are the same each time that its result comes, so that
        // the second one is found to be a duplicate.
        return Ok(doc.time(DocField::Started)?.or(doc.time(DocField::Ended)?));
    };
    parse_time(text)
        .map(Some)
        .map_err(|_| Problem::invalid(format!("`created` is `{text}`: write it as it came with the task")))
}

fn done_task(context: &WebContext, doc: &mut BorrowedTaskDoc<'_>, created: DateTime<Utc>) -> Arc<ForeignTask> {
    let id = doc.take(DocField::Id);
    let chain = if id.is_empty() { context.deps.kit.ids().next_chain_id(created) } else { id.clone() };
    Arc::new(ForeignTask {
        topic: doc.take(DocField::Type),
        job: doc.take(DocField::Job),
        id,
        chain,
        info: doc.take(DocField::Info),
        meta: doc.get(DocField::Meta).unwrap_or_default().to_owned(),
        created,
    })
}

fn unknown(detail: String) -> Problem {
    Problem::new(Code::TaskUnknown, detail)
}

/// Finds out whose result each is.
async fn claimed(
    context: &WebContext,
    items: Vec<ResultItem>,
    adopt: bool,
    answer: &mut ResultsAnswer,
) -> Result<Vec<(usize, ResultClaim, WorkerOutcome)>, Problem> {
    let mut known = known(context, &items).await?.into_iter();
    let mut results = Vec::with_capacity(items.len());
    for ResultItem { index, whose, mut outcome } in items {
        let task = match whose {
            ResultOwner::Claimed(claim) => {
                results.push((index, claim, outcome));
                continue;
            }
            ResultOwner::Done(_, task) => task,
        };
        match (known.next(), adoptable(context, &task, adopt)) {
            (Some(KnownTask::Created(uid)), _) => results.push((index, ResultClaim::Task(uid), outcome)),
            (Some(KnownTask::Recorded), _) => answer.duplicates += 1,
            (_, Ok(())) => {
                // It is the task's own, which the foreign task has, and nothing that its worker adds.
                outcome.meta.clear();
                results.push((index, ResultClaim::Foreign(task), outcome));
            }
            (_, Err(problem)) => answer.reject(index, &problem),
        }
    }
    Ok(results)
}

/// What is known of the done tasks among them.
async fn known(context: &WebContext, items: &[ResultItem]) -> Result<Vec<KnownTask>, Problem> {
    let tasks: Vec<_> = items
        .iter()
        .filter_map(|item| match &item.whose {
            ResultOwner::Claimed(_) => None,
            ResultOwner::Done(uid, task) => Some((*uid, Arc::clone(task))),
        })
        .collect();
    if tasks.is_empty() {
        return Ok(Vec::new());
    }
    Ok(context.deps.reader.call(FindKnownTasks { tasks }).await?)
}

fn adoptable(context: &WebContext, task: &ForeignTask, adopt: bool) -> Result<(), Problem> {
    if !adopt {
        let detail = "no task has this type, job, id and created: send them as they came with the task";
        return Err(unknown(detail.to_owned()));
    }
    // As strict as where tasks are created: its retries are leased by these names.
    check_name("topic", &task.topic)?;
    if !task.job.is_empty() {
        check_name("job", &task.job)?;
    }
    check_id(&task.id)?;
    let latest = context.deps.kit.now() + MOST_AHEAD;
    if !task.first_uid().is_writable() || task.created > latest {
        let detail = format!(
            "`created` is {}: it must be after 1970 and at most a day ahead of now; check the clock that wrote it",
            time_text(task.created)
        );
        return Err(Problem::invalid(detail));
    }
    Ok(())
}

async fn submit(
    context: &WebContext,
    results: Vec<(usize, ResultClaim, WorkerOutcome)>,
    answer: &mut ResultsAnswer,
) -> Result<(), Problem> {
    if results.is_empty() {
        return Ok(());
    }
    let (indexes, results): (Vec<_>, Vec<_>) =
        results.into_iter().map(|(index, claim, outcome)| (index, (claim, outcome))).unzip();
    let applied = context.deps.ingest.call(SubmitResults { results }).await?;
    for (index, applied) in indexes.into_iter().zip(applied) {
        match applied {
            Ok(applied) if applied.duplicate => answer.duplicates += 1,
            Ok(_) => answer.accepted += 1,
            Err(err) => answer.reject(index, &err.into()),
        }
    }
    Ok(())
}
