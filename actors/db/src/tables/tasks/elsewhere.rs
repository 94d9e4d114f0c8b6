//! Tasks that were created elsewhere: how each is known again, and its place among the attempts.

use chrono::{DateTime, Utc};
use flowlord_domain::foreign::ForeignTask;
use flowlord_domain::query::Query;
use flowlord_domain::{TaskResult, Uid};
use rusqlite::{Connection, params};
use sha2::{Digest as _, Sha256};

use crate::column::{EnumColumn as _, micros};
use crate::sql::CachedSql as _;
use crate::writer::context::WriteContext;

/// How far one jump leads over ids that are taken.
const JUMP_MICROS: i64 = 1_000_000;

const MAX_JUMPS: usize = 60;

pub(crate) type ForeignDigest = [u8; 16];

/// Half of the SHA-256 of what tells a task from all others.
pub(crate) fn foreign_digest(task: &ForeignTask) -> ForeignDigest {
    let mut hash = Sha256::new();
    for part in task.identity_parts() {
        // With lengths, so that parts can't run into each other and make another task the same.
        hash.update(part.len().to_be_bytes());
        hash.update(part);
    }
    let mut half = ForeignDigest::default();
    half.copy_from_slice(&hash.finalize()[..16]);
    half
}

pub(crate) fn is_recorded(connection: &Connection, digest: &ForeignDigest) -> rusqlite::Result<bool> {
    connection.has_row("SELECT 1 FROM task WHERE foreign_digest = ?1", [digest])
}

pub(crate) struct DoneElsewhere<'a> {
    pub(crate) task: &'a ForeignTask,
    /// How often it is known to have been handed out.
    pub(crate) delivery: u32,
    pub(crate) result: TaskResult,
    pub(crate) started: DateTime<Utc>,
    pub(crate) ended: DateTime<Utc>,
    pub(crate) meta: &'a str,
    pub(crate) msg: &'a str,
    pub(crate) given_up: bool,
}

impl WriteContext<'_> {
    /// Stores it, with its totals, at the instant of its creation or as soon after as is free; none when a minute from
    /// there on is full.
    pub(crate) fn insert_done_elsewhere(&mut self, done: &DoneElsewhere<'_>) -> rusqlite::Result<Option<Uid>> {
        let Some(uid) = self.find_free_uid(done.task.first_uid())? else { return Ok(None) };
        let DoneElsewhere { task, started, ended, .. } = done;
        let queue = self.queue_id(&task.topic, &task.job)?;
        let workflow = self.name_id(Query::parse_lenient(&task.meta).first_value("workflow").unwrap_or_default())?;
        self.run_sql(
            "INSERT INTO task (uid, queue, state, lane, due, delivery, expired, retry, workflow, result,
                 started, ended, chain, info, meta, msg, given_up, foreign_digest)
             VALUES (?1, ?2, 3, 0, ?3, ?4, 0, ?5, ?6, ?7, ?8, ?3, ?9, ?10, ?11, ?12, ?13, ?14)",
            params![
                uid.0,
                queue,
                micros(*ended),
                done.delivery,
                task.retries_before(),
                workflow,
                done.result.to_column(),
                micros(*started),
                task.chain,
                task.info,
                done.meta,
                done.msg,
                done.given_up,
                foreign_digest(task),
            ],
        )?;
        self.totals.add_created(uid, queue);
        let run_millis = (micros(*ended) - micros(*started)).max(0) / 1_000;
        self.totals.add_ended(uid, queue, done.result, run_millis);
        Ok(Some(uid))
    }

    /// The id itself, or a free one after it. Many are created in the same second: not each is tried.
    fn find_free_uid(&self, Uid(mut uid): Uid) -> rusqlite::Result<Option<Uid>> {
        let mut taken = self.connection.prepare_cached("SELECT 1 FROM task WHERE uid = ?1")?;
        let last = "SELECT max(uid) FROM task WHERE uid >= ?1 AND uid < ?2";
        let mut last = self.connection.prepare_cached(last)?;
        for _ in 0..MAX_JUMPS {
            if !taken.exists([uid])? {
                return Ok(Some(Uid(uid)));
            }
            // Past the last one within a second: free ids in between are skipped, but thousands cost one look-up.
            let last: Option<i64> = last.query_row([uid, uid + JUMP_MICROS], |row| row.get(0))?;
            uid = last.unwrap_or(uid) + 1;
        }
        Ok(None)
    }
}
