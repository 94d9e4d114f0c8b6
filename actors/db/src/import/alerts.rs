//! Alerts: they were told there, so nobody is told again.

use chrono::{DateTime, Utc};
use flowlord_domain::{AlertKind, Uid};
use rusqlite::{OptionalExtension as _, params};

use super::Fate;
use super::old::Row;
use crate::column::{self, micros};
use crate::store::Store;

/// How the reference system begins the alert of a task that is late.
const UNFINISHED: &str = "INCOMPLETE";

pub(super) fn take(store: &mut Store<'_>, row: &Row) -> rusqlite::Result<Fate> {
    let Ok(Some(created)) = row.time("created_at") else {
        return Ok(Fate::Left("`created_at` isn't a time"));
    };
    let Ok(task_time) = row.time("task_time") else {
        return Ok(Fate::Left("`task_time` isn't a time"));
    };
    let (chain, msg) = (row.text("task_id"), row.text("msg"));
    let queue = store.queue(&row.text("task_type"), &row.text("job"))?;
    let at = numbered(created, row.number);
    let known = "SELECT 1 FROM alert WHERE at = ?1 AND queue = ?2 AND chain = ?3 LIMIT 1";
    let mut known = store.connection.prepare_cached(known)?;
    if known.query_row(params![at, queue, chain], |_| Ok(())).optional()?.is_some() {
        return Ok(Fate::Known);
    }
    let kind = match () {
        () if msg.starts_with(UNFINISHED) => AlertKind::Unfinished,
        () if chain.is_empty() => AlertKind::CreateFailed,
        () => AlertKind::Exhausted,
    };
    let about = attempt(store, queue, &chain, created)?;
    store
        .connection
        .prepare_cached(
            "INSERT INTO alert (kind, at, uid, queue, told, at_once, task_time, chain, msg)
             VALUES (?1, ?2, ?3, ?4, 1, 0, ?5, ?6, ?7)",
        )?
        .insert(params![
            column::kind(kind),
            at,
            about.map(|uid| uid.0),
            queue,
            task_time.map(micros),
            chain,
            msg
        ])?;
    Ok(Fate::Taken)
}

/// Its number there makes an instant within the second its own, the same each time.
pub(super) fn numbered(at: DateTime<Utc>, number: i64) -> i64 {
    micros(at) + number.rem_euclid(1_000_000)
}

/// The last attempt of its chain by then.
fn attempt(store: &Store<'_>, queue: i64, chain: &str, at: DateTime<Utc>) -> rusqlite::Result<Option<Uid>> {
    if chain.is_empty() {
        return Ok(None);
    }
    let last =
        "SELECT max(uid) FROM task INDEXED BY task_chain WHERE chain = ?1 AND uid <= ?2 AND queue = ?3";
    let mut last = store.connection.prepare_cached(last)?;
    let last: Option<i64> = last.query_row(params![chain, numbered(at, 999_999), queue], |row| row.get(0))?;
    Ok(last.map(Uid))
}
