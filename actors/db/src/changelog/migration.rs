//! Migrations that the cluster's log tells of: each node makes them at the same entry, to the same rows.

use std::path::Path;

use flowlord_messages::cluster::SchemaMigration;
use rusqlite::Connection;

use super::apply::{SegmentError, begin_following};
use super::log::{begin_frames, note_entry, read_log_state, restart_log};
use crate::DATABASE;
use crate::connection::{OpenError, open_following, open_read_only};
use crate::schema::{VERSION, apply_steps, digest_of_steps};

/// Why the database of a leader isn't migrated.
#[derive(Debug, thiserror::Error)]
pub enum MigrationError {
    #[error(transparent)]
    Unopened(#[from] OpenError),
    #[error("the tables can't be changed as the cluster's log says: {0}")]
    Refused(#[from] SegmentError),
}

/// How the database of a new leader becomes that of this program, with the number of the change log from there on; none
/// where it is already, or keeps no log.
pub fn plan_migration(data: &Path, chain: u64) -> Option<SchemaMigration> {
    let connection = open_read_only(&data.join(DATABASE)).ok()?;
    let from = read_log_state(&connection).ok().flatten()?.schema;
    let digest = digest_of_steps(from, VERSION).filter(|_| from > 0 && from < VERSION)?;
    Some(SchemaMigration { from, to: VERSION, digest, chain })
}

/// Migrates the database of a leader, which nobody has opened yet, as the log's entry says.
///
/// # Errors
/// The database can't be written, or isn't the one that was planned for.
pub fn make_migration(
    data: &Path,
    migration: &SchemaMigration,
    has_frames: bool,
    entry: u64,
) -> Result<(), MigrationError> {
    let mut connection = open_following(&data.join(DATABASE))?;
    Ok(follow_migration(&mut connection, migration, has_frames, entry)?)
}

/// Migrates a database that is followed; with `has_frames` its log goes on with the frame of the next transaction.
pub(crate) fn follow_migration(
    connection: &mut Connection,
    migration: &SchemaMigration,
    has_frames: bool,
    entry: u64,
) -> Result<(), SegmentError> {
    // As where a single service migrates: what is removed takes along what refers to it.
    connection.pragma_update(None, "foreign_keys", true)?;
    let migrated = migrate_within(connection, migration, has_frames, entry);
    connection.pragma_update(None, "foreign_keys", false)?;
    migrated
}

fn migrate_within(
    connection: &mut Connection,
    SchemaMigration { from, to, digest, chain }: &SchemaMigration,
    has_frames: bool,
    entry: u64,
) -> Result<(), SegmentError> {
    if *to > VERSION {
        return Err(SegmentError::Newer { found: *to });
    }
    let (transaction, log) = begin_following(connection)?;
    if entry <= log.entry {
        return Ok(());
    }
    if log.schema != *from || digest_of_steps(*from, *to).as_ref() != Some(digest) {
        let own = log.schema;
        let why =
            format!("its leader changed schema {from} to {to}; this one's is {own}, or this program does it otherwise");
        return Err(SegmentError::Foreign(why));
    }
    apply_steps(&transaction, *from, *to)?;
    // Segments of the old tables can't be followed by those of the new ones: the leader's next snapshot begins anew.
    restart_log(&transaction, *chain)?;
    if has_frames {
        begin_frames(&transaction)?;
    }
    note_entry(&transaction, entry)?;
    transaction.commit()?;
    log::info!("event=schema_migrated from={from} to={to} entry={entry}");
    Ok(())
}
