//! Where a database's log stands: the row of `row_log`.

use flowlord_messages::changelog::LogPoint;
use rusqlite::Connection;

use crate::column::{to_signed, to_unsigned};
use crate::sql::CachedSql as _;

/// Up to where a database holds its log; none when nothing is recorded in it.
pub(crate) fn read_log_point(connection: &Connection) -> rusqlite::Result<Option<LogPoint>> {
    connection.find_row(
        "SELECT chain, max(taken, coalesce((SELECT max(seq) FROM row_change), 0)) FROM row_log",
        [],
        |row| Ok(LogPoint { chain: to_unsigned(row.get(0)?), position: row.get(1)? }),
    )
}

pub(super) fn begin_log(connection: &Connection, fresh_chain: u64) -> rusqlite::Result<()> {
    let begin = "INSERT OR IGNORE INTO row_log (id, chain, taken, digest) VALUES (1, ?1, 0, '')";
    connection.execute(begin, [to_signed(fresh_chain)]).map(drop)
}

/// Begins the log anew: what was noted belongs to none any more.
pub(crate) fn restart_log(connection: &Connection, chain: u64) -> rusqlite::Result<()> {
    connection.execute("DELETE FROM row_change", [])?;
    let begin = "INSERT INTO row_log (id, chain, taken, digest) VALUES (1, ?1, 0, '')
        ON CONFLICT (id) DO UPDATE SET chain = excluded.chain, taken = 0, digest = ''";
    connection.execute(begin, [to_signed(chain)]).map(drop)
}

/// Ends the log: from here on rows change unnoticed.
pub(crate) fn end_log(connection: &Connection) -> rusqlite::Result<()> {
    if connection.has_row("SELECT 1 FROM row_log", [])? {
        // Together: notes without their log would be taken for those of the next one.
        connection.execute_batch("BEGIN; DELETE FROM row_log; DELETE FROM row_change; COMMIT")?;
    }
    Ok(())
}
