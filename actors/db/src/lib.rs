//! The database: one owner that writes, a few readers, and nothing else in flowlord that knows SQLite.
//!
//! The owner is an actor alone on its thread. Whatever arrived while the last commit was written is the next
//! transaction; every command in it has a savepoint of its own, and is answered after the commit is on disk.

mod bulk;
mod changes;
mod column;
mod fault;
mod job;
mod meters;
mod outage;
mod owner;
mod read;
mod reader;
mod restore;
mod row;
mod schema;
mod snapshot;
mod store;
mod transaction;
mod write;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use actix::{Addr, ArbiterHandle};
use chrono::{DateTime, Utc};
use flowlord_messages::Supervision;

pub use bulk::{Bulk, BulkError};
pub use owner::{Hints, Owner};
pub use reader::Reader;
pub use restore::{Recovered, RestoreError, Restored, restore};
pub use schema::{FolderLock, OpenError, VERSION};
pub use snapshot::{SnapshotError, check, copy};

/// The name of the database in the data folder.
pub const DATABASE: &str = "flowlord.db";

/// How many queries are read at the same time.
const READERS: usize = 2;

/// A database that is open, with its actors.
#[derive(Debug)]
pub struct Database {
    /// Takes every write.
    pub owner: Addr<Owner>,
    /// Takes every query.
    pub readers: Addr<Reader>,
    /// What was restored before it could be opened, if anything.
    pub recovered: Option<Recovered>,
    _lock: FolderLock,
}

impl Database {
    /// Opens the database in `folder`, migrates it, and starts its owner in `arbiter`. Where there is none, or one
    /// that doesn't open, the first of `snapshots` that is sound becomes the database before.
    ///
    /// # Errors
    /// When another process uses the folder, or the database can't be opened.
    pub fn open(
        folder: &Path,
        snapshots: &[PathBuf],
        now: DateTime<Utc>,
        arbiter: &ArbiterHandle,
        supervision: Supervision,
        hints: Hints,
    ) -> Result<Self, OpenError> {
        let lock = FolderLock::take(folder)?;
        let recovered = restore::recover(folder, snapshots, now)?;
        let path = folder.join(DATABASE);
        let connection = schema::open_writer(&path)?;
        // Readers after the writer: a read-only connection can't make the files of a fresh database.
        let pool = r2d2::Pool::builder()
            .max_size(u32::try_from(READERS).unwrap_or(2))
            .build(schema::reader_manager(&path))?;
        Ok(Self {
            owner: Owner::start(arbiter, path, connection, supervision, hints),
            readers: actix::SyncArbiter::start(READERS, move || Reader::new(pool.clone())),
            recovered,
            _lock: lock,
        })
    }
}
