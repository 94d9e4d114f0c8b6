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

#[cfg(test)]
mod tests {
    use flowlord_messages::tasks::{TaskCursor, TaskSort};

    use super::*;

    fn read(text: &str) -> Result<FindTasks, Problem> {
        query(&QueryParams::parse(text, PARAMETERS)?)
    }

    fn refusal(text: &str) -> String {
        read(text).unwrap_err().detail().to_owned()
    }

    #[test]
    fn without_a_word_all_tasks_are_listed_newest_first() {
        let asked = read("").unwrap();
        assert_eq!(asked.filter, TaskFilter::default());
        assert!(asked.search.terms.is_empty() && asked.after.is_none());
        assert_eq!((asked.sort, asked.ascending, asked.texts), (TaskSort::Created, false, TextExtent::Beginnings));
    }

    #[test]
    fn each_parameter_restricts_what_it_names() {
        let asked = read(
            "type=load,sql&job=daily&result=error&result=running&state=ready,leased&id=c1&retry=failed\
             &from=2026-03-02&to=2026-03-03&sort=run&order=asc&limit=7&q=disk",
        )
        .unwrap();
        let TaskFilter { from, to, topics, jobs, results, running, states, ids, given_up } = asked.filter;
        assert_eq!(
            (topics, jobs, ids),
            (vec!["load".to_owned(), "sql".to_owned()], vec!["daily".to_owned()], vec!["c1".to_owned()])
        );
        assert_eq!((results, running, given_up), (vec![TaskResult::Error], true, true));
        assert_eq!(states, [TaskState::Ready, TaskState::Leased]);
        let times = [from, to].map(|time| time.unwrap().to_rfc3339());
        assert!(times[0].starts_with("2026-03-02T00:00:00") && times[0] < times[1], "{times:?}");
        assert_eq!((asked.sort, asked.ascending, asked.limit, asked.search.terms.len()), (TaskSort::Run, true, 7, 1));
    }

    #[test]
    fn a_list_goes_on_where_its_cursor_says() {
        let cursor = TaskCursor::After(flowlord_domain::Uid(77));
        assert_eq!(read(&format!("cursor={cursor}")).unwrap().after, Some(cursor));
        assert!(read("cursor=x").is_err());
    }

    #[test]
    fn values_that_there_are_not_are_refused_with_those_that_there_are() {
        for (text, says) in [
            ("result=done", "write complete, error, warn, alert or running"),
            ("state=running", "write ready, delayed, leased or done"),
            ("retry=1", "write failed for tasks without retries left"),
            ("order=up", "write asc or desc"),
            ("sort=age", "created"),
            ("limit=0", "`limit`"),
            ("limit=1001", "`limit`"),
        ] {
            let said = refusal(text);
            assert!(said.contains(says), "{text}: {said}");
        }
        assert!(refusal("q=type:").starts_with("`q`: "), "{}", refusal("q=type:"));
    }
}
