//! What should be finished by now, and what slots led to.

use chrono::{DateTime, Utc};
use flowlord_domain::Attempt;
use flowlord_messages::watch::{ReadSlotTasks, ReadWatch, SlotTasks, WatchInput};
use flowlord_messages::write::SlotKey;
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::column::{micros, time};
use crate::reader::Query;
use crate::row::{ATTEMPT_COLUMNS, attempt};

/// How many unfinished tasks one look takes.
const UNFINISHED_AT_ONCE: usize = 1_000;

/// How many tasks at work one look takes, those first that are so for longest.
const RUNNING_AT_ONCE: usize = 1_000;

/// How many tasks of a slot are looked at: of a larger batch the first ones.
const TASKS_OF_A_SLOT: usize = 1_000;

/// The tasks of a slot have ids that follow each other, but for those of others in between: within ten seconds.
const NEAR: i64 = 10_000_000;

impl Query for ReadWatch {
    type Answer = WatchInput;

    fn read(&self, connection: &Connection) -> rusqlite::Result<WatchInput> {
        let stored: Option<(i64, i64)> = connection
            .prepare_cached("SELECT looked_until, unfinished_until FROM watch WHERE id = 1")?
            .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let (looked_until, unfinished_until) = stored.unwrap_or_default();
        let unfinished = unfinished(connection, unfinished_until, self.unfinished_before)?;
        let more_unfinished = unfinished.len() == UNFINISHED_AT_ONCE;
        let looked_until = (looked_until > 0).then(|| time(looked_until));
        let running = match self.running_since {
            Some(since) => running(connection, since)?,
            None => Vec::new(),
        };
        Ok(WatchInput { looked_until, unfinished, more_unfinished, running })
    }
}

/// Each task is looked at once, as it passes the age: a range of ids, whatever the history holds.
fn unfinished(connection: &Connection, after: i64, until: DateTime<Utc>) -> rusqlite::Result<Vec<Attempt>> {
    let sql = concat!(
        ATTEMPT_COLUMNS!(),
        " WHERE task.uid > ?1 AND task.uid <= ?2 AND state <> 3 ORDER BY task.uid LIMIT ?3"
    );
    connection
        .prepare_cached(sql)?
        .query_map(params![after, micros(until), UNFINISHED_AT_ONCE], attempt)?
        .collect()
}

/// Of the tasks that workers have, which there are only so many of.
fn running(connection: &Connection, since: DateTime<Utc>) -> rusqlite::Result<Vec<Attempt>> {
    let sql = concat!(ATTEMPT_COLUMNS!(), " WHERE state = 2 AND started <= ?1 ORDER BY started LIMIT ?2");
    connection.prepare_cached(sql)?.query_map(params![micros(since), RUNNING_AT_ONCE], attempt)?.collect()
}

impl Query for ReadSlotTasks {
    type Answer = Vec<SlotTasks>;

    fn read(&self, connection: &Connection) -> rusqlite::Result<Self::Answer> {
        self.slots.iter().map(|(slot, cron)| slot_tasks(connection, slot, cron)).collect()
    }
}

fn slot_tasks(connection: &Connection, slot: &SlotKey, cron: &str) -> rusqlite::Result<SlotTasks> {
    let since: Option<i64> = connection
        .prepare_cached(
            "SELECT since FROM cron JOIN phase ON phase.id = cron.phase
             WHERE workflow = ?1 AND task = ?2 AND text = ?3",
        )?
        .query_row(params![slot.workflow, slot.task, cron], |row| row.get(0))
        .optional()?;
    let started: Option<(i64, usize)> = connection
        .prepare_cached(
            "SELECT started, coalesce(tasks, 1) FROM slot JOIN phase ON phase.id = slot.phase
             WHERE workflow = ?1 AND task = ?2 AND at = ?3 AND started IS NOT NULL",
        )?
        .query_row(params![slot.workflow, slot.task, micros(slot.at)], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let chains = match started {
        Some(started) => chains(connection, &slot.task, started)?,
        None => Some(Vec::new()),
    };
    Ok(SlotTasks { since: since.map(time), chains })
}

/// The chains of the tasks that were stored together from one on; none where that one is gone.
fn chains(
    connection: &Connection,
    task: &str,
    (first, count): (i64, usize),
) -> rusqlite::Result<Option<Vec<Vec<Attempt>>>> {
    let (topic, job) = task.split_once(':').unwrap_or((task, ""));
    let roots = connection
        .prepare_cached(
            "SELECT uid, chain FROM task WHERE uid BETWEEN ?1 AND ?1 + ?5 AND retry = 0
                 AND queue = (SELECT id FROM queue WHERE topic = ?2 AND job = ?3)
             ORDER BY uid LIMIT ?4",
        )?
        .query_map(params![first, topic, job, count.min(TASKS_OF_A_SLOT), NEAR], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?
        .collect::<rusqlite::Result<Vec<(i64, String)>>>()?;
    if roots.first().is_none_or(|(uid, _)| *uid != first) {
        return Ok(None);
    }
    let mut of_chain =
        connection.prepare_cached(concat!(ATTEMPT_COLUMNS!(), " WHERE chain = ?1 ORDER BY task.uid"))?;
    let chain = |(_, id): &(i64, String)| of_chain.query_map([id], attempt)?.collect();
    roots.iter().map(chain).collect::<rusqlite::Result<_>>().map(Some)
}
