//! The schema of the database, and how an older one becomes it.

use flowlord_domain::hex::to_hex;
use rusqlite::{Connection, TransactionBehavior};
use sha2::{Digest as _, Sha256};

use crate::changelog::log::end_log;

/// One step a version: `MIGRATIONS[n]` leads from version n to n + 1.
const MIGRATIONS: &[&str] = &[
    include_str!("v1.sql"),
    include_str!("v2.sql"),
    include_str!("v3.sql"),
    include_str!("v4.sql"),
    include_str!("v5.sql"),
    include_str!("v6.sql"),
    include_str!("v7.sql"),
];

/// The version that this program writes, kept in `PRAGMA user_version`.
pub const VERSION: usize = MIGRATIONS.len();

/// Whether a database has the tables that every version of this program's has.
pub(crate) fn is_ours(connection: &Connection) -> rusqlite::Result<bool> {
    let tables = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name IN ('task', 'queue', 'rollup')";
    let found: i64 = connection.query_row(tables, [], |row| row.get(0))?;
    // Another program may keep any number there.
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    Ok(found == 3 && version > 0)
}

pub(crate) fn is_empty(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row("SELECT NOT EXISTS (SELECT 1 FROM sqlite_schema)", [], |row| row.get(0))
}

/// The version of a database; 0 of an empty one.
pub(crate) fn read_version(connection: &Connection) -> rusqlite::Result<usize> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// Makes version `to` of version `from`, within the caller's transaction.
pub(crate) fn apply_steps(connection: &Connection, from: usize, to: usize) -> rusqlite::Result<()> {
    for step in MIGRATIONS.get(from..to).unwrap_or_default() {
        connection.execute_batch(step)?;
    }
    connection.pragma_update(None, "user_version", to)
}

/// The SHA-256 of what leads from one version to another, in hex; none where this program doesn't know the way.
pub(crate) fn digest_of_steps(from: usize, to: usize) -> Option<String> {
    let steps = MIGRATIONS.get(from..to)?;
    Some(to_hex(&Sha256::digest(steps.concat())))
}

pub(crate) fn migrate(connection: &mut Connection, found: usize) -> rusqlite::Result<()> {
    for from in found..VERSION {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        // Within the transaction: a crash leaves a step done and counted, or neither.
        apply_steps(&transaction, from, from + 1)?;
        transaction.commit()?;
        log::info!("event=schema_migrated from={from} to={}", from + 1);
    }
    if found > 0 && found < VERSION {
        // What a migration changes isn't noted: the log goes on from a snapshot of afterwards.
        end_log(connection)?;
    }
    Ok(())
}
