//! Totals kept at write time, gathered over a transaction: one row a queue and hour is written once.

use std::collections::HashMap;

use flowlord_domain::{TaskResult, Uid};
use rusqlite::{Connection, params};

const HOUR_MICROS: i64 = 3_600_000_000;

#[derive(Debug, Default, Clone, Copy)]
struct HourDelta {
    total: i64,
    ended: [i64; 4],
    run_millis: i64,
}

fn column_of(result: TaskResult) -> usize {
    TaskResult::ALL.iter().position(|known| *known == result).unwrap_or(0)
}

#[derive(Debug, Default)]
pub(crate) struct HourlyTotals(HashMap<(i64, i64), HourDelta>);

/// The hour of creation, in hours since 1970.
pub(crate) fn hour_of(uid: Uid) -> i64 {
    uid.0.div_euclid(HOUR_MICROS)
}

impl HourlyTotals {
    pub(crate) fn add_created(&mut self, uid: Uid, queue: i64) {
        self.delta_of(uid, queue).total += 1;
    }

    pub(crate) fn add_ended(&mut self, uid: Uid, queue: i64, result: TaskResult, run_millis: i64) {
        let delta = self.delta_of(uid, queue);
        delta.ended[column_of(result)] += 1;
        delta.run_millis += run_millis;
    }

    /// Counts an attempt under another result than before.
    pub(crate) fn change_result(&mut self, uid: Uid, queue: i64, before: TaskResult, result: TaskResult) {
        let ended = &mut self.delta_of(uid, queue).ended;
        ended[column_of(before)] -= 1;
        ended[column_of(result)] += 1;
    }

    pub(crate) fn add_totals(&mut self, other: Self) {
        for (key, other) in other.0 {
            let delta = self.0.entry(key).or_default();
            delta.total += other.total;
            delta.run_millis += other.run_millis;
            for (mine, others) in delta.ended.iter_mut().zip(other.ended) {
                *mine += others;
            }
        }
    }

    pub(crate) fn write_to(self, connection: &Connection) -> rusqlite::Result<()> {
        let mut upsert = connection.prepare_cached(
            "INSERT INTO rollup (hour, queue, total, complete, error, alert, warn, run_millis)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
             ON CONFLICT DO UPDATE SET total = total + ?3, complete = complete + ?4, error = error + ?5,
                 alert = alert + ?6, warn = warn + ?7, run_millis = run_millis + ?8",
        )?;
        for ((hour, queue), delta) in self.0 {
            let [complete, error, alert, warn] = delta.ended;
            let row = params![hour, queue, delta.total, complete, error, alert, warn, delta.run_millis];
            upsert.execute(row)?;
        }
        Ok(())
    }

    fn delta_of(&mut self, uid: Uid, queue: i64) -> &mut HourDelta {
        self.0.entry((hour_of(uid), queue)).or_default()
    }
}
