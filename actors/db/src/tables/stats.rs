//! Totals by hour, what the days of a calendar have, and how much there is to do.

use std::ops::Range;

use chrono::{Days, NaiveDate, NaiveTime, TimeDelta};
use flowlord_messages::stats::{
    DayMarks, DayTotals, HourTotals, MAX_HOURS, QueueBacklog, QueueLoad, ReadBacklog, ReadDayMarks, ReadDaySteps,
    ReadDayTotals, ReadHourCounts, ResultCounts, StepTotals,
};

use crate::tables::prelude::*;
use crate::writer::totals::hour_of;

impl ReadQuery for ReadDayTotals {
    fn read_from(&self, connection: &Connection) -> rusqlite::Result<DayTotals> {
        let first = hour_of(Uid::at(start_of(self.day)));
        let rows = connection.read_rows(
            "SELECT hour - ?1, topic, job, total, complete, error, alert, warn, run_millis
             FROM rollup JOIN queue ON queue.id = rollup.queue
             WHERE hour >= ?1 AND hour < ?1 + 24 ORDER BY hour, topic, job",
            [first],
            read_stats_row,
        )?;
        Ok(DayTotals { rows })
    }
}

fn read_stats_row(row: &Row<'_>) -> rusqlite::Result<HourTotals> {
    Ok(HourTotals {
        hour: row.get(0)?,
        topic: row.get(1)?,
        job: row.get(2)?,
        counts: read_counts(row, 3)?,
        run_millis: row.count(8)?,
    })
}

/// By the primary key, no further than one task past the bound: then the steps are none of the whole day.
const DAY_STEPS: &str =
    "SELECT step, topic, job, count(*), sum(result IS 0), sum(result IS 1), sum(result IS 3), sum(result IS 2)
     FROM (SELECT (uid - ?1) / ?3 AS step, queue, result FROM task WHERE uid >= ?1 AND uid < ?2 ORDER BY uid LIMIT ?4)
     JOIN queue ON queue.id = queue GROUP BY step, queue ORDER BY step, topic, job";

impl ReadQuery for ReadDaySteps {
    fn read_from(&self, connection: &Connection) -> rusqlite::Result<Self::Answer> {
        let from = start_of(self.day);
        let to = start_of(self.day.checked_add_days(Days::new(1)).unwrap_or(self.day));
        let step = i64::from(Self::MINUTES) * 60_000_000;
        let values = params![micros(from), micros(to), step, Self::MAX_TASKS + 1];
        let rows = connection.read_rows(DAY_STEPS, values, |row| {
            let (step, topic, job) = (row.get(0)?, row.get(1)?, row.get(2)?);
            Ok(StepTotals { step, topic, job, counts: read_counts(row, 3)? })
        })?;
        let tasks: u64 = rows.iter().map(|row| row.counts.total).sum();
        Ok((tasks <= Self::MAX_TASKS as u64).then_some(rows))
    }
}

/// The columns total, complete, error, alert, warn from the one with this number on.
fn read_counts(row: &Row<'_>, first: usize) -> rusqlite::Result<ResultCounts> {
    Ok(ResultCounts {
        total: row.count(first)?,
        complete: row.count(first + 1)?,
        error: row.count(first + 2)?,
        alert: row.count(first + 3)?,
        warn: row.count(first + 4)?,
    })
}

impl ReadQuery for ReadHourCounts {
    fn read_from(&self, connection: &Connection) -> rusqlite::Result<Self::Answer> {
        // The bound is on all look-ups together: more topics get fewer hours each.
        let most = i64::try_from(MAX_HOURS / self.queues.len().max(1)).unwrap_or(i64::MAX).max(1);
        let to = hour_of(Uid::at(self.to - TimeDelta::microseconds(1)));
        let from = hour_of(Uid::at(self.from)).max(to - most + 1);
        let hours_of = self.queues.iter().map(|(topic, job)| match find_queue(connection, topic, job)? {
            Some(queue) => read_hours(connection, queue, from..to + 1, self.newest),
            None => Ok(Vec::new()),
        });
        hours_of.collect()
    }
}

fn read_hours(
    connection: &Connection,
    queue: i64,
    range: Range<i64>,
    only_newest: bool,
) -> rusqlite::Result<Vec<(DateTime<Utc>, ResultCounts)>> {
    let counts_of = "SELECT total, complete, error, alert, warn FROM rollup WHERE hour = ?1 AND queue = ?2";
    let mut found = Vec::new();
    // Each is looked up: the totals are ordered by hour, with all topics in between.
    for hour in range.rev() {
        let counts = connection.find_row(counts_of, [hour, queue], |row| read_counts(row, 0))?;
        found.extend(counts.map(|counts| (DateTime::UNIX_EPOCH + TimeDelta::hours(hour), counts)));
        if only_newest && !found.is_empty() {
            break;
        }
    }
    Ok(found)
}

impl ReadQuery for ReadDayMarks {
    fn read_from(&self, connection: &Connection) -> rusqlite::Result<Self::Answer> {
        // One look into each index a day: as fast for a day of a million tasks as for one of one.
        let days = self.from.iter_days().take_while(|day| *day < self.to).take(ReadDayMarks::MOST);
        let marks = days.map(|day| {
            let (from, to) = (start_of(day), start_of(day.checked_add_days(Days::new(1)).unwrap_or(day)));
            let hours = [hour_of(Uid::at(from)), hour_of(Uid::at(to))];
            let times = [micros(from), micros(to)];
            Ok(DayMarks {
                day,
                tasks: connection.has_row("SELECT 1 FROM rollup WHERE hour >= ?1 AND hour < ?2 LIMIT 1", hours)?,
                alerts: connection.has_row("SELECT 1 FROM alert WHERE at >= ?1 AND at < ?2 LIMIT 1", times)?,
                files: connection.has_row("SELECT 1 FROM file_event WHERE at >= ?1 AND at < ?2 LIMIT 1", times)?,
            })
        });
        marks.collect()
    }
}

fn start_of(day: NaiveDate) -> DateTime<Utc> {
    day.and_time(NaiveTime::MIN).and_utc()
}

/// What each queue has to do, read from the indexes of those without a result.
const BACKLOG: &str = "SELECT topic, job, sum(ready), min(since), sum(delayed), sum(leased) FROM
     (SELECT queue, count(*) AS ready, min(due) AS since, 0 AS delayed, 0 AS leased
          FROM task INDEXED BY task_ready WHERE state = 0 GROUP BY queue
      UNION ALL SELECT queue, 0, NULL, count(*), 0 FROM task INDEXED BY task_delayed WHERE state = 1 GROUP BY queue
      UNION ALL SELECT queue, 0, NULL, 0, count(*) FROM task INDEXED BY task_leased WHERE state = 2 GROUP BY queue)
     JOIN queue ON queue.id = queue GROUP BY topic, job ORDER BY topic, job";

impl ReadQuery for ReadBacklog {
    fn read_from(&self, connection: &Connection) -> rusqlite::Result<QueueBacklog> {
        let unsent = "SELECT count(*) FROM outbox INDEXED BY outbox_route WHERE sent IS NULL";
        Ok(QueueBacklog {
            queues: connection.read_rows(BACKLOG, [], read_queue_load)?,
            messages: connection.read_row(unsent, [], |row| row.count(0))?,
        })
    }
}

fn read_queue_load(row: &Row<'_>) -> rusqlite::Result<QueueLoad> {
    Ok(QueueLoad {
        topic: row.get(0)?,
        job: row.get(1)?,
        ready: row.count(2)?,
        oldest_ready: row.optional_time(3)?,
        delayed: row.count(4)?,
        leased: row.count(5)?,
    })
}
