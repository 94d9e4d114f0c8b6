//! From one phase to many tasks: the times of a range, the rows of a list or a file.

use chrono::{DateTime, Datelike as _, Months, TimeDelta, Utc};

use crate::ids::IdSource;
use crate::query::Query;
use crate::rule::BatchStep;
use crate::task::{NewTask, TaskLane};
use crate::task_time::cron_text;
use crate::template::{MetaRow, expand_meta, render_template_utc};

/// The times from `from` to `to`, both included, at most `limit`; backwards when `to` is earlier.
pub fn times_of_range(from: DateTime<Utc>, to: DateTime<Utc>, by: BatchStep, limit: usize) -> Vec<DateTime<Utc>> {
    let range = from.min(to)..=from.max(to);
    let times = (0..).map_while(|n| nth_time(from, to, by, n));
    // A request may name centuries of hours.
    times.take_while(|time| range.contains(time)).take(limit).collect()
}

/// The nth time of a range; where a month is too short for the day, its last one.
fn nth_time(from: DateTime<Utc>, to: DateTime<Utc>, by: BatchStep, n: i32) -> Option<DateTime<Utc>> {
    let n = if to < from { -n } else { n };
    match by {
        BatchStep::Hour => from.checked_add_signed(TimeDelta::hours(n.into())),
        BatchStep::Day => from.checked_add_signed(TimeDelta::days(n.into())),
        BatchStep::Week => from.checked_add_signed(TimeDelta::weeks(n.into())),
        // From the start each time: from month to month a 31st would become the 28th for good.
        BatchStep::Month if n < 0 => from.checked_sub_months(Months::new(n.unsigned_abs())),
        BatchStep::Month => from.checked_add_months(Months::new(n.unsigned_abs())),
    }
}

/// How many times [`times_of_range`] lists without a limit, by reckoning.
pub fn count(from: DateTime<Utc>, to: DateTime<Utc>, by: BatchStep) -> usize {
    let length = (to - from).abs();
    let last = match by {
        BatchStep::Hour => length.num_hours(),
        BatchStep::Day => length.num_days(),
        BatchStep::Week => length.num_weeks(),
        BatchStep::Month => last_month(from, to),
    };
    // Below zero where not even the first month is inside.
    usize::try_from(last).map_or(0, |last| last.saturating_add(1))
}

/// The number of the last month of a range; -1 when not even the first is inside.
fn last_month(from: DateTime<Utc>, to: DateTime<Utc>) -> i64 {
    let [first, last] = [from, to].map(|time| i64::from(time.year()) * 12 + i64::from(time.month0()));
    let apart = (last - first).abs();
    let time = i32::try_from(apart).ok().and_then(|n| nth_time(from, to, BatchStep::Month, n));
    let is_inside = time.is_some_and(|time| (from.min(to)..=from.max(to)).contains(&time));
    if is_inside { apart } else { apart - 1 }
}

/// A time cut to its hour.
pub fn cut_to_hour(time: DateTime<Utc>) -> DateTime<Utc> {
    // chrono's own cuts only the years 1677 to 2262, whose nanoseconds fit into 64 bits.
    let seconds = time.timestamp();
    DateTime::from_timestamp(seconds - seconds.rem_euclid(3_600), 0).unwrap_or(time)
}

/// What a batch makes tasks of.
#[derive(Debug, Clone)]
pub struct TaskBatch<'a> {
    /// The topic, `type` on the wire.
    pub topic: &'a str,
    /// The job; empty for none.
    pub job: &'a str,
    /// The workflow file; empty for none.
    pub workflow: &'a str,
    /// The template of the tasks' info.
    pub template: &'a str,
    /// The first time, UTC.
    pub from: DateTime<Utc>,
    /// The last time; earlier than the first for backwards.
    pub to: DateTime<Utc>,
    /// The steps.
    pub by: BatchStep,
    /// The rows; none when there is neither a list nor a file.
    pub rows: Option<&'a [MetaRow]>,
    /// The lane of the tasks.
    pub lane: TaskLane,
    /// At most this many times.
    pub limit: usize,
}

/// A batch without a bound of its own stops here.
pub const MAX_TIMES: usize = 100_000;

impl TaskBatch<'_> {
    /// How many tasks it makes: each time with each row.
    pub fn count_tasks(&self) -> usize {
        let rows = self.rows.unwrap_or_default().len();
        // A file without rows means that there is nothing to do, but for a range that counts by itself.
        if rows == 0 && self.rows.is_some() && self.from == self.to {
            return 0;
        }
        count(self.from, self.to, self.by).min(self.limit).saturating_mul(rows.max(1))
    }

    /// The task number `n`, in the order in which they start, without making the others; none where its time is
    /// out of all bounds.
    pub fn nth_task(&self, n: usize, now: DateTime<Utc>, host: &str, ids: &mut dyn IdSource) -> Option<NewTask> {
        Some(self.build_task(self.nth_time(n)?, self.nth_row(n), now, host, ids))
    }

    /// The time of the task number `n`.
    pub fn nth_time(&self, n: usize) -> Option<DateTime<Utc>> {
        let column = i32::try_from(n / self.rows.map_or(1, <[MetaRow]>::len).max(1)).ok()?;
        nth_time(self.from, self.to, self.by, column)
    }

    /// The row of the task number `n`: the last one first when the times go backwards.
    pub fn nth_row(&self, n: usize) -> Option<&MetaRow> {
        let rows = self.rows.filter(|rows| !rows.is_empty())?;
        let at = n % rows.len();
        // Backwards in all: the last row of the last time comes first.
        rows.get(if self.to < self.from { rows.len() - 1 - at } else { at })
    }

    /// The tasks, each of a chain of its own.
    pub fn all_tasks(&self, now: DateTime<Utc>, host: &str, ids: &mut dyn IdSource) -> Vec<NewTask> {
        // A time out of all bounds makes no task.
        (0..self.count_tasks()).filter_map(|n| self.nth_task(n, now, host, ids)).collect()
    }

    fn build_task(
        &self,
        time: DateTime<Utc>,
        row: Option<&MetaRow>,
        now: DateTime<Utc>,
        host: &str,
        ids: &mut dyn IdSource,
    ) -> NewTask {
        let mut meta = Query::default();
        meta.push_pair("cron", cron_text(time));
        for (key, value) in [("job", self.job), ("workflow", self.workflow)] {
            if !value.is_empty() {
                meta.push_pair(key, value);
            }
        }
        let mut info = render_template_utc(self.template, Some(time), host, ids);
        if let Some(row) = row {
            info = expand_row(&info, row, &mut meta);
        }
        NewTask {
            info,
            meta: meta.sorted().to_text(),
            lane: self.lane,
            ..NewTask::of_new_chain((self.topic, self.job), self.workflow, now, ids)
        }
    }
}

/// Fills a row's values in; the row's keys and those that the template names go into the meta.
fn expand_row(info: &str, row: &MetaRow, meta: &mut Query) -> String {
    let (info, keys) = expand_meta(info, |key| row.value_of(key).map(str::to_owned));
    for key in keys {
        meta.set_value(&key, row.value_of(&key).unwrap_or_default());
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
            times_of_range(at(from), at(to), BatchStep::Month, 99)
                .iter()
                .map(|t| t.format("%m-%d").to_string())
                .collect()
        };
        let year = days("2021-01-31T00:00:00Z", "2021-05-31T00:00:00Z");
        assert_eq!(year, ["01-31", "02-28", "03-31", "04-30", "05-31"]);
        let back = days("2021-05-31T00:00:00Z", "2021-01-31T00:00:00Z");
        assert_eq!(back, ["05-31", "04-30", "03-31", "02-28", "01-31"]);
    }

    #[test]
    fn an_hour_begins_at_its_start_in_every_year() {
        for (time, hour) in [
            ("2026-03-02T12:59:59.999999999Z", "2026-03-02T12:00:00Z"),
            ("2026-03-02T12:00:00Z", "2026-03-02T12:00:00Z"),
            ("1969-12-31T23:30:00Z", "1969-12-31T23:00:00Z"),
            // Their nanoseconds don't fit into 64 bits.
            ("1600-01-01T05:30:00.5Z", "1600-01-01T05:00:00Z"),
            ("2300-01-01T05:30:00.5Z", "2300-01-01T05:00:00Z"),
        ] {
            assert_eq!(cut_to_hour(at(time)), at(hour), "{time}");
        }
    }

    #[test]
    fn a_range_is_bounded() {
        let (from, to) = (at("1970-01-01T00:00:00Z"), at("9999-01-01T00:00:00Z"));
        assert_eq!(times_of_range(from, to, BatchStep::Hour, 7).len(), 7);
    }

    proptest! {
        #[test]
        fn a_range_begins_at_its_start_and_stays_inside(
            from in 0_i64..4_000_000_000, length in -9_000_000_i64..9_000_000, by in 0..4,
        ) {
            let by = [BatchStep::Hour, BatchStep::Day, BatchStep::Week, BatchStep::Month][usize::try_from(by).unwrap()];
            let from = DateTime::from_timestamp(from, 0).unwrap();
            let to = from + TimeDelta::seconds(length);
            let times = times_of_range(from, to, by, 10_000);
            prop_assert_eq!(times[0], from);
            let inside = |t: &DateTime<Utc>| *t >= from.min(to) && *t <= from.max(to);
            prop_assert!(times.iter().all(inside));
            prop_assert_eq!(times.len(), count(from, to, by));
        }

        #[test]
        fn each_time_goes_with_each_row(
            hours in -50_i64..50, rows in prop::option::of(0..4_usize), by in 0..4_usize,
        ) {
            let rows: Option<Vec<MetaRow>> = rows.map(|rows| {
                (0..rows).map(|n| MetaRow([("k".to_owned(), n.to_string())].into())).collect()
            });
            let from = at("2024-01-31T05:00:00Z");
            let batch = TaskBatch {
                topic: "t", job: "", workflow: "w", template: "{dd}T{hh} {meta:k}", from,
                to: from + TimeDelta::hours(hours), by: [BatchStep::Hour, BatchStep::Day, BatchStep::Week, BatchStep::Month][by],
                rows: rows.as_deref(), lane: TaskLane::Live, limit: 20,
            };
            let texts = match batch.rows.map(<[MetaRow]>::len) {
                Some(0) if hours == 0 => vec![],
                None | Some(0) => vec!["{meta:k}".to_owned()],
                Some(rows) if hours < 0 => (0..rows).rev().map(|n| n.to_string()).collect(),
                Some(rows) => (0..rows).map(|n| n.to_string()).collect(),
            };
            let times = times_of_range(batch.from, batch.to, batch.by, 20);
            let expected: Vec<String> = times.iter()
                .flat_map(|time| texts.iter().map(|text| format!("{} {text}", time.format("%dT%H"))))
                .collect();
            let got = batch.all_tasks(from, "h", &mut FixedIds::default());
            prop_assert_eq!(got.into_iter().map(|task| task.info).collect::<Vec<_>>(), expected);
        }
    }
}
