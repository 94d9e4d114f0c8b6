//! Alerts: the old system sent their notifications, so none is sent again.

use chrono::{DateTime, Utc};
use flowlord_domain::{AlertKind, Uid};
use rusqlite::params;

use super::RowFate;
use super::old::OldRow;
use crate::column::{EnumColumn as _, ReadColumn as _, micros};
use crate::sql::CachedSql as _;
use crate::writer::context::WriteContext;

/// How the reference system begins the alert of a task that is late.
const UNFINISHED: &str = "INCOMPLETE";

pub(super) fn take_row(context: &mut WriteContext<'_>, row: &OldRow) -> rusqlite::Result<RowFate> {
    let Ok(Some(created)) = row.time_of("created_at") else {
        return Ok(RowFate::Left("`created_at` isn't a time"));
    };
    let Ok(task_time) = row.time_of("task_time") else {
        return Ok(RowFate::Left("`task_time` isn't a time"));
    };
    let (chain, msg) = (row.text_of("task_id"), row.text_of("msg"));
    let queue = context.queue_id(&row.text_of("task_type"), &row.text_of("job"))?;
    let at = own_instant(created, row.number);
    let known = "SELECT 1 FROM alert WHERE at = ?1 AND queue = ?2 AND chain = ?3 LIMIT 1";
    if context.has_row(known, params![at, queue, chain])? {
        return Ok(RowFate::Known);
    }
    // The old system keeps no kind: it shows in how it wrote the text, and in whether there was a task.
    let kind = match () {
        () if msg.starts_with(UNFINISHED) => AlertKind::Unfinished,
        () if chain.is_empty() => AlertKind::CreateFailed,
        () => AlertKind::Exhausted,
    };
    let about = find_attempt(context, queue, &chain, created)?;
    context.insert_row(
        "INSERT INTO alert (kind, at, uid, queue, told, at_once, task_time, chain, msg)
             VALUES (?1, ?2, ?3, ?4, 1, 0, ?5, ?6, ?7)",
        params![kind.to_column(), at, about.map(|uid| uid.0), queue, task_time.map(micros), chain, msg],
    )?;
    Ok(RowFate::Taken)
}

/// Its number there makes an instant within the second its own, the same each time.
pub(super) fn own_instant(at: DateTime<Utc>, number: i64) -> i64 {
    micros(at) + number.rem_euclid(1_000_000)
}

/// The last attempt of its chain by then.
fn find_attempt(
    context: &WriteContext<'_>,
    queue: i64,
    chain: &str,
    at: DateTime<Utc>,
) -> rusqlite::Result<Option<Uid>> {
    if chain.is_empty() {
        return Ok(None);
    }
    let last = "SELECT max(uid) FROM task INDEXED BY task_chain WHERE chain = ?1 AND uid <= ?2 AND queue = ?3";
    context.read_row(last, params![chain, own_instant(at, 999_999), queue], |row| row.optional_uid(0))
}
