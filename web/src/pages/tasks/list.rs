//! The list of tasks: which, in which order, from where on.

use chrono::{DateTime, Utc};
use flowlord_domain::{Attempt, TaskResult, TaskState, Uid};
use flowlord_messages::Error;
use flowlord_messages::read::{ListTasks, TaskFilter};

use super::filter::{hour, span};
use crate::api::Api;
use crate::pages::Shown;
use crate::params::Params;
use crate::problem::Problem;

/// How many tasks a page of the list has.
const ROWS: usize = 100;

/// What the page asks for.
#[derive(Debug)]
pub(super) struct Wanted {
    filter: TaskFilter,
    pub(super) ascending: bool,
    after: Option<Uid>,
}

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) tasks: Vec<Attempt>,
    /// The cursor of the next page.
    pub(super) next: Option<String>,
    /// How far back was looked, where more may be further back.
    pub(super) looked_until: Option<DateTime<Utc>>,
}

impl Wanted {
    pub(super) fn of(params: &Params, shown: Shown) -> Result<Self, Problem> {
        let (from, to) = span(shown, hour(params)?);
        let owned = |name| params.many(name).map(str::to_owned).collect();
        let results = params.many("result").filter(|text| *text != "running");
        let filter = TaskFilter {
            from: Some(from),
            to: Some(to),
            topics: owned("type"),
            jobs: owned("job"),
            results: results.map(result).collect::<Result<_, _>>()?,
            running: params.many("result").any(|text| text == "running"),
            states: params.many("state").map(state).collect::<Result<_, _>>()?,
            ids: owned("id"),
        };
        let ascending = params.one("order")? == Some("asc");
        Ok(Self { filter, ascending, after: params.cursor()? })
    }

    pub(super) async fn find(self, api: &Api) -> Result<Found, Error> {
        // One more tells whether there is a next page.
        let Self { filter, ascending, after } = self;
        let mut tasks = api.deps.tasks.call(ListTasks { filter, ascending, after, limit: ROWS + 1 }).await?;
        let more = tasks.len() > ROWS;
        tasks.truncate(ROWS);
        let next = tasks.last().filter(|_| more).map(|task| task.uid.to_string());
        Ok(Found { tasks, next, looked_until: None })
    }
}

fn result(text: &str) -> Result<TaskResult, Problem> {
    text.parse().map_err(|_| {
        Problem::invalid(format!("`result` is `{text}`: write complete, error, warn, alert or running"))
    })
}

fn state(text: &str) -> Result<TaskState, Problem> {
    let all = [TaskState::Ready, TaskState::Delayed, TaskState::Leased, TaskState::Done];
    all.into_iter()
        .find(|state| state.as_str() == text)
        .ok_or_else(|| Problem::invalid(format!("`state` is `{text}`: write ready, delayed, leased or done")))
}
