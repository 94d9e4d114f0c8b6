//! What a request says about the list of tasks: the same for REST and for the page.

use flowlord_domain::search::TaskSearch;
use flowlord_domain::{TaskResult, TaskState};
use flowlord_messages::tasks::{FindTasks, TaskFilter, TextExtent};

use crate::params::QueryParams;
use crate::problem::Problem;

pub const PARAMETERS: &[&str] =
    &["date", "from", "to", "type", "job", "result", "state", "id", "retry", "q", "sort", "order", "limit", "cursor"];

pub fn query(params: &QueryParams) -> Result<FindTasks, Problem> {
    Ok(FindTasks {
        filter: filter(params)?,
        search: search(params)?,
        sort: params.one_named("sort")?.unwrap_or_default(),
        ascending: !params.descending()?.unwrap_or(true),
        after: params.cursor()?,
        limit: params.limit()?,
        texts: TextExtent::Beginnings,
    })
}

pub fn filter(params: &QueryParams) -> Result<TaskFilter, Problem> {
    let (from, to) = params.period()?;
    let (mut results, mut running) = (Vec::new(), false);
    for text in params.many("result") {
        match text.parse::<TaskResult>() {
            Ok(result) => results.push(result),
            Err(_) if text == "running" => running = true,
            Err(_) => {
                return Err(Problem::wrong_value("result", text, "complete, error, warn, alert or running"));
            }
        }
    }
    Ok(TaskFilter {
        from,
        to,
        topics: params.texts("type")?,
        jobs: params.texts("job")?,
        results,
        running,
        states: params.many("state").map(parse_state).collect::<Result<_, _>>()?,
        ids: params.texts("id")?,
        given_up: given_up(params)?,
    })
}

/// Whether only dead letters are asked for.
fn given_up(params: &QueryParams) -> Result<bool, Problem> {
    // By the name that they have in the meta of tasks, as the reference system writes it: `retry=failed`.
    match params.one("retry")? {
        None => Ok(false),
        Some("failed") => Ok(true),
        Some(other) => Err(Problem::wrong_value("retry", other, "failed for tasks without retries left")),
    }
}

fn parse_state(text: &str) -> Result<TaskState, Problem> {
    TaskState::from_name(text).ok_or_else(|| Problem::wrong_value("state", text, "ready, delayed, leased or done"))
}

pub fn search(params: &QueryParams) -> Result<TaskSearch, Problem> {
    let Some(text) = params.one("q")? else { return Ok(TaskSearch::default()) };
    text.parse().map_err(|err| Problem::invalid(format!("`q`: {err}")))
}
