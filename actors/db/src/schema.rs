//! Opening a database and bringing it to the schema that this program knows.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use crate::rowlog;
use crate::snapshot::is_damage;

/// One step a version: `MIGRATIONS[n]` leads from version n to n + 1.
const MIGRATIONS: &[&str] = &[
    include_str!("schema_v1.sql"),
    include_str!("schema_v2.sql"),
    include_str!("schema_v3.sql"),
    include_str!("schema_v4.sql"),
];

/// The version that this program writes, kept in `PRAGMA user_version`.
pub const VERSION: usize = MIGRATIONS.len();

/// Pages in the write-ahead log after which a commit also copies them into the database.
const CHECKPOINT_PAGES: u32 = 8_000;

/// How long to wait for a lock that another program holds.
pub(crate) const BUSY_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(5);

/// Prepared statements kept per connection: more than there are.
const STATEMENTS: usize = 128;

/// A database that can't be used as it is.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The folder can't be made or written.
    #[error("the data folder {path} can't be used: {source}; make it writable or name another with --data")]
    Folder {
        /// Which folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Another process has it.
    #[error("the data folder {0} is in use by another flowlord; stop that one or name another with --data")]
    InUse(PathBuf),
    /// Written by a newer program.
    #[error(
        "the database has schema version {found}, this program knows up to {VERSION}: start the newer flowlord, \
         or restore a snapshot made before the upgrade"
    )]
    Newer {
        /// The version found.
        found: usize,
    },
    /// Written by another program.
    #[error(
        "the file {0} is no database of flowlord: name another folder with --data; `flowlord import` takes the \
             history of the old system"
    )]
    Foreign(PathBuf),
    /// SQLite says no.
    #[error("the database {path} can't be opened: {source}")]
    Sqlite {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
    /// The pool of readers can't be made.
    #[error("the database can't be opened for reading: {0}")]
    Pool(#[from] r2d2::Error),
}

impl OpenError {
    /// Whether the file itself is to blame.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::Sqlite { source, .. } if is_damage(source))
    }
}

/// Keeps other processes out of the data folder, until dropped.
#[derive(Debug)]
pub struct FolderLock {
    folder: PathBuf,
    _held: File,
}

impl FolderLock {
    /// Makes the folder and takes its lock.
    ///
    /// # Errors
    /// When the folder can't be written, or another process holds the lock.
    pub fn take(folder: &Path) -> Result<Self, OpenError> {
        let failed = |source| OpenError::Folder { path: folder.to_owned(), source };
        std::fs::create_dir_all(folder).map_err(failed)?;
        let file = File::create(folder.join("flowlord.lock")).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { folder: folder.to_owned(), _held: file }),
            Err(TryLockError::WouldBlock) => Err(OpenError::InUse(folder.to_owned())),
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }

    /// The folder that it is of.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

/// Opens the database for writing as the service does: with `record` it notes which rows change, in the log that is
/// there or a new one of that number; else it ends the log.
///
/// # Errors
/// As [`open_writer`].
pub(crate) fn open_recording(path: &Path, record: Option<u64>) -> Result<Connection, OpenError> {
    recording(open_writer(path)?, path, record)
}

/// The same again: a database that is gone isn't made anew.
///
/// # Errors
/// As [`reopen_writer`].
pub(crate) fn reopen_recording(path: &Path, record: Option<u64>) -> Result<Connection, OpenError> {
    recording(reopen_writer(path)?, path, record)
}

fn recording(connection: Connection, path: &Path, record: Option<u64>) -> Result<Connection, OpenError> {
    let done = match record {
        Some(chain) => rowlog::record(&connection, chain),
        None => rowlog::forget(&connection),
    };
    done.map_err(|source| OpenError::Sqlite { path: path.to_owned(), source })?;
    Ok(connection)
}

/// Opens the database for writing and migrates it.
///
/// # Errors
/// When it can't be opened or is newer than this program.
pub(crate) fn open_writer(path: &Path) -> Result<Connection, OpenError> {
    open(path, OpenFlags::default())
}

/// Opens the database for writing again: one that is gone isn't made anew.
///
/// # Errors
/// When it can't be opened or is newer than this program.
pub(crate) fn reopen_writer(path: &Path) -> Result<Connection, OpenError> {
    open(path, OpenFlags::default() - OpenFlags::SQLITE_OPEN_CREATE)
}

fn open(path: &Path, flags: OpenFlags) -> Result<Connection, OpenError> {
    let failed = |source| OpenError::Sqlite { path: path.to_owned(), source };
    let mut connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    // The first version is made in one transaction: a file with other tables is of another program, and stays as it is.
    if !is_ours(&connection).and_then(|is_ours| Ok(is_ours || is_empty(&connection)?)).map_err(failed)? {
        return Err(OpenError::Foreign(path.to_owned()));
    }
    let pragmas = || -> rusqlite::Result<()> {
        // Before the first table, or it does nothing.
        connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
        // An acknowledgement means fsynced: NORMAL would leave the last commits to the next checkpoint.
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "foreign_keys", true)?;
        connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
        connection.pragma_update(None, "cache_size", -32_000)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        Ok(())
    };
    pragmas().map_err(failed)?;
    migrate(&mut connection).map_err(|err| match err {
        MigrateError::Newer(found) => OpenError::Newer { found },
        MigrateError::Sqlite(source) => failed(source),
    })?;
    Ok(connection)
}

/// How a reader opens the database: it can't change anything.
pub(crate) fn reader_manager(path: &Path) -> r2d2_sqlite::SqliteConnectionManager {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    r2d2_sqlite::SqliteConnectionManager::file(path).with_flags(flags).with_init(|connection| {
        connection.pragma_update(None, "query_only", true)?;
        connection.pragma_update(None, "mmap_size", 268_435_456_i64)?;
        connection.pragma_update(None, "cache_size", -4_000)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        Ok(())
    })
}

enum MigrateError {
    Newer(usize),
    Sqlite(rusqlite::Error),
}

impl From<rusqlite::Error> for MigrateError {
    fn from(err: rusqlite::Error) -> Self {
        Self::Sqlite(err)
    }
}

/// Whether a database has the tables that every version of this program's has.
pub(crate) fn is_ours(connection: &Connection) -> rusqlite::Result<bool> {
    let tables =
        "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name IN ('task', 'queue', 'rollup')";
    let found: i64 = connection.query_row(tables, [], |row| row.get(0))?;
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    Ok(found == 3 && version > 0)
}

fn is_empty(connection: &Connection) -> rusqlite::Result<bool> {
    connection
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0))
        .map(|count| count == 0)
}

fn migrate(connection: &mut Connection) -> Result<(), MigrateError> {
    let found: usize = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if found > VERSION {
        return Err(MigrateError::Newer(found));
    }
    for (from, step) in MIGRATIONS.iter().enumerate().skip(found) {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute_batch(step)?;
        transaction.pragma_update(None, "user_version", from + 1)?;
        transaction.commit()?;
        log::info!("event=schema_migrated from={from} to={}", from + 1);
    }
    if found > 0 && found < VERSION {
        // What a migration changes isn't noted: the log goes on from a snapshot of afterwards.
        rowlog::forget(connection)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fresh_database_has_the_version_and_can_shrink() {
        let folder = tempfile::tempdir().unwrap();
        let connection = open_writer(&folder.path().join("f.db")).unwrap();
        let read = |pragma| -> i64 { connection.pragma_query_value(None, pragma, |row| row.get(0)).unwrap() };
        assert_eq!(read("user_version"), i64::try_from(VERSION).unwrap());
        assert_eq!(read("auto_vacuum"), 2, "incremental");
        assert_eq!(read("synchronous"), 2, "FULL");
    }

    #[test]
    fn a_newer_schema_is_refused_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f.db");
        open_writer(&path).unwrap().pragma_update(None, "user_version", VERSION + 1).unwrap();
        let err = open_writer(&path).unwrap_err();
        let newer = format!("schema version {}", VERSION + 1);
        assert!(err.to_string().contains(&newer), "{err}");
    }

    #[test]
    fn a_database_of_another_program_is_refused_and_left_alone() {
        for version in [0, 1] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("f.db");
            let other = Connection::open(&path).unwrap();
            other.execute_batch("CREATE TABLE task_records (id TEXT)").unwrap();
            other.pragma_update(None, "user_version", version).unwrap();
            drop(other);
            let before = std::fs::read(&path).unwrap();
            let err = open_writer(&path).unwrap_err().to_string();
            assert!(err.contains("f.db is no database of flowlord"), "{err}");
            assert_eq!(std::fs::read(&path).unwrap(), before);
        }
    }

    #[test]
    fn a_folder_in_use_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let _held = FolderLock::take(folder.path()).unwrap();
        let err = FolderLock::take(folder.path()).unwrap_err();
        assert!(err.to_string().contains("in use by another flowlord"), "{err}");
    }

    #[test]
    fn a_folder_that_cannot_be_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        let err = FolderLock::take(&file.join("data")).unwrap_err();
        assert!(err.to_string().contains("name another with --data"), "{err}");
    }
}
