//! Totals, from the rollups.

use chrono::NaiveTime;
use flowlord_domain::Uid;
use flowlord_messages::read::{Counts, DayStats, Stats, StatsRow};
use rusqlite::{Connection, Row};

use crate::reader::Query;
use crate::write::rollup::hour;

impl Query for DayStats {
    type Answer = Stats;

    fn read(&self, connection: &Connection) -> rusqlite::Result<Stats> {
        let first = hour(Uid::at(self.day.and_time(NaiveTime::MIN).and_utc()));
        let mut statement = connection.prepare_cached(
            "SELECT hour - ?1, topic, job, total, complete, error, alert, warn, run_millis
             FROM rollup JOIN queue ON queue.id = rollup.queue
             WHERE hour >= ?1 AND hour < ?1 + 24 ORDER BY hour, topic, job",
        )?;
        let rows = statement.query_map([first], stats_row)?.collect::<rusqlite::Result<_>>()?;
        Ok(Stats { rows })
    }
}

fn stats_row(row: &Row<'_>) -> rusqlite::Result<StatsRow> {
    let count = |index| row.get::<_, i64>(index).map(|value| value.max(0).unsigned_abs());
    Ok(StatsRow {
        hour: row.get(0)?,
        topic: row.get(1)?,
        job: row.get(2)?,
        counts: Counts {
            total: count(3)?,
            complete: count(4)?,
            error: count(5)?,
            alert: count(6)?,
            warn: count(7)?,
        },
        run_millis: count(8)?,
    })
}
