//! Old history is removed, a little at a time.

use flowlord_messages::history::{HistoryPosition, RemoveHistory, RemovedHistory};

use crate::column::DONE;
use crate::tables::joins::remove_joins;
use crate::tables::prelude::*;

/// Free pages given back to the file system in one step.
const FREED_PAGES: u32 = 256;

impl WriteCommand for RemoveHistory {
    fn apply_to(&self, context: &mut WriteContext<'_>) -> CommandResult<RemovedHistory> {
        let connection = context.connection;
        let limit = i64::try_from(self.limit).unwrap_or(i64::MAX);
        let before = micros(self.before);
        let HistoryPosition { task, message } = self.after;
        let (tasks, next_task) = remove_tasks(connection, task, before, limit)?;
        let (messages, next_message) = remove_messages(connection, message, before, limit)?;
        let mut removed = RemovedHistory {
            tasks,
            others: messages,
            next: HistoryPosition { task: next_task.or(task), message: next_message.or(message) },
            more: next_task.is_some() || next_message.is_some(),
        };
        for sql in REMOVE_BY_TIME {
            let rows = connection.change_rows(sql, params![before, limit])?;
            removed.others += rows;
            removed.more |= rows >= self.limit;
        }
        let joins = remove_joins(connection, before, self.limit)?;
        removed.others += joins;
        removed.more |= joins >= self.limit;
        // The pragma frees one page for each step of the statement: it must be stepped to its end.
        let mut free = connection.prepare_cached(&format!("PRAGMA incremental_vacuum({FREED_PAGES})"))?;
        let mut pages = free.raw_query();
        while pages.next()?.is_some() {}
        Ok(removed)
    }
}

/// From tables with an index by time.
const REMOVE_BY_TIME: [&str; 11] = [
    "DELETE FROM change WHERE id IN (SELECT id FROM change WHERE at < ?1 ORDER BY at LIMIT ?2)",
    "DELETE FROM alert WHERE id IN (SELECT id FROM alert WHERE at < ?1 ORDER BY at LIMIT ?2)",
    // Not those that wait for others: they start a task some day.
    "DELETE FROM file_event WHERE id IN
         (SELECT id FROM file_event WHERE at < ?1
             AND NOT EXISTS (SELECT 1 FROM file_match WHERE event = file_event.id AND state = 1)
          ORDER BY at LIMIT ?2)",
    "DELETE FROM idempotency WHERE key IN (SELECT key FROM idempotency WHERE at < ?1 ORDER BY at LIMIT ?2)",
    "DELETE FROM incident WHERE (route, opened) IN
         (SELECT route, opened FROM incident WHERE closed < ?1 ORDER BY closed LIMIT ?2)",
    // After its incident: one that is open keeps its beginning, however old that is.
    "DELETE FROM incident_step WHERE (route, opened, step) IN
         (SELECT route, opened, step FROM incident_step AS step WHERE opened < ?1 AND NOT EXISTS
             (SELECT 1 FROM incident WHERE incident.route = step.route AND incident.opened = step.opened)
          ORDER BY opened LIMIT ?2)",
    "DELETE FROM breach WHERE key IN (SELECT key FROM breach WHERE at < ?1 ORDER BY at LIMIT ?2)",
    "DELETE FROM pause_ended WHERE (workflow, task, since) IN
         (SELECT workflow, task, since FROM pause_ended WHERE until < ?1 ORDER BY until LIMIT ?2)",
    "DELETE FROM silence WHERE id IN (SELECT id FROM silence WHERE until < ?1 ORDER BY until LIMIT ?2)",
    "DELETE FROM slack_thread WHERE (route, opened, via) IN
         (SELECT route, opened, via FROM slack_thread AS thread WHERE opened < ?1 AND NOT EXISTS
             (SELECT 1 FROM incident WHERE incident.route = thread.route AND incident.opened = thread.opened)
          ORDER BY opened LIMIT ?2)",
    // The last slot of each phase stays: it says from where on slots count.
    "DELETE FROM slot WHERE (phase, at) IN
         (SELECT phase, at FROM slot WHERE at < ?1
             AND at < (SELECT max(at) FROM slot AS later WHERE later.phase = slot.phase)
          ORDER BY at LIMIT ?2)",
];

/// Removes the done ones among the next few old tasks; answers how many, and from where to go on.
fn remove_tasks(
    connection: &Connection,
    after: Option<Uid>,
    before: i64,
    limit: i64,
) -> rusqlite::Result<(usize, Option<Uid>)> {
    let mut remove = connection.prepare_cached("DELETE FROM task WHERE uid = ?1")?;
    let after = after.map_or(i64::MIN, |uid| uid.0);
    let seen: Vec<(i64, i64)> = connection.read_rows(
        "SELECT uid, state FROM task WHERE uid > ?1 AND uid < ?2 ORDER BY uid LIMIT ?3",
        [after, before, limit],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    let mut removed = 0;
    for (uid, state) in &seen {
        if *state == DONE {
            removed += remove.execute([uid])?;
        }
    }
    // By what was seen, not removed: unfinished tasks stay, and must not end the walk.
    let full = i64::try_from(seen.len()).is_ok_and(|seen| seen == limit);
    Ok((removed, seen.last().filter(|_| full).map(|(uid, _)| Uid(*uid))))
}

/// Removes the sent ones among the next few old messages; answers how many, and from where to go on.
fn remove_messages(
    connection: &Connection,
    after: Option<i64>,
    before: i64,
    limit: i64,
) -> rusqlite::Result<(usize, Option<i64>)> {
    let mut remove = connection.prepare_cached("DELETE FROM outbox WHERE id = ?1")?;
    let mut seen: Vec<(i64, i64, Option<i64>)> = connection.read_rows(
        "SELECT id, at, sent FROM outbox WHERE id > ?1 ORDER BY id LIMIT ?2",
        [after.unwrap_or(i64::MIN), limit],
        |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
    )?;
    let is_full = i64::try_from(seen.len()).is_ok_and(|seen| seen == limit);
    // Messages stand in the order of their time.
    let old = seen.partition_point(|(_, at, _)| *at < before);
    let is_end = old < seen.len() || !is_full;
    seen.truncate(old);
    let mut removed = 0;
    for (id, _, sent) in &seen {
        if sent.is_some() {
            removed += remove.execute([id])?;
        }
    }
    // By what was seen, not removed: those of a route that is down stay, and must not end the walk.
    Ok((removed, seen.last().filter(|_| !is_end).map(|(id, ..)| *id)))
}
