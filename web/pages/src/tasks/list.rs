//! The list of tasks, which `GET /api/v1/tasks` lists in the same words.

use chrono::SecondsFormat;
use flowlord_messages::tasks::{FindTasks, TaskFilter};
use flowlord_web_core::params::QueryParams;
use flowlord_web_core::problem::Problem;
use flowlord_web_core::task_query;

use super::filter::{shown_hour, shown_span};
use crate::{PageLink, ShownDay};

const ROWS: usize = 100;

pub(super) fn find_tasks(params: &QueryParams, shown: ShownDay) -> Result<FindTasks, Problem> {
    let (from, to) = shown_span(shown, shown_hour(params)?);
    let find = task_query::query(params)?;
    // The page shows one day: the query's own period, which `date` sets, gives way to the hour of it.
    let filter = TaskFilter { from: Some(from), to: Some(to), ..find.filter };
    Ok(FindTasks { filter, limit: ROWS, ..find })
}

/// Where programs find the same.
pub(super) fn json_href(link: &PageLink, params: &QueryParams, shown: ShownDay) -> Result<String, Problem> {
    let list = link.without(&["date", "hour", "page", "month", "cursor"]).at("/api/v1/tasks");
    let Some(hour) = shown_hour(params)? else { return Ok(list.with("date", &shown.date).href()) };
    let (from, to) = shown_span(shown, Some(hour));
    let [from, to] = [from, to].map(|at| at.to_rfc3339_opts(SecondsFormat::Secs, true));
    Ok(list.with("from", &from).with("to", &to).href())
}
