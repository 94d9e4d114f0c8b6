//! Backloads, and what is there already of what they would create.

use std::collections::HashMap;

use flowlord_domain::TaskResult;
use flowlord_domain::backload::{Only, slot};
use flowlord_messages::backload::{
    BackloadState, CheckBackload, Checked, Failure, MAX_FAILURES, ReadBackload, ReadBackloads, StoredBackload,
};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use crate::column::{self, time, unbits};
use crate::reader::Query;

macro_rules! BACKLOAD_COLUMNS {
    () => {
        "SELECT id, requested, changed, state, request, message, digest, total, next, created, skipped, failed, problem
         FROM backload"
    };
}

fn stored(row: &Row<'_>) -> rusqlite::Result<StoredBackload> {
    Ok(StoredBackload {
        id: row.get(0)?,
        requested: time(row.get(1)?),
        changed: time(row.get(2)?),
        state: column::backload_of(row.get(3)?),
        order: row.get(4)?,
        message: row.get(5)?,
        digest: unbits(row.get(6)?),
        total: row.get(7)?,
        next: row.get(8)?,
        created: row.get(9)?,
        skipped: row.get(10)?,
        failed: row.get(11)?,
        problem: row.get(12)?,
    })
}

/// A backload by its id.
pub(crate) fn one(connection: &Connection, id: i64) -> rusqlite::Result<Option<StoredBackload>> {
    connection
        .prepare_cached(concat!(BACKLOAD_COLUMNS!(), " WHERE id = ?1"))?
        .query_row([id], stored)
        .optional()
}

impl Query for ReadBackload {
    type Answer = Option<(StoredBackload, Vec<Failure>)>;

    fn read(&self, connection: &Connection) -> rusqlite::Result<Self::Answer> {
        let Some(stored) = one(connection, self.id)? else { return Ok(None) };
        let failures = connection
            .prepare_cached(
                "SELECT number, time, why FROM backload_failure WHERE backload = ?1 ORDER BY number LIMIT ?2",
            )?
            .query_map(params![self.id, MAX_FAILURES], |row| {
                let at: Option<i64> = row.get(1)?;
                Ok(Failure { index: row.get(0)?, time: at.map(time), why: row.get(2)? })
            })?
            .collect::<rusqlite::Result<_>>()?;
        Ok(Some((stored, failures)))
    }
}

impl Query for ReadBackloads {
    type Answer = Vec<StoredBackload>;

    fn read(&self, connection: &Connection) -> rusqlite::Result<Self::Answer> {
        let sql = if self.running {
            concat!(
                BACKLOAD_COLUMNS!(),
                " WHERE state < 2 AND state = ?3 AND id < ?1 ORDER BY id DESC LIMIT ?2"
            )
        } else {
            concat!(BACKLOAD_COLUMNS!(), " WHERE id < ?1 AND ?3 IS NOT NULL ORDER BY id DESC LIMIT ?2")
        };
        let running = column::backload(BackloadState::Running);
        connection
            .prepare_cached(sql)?
            .query_map(params![self.after.unwrap_or(i64::MAX), self.limit, running], stored)?
            .collect()
    }
}

impl Query for CheckBackload {
    type Answer = Checked;

    fn read(&self, connection: &Connection) -> rusqlite::Result<Checked> {
        let queue: Option<i64> = connection
            .prepare_cached("SELECT id FROM queue WHERE topic = ?1 AND job = ?2")?
            .query_row([&self.topic, &self.job], |row| row.get(0))
            .optional()?;
        let Some(queue) = queue else {
            return Ok(Checked { wanted: vec![self.only != Only::Failed; self.tasks.len()], ready: 0 });
        };
        let ready = connection
            .prepare_cached(
                "SELECT count(*) FROM
                     (SELECT 1 FROM task WHERE state = 0 AND queue = ?1 AND lane = 1 LIMIT ?2)",
            )?
            .query_row(params![queue, self.count_to], |row| row.get(0))?;
        let wanted = match self.only {
            Only::All => vec![true; self.tasks.len()],
            only => wanted(connection, queue, only, &self.tasks)?,
        };
        Ok(Checked { wanted, ready })
    }
}

/// Each info is looked up once, newest attempt first, by the index over queue and info: only where a template names
/// no time are there attempts of other times among them. Of several tasks that are the same only the first is wanted.
fn wanted(
    connection: &Connection,
    queue: i64,
    only: Only,
    tasks: &[(String, String)],
) -> rusqlite::Result<Vec<bool>> {
    let mut by_info: HashMap<&str, HashMap<Option<String>, usize>> = HashMap::new();
    for (number, (info, meta)) in tasks.iter().enumerate() {
        by_info.entry(info).or_default().entry(slot(meta)).or_insert(number);
    }
    let mut wanted = vec![false; tasks.len()];
    let mut attempts = connection
        .prepare_cached("SELECT meta, result FROM task WHERE queue = ?1 AND info = ?2 ORDER BY uid DESC")?;
    for (info, mut open) in by_info {
        let mut rows = attempts.query(params![queue, info])?;
        while !open.is_empty()
            && let Some(row) = rows.next()?
        {
            let Some(number) = open.remove(&slot(&row.get::<_, String>(0)?)) else { continue };
            let result = row.get::<_, Option<i64>>(1)?.map(column::result_of);
            let failed = matches!(result, Some(TaskResult::Error | TaskResult::Alert));
            wanted[number] = only == Only::Failed && failed;
        }
        for number in open.into_values() {
            wanted[number] = only == Only::Missing;
        }
    }
    Ok(wanted)
}
