//! What several queries read out of a row.

use flowlord_domain::alert::Matcher;
use flowlord_domain::{Attempt, Uid};
use flowlord_messages::alerts::Silence;
use rusqlite::Row;

use crate::column::{self, time};

/// The start of every query for attempts; the columns that [`attempt`] reads.
macro_rules! ATTEMPT_COLUMNS {
    () => {
        "SELECT task.uid, topic, job, chain, info, meta, workflow.text, parent, retry, lane, state, delivery, due,
             worker.text, progress, result, msg, started, ended, cancelled
         FROM task JOIN queue ON queue.id = task.queue
         LEFT JOIN name AS workflow ON workflow.id = task.workflow
         LEFT JOIN name AS worker ON worker.id = task.worker"
    };
}
pub(crate) use ATTEMPT_COLUMNS;

/// Reads the columns of [`ATTEMPT_COLUMNS`].
pub(crate) fn attempt(row: &Row<'_>) -> rusqlite::Result<Attempt> {
    let state: i64 = row.get(10)?;
    let due = time(row.get(12)?);
    Ok(Attempt {
        uid: Uid(row.get(0)?),
        topic: row.get(1)?,
        job: row.get(2)?,
        id: row.get(3)?,
        info: row.get(4)?,
        meta: row.get(5)?,
        workflow: row.get::<_, Option<String>>(6)?.unwrap_or_default(),
        parent: row.get::<_, Option<i64>>(7)?.map(Uid),
        retry: row.get(8)?,
        lane: column::lane_of(row.get(9)?),
        state: column::state_of(state),
        delivery: row.get(11)?,
        // One that is held waits for a person, not for a time.
        not_before: (state == column::DELAYED && due != time(column::HELD)).then_some(due),
        worker: row.get::<_, Option<String>>(13)?.unwrap_or_default(),
        cancelled: row.get(19)?,
        lease_expires: (state == column::LEASED).then_some(due),
        progress: row.get(14)?,
        result: row.get::<_, Option<i64>>(15)?.map(column::result_of),
        msg: row.get(16)?,
        started: row.get::<_, Option<i64>>(17)?.map(time),
        ended: row.get::<_, Option<i64>>(18)?.map(time),
    })
}

/// The columns topic, job, workflow from the one with this number on: what isn't there matches all.
pub(crate) fn matcher(row: &Row<'_>, first: usize) -> rusqlite::Result<Matcher> {
    Ok(Matcher { topic: row.get(first)?, job: row.get(first + 1)?, workflow: row.get(first + 2)? })
}

/// The columns id, since, until, topic, job, workflow, by, reason.
pub(crate) fn silence(row: &Row<'_>) -> rusqlite::Result<Silence> {
    Ok(Silence {
        id: row.get(0)?,
        from: time(row.get(1)?),
        until: time(row.get(2)?),
        matcher: matcher(row, 3)?,
        by: row.get(6)?,
        reason: row.get(7)?,
    })
}
