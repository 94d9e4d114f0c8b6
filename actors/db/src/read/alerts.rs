//! Alerts and ladders.

use flowlord_domain::{Attempt, Uid};
use flowlord_messages::read::{LadderInput, ListAlerts, ReadLadder, StoredAlert};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use crate::column::{self, micros, time};
use crate::reader::Query;
use crate::row::{ATTEMPT_COLUMNS, attempt};

/// How many untold alerts one look takes; the rest is told by the next.
const UNTOLD_AT_ONCE: usize = 10_000;

/// How many unfinished tasks one look takes.
const UNFINISHED_AT_ONCE: usize = 1_000;

macro_rules! ALERT_COLUMNS {
    () => {
        "SELECT alert.id, kind, at, alert.uid, chain, topic, job, name.text, msg, task_time, at_once
         FROM alert JOIN queue ON queue.id = alert.queue LEFT JOIN name ON name.id = alert.workflow"
    };
}

fn stored_alert(row: &Row<'_>) -> rusqlite::Result<StoredAlert> {
    Ok(StoredAlert {
        row: row.get(0)?,
        kind: column::kind_of(row.get(1)?),
        at: time(row.get(2)?),
        uid: row.get::<_, Option<i64>>(3)?.map(Uid),
        id: row.get(4)?,
        topic: row.get(5)?,
        job: row.get(6)?,
        workflow: row.get::<_, Option<String>>(7)?.unwrap_or_default(),
        msg: row.get(8)?,
        task_time: row.get::<_, Option<i64>>(9)?.map(time),
        at_once: row.get(10)?,
    })
}

impl Query for ListAlerts {
    type Answer = Vec<StoredAlert>;

    fn read(&self, connection: &Connection) -> rusqlite::Result<Self::Answer> {
        let sql = concat!(
            ALERT_COLUMNS!(),
            " WHERE at >= ?1 AND at < ?2 AND alert.id < ?3 ORDER BY alert.id DESC LIMIT ?4"
        );
        let after = self.after.unwrap_or(i64::MAX);
        connection
            .prepare_cached(sql)?
            .query_map(params![micros(self.from), micros(self.to), after, self.limit], stored_alert)?
            .collect()
    }
}

impl Query for ReadLadder {
    type Answer = LadderInput;

    fn read(&self, connection: &Connection) -> rusqlite::Result<LadderInput> {
        let ladder: Option<(String, i64, i64)> = connection
            .prepare_cached("SELECT state, told_until, unfinished_until FROM ladder WHERE route = ?1")?
            .query_row([&self.route], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .optional()?;
        let (state, told_until, unfinished_until) = match ladder {
            Some((state, told_until, unfinished_until)) => (Some(state), told_until, unfinished_until),
            None => (None, 0, 0),
        };
        let untold = untold(connection, told_until)?;
        let newest = untold.last().map_or(told_until, |alert| alert.row);
        let unfinished = unfinished(connection, unfinished_until, micros(self.unfinished_before))?;
        let more_unfinished = unfinished.len() == UNFINISHED_AT_ONCE;
        Ok(LadderInput { state, untold, newest, unfinished, more_unfinished })
    }
}

fn untold(connection: &Connection, told_until: i64) -> rusqlite::Result<Vec<StoredAlert>> {
    let sql = concat!(ALERT_COLUMNS!(), " WHERE alert.id > ?1 AND told = 0 ORDER BY alert.id LIMIT ?2");
    connection.prepare_cached(sql)?.query_map(params![told_until, UNTOLD_AT_ONCE], stored_alert)?.collect()
}

/// Each task is looked at once, as it passes the age: a range of ids, whatever the history holds.
fn unfinished(connection: &Connection, after: i64, until: i64) -> rusqlite::Result<Vec<Attempt>> {
    let sql = concat!(
        ATTEMPT_COLUMNS!(),
        " WHERE task.uid > ?1 AND task.uid <= ?2 AND state <> 3 ORDER BY task.uid LIMIT ?3"
    );
    connection.prepare_cached(sql)?.query_map(params![after, until, UNFINISHED_AT_ONCE], attempt)?.collect()
}
