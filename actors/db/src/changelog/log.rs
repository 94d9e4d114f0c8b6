//! Where a database's log stands: the row of `row_log`.

use flowlord_messages::changelog::LogPoint;
use rusqlite::Connection;

use crate::column::{to_signed, to_unsigned};
use crate::schema::read_version;
use crate::sql::CachedSql as _;

/// Up to where a database holds its log; none when nothing is recorded in it.
pub(crate) fn read_log_point(connection: &Connection) -> rusqlite::Result<Option<LogPoint>> {
    connection.find_row(
        "SELECT chain, max(taken, coalesce((SELECT max(seq) FROM row_change), 0)) FROM row_log",
        [],
        |row| Ok(LogPoint { chain: to_unsigned(row.get(0)?), position: row.get(1)? }),
    )
}

/// Where a database stands in its own log, and in that of a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogState {
    pub point: LogPoint,
    /// The last change that a segment in the backup's place holds.
    pub taken: i64,
    /// The SHA-256 of that segment, in hex; empty before the first.
    pub digest: String,
    /// The last entry of the cluster's log that it is known to hold; 0 for none.
    pub entry: u64,
    /// The SHA-256 of its last frame, in hex; empty where it has none.
    pub frame: String,
    /// The version of its tables.
    pub schema: usize,
}

impl LogState {
    /// Whether it holds changes that no segment does.
    pub fn has_unsent(&self) -> bool {
        self.point.position > self.taken
    }
}

pub(crate) fn read_log_state(connection: &Connection) -> rusqlite::Result<Option<LogState>> {
    let Some(point) = read_log_point(connection)? else { return Ok(None) };
    // None in the tables of an older program, which knew no frames.
    let frame = connection.find_value("SELECT frame FROM row_log", []).ok().flatten().unwrap_or_default();
    let schema = read_version(connection)?;
    connection.find_row("SELECT taken, digest, entry FROM row_log", [], |row| {
        Ok(LogState { point, taken: row.get(0)?, digest: row.get(1)?, entry: row.get(2)?, frame, schema })
    })
}

/// From here on each transaction has its frame.
pub(crate) fn begin_frames(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute("UPDATE row_log SET frame = 'none' WHERE frame = ''", []).map(drop)
}

/// The database is that of the leader, whose entry this is: it holds all that came before.
pub(crate) fn note_entry(connection: &Connection, entry: u64) -> rusqlite::Result<()> {
    connection.execute("UPDATE row_log SET entry = max(entry, ?1)", [to_signed(entry)]).map(drop)
}

pub(super) fn begin_log(connection: &Connection, fresh_chain: u64) -> rusqlite::Result<()> {
    let begin = "INSERT OR IGNORE INTO row_log (id, chain, taken, digest) VALUES (1, ?1, 0, '')";
    connection.execute(begin, [to_signed(fresh_chain)])?;
    // A database that followed has no notes: numbers go on from the last segment, or what is noted next would pass for
    // a part of it.
    let last_number = "INSERT INTO row_change (seq, tbl, key) SELECT taken, '', '' FROM row_log
        WHERE taken > coalesce((SELECT max(seq) FROM row_change), 0)";
    connection.execute(last_number, []).map(drop)
}

/// Begins the log anew: what was noted belongs to none any more.
pub(crate) fn restart_log(connection: &Connection, chain: u64) -> rusqlite::Result<()> {
    // Frames go on: they count by the same numbers, and the present transaction's notes are for its own.
    let go_on = "UPDATE row_log SET chain = ?1, digest = '',
            taken = max(taken, coalesce((SELECT max(seq) FROM row_change), 0))
        WHERE frame <> ''";
    if connection.execute(go_on, [to_signed(chain)])? > 0 {
        return Ok(());
    }
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
