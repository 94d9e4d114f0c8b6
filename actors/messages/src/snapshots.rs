//! Snapshots: copies of the database, consistent, checked, made while writes go on.

use std::path::PathBuf;

use actix::Message;
use chrono::{DateTime, Utc};

use crate::changelog::LogPoint;
use flowlord_kernel::Result;

/// To the DB owner: makes one copy. It holds every write that was answered before this was sent.
///
/// The copy counts only when it is answered: until then it has another name, and after a failure nothing is left.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[rtype(result = "Result<DatabaseCopy>")]
pub struct CopyDatabase {
    /// The file to make; there must be none of this name.
    pub to: PathBuf,
}

/// A copy that was opened and checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseCopy {
    /// The file that was made.
    pub path: PathBuf,
    /// The size of the file in bytes.
    pub bytes: u64,
    /// Up to where it holds the log of changes; none where none is kept.
    pub log: Option<LogPoint>,
}

/// Takes a snapshot. One that is being taken for the same place is shared.
#[derive(Debug, Clone, Default, PartialEq, Eq, Message)]
#[rtype(result = "Result<StoredSnapshot>")]
pub struct TakeSnapshot {
    /// A file to make instead of one more in the usual place; there must be none of this name.
    pub to: Option<PathBuf>,
}

/// Takes one now where there is a backup place, and none elsewhere; nobody waits for it.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct TakeBackup;

/// A snapshot as it is in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredSnapshot {
    /// Where it is: a file, or an object of a store.
    pub location: String,
    /// When it was begun: it holds what was answered before.
    pub at: DateTime<Utc>,
    /// The size of the file in bytes.
    pub bytes: u64,
    /// Whether it was read back from where it is, and found to be what was checked.
    pub verified: bool,
}

/// The snapshots in the usual place, newest first.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Result<SnapshotList>")]
pub struct ListSnapshots;

/// What [`ListSnapshots`] answers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SnapshotList {
    /// Those that are there.
    pub items: Vec<StoredSnapshot>,
    /// When the next one is due; none when there is no backup place.
    pub next: Option<DateTime<Utc>>,
    /// Why the last one failed, when it did.
    pub problem: Option<String>,
}

/// How the backup is, as far as is known without asking the place.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Result<BackupState>")]
pub struct ReadBackup;

/// What [`ReadBackup`] answers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BackupState {
    /// Where snapshots go; none when there is no backup place.
    pub place: Option<String>,
    /// The newest one that was verified.
    pub verified: Option<StoredSnapshot>,
    /// Up to where that one holds the log of changes.
    pub log: Option<LogPoint>,
    /// When the next one is due.
    pub next: Option<DateTime<Utc>>,
    /// Why the last one failed, when it did.
    pub problem: Option<String>,
}

/// Takes a last snapshot, where there is a backup place, and no more: the service is stopping.
#[derive(Debug, Message)]
#[rtype(result = "Result<()>")]
pub struct StopBackup;
