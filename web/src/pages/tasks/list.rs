//! The list of tasks: asked for in the words of `GET /api/v1/tasks`, so that both show the same.

use chrono::SecondsFormat;
use flowlord_messages::tasks::FindTasks;

use super::filter::{hour, span};
use crate::core::params::Params;
use crate::core::problem::Problem;
use crate::core::task_query as list;
use crate::pages::{Link, Shown};

/// How many tasks a page of the list has.
const ROWS: usize = 100;

/// What the page asks for; also where programs find the same.
pub(super) fn wanted(link: &Link, params: &Params, shown: Shown) -> Result<(FindTasks, String), Problem> {
    let list = link.without(&["date", "hour", "page", "month"]).at("/api/v1/tasks");
    let list = match hour(params)? {
        None => list.with("date", &shown.date),
        Some(hour) => {
            let (from, to) = span(shown, Some(hour));
            let (from, to) = [from, to].map(|at| at.to_rfc3339_opts(SecondsFormat::Secs, true)).into();
            list.with("from", &from).with("to", &to)
        }
    };
    let href = list.href();
    let query = href.split_once('?').map_or("", |(_, query)| query);
    let find = list::query(&Params::parse(query, list::PARAMETERS)?)?;
    Ok((FindTasks { limit: ROWS, ..find }, list.without(&["cursor"]).href()))
}
