//! What several queries read out of the row of a task.

use flowlord_domain::{Attempt, CutTexts, LISTED_BYTES, TaskState};
use rusqlite::MAIN_DB;

use crate::column::{DELAYED, DONE, LEASED, QUEUED};
use crate::tables::prelude::*;

/// The start of every query for attempts; the columns that [`read_attempt`] reads.
macro_rules! ATTEMPT_COLUMNS {
    () => {
        "SELECT task.uid, topic, job, chain, info, meta, workflow.text, parent, retry, lane, state, delivery, due,
             worker.text, progress, result, msg, started, ended, cancelled, deadline
         FROM task JOIN queue ON queue.id = task.queue
         LEFT JOIN name AS workflow ON workflow.id = task.workflow
         LEFT JOIN name AS worker ON worker.id = task.worker"
    };
}

pub(crate) use ATTEMPT_COLUMNS;

/// The same for lists: texts that are too long for one are left out, so that SQLite doesn't read them.
macro_rules! LISTED_COLUMNS {
    () => {
        "SELECT task.uid, topic, job, chain, iif(octet_length(info) > 2048, NULL, info),
             iif(octet_length(meta) > 2048, NULL, meta), workflow.text, parent, retry, lane, state, delivery, due,
             worker.text, progress, result, iif(octet_length(msg) > 2048, NULL, msg), started, ended, cancelled, deadline
         FROM task JOIN queue ON queue.id = task.queue
         LEFT JOIN name AS workflow ON workflow.id = task.workflow
         LEFT JOIN name AS worker ON worker.id = task.worker"
    };
}

pub(crate) use LISTED_COLUMNS;

/// Reads the columns of [`LISTED_COLUMNS`], and of what was left out the beginning.
pub(crate) fn read_listed(connection: &Connection, row: &Row<'_>) -> rusqlite::Result<Attempt> {
    let (info, info_cut) = read_text(connection, row, 4, "info")?;
    let (meta, meta_cut) = read_text(connection, row, 5, "meta")?;
    let (msg, msg_cut) = read_text(connection, row, 16, "msg")?;
    let cut = CutTexts { info: info_cut, meta: meta_cut, msg: msg_cut };
    Ok(Attempt { cut, ..build_attempt(row, info, meta, msg)? })
}

/// A text that may have been left out, and whether it is only its beginning.
fn read_text(connection: &Connection, row: &Row<'_>, index: usize, column: &str) -> rusqlite::Result<(String, bool)> {
    match row.get(index)? {
        Some(text) => Ok((text, false)),
        None => Ok((read_beginning(connection, "task", column, row.get(0)?)?, true)),
    }
}

/// The beginning of a long text.
pub(crate) fn read_beginning(connection: &Connection, table: &str, column: &str, row: i64) -> rusqlite::Result<String> {
    // A statement would read the whole text, also for a part of it.
    let whole = connection.blob_open(MAIN_DB, table, column, row, true)?;
    let mut bytes = vec![0; LISTED_BYTES.min(whole.len())];
    whole.read_at_exact(&mut bytes, 0)?;
    // It may be cut within a character.
    let valid = std::str::from_utf8(&bytes).map_or_else(|err| err.valid_up_to(), str::len);
    bytes.truncate(valid);
    Ok(String::from_utf8(bytes).unwrap_or_default())
}

/// Reads the columns of [`ATTEMPT_COLUMNS`].
pub(crate) fn read_attempt(row: &Row<'_>) -> rusqlite::Result<Attempt> {
    build_attempt(row, row.get(4)?, row.get(5)?, row.get(16)?)
}

fn build_attempt(row: &Row<'_>, info: String, meta: String, msg: String) -> rusqlite::Result<Attempt> {
    let state: i64 = row.get(10)?;
    let due = row.time(12)?;
    Ok(Attempt {
        uid: Uid(row.get(0)?),
        topic: row.get(1)?,
        job: row.get(2)?,
        id: row.get(3)?,
        info,
        meta,
        workflow: row.text_or_empty(6)?,
        parent: row.optional_uid(7)?,
        retry: row.get(8)?,
        lane: row.enum_value(9)?,
        state: TaskState::from_column(state),
        delivery: row.get(11)?,
        // One that is held waits for a person, not for a time.
        not_before: (state == DELAYED && due < from_micros(QUEUED)).then_some(due),
        waits_for_slot: state == DELAYED && due == from_micros(QUEUED),
        worker: row.text_or_empty(13)?,
        cancelled: row.get(19)?,
        lease_expires: (state == LEASED).then_some(due),
        // Of one that is done, too: the same result that comes again means the same.
        times_out: row.optional_time(20)?.filter(|_| [LEASED, DONE].contains(&state)),
        progress: row.get(14)?,
        result: row.optional_result(15)?,
        msg,
        started: row.optional_time(17)?,
        ended: row.optional_time(18)?,
        cut: CutTexts::default(),
    })
}
