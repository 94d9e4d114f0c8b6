//! The database: one owner that writes, a few readers, and nothing else in flowlord that knows SQLite.
//!
//! The owner is an actor alone on its thread. Whatever arrived while the last commit was written is the next
//! transaction; a command that fails in it does so alone, and each is answered after the commit is on disk.

mod answered;
mod bulk;
mod changelog;
mod column;
mod connection;
mod damage;
mod fault;
mod folder_lock;
mod follower;
mod import;
mod offline;
mod reader;
mod schema;
mod search;
mod snapshot;
mod sql;
mod tables;
mod writer;

#[cfg(test)]
mod tests;

use std::path::Path;

use actix::{Addr, ArbiterHandle};
use chrono::{DateTime, SecondsFormat, Utc};
use flowlord_kernel::Port;
use flowlord_kernel::{ActorKit, lower_priority};
use flowlord_messages::cluster::{AppendRows, LeaderLease};
use r2d2::Pool;
use rusqlite::Connection;

pub use bulk::{BulkError, BulkWriter};
pub use changelog::apply::SegmentError;
use changelog::frame::FramePacker;
use changelog::log::{begin_frames, note_entry};
pub use changelog::migration::{MigrationError, make_migration, plan_migration};
pub use changelog::{LogState, log_point, log_state};
pub use connection::OpenError;
pub use damage::{DamageMark, DamageMonitor, HandledDamage, RESTART_PAUSE, SeenDamage, mark_if_damaged};
pub use folder_lock::FolderLock;
pub use follower::{DatabaseFollower, FollowingDatabase};
pub use import::history::{OldAlert, OldChain, OldFile, OldHistory, OldRecord, OldTask, TimeRange};
pub use import::{ImportCounts, ImportError, ImportKind, ImportReport, import};
pub use offline::{OfflineError, list_alerts};
pub use reader::QueryReader;
pub use schema::VERSION;
pub use snapshot::copy::copy;
pub use snapshot::error::SnapshotError;
pub use snapshot::restore::{
    DatabaseCondition, RestoreError, RestoredDatabase, SnapshotRestore, inspect_database, move_database_aside,
    remove_database, verify_database,
};
pub use snapshot::verify::check_snapshot;
use writer::WriterConfig;
pub use writer::{CommitHints, DatabaseOwner};

pub const DATABASE: &str = "flowlord.db";

/// How many queries are read at the same time, by each kind of readers.
const READERS: usize = 2;

/// What the owner of the database must know of the lead.
#[derive(Debug, Clone)]
pub struct OwnLead {
    /// Nothing is acknowledged while it isn't held.
    pub lease: LeaderLease,
    /// What is there is what the cluster's log holds up to this entry; 0 without a cluster.
    pub entry: u64,
    /// To the cluster's log where that holds each transaction before it is committed.
    pub log: Option<Port<AppendRows>>,
}

impl OwnLead {
    /// That of a service without a cluster.
    #[must_use]
    pub fn of_single() -> Self {
        Self { lease: LeaderLease::unlimited(), entry: 0, log: None }
    }
}

/// A database that is open, with its actors.
#[derive(Debug)]
pub struct Database {
    pub owner: Addr<DatabaseOwner>,
    /// Takes every query that work waits for.
    pub readers: Addr<QueryReader>,
    /// Takes every query that people wait for, on threads with lower priority: however many look, work goes on.
    pub view_readers: Addr<QueryReader>,
    /// The log that changes of rows are noted in; none when they aren't.
    pub chain: Option<u64>,
    pub damage: DamageMonitor,
    _lock: FolderLock,
}

impl Database {
    /// Opens the database in the folder of `lock`, migrates it, and starts its owner in `arbiter`. With `record` it
    /// notes which rows change, in the log that is there or a new one of that number.
    pub fn open(
        lock: FolderLock,
        record: Option<u64>,
        OwnLead { lease, entry, log }: OwnLead,
        arbiter: &ArbiterHandle,
        kit: ActorKit,
        hints: CommitHints,
    ) -> Result<Self, OpenError> {
        let path = lock.folder().join(DATABASE);
        let damage = DamageMonitor::none_yet(lock.folder(), kit.clock().clone());
        let connection = connection::open_recording(&path, record).inspect_err(|err| mark_if_unopened(&damage, err))?;
        if entry > 0 {
            note_entry(&connection, entry).map_err(OpenError::for_file(&path))?;
        }
        let frames = log.map(|log| start_frames(&connection).map(|packer| (log, packer)));
        let frames = frames.transpose().map_err(OpenError::for_file(&path))?;
        // Read back, not taken from `record`: a log that was there already keeps its own number.
        let chain = log_point(&path).map(|point| point.chain);
        // Readers after the writer: a read-only connection can't make the files of a fresh database.
        let readers = start_readers(&path, &damage, || {})?;
        let view_readers = start_readers(&path, &damage, lower_priority)?;
        let config = WriterConfig { path, record, lease };
        Ok(Self {
            readers,
            view_readers,
            owner: DatabaseOwner::start(arbiter, config, connection, frames, damage.clone(), kit, hints),
            chain,
            damage,
            _lock: lock,
        })
    }
}

fn start_frames(connection: &Connection) -> rusqlite::Result<FramePacker> {
    begin_frames(connection)?;
    FramePacker::open(connection)
}

/// Marked before this start ends with an error, so that the next one restores instead of failing again.
fn mark_if_unopened(damage: &DamageMonitor, err: &OpenError) {
    if err.is_damage() {
        damage.mark_seen(&format!("the start: {err}"));
    }
}

fn start_readers(path: &Path, damage: &DamageMonitor, prepare: fn()) -> Result<Addr<QueryReader>, OpenError> {
    let most = u32::try_from(READERS).unwrap_or(2);
    let pool = Pool::builder().max_size(most).build(connection::reader_manager(path))?;
    let damage = damage.clone();
    Ok(actix::SyncArbiter::start(READERS, move || {
        // On each reader's own thread: a priority is a thread's.
        prepare();
        QueryReader { pool: pool.clone(), damage: damage.clone() }
    }))
}

fn utc_seconds(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}
