//! Many results in one request, each judged alone.

use actix_web::HttpRequest;
use actix_web::http::StatusCode;
use actix_web::web::Payload;
use flowlord_domain::decide::Outcome;
use flowlord_domain::task_doc::parse_time;
use flowlord_domain::{Attempt, Uid};
use flowlord_messages::Code;
use flowlord_messages::ingest::SubmitResults;
use flowlord_messages::read::AttemptsById;
use flowlord_messages::write::Claim;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::api::{Api, ApiRef};
use crate::doc::{Doc, Field};
use crate::extract::{Form, first_byte, from_json, results_body};
use crate::problem::{Answer, Problem};
use crate::routes::json;
use crate::routes::lease::lease_token;

/// Results in one request. More of them than this fit into a body only when they say nothing.
const MAX_ITEMS: usize = 50_000;

/// What became of the results.
#[derive(Debug, Default, Serialize)]
struct ResultsAnswer {
    accepted: usize,
    duplicates: usize,
    rejected: Vec<Rejected>,
}

/// A result that wasn't taken.
#[derive(Debug, Serialize)]
struct Rejected {
    index: usize,
    code: &'static str,
    detail: String,
}

impl Rejected {
    fn new(index: usize, problem: &Problem) -> Self {
        Self { index, code: problem.code().as_str(), detail: problem.detail().to_owned() }
    }
}

/// One result that can be read.
struct Item {
    index: usize,
    claim: Claim,
    /// For a done task without lease and uid: what its attempt must be.
    named: Option<Name>,
    outcome: Outcome,
}

/// What tells a task without its uid from others of the same instant.
struct Name {
    topic: String,
    job: String,
    id: String,
}

impl Name {
    fn fits(&self, attempt: &Attempt) -> bool {
        (&self.topic, &self.job, &self.id) == (&attempt.topic, &attempt.job, &attempt.id)
    }
}

/// Takes results under a lease and done tasks without one.
pub(crate) async fn results(api: ApiRef, request: HttpRequest, payload: Payload) -> Answer {
    let (form, body) = results_body(&request, payload).await?;
    let mut answer = ResultsAnswer::default();
    let mut items = Vec::new();
    let texts = split(form, &body)?;
    if texts.len() > MAX_ITEMS {
        let detail = format!("there are {} results: send at most {MAX_ITEMS} at once", texts.len());
        return Err(Problem::new(Code::TooLarge, detail));
    }
    for (index, text) in texts.into_iter().enumerate() {
        match item(index, text) {
            Ok(item) => items.push(item),
            Err(problem) => answer.rejected.push(Rejected::new(index, &problem)),
        }
    }
    let items = known(&api, items, &mut answer.rejected).await?;
    submit(&api, items, &mut answer).await?;
    answer.rejected.sort_by_key(|rejected| rejected.index);
    json(StatusCode::OK, &answer)
}

/// The texts of the single results. Only what is no list at all fails as a whole.
fn split(form: Form, body: &[u8]) -> Result<Vec<&[u8]>, Problem> {
    let first = first_byte(body);
    if first == Some(b'[') || (first.is_none() && form == Form::Json) {
        let items: Vec<&RawValue> = from_json(body)?;
        return Ok(items.into_iter().map(|item| item.get().as_bytes()).collect());
    }
    if serde_json::from_slice::<&RawValue>(body).is_ok() {
        return Ok(vec![body]);
    }
    let lines = body.split(|byte| *byte == b'\n').filter(|line| first_byte(line).is_some());
    Ok(lines.collect())
}

fn item(index: usize, text: &[u8]) -> Result<Item, Problem> {
    if first_byte(text) != Some(b'{') {
        let detail = "a result must be an object, like {\"lease\":\"…\",\"result\":\"complete\"}";
        return Err(Problem::new(Code::InvalidJson, detail));
    }
    let mut doc: Doc<'_> = from_json(text)?;
    let (claim, named) = claim(&mut doc)?;
    Ok(Item { index, claim, named, outcome: doc.into_outcome()? })
}

fn claim(doc: &mut Doc<'_>) -> Result<(Claim, Option<Name>), Problem> {
    let given = |field| doc.get(field).filter(|text| !text.is_empty());
    if let Some(lease) = given(Field::Lease) {
        return Ok((Claim::Lease(lease_token(lease)?), None));
    }
    if let Some(uid) = given(Field::Uid) {
        let uid =
            uid.parse().map_err(|_| unknown(format!("`{uid}` is no uid: a uid is 14 hexadecimal digits")))?;
        return Ok((Claim::Task(uid), None));
    }
    let (Some(created), Some(_), Some(_)) = (given(Field::Created), given(Field::Type), given(Field::Id))
    else {
        let detail = "nothing says whose result this is: write `lease`, or `uid`, or `type`, `job`, `id` and `created`";
        return Err(Problem::invalid(detail));
    };
    let created = parse_time(created).map_err(|_| {
        Problem::invalid(format!("`created` is `{created}`: write it as it came with the task"))
    })?;
    let name = Name { topic: doc.take(Field::Type), job: doc.take(Field::Job), id: doc.take(Field::Id) };
    Ok((Claim::Task(Uid::at(created)), Some(name)))
}

fn unknown(detail: String) -> Problem {
    Problem::new(Code::TaskUnknown, detail)
}

/// Leaves out the named ones that aren't what was created at their instant.
async fn known(api: &Api, items: Vec<Item>, rejected: &mut Vec<Rejected>) -> Result<Vec<Item>, Problem> {
    let uids: Vec<Uid> =
        items.iter().filter(|item| item.named.is_some()).map(|item| item.claim.uid()).collect();
    if uids.is_empty() {
        return Ok(items);
    }
    let mut attempts = api.deps.attempts.call(AttemptsById { uids }).await?.into_iter();
    let mut known = Vec::with_capacity(items.len());
    for item in items {
        let Some(name) = &item.named else {
            known.push(item);
            continue;
        };
        let attempt = attempts.next().flatten();
        if attempt.is_some_and(|attempt| name.fits(&attempt)) {
            known.push(item);
        } else {
            let detail = "no task has this type, job, id and created: send them as they came with the task";
            rejected.push(Rejected::new(item.index, &unknown(detail.to_owned())));
        }
    }
    Ok(known)
}

async fn submit(api: &Api, items: Vec<Item>, answer: &mut ResultsAnswer) -> Result<(), Problem> {
    if items.is_empty() {
        return Ok(());
    }
    let (indexes, results): (Vec<_>, Vec<_>) =
        items.into_iter().map(|item| (item.index, (item.claim, item.outcome))).unzip();
    let applied = api.deps.submit.call(SubmitResults { results }).await?;
    for (index, applied) in indexes.into_iter().zip(applied) {
        match applied {
            Ok(applied) if applied.duplicate => answer.duplicates += 1,
            Ok(_) => answer.accepted += 1,
            Err(err) => answer.rejected.push(Rejected::new(index, &err.into())),
        }
    }
    Ok(())
}
