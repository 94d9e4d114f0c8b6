//! From one phase to many tasks: the times of a range, the rows of a list or a file.

use std::collections::BTreeMap;

use chrono::{DateTime, DurationRound, Months, TimeDelta, Utc};

use crate::ids::Ids;
use crate::query::Query;
use crate::rule::By;
use crate::task::{Lane, NewTask};
use crate::task_time::cron_text;
use crate::template::{Row, expand_meta, render_utc};

/// Lists that don't fit together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("inconsistent lengths in meta {first} != {second}: give each list as many values")]
pub struct LengthError {
    first: usize,
    second: usize,
}

/// Zips lists by position: the nth row has the nth value of each key.
pub fn rows_of(lists: &BTreeMap<String, Vec<String>>) -> Result<Vec<Row>, LengthError> {
    let Some(first) = lists.values().next().map(Vec::len) else { return Ok(Vec::new()) };
    if let Some(other) = lists.values().find(|list| list.len() != first) {
        return Err(LengthError { first, second: other.len() });
    }
    let row = |n: usize| Row(lists.iter().map(|(key, list)| (key.clone(), list[n].clone())).collect());
    Ok((0..first).map(row).collect())
}

/// The times from `from` to `to`, both included; backwards when `to` is earlier.
///
/// Never longer than `limit`, so that no request can ask for centuries of hours.
#[must_use]
pub fn times(from: DateTime<Utc>, to: DateTime<Utc>, by: By, limit: usize) -> Vec<DateTime<Utc>> {
    let back = to < from;
    let step = |n: i32| step(from, by, if back { -n } else { n });
    let inside = |time: &DateTime<Utc>| if back { *time >= to } else { *time <= to };
    (0..).map_while(step).take_while(inside).take(limit).collect()
}

/// The nth time: months count from the start, cut to the last day of theirs.
fn step(from: DateTime<Utc>, by: By, n: i32) -> Option<DateTime<Utc>> {
    match by {
        By::Hour => from.checked_add_signed(TimeDelta::hours(n.into())),
        By::Day => from.checked_add_signed(TimeDelta::days(n.into())),
        By::Week => from.checked_add_signed(TimeDelta::weeks(n.into())),
        By::Month if n < 0 => from.checked_sub_months(Months::new(n.unsigned_abs())),
        By::Month => from.checked_add_months(Months::new(n.unsigned_abs())),
    }
}

/// A time cut to its hour.
#[must_use]
pub fn cut_to_hour(time: DateTime<Utc>) -> DateTime<Utc> {
    time.duration_trunc(TimeDelta::hours(1)).unwrap_or(time)
}

/// What a batch makes tasks of.
#[derive(Debug, Clone)]
pub struct Batch<'a> {
    /// The topic.
    pub topic: &'a str,
    /// The job; empty for none.
    pub job: &'a str,
    /// The workflow file; empty for none.
    pub workflow: &'a str,
    /// The template.
    pub template: &'a str,
    /// The first time.
    pub from: DateTime<Utc>,
    /// The last time; earlier than the first for backwards.
    pub to: DateTime<Utc>,
    /// The steps.
    pub by: By,
    /// The rows; none when there is neither a list nor a file.
    pub rows: Option<&'a [Row]>,
    /// The lane of the tasks.
    pub lane: Lane,
    /// At most this many times.
    pub limit: usize,
}

/// A batch without a bound of its own stops here.
pub const MAX_TIMES: usize = 100_000;

impl Batch<'_> {
    /// Each time with each row, in the order in which they start.
    #[must_use]
    pub fn pairs(&self) -> Vec<(DateTime<Utc>, Option<&Row>)> {
        let times = times(self.from, self.to, self.by, self.limit);
        let mut rows: Vec<Option<&Row>> = self.rows.unwrap_or_default().iter().map(Some).collect();
        if rows.is_empty() {
            // A file without rows means that there is nothing to do, but for a range that counts by itself.
            if self.rows.is_some() && self.from == self.to {
                return Vec::new();
            }
            rows.push(None);
        }
        if self.to < self.from {
            rows.reverse();
        }
        times.iter().flat_map(|time| rows.iter().map(|row| (*time, *row))).collect()
    }

    /// How many tasks it makes.
    #[must_use]
    pub fn count(&self) -> usize {
        let rows = self.rows.unwrap_or_default().len();
        if rows == 0 && self.rows.is_some() && self.from == self.to {
            return 0;
        }
        times(self.from, self.to, self.by, self.limit).len().saturating_mul(rows.max(1))
    }

    /// The task number `n`, without making the others; none where its time is out of all bounds.
    #[must_use]
    pub fn nth(&self, n: usize, now: DateTime<Utc>, host: &str, ids: &mut dyn Ids) -> Option<NewTask> {
        let rows = self.rows.unwrap_or_default();
        let (column, row) = (n / rows.len().max(1), n % rows.len().max(1));
        let back = self.to < self.from;
        let column = i32::try_from(column).ok()?;
        let time = step(self.from, self.by, if back { -column } else { column })?;
        let row = rows.get(if back { rows.len().saturating_sub(row + 1) } else { row });
        Some(self.task(time, row, now, host, ids))
    }

    /// The tasks, each of a chain of its own.
    #[must_use]
    pub fn tasks(&self, now: DateTime<Utc>, host: &str, ids: &mut dyn Ids) -> Vec<NewTask> {
        self.pairs().into_iter().map(|(time, row)| self.task(time, row, now, host, ids)).collect()
    }

    fn task(
        &self,
        time: DateTime<Utc>,
        row: Option<&Row>,
        now: DateTime<Utc>,
        host: &str,
        ids: &mut dyn Ids,
    ) -> NewTask {
        let mut meta = Query::default();
        meta.push("cron", cron_text(time));
        for (key, value) in [("job", self.job), ("workflow", self.workflow)] {
            if !value.is_empty() {
                meta.push(key, value);
            }
        }
        let mut info = render_utc(self.template, Some(time), host, ids);
        if let Some(row) = row {
            info = expand_row(&info, row, &mut meta);
        }
        NewTask {
            uid: ids.uid(now),
            topic: self.topic.to_owned(),
            job: self.job.to_owned(),
            id: ids.chain(now),
            info,
            meta: meta.sorted().encode(),
            workflow: self.workflow.to_owned(),
            parent: None,
            retry: 0,
            not_before: None,
            lane: self.lane,
        }
    }
}

/// Fills a row's values in; the row's keys and those that the template names go into the meta.
fn expand_row(info: &str, row: &Row, meta: &mut Query) -> String {
    let (info, keys) = expand_meta(info, |key| row.get(key).map(str::to_owned));
    for key in keys {
        meta.set(&key, row.get(&key).unwrap_or_default());
    }
    info
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ids::fixed::FixedIds;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn months_are_cut_to_their_last_day() {
        let days = |from: &str, to: &str| -> Vec<String> {
            times(at(from), at(to), By::Month, 99).iter().map(|t| t.format("%m-%d").to_string()).collect()
        };
        let year = days("2021-01-31T00:00:00Z", "2021-05-31T00:00:00Z");
        assert_eq!(year, ["01-31", "02-28", "03-31", "04-30", "05-31"]);
        let back = days("2021-05-31T00:00:00Z", "2021-01-31T00:00:00Z");
        assert_eq!(back, ["05-31", "04-30", "03-31", "02-28", "01-31"]);
    }

    #[test]
    fn a_range_is_bounded() {
        let (from, to) = (at("1970-01-01T00:00:00Z"), at("9999-01-01T00:00:00Z"));
        assert_eq!(times(from, to, By::Hour, 7).len(), 7);
    }

    proptest! {
        #[test]
        fn a_range_begins_at_its_start_and_stays_inside(
            from in 0_i64..4_000_000_000, length in -9_000_000_i64..9_000_000, by in 0..4,
        ) {
            let by = [By::Hour, By::Day, By::Week, By::Month][usize::try_from(by).unwrap()];
            let from = DateTime::from_timestamp(from, 0).unwrap();
            let to = from + TimeDelta::seconds(length);
            let times = times(from, to, by, 10_000);
            prop_assert_eq!(times[0], from);
            let inside = |t: &DateTime<Utc>| *t >= from.min(to) && *t <= from.max(to);
            prop_assert!(times.iter().all(inside));
        }

        #[test]
        fn each_task_can_be_had_alone(
            hours in -50_i64..50, rows in prop::option::of(0..4_usize), by in 0..4_usize,
        ) {
            let rows: Option<Vec<Row>> = rows.map(|rows| {
                (0..rows).map(|n| Row([("k".to_owned(), n.to_string())].into())).collect()
            });
            let from = at("2024-01-31T05:00:00Z");
            let batch = Batch {
                topic: "t", job: "", workflow: "w", template: "{meta:k} {dd}T{hh}", from,
                to: from + TimeDelta::hours(hours), by: [By::Hour, By::Day, By::Week, By::Month][by],
                rows: rows.as_deref(), lane: Lane::Live, limit: 20,
            };
            let all = batch.tasks(from, "h", &mut FixedIds::default());
            let mut ids = FixedIds::default();
            let alone: Vec<_> = (0..batch.count()).map(|n| batch.nth(n, from, "h", &mut ids).unwrap()).collect();
            prop_assert_eq!(all, alone);
        }
    }
}
