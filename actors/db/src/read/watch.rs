//! What should be finished by now.

use chrono::{DateTime, Utc};
use flowlord_domain::Attempt;
use flowlord_messages::watch::{ReadWatch, WatchInput};
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::column::{micros, time};
use crate::reader::Query;
use crate::row::{ATTEMPT_COLUMNS, attempt};

/// How many unfinished tasks one look takes.
const UNFINISHED_AT_ONCE: usize = 1_000;

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
        Ok(WatchInput { looked_until, unfinished, more_unfinished })
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
