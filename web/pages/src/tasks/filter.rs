//! What the page of tasks shows of a day, and the choices that it offers.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use flowlord_domain::TaskState;
use flowlord_messages::stats::{DayTotals, ResultCounts};
use flowlord_web_core::params::{QueryParams, day};
use flowlord_web_core::problem::Problem;

use crate::ShownDay;
use crate::choice::{FilterChoice, is_task_chosen};
use crate::parts::{STANDINGS, counts_by_standing};

/// The parameters of the page. `page` is the reference system's, in old bookmarks: lists go on by cursor here.
pub(crate) const PARAMS: &[&str] =
    &["date", "month", "hour", "type", "job", "result", "state", "id", "retry", "q", "sort", "order", "cursor", "page"];

/// Those that restrict what is shown, beside the day.
pub(crate) const FILTERS: &[&str] = &["hour", "type", "job", "result", "state", "id", "retry", "q"];

/// The hour of the day that is shown; none for all.
pub(crate) fn shown_hour(params: &QueryParams) -> Result<Option<u8>, Problem> {
    let Some(text) = params.one("hour")? else { return Ok(None) };
    let hour = text.parse().ok().filter(|hour| *hour < 24);
    hour.map(Some).ok_or_else(|| Problem::invalid(format!("`hour` is `{text}`: write 0 to 23")))
}

pub(crate) fn shown_span(shown: ShownDay, hour: Option<u8>) -> (DateTime<Utc>, DateTime<Utc>) {
    let (from, to) = day(shown.date);
    match hour {
        None => (from, to),
        Some(hour) => {
            let from = from + TimeDelta::hours(hour.into());
            (from, from + TimeDelta::hours(1))
        }
    }
}

/// The day's figures as far as they are of the chosen types and jobs.
pub(crate) fn narrowed_totals(stats: &DayTotals, params: &QueryParams) -> DayTotals {
    let rows = stats.rows.iter().filter(|row| is_task_chosen(params, &row.topic, &row.job));
    DayTotals { rows: rows.cloned().collect() }
}

/// The choices: types with their counts, jobs of the chosen types, results of both, states.
pub(crate) fn task_choices(stats: &DayTotals, params: &QueryParams, counts: &ResultCounts) -> Vec<FilterChoice> {
    let (mut types, mut jobs) = (BTreeMap::new(), BTreeMap::new());
    // Jobs of other types would find nothing.
    let of_types: Vec<&str> = params.many("type").collect();
    for row in &stats.rows {
        *types.entry(row.topic.clone()).or_insert(0) += row.counts.total;
        if !row.job.is_empty() && (of_types.is_empty() || of_types.contains(&row.topic.as_str())) {
            *jobs.entry(row.job.clone()).or_insert(0) += row.counts.total;
        }
    }
    let [types, jobs] = [types, jobs].map(|counts| counts.into_iter().map(|(value, n)| (value, Some(n))));
    let results = STANDINGS.into_iter().zip(counts_by_standing(counts)).map(|(name, n)| (name.to_owned(), Some(n)));
    let states = [TaskState::Ready, TaskState::Delayed, TaskState::Leased, TaskState::Done];
    let states = states.map(|state| (state.as_str().to_owned(), None));
    vec![
        FilterChoice::new("type", "Type", params, types),
        FilterChoice::new("job", "Job", params, jobs),
        FilterChoice::new("result", "Result", params, results),
        FilterChoice::new("state", "State", params, states),
    ]
}
