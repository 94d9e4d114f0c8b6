//! `GET /recap`: how the tasks of a day ended.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, Utc};
use flowlord_domain::query::Query;
use flowlord_domain::{Attempt, TaskResult, dates, duration, task_time};
use flowlord_messages::stats::DayTotals;
use serde::{Serialize, Serializer};

use super::compact;

// The reference system's averages are of hundredths of a second.
const PRECISION: i64 = 10_000_000;

/// A day by task and job. Counts come from the day's totals, times from the attempts that ended.
#[derive(Debug, Default)]
pub struct DayRecap {
    groups: BTreeMap<String, RecapGroup>,
}

/// The tasks of a name.
#[derive(Debug, Default)]
struct RecapGroup {
    complete: EndedTasks,
    error: EndedTasks,
    runs: RunTimes,
}

/// How many ended one way, and the times that they are about.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
struct EndedTasks {
    count: u64,
    // A set, since a time that comes twice is told once: it stays small however many tasks a day has.
    #[serde(serialize_with = "as_ranges")]
    times: BTreeSet<DateTime<Utc>>,
}

fn as_ranges<S: Serializer>(times: &BTreeSet<DateTime<Utc>>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&dates::print_dates(times.iter().copied()))
}

#[derive(Debug, Default)]
struct RunTimes {
    min: TimeDelta,
    max: TimeDelta,
    sum: i64,
    count: i64,
}

/// `topic:job`, without the colons at its end.
pub fn key(topic: &str, job: &str) -> String {
    format!("{topic}:{job}").trim_end_matches(':').to_owned()
}

impl DayRecap {
    /// A day of these totals.
    pub fn new(stats: &DayTotals) -> Self {
        let mut groups: BTreeMap<String, RecapGroup> = BTreeMap::new();
        for row in &stats.rows {
            let group = groups.entry(key(&row.topic, &row.job)).or_default();
            group.complete.count += row.counts.complete;
            group.error.count += row.counts.error;
        }
        // A name without results stays: the reference system tells of it with zeros.
        Self { groups }
    }

    /// Adds what an attempt of that day says beyond its being counted.
    pub fn add(&mut self, attempt: &Attempt) {
        let group = self.groups.entry(key(&attempt.topic, &attempt.job)).or_default();
        let time = task_time::task_time(&attempt.info, &Query::parse_lenient(&attempt.meta)).unwrap_or(no_time());
        match attempt.result {
            Some(TaskResult::Complete) => {
                group.complete.times.insert(time);
                if let Some((started, ended)) = attempt.started.zip(attempt.ended) {
                    group.runs.add(ended - started);
                }
            }
            Some(TaskResult::Error) => {
                group.error.times.insert(time);
            }
            _ => {}
        }
    }

    pub fn json(&self) -> String {
        #[derive(Serialize)]
        struct GroupJson<'a> {
            min: String,
            max: String,
            avg: String,
            complete: &'a EndedTasks,
            error: &'a EndedTasks,
        }
        let groups = self.groups.iter().map(|(key, RecapGroup { complete, error, runs })| {
            let [min, max, avg] = [runs.min, runs.max, runs.average()].map(duration::print_duration);
            (key, GroupJson { min, max, avg, complete, error })
        });
        compact(&groups.collect::<BTreeMap<_, _>>())
    }

    /// As text, by name.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for (key, RecapGroup { complete, error, runs }) in &self.groups {
            let [min, max, avg] = [runs.min, runs.max, runs.average()].map(duration::print_go_duration);
            let _ = write!(text, "{key}\n\tmin: {min} max: {max} avg: {avg}");
            for (label, ended) in [("Complete", complete), ("Error", error)] {
                if ended.count > 0 {
                    let times = dates::print_dates(ended.times.iter().copied());
                    let _ = write!(text, "\n\t{label}: {} {times}", ended.count);
                }
            }
            text.push('\n');
        }
        text
    }
}

impl RunTimes {
    fn add(&mut self, ran: TimeDelta) {
        (self.min, self.max) = match self.count {
            0 => (ran, ran),
            _ => (self.min.min(ran), self.max.max(ran)),
        };
        // Workers say when they began and ended, so a run time may be beyond all measure.
        let nanos = ran.num_nanoseconds().unwrap_or(i64::MAX);
        self.sum = self.sum.saturating_add(nanos / PRECISION);
        self.count += 1;
    }

    fn average(&self) -> TimeDelta {
        let average = self.sum.checked_div(self.count).unwrap_or(0);
        TimeDelta::nanoseconds(average.saturating_mul(PRECISION))
    }
}

fn no_time() -> DateTime<Utc> {
    // Go's zero time: the reference system tells it of tasks that are about no time.
    let day = NaiveDate::from_ymd_opt(1, 1, 1).unwrap_or_default();
    day.and_time(NaiveTime::MIN).and_utc()
}

#[cfg(test)]
mod tests {
    use flowlord_messages::stats::{HourTotals, ResultCounts};
    use flowlord_testkit::sample::finished;

    use super::*;

    fn recap() -> DayRecap {
        let row = |hour, topic: &str, counts| HourTotals {
            hour,
            topic: topic.to_owned(),
            job: String::new(),
            counts,
            run_millis: 0,
        };
        let counts = |complete, error| ResultCounts { total: 9, complete, error, alert: 0, warn: 0 };
        let rows = vec![row(1, "load", counts(2, 0)), row(3, "load", counts(1, 1)), row(3, "idle", counts(0, 0))];
        let mut recap = DayRecap::new(&DayTotals { rows });
        for (n, result, seconds) in
            [(1, TaskResult::Complete, 3), (2, TaskResult::Complete, 5), (3, TaskResult::Error, 9)]
        {
            let mut task = finished(n);
            task.job.clear();
            task.result = Some(result);
            task.ended = task.started.map(|started| started + TimeDelta::seconds(seconds));
            recap.add(&task);
        }
        recap
    }

    #[test]
    fn totals_of_hours_add_up_and_names_without_results_are_there() {
        insta::assert_snapshot!(recap().json(), @r#"{"idle":{"min":"0s","max":"0s","avg":"0s","complete":{"Count":0,"Times":""},"error":{"Count":0,"Times":""}},"load":{"min":"3s","max":"5s","avg":"4s","complete":{"Count":3,"Times":"2026/03/02T00"},"error":{"Count":1,"Times":"2026/03/02T00"}}}"#);
    }

    #[test]
    fn the_text_leaves_out_what_did_not_happen() {
        let idle = "idle\n\tmin: 0s max: 0s avg: 0s\n";
        let load = "load\n\tmin: 3s max: 5s avg: 4s\n\tComplete: 3 2026/03/02T00\n\tError: 1 2026/03/02T00\n";
        assert_eq!(recap().text(), format!("{idle}{load}"));
    }

    #[test]
    fn run_times_beyond_all_measure_end_at_the_largest() {
        let mut runs = RunTimes::default();
        runs.add(TimeDelta::MAX);
        runs.add(TimeDelta::MAX);
        assert_eq!(runs.average(), TimeDelta::nanoseconds(i64::MAX / PRECISION * PRECISION));
    }
}
