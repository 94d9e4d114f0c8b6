//! What should be finished by now, and what slots led to.

use chrono::{DateTime, Utc};
use flowlord_domain::Attempt;
use flowlord_domain::overdue::Pause;
use flowlord_domain::workflow::TaskName;
use flowlord_messages::watch::{ReadSlotTasks, ReadWatch, SlotTasks, WatchInput};
use flowlord_messages::write::SlotKey;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use crate::column::{HELD, micros, time};
use crate::reader::Query;
use crate::row::{ATTEMPT_COLUMNS, attempt};

/// How many unfinished tasks one look takes.
const UNFINISHED_AT_ONCE: usize = 1_000;

/// A look that goes further back than this, in microseconds, finds them by their states: one day's tasks may be many
/// more than those that are unfinished.
const FAR: i64 = 3_600_000_000;

/// How many pauses one look takes, those first that ended last.
const PAUSES_AT_ONCE: usize = 1_000;

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
        let (looked_until, after) = stored.unwrap_or_default();
        let before = micros(self.unfinished_before);
        let mut unfinished = unfinished(connection, after, before)?;
        let last = unfinished.last().filter(|_| unfinished.len() == UNFINISHED_AT_ONCE);
        let until = last.map_or(before, |last| last.uid.0);
        let (kept, until) = let_go(connection, after, until)?;
        unfinished.extend(kept);
        let looked_until = (looked_until > 0).then(|| time(looked_until));
        let running = match self.running_since {
            Some(since) => running(connection, since)?,
            None => Vec::new(),
        };
        let pauses = pauses(connection, micros(self.paused_after))?;
        Ok(WatchInput { looked_until, unfinished, unfinished_until: time(until), running, pauses })
    }
}

/// Each task is looked at once, as it passes the age: a range of ids, whatever the history holds. What a pause keeps
/// doesn't age.
const UNFINISHED: &str = concat!(
    ATTEMPT_COLUMNS!(),
    " WHERE task.uid > ?1 AND task.uid <= ?2 AND state <> 3 AND NOT (state = 1 AND due = ?4)
     ORDER BY task.uid LIMIT ?3"
);

/// The same where the range is a large part of the history, as at the first look of all.
const UNFINISHED_BY_STATE: &str = concat!(
    ATTEMPT_COLUMNS!(),
    " WHERE task.uid IN (
         SELECT uid FROM task INDEXED BY task_ready WHERE state = 0 AND uid > ?1 AND uid <= ?2
         UNION ALL SELECT uid FROM task INDEXED BY task_delayed
             WHERE state = 1 AND due < ?4 AND uid > ?1 AND uid <= ?2
         UNION ALL SELECT uid FROM task INDEXED BY task_leased WHERE state = 2 AND uid > ?1 AND uid <= ?2
         ORDER BY 1 LIMIT ?3)
     ORDER BY task.uid"
);

fn unfinished(connection: &Connection, after: i64, until: i64) -> rusqlite::Result<Vec<Attempt>> {
    let sql = if until.saturating_sub(after) > FAR { UNFINISHED_BY_STATE } else { UNFINISHED };
    connection
        .prepare_cached(sql)?
        .query_map(params![after, until, UNFINISHED_AT_ONCE, HELD], attempt)?
        .collect()
}

/// Pauses that ended in a range of time, first those that ended first.
const ENDED: &str = "SELECT workflow, task, since, until FROM pause_ended
     WHERE until > ?1 AND until <= ?2 ORDER BY until LIMIT ?3";

/// What a pause kept and is unfinished; without those that were told, so that the next look finds the rest.
const KEPT: &str = concat!(
    ATTEMPT_COLUMNS!(),
    " WHERE task.queue = (SELECT id FROM queue WHERE topic = ?1 AND job = ?2)
         AND task.uid >= ?4 AND task.uid < ?5 AND state <> 3 AND retry = 0
         AND task.workflow = (SELECT id FROM name WHERE text = ?3)
         AND NOT EXISTS (SELECT 1 FROM breach WHERE key = 'unfinished/' || printf('%014x', task.uid))
     ORDER BY task.uid LIMIT ?6"
);

/// What pauses kept that ended in a range of time is as old as their end. Answers how far this goes, too.
fn let_go(connection: &Connection, after: i64, until: i64) -> rusqlite::Result<(Vec<Attempt>, i64)> {
    let mut kept = Vec::new();
    let ended: Vec<Pause> = connection
        .prepare_cached(ENDED)?
        .query_map(params![after, until, PAUSES_AT_ONCE], pause)?
        .collect::<rusqlite::Result<_>>()?;
    let mut statement = connection.prepare_cached(KEPT)?;
    for Pause { workflow, task, since, until } in &ended {
        let (TaskName { topic, job }, end) = (TaskName::parse(task), until.map_or(0, micros));
        let left = UNFINISHED_AT_ONCE - kept.len();
        let found = statement.query_map(params![topic, job, workflow, micros(*since), end, left], attempt)?;
        kept.extend(found.collect::<rusqlite::Result<Vec<_>>>()?);
        if kept.len() == UNFINISHED_AT_ONCE {
            return Ok((kept, end - 1));
        }
    }
    let last = ended.last().filter(|_| ended.len() == PAUSES_AT_ONCE);
    Ok((kept, last.and_then(|last| last.until).map_or(until, micros)))
}

/// Pauses that go on, and the last ones that ended after an instant.
const PAUSES: &str = "SELECT workflow, task, since, NULL FROM pause UNION ALL
     SELECT * FROM (SELECT workflow, task, since, until FROM pause_ended WHERE until > ?1
                    ORDER BY until DESC LIMIT ?2)";

fn pauses(connection: &Connection, after: i64) -> rusqlite::Result<Vec<Pause>> {
    connection.prepare_cached(PAUSES)?.query_map(params![after, PAUSES_AT_ONCE], pause)?.collect()
}

fn pause(row: &Row<'_>) -> rusqlite::Result<Pause> {
    let until = row.get::<_, Option<i64>>(3)?.map(time);
    Ok(Pause { workflow: row.get(0)?, task: row.get(1)?, since: time(row.get(2)?), until })
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
