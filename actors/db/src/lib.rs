//! The database: one owner that writes, a few readers, and nothing else in flowlord that knows SQLite.
//!
//! The owner is an actor alone on its thread. Whatever arrived while the last commit was written is the next
//! transaction; every command in it has a savepoint of its own, and is answered after the commit is on disk.

mod bulk;
mod changes;
mod column;
mod damage;
mod fault;
mod foreign;
mod gently;
mod import;
mod job;
mod meters;
mod offline;
mod outage;
mod owner;
mod read;
mod reader;
mod restore;
mod row;
mod rowlog;
mod schema;
mod snapshot;
mod store;
mod transaction;
mod write;

#[cfg(test)]
mod tests;

use actix::{Addr, ArbiterHandle};
use flowlord_kernel::{ActorKit, lower_priority};
use r2d2::Pool;

pub use bulk::{Bulk, BulkError};
pub use damage::{Damage, Handled, Mark, RESTART_PAUSE, Seen, mark_if_damaged};
pub use import::{Counts, ImportError, Kind, Report, import};
pub use offline::{OfflineError, list_alerts};
pub use owner::{Hints, Owner};
pub use reader::Reader;
pub use restore::{Found, RestoreError, Restored, Restoring, look, look_through};
pub use rowlog::{SegmentError, log_point};
pub use schema::{FolderLock, OpenError, VERSION};
pub use snapshot::{SnapshotError, check, copy};

/// The name of the database in the data folder.
pub const DATABASE: &str = "flowlord.db";

/// How many queries are read at the same time, by each kind of readers.
const READERS: usize = 2;

/// A database that is open, with its actors.
#[derive(Debug)]
pub struct Database {
    /// Takes every write.
    pub owner: Addr<Owner>,
    /// Takes every query that work waits for.
    pub readers: Addr<Reader>,
    /// Takes every query that people wait for, on threads that stand back: however many look, work goes on.
    pub lookers: Addr<Reader>,
    /// The log that changes of rows are noted in; none when they aren't.
    pub chain: Option<u64>,
    /// Whether it turned out damaged.
    pub damage: Damage,
    _lock: FolderLock,
}

impl Database {
    /// Opens the database in the folder of `lock`, migrates it, and starts its owner in `arbiter`. With `record` it
    /// notes which rows change, in the log that is there or a new one of that number.
    ///
    /// # Errors
    /// When the database can't be opened.
    pub fn open(
        lock: FolderLock,
        record: Option<u64>,
        arbiter: &ArbiterHandle,
        kit: ActorKit,
        hints: Hints,
    ) -> Result<Self, OpenError> {
        let path = lock.folder().join(DATABASE);
        let damage = Damage::none_yet(lock.folder(), kit.clock().clone());
        let connection = schema::open_recording(&path, record).inspect_err(|err| {
            if err.is_damage() {
                damage.see(&format!("the start: {err}"));
            }
        })?;
        let chain = log_point(&path).map(|point| point.chain);
        // Readers after the writer: a read-only connection can't make the files of a fresh database.
        let pool = || {
            let most = u32::try_from(READERS).unwrap_or(2);
            Pool::builder().max_size(most).build(schema::reader_manager(&path))
        };
        let (reading, looking) = (pool()?, pool()?);
        let reader = |pool: Pool<_>| {
            let damage = damage.clone();
            move || Reader::new(pool.clone(), damage.clone())
        };
        let (reader, looker) = (reader(reading), reader(looking));
        Ok(Self {
            readers: actix::SyncArbiter::start(READERS, reader),
            lookers: actix::SyncArbiter::start(READERS, move || {
                lower_priority();
                looker()
            }),
            owner: Owner::start(arbiter, path, record, connection, damage.clone(), kit, hints),
            chain,
            damage,
            _lock: lock,
        })
    }
}
