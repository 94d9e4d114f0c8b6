//! Attempts: by id and by chain.

use flowlord_domain::foreign::ForeignTask;
use flowlord_domain::{Attempt, Uid};
use flowlord_messages::read::{
    AttemptsById, Beginning, Chain, ChainBeginning, Known, KnownTasks, LaterAttempts,
};
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::foreign::{digest, is_recorded};
use crate::reader::Query;
use crate::row::{ATTEMPT_COLUMNS, LISTED_COLUMNS, attempt, listed};

impl Query for AttemptsById {
    type Answer = Vec<Option<Attempt>>;

    fn read(&self, connection: &Connection) -> rusqlite::Result<Self::Answer> {
        let mut by_id = connection.prepare_cached(concat!(ATTEMPT_COLUMNS!(), " WHERE task.uid = ?1"))?;
        self.uids.iter().map(|uid| by_id.query_row([uid.0], attempt).optional()).collect()
    }
}

impl Query for KnownTasks {
    type Answer = Vec<Known>;

    fn read(&self, connection: &Connection) -> rusqlite::Result<Self::Answer> {
        self.tasks.iter().map(|(uid, task)| known(connection, *uid, task)).collect()
    }
}

/// A uid names its task. Without one, what was created here has an instant of its own, which comes back as it was; and so
/// has what was created elsewhere, as it is shown here.
fn known(connection: &Connection, uid: Option<Uid>, task: &ForeignTask) -> rusqlite::Result<Known> {
    if is_recorded(connection, &digest(task))? {
        return Ok(Known::Recorded);
    }
    let at = uid.unwrap_or(task.uid());
    let is_here = connection
        .prepare_cached(
            "SELECT 1 FROM task JOIN queue ON queue.id = task.queue WHERE uid = ?1 AND
                 (?2 OR topic = ?3 AND job = ?4 AND chain = ?5
                     -- Several of elsewhere may have been created at a whole second.
                     AND (foreign_digest IS NULL OR uid % 1000000 <> 0))",
        )?
        .exists(params![at.0, uid.is_some(), task.topic, task.job, task.chain])?;
    Ok(if is_here { Known::Created(at) } else { Known::Unknown })
}

impl Query for Chain {
    type Answer = Vec<Attempt>;

    fn read(&self, connection: &Connection) -> rusqlite::Result<Self::Answer> {
        let sql = concat!(ATTEMPT_COLUMNS!(), " WHERE chain = ?1 ORDER BY task.uid");
        connection.prepare_cached(sql)?.query_map([&self.id], attempt)?.collect()
    }
}

impl Query for ChainBeginning {
    type Answer = Beginning;

    fn read(&self, connection: &Connection) -> rusqlite::Result<Beginning> {
        let sql = concat!(LISTED_COLUMNS!(), " WHERE chain = ?1 ORDER BY task.uid LIMIT ?2");
        let attempts: Vec<Attempt> = connection
            .prepare_cached(sql)?
            .query_map(params![self.id, self.limit], |row| listed(connection, row))?
            .collect::<rusqlite::Result<_>>()?;
        // Only the index is read for the rest.
        let last = attempts.last().filter(|_| attempts.len() >= self.limit);
        let more = last.map(|last| {
            connection
                .prepare_cached("SELECT count(*) FROM task WHERE chain = ?1 AND uid > ?2")?
                .query_row(params![self.id, last.uid.0], |row| row.get(0))
        });
        Ok(Beginning { more: more.transpose()?.unwrap_or(0), attempts })
    }
}

impl Query for LaterAttempts {
    type Answer = Vec<Option<Uid>>;

    fn read(&self, connection: &Connection) -> rusqlite::Result<Self::Answer> {
        self.uids.iter().map(|uid| later(connection, *uid)).collect()
    }
}

/// The newest attempt of the same task after one: of the same chain, topic, job and info.
pub(crate) fn later(connection: &Connection, uid: Uid) -> rusqlite::Result<Option<Uid>> {
    connection
        .prepare_cached(
            "SELECT max(later.uid) FROM task JOIN task AS later
                 -- By the chain: the same info may stand in any number of tasks.
                 ON later.chain = task.chain AND +later.queue = task.queue AND +later.info = task.info
             WHERE task.uid = ?1 AND later.uid > ?1",
        )?
        .query_row([uid.0], |row| Ok(row.get::<_, Option<i64>>(0)?.map(Uid)))
}
