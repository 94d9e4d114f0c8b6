//! What the page of tasks shows of a day, and the choices that it offers.

use std::collections::BTreeMap;

use flowlord_domain::TaskState;
use flowlord_messages::stats::{DayTotals, ResultCounts};

use crate::ShownDay;
use crate::choice::{FilterChoice, is_task_chosen};
use crate::parts::{STANDINGS, counts_by_standing};
use crate::prelude::*;

/// The parameters of the page. `page` is the reference system's, in old bookmarks: lists go on by cursor here.
pub(crate) const PARAMS: &[&str] =
    &["date", "month", "hour", "type", "job", "result", "state", "id", "retry", "q", "sort", "order", "cursor", "page"];

/// Those that restrict what is shown, beside the day.
pub(crate) const FILTERS: &[&str] = &["hour", "type", "job", "result", "state", "id", "retry", "q"];

/// The hour of the day that is shown; none for all.
pub(crate) fn shown_hour(params: &QueryParams) -> Result<Option<u8>, Problem> {
    let Some(text) = params.one("hour")? else { return Ok(None) };
    let hour = text.parse().ok().filter(|hour| *hour < 24);
    hour.map(Some).ok_or_else(|| Problem::wrong_value("hour", text, "0 to 23"))
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

#[cfg(test)]
mod tests {
    use flowlord_messages::stats::HourTotals;

    use super::*;

    fn params(query: &str) -> QueryParams {
        QueryParams::parse(query, PARAMS).unwrap()
    }

    #[test]
    fn an_hour_is_one_of_the_day() {
        assert_eq!(
            ["", "hour=0", "hour=23"].map(|query| shown_hour(&params(query)).unwrap()),
            [None, Some(0), Some(23)]
        );
        for query in ["hour=24", "hour=-1", "hour=noon"] {
            let detail = shown_hour(&params(query)).unwrap_err().detail().to_owned();
            assert!(detail.ends_with(": write 0 to 23"), "{query}: {detail}");
        }
        let date = "2026-03-02".parse().unwrap();
        let shown = ShownDay { date, today: date, leaf: None };
        let [day, hour] = [None, Some(23)].map(|hour| shown_span(shown, hour));
        assert_eq!((day.1 - day.0, hour.1 - hour.0), (TimeDelta::days(1), TimeDelta::hours(1)));
        assert_eq!(hour.1, day.1, "the last hour ends with the day");
    }

    #[test]
    fn choices_count_the_day_and_offer_jobs_of_the_chosen_types() {
        let row = |topic: &str, job: &str, total| {
            let counts = ResultCounts { total, complete: total, ..ResultCounts::default() };
            HourTotals { hour: 3, topic: topic.to_owned(), job: job.to_owned(), counts, run_millis: 0 }
        };
        let stats = DayTotals {
            rows: vec![row("load", "a", 2), row("load", "b", 3), row("report", "c", 5), row("load", "", 7)],
        };
        let offered = |query: &str| {
            let params = params(query);
            let narrowed = narrowed_totals(&stats, &params);
            let choices = task_choices(&stats, &params, &ResultCounts::default());
            let told = choices.into_iter().take(2).map(|choice| {
                let options = choice.options.into_iter();
                options
                    .map(|option| format!("{} {}", option.value, option.count.unwrap_or_default()))
                    .collect::<Vec<_>>()
                    .join(", ")
            });
            (narrowed.rows.len(), told.collect::<Vec<_>>())
        };
        assert_eq!(offered(""), (4, vec!["load 12, report 5".to_owned(), "a 2, b 3, c 5".to_owned()]));
        assert_eq!(offered("type=load"), (3, vec!["load 12, report 5".to_owned(), "a 2, b 3".to_owned()]));
        assert_eq!(offered("type=report&job=c").0, 1);
    }
}
