//! Totals of a day, added up by hour and by task.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use flowlord_messages::stats::{DayTotals, HourTotals, ResultCounts};
use serde::Serialize;
use utoipa::ToSchema;

use crate::limits;

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

impl ResultSum {
    fn add_counts(&mut self, counts: &ResultCounts) {
        self.total += counts.total;
        self.complete += counts.complete;
        self.error += counts.error;
        self.alert += counts.alert;
        self.warn += counts.warn;
        self.running += counts.without_result();
    }

    pub fn ended(&self) -> u64 {
        self.total.saturating_sub(self.running)
    }
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
    #[schema(schema_with = limits::day)]
    date: NaiveDate,
    #[schema(inline)]
    pub totals: ResultSum,
    pub hours: Vec<HourView>,
    #[schema(inline)]
    pub tasks: Vec<TaskStats<'a>>,
}

impl<'a> StatsView<'a> {
    pub fn new(date: NaiveDate, stats: &'a DayTotals) -> Self {
        let mut totals = ResultSum::default();
        let mut hours = [ResultSum::default(); HOURS];
        let mut tasks: BTreeMap<(&str, &str), Vec<&HourTotals>> = BTreeMap::new();
        for row in &stats.rows {
            totals.add_counts(&row.counts);
            if let Some(hour) = hours.get_mut(usize::from(row.hour)) {
                hour.add_counts(&row.counts);
            }
            tasks.entry((&row.topic, &row.job)).or_default().push(row);
        }
        Self {
            date,
            totals,
            hours: (0..).zip(hours).map(|(hour, sum)| HourView { hour, sum }).collect(),
            tasks: tasks.into_iter().map(|((topic, job), rows)| TaskStats::new(topic, job, &rows)).collect(),
        }
    }
}

impl<'a> TaskStats<'a> {
    fn new(topic: &'a str, job: &'a str, rows: &[&HourTotals]) -> Self {
        let (mut sum, mut millis) = (ResultSum::default(), 0_u64);
        let mut hours = Vec::with_capacity(rows.len());
        for row in rows {
            sum.add_counts(&row.counts);
            millis += row.run_millis;
            let mut hour = ResultSum::default();
            hour.add_counts(&row.counts);
            hours.push(HourView { hour: row.hour, sum: hour });
        }
        hours.sort_by_key(|hour| hour.hour);
        #[expect(clippy::cast_precision_loss, reason = "an average for people")]
        let run_seconds = (sum.ended() > 0).then(|| millis as f64 / sum.ended() as f64 / 1e3);
        Self { topic, job, sum, run_seconds, hours }
    }
}
