//! Totals of a day, added up by hour and by task.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use flowlord_messages::stats::{DayTotals, HourTotals, ResultCounts};
use serde::Serialize;
use utoipa::ToSchema;

/// Hours of a day.
const HOURS: usize = 24;

/// Counts of tasks by how they ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Counts)]
pub struct ResultSum {
    pub total: u64,
    pub complete: u64,
    pub error: u64,
    pub alert: u64,
    pub warn: u64,
    pub running: u64,
}

impl From<ResultCounts> for ResultSum {
    fn from(counts: ResultCounts) -> Self {
        let ResultCounts { total, complete, error, alert, warn } = counts;
        Self { total, complete, error, alert, warn, running: counts.without_result() }
    }
}

/// How long those that ended ran on average; none while none has.
pub fn average_run_seconds(counts: &ResultCounts, run_millis: u64) -> Option<f64> {
    // The others add nothing to the time yet.
    let ended = counts.total.saturating_sub(counts.without_result());
    #[expect(clippy::cast_precision_loss, reason = "an average for people")]
    let seconds = run_millis as f64 / ended as f64 / 1e3;
    Some(seconds).filter(|_| ended > 0)
}

/// One hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Hour)]
pub struct HourView {
    #[schema(maximum = 23)]
    pub hour: u8,
    #[serde(flatten)]
    #[schema(inline)]
    pub sum: ResultSum,
}

/// One topic and job.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct TaskStats<'a> {
    #[serde(rename = "type")]
    pub topic: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub job: &'a str,
    #[serde(flatten)]
    #[schema(inline)]
    pub sum: ResultSum,
    /// Seconds that those that ended ran, on average.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub run_seconds: Option<f64>,
    hours: Vec<HourView>,
}

/// A day.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Stats)]
pub struct StatsView<'a> {
    date: NaiveDate,
    #[schema(inline)]
    pub totals: ResultSum,
    pub hours: Vec<HourView>,
    #[schema(inline)]
    pub tasks: Vec<TaskStats<'a>>,
}

impl<'a> StatsView<'a> {
    pub fn new(date: NaiveDate, stats: &'a DayTotals) -> Self {
        let mut totals = ResultCounts::default();
        let mut hours = [ResultCounts::default(); HOURS];
        let mut tasks: BTreeMap<(&str, &str), Vec<&HourTotals>> = BTreeMap::new();
        for row in &stats.rows {
            totals = totals.add_counts(&row.counts);
            if let Some(hour) = hours.get_mut(usize::from(row.hour)) {
                *hour = hour.add_counts(&row.counts);
            }
            tasks.entry((&row.topic, &row.job)).or_default().push(row);
        }
        Self {
            date,
            totals: totals.into(),
            hours: (0..).zip(hours).map(|(hour, counts)| HourView { hour, sum: counts.into() }).collect(),
            tasks: tasks.into_iter().map(|((topic, job), rows)| TaskStats::new(topic, job, &rows)).collect(),
        }
    }
}

impl<'a> TaskStats<'a> {
    fn new(topic: &'a str, job: &'a str, rows: &[&HourTotals]) -> Self {
        let counts = rows.iter().fold(ResultCounts::default(), |sum, row| sum.add_counts(&row.counts));
        let run_millis = rows.iter().map(|row| row.run_millis).sum();
        let mut hours: Vec<HourView> =
            rows.iter().map(|row| HourView { hour: row.hour, sum: row.counts.into() }).collect();
        hours.sort_by_key(|hour| hour.hour);
        Self { topic, job, sum: counts.into(), run_seconds: average_run_seconds(&counts, run_millis), hours }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(hour: u8, topic: &str, (complete, error, running): (u64, u64, u64), run_millis: u64) -> HourTotals {
        let total = complete + error + running;
        let counts = ResultCounts { total, complete, error, ..ResultCounts::default() };
        HourTotals { hour, topic: topic.to_owned(), job: String::new(), counts, run_millis }
    }

    #[test]
    fn a_day_adds_up_by_hour_and_by_task() {
        let rows =
            vec![row(23, "load", (1, 0, 0), 3_000), row(3, "load", (1, 2, 4), 6_000), row(3, "idle", (0, 0, 1), 0)];
        let stats = DayTotals { rows };
        let view = StatsView::new("2026-03-02".parse().unwrap(), &stats);
        let sum =
            |total, complete, error, running| ResultSum { total, complete, error, running, ..ResultSum::default() };
        assert_eq!(view.totals, sum(9, 2, 2, 5));
        assert_eq!(view.hours.len(), HOURS);
        assert_eq!(
            (view.hours[3].sum, view.hours[23].sum, view.hours[4].sum),
            (sum(8, 1, 2, 5), sum(1, 1, 0, 0), sum(0, 0, 0, 0))
        );
        let tasks: Vec<_> = view.tasks.iter().map(|task| (task.topic, task.sum, task.run_seconds)).collect();
        // Of those that ended: nine seconds of four.
        assert_eq!(tasks, [("idle", sum(1, 0, 0, 1), None), ("load", sum(8, 2, 2, 4), Some(2.25))]);
        let hours: Vec<_> = view.tasks[1].hours.iter().map(|hour| hour.hour).collect();
        assert_eq!(hours, [3, 23], "in their order");
    }
}
