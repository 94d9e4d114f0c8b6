//! Opening a database, and what its errors mean.

use std::path::{Path, PathBuf};
use std::time::Duration;

use flowlord_kernel::{Code, Error};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::changelog::log::end_log;
use crate::changelog::record::record_changes;
use crate::schema::{VERSION, is_empty, is_ours, migrate, read_version};

/// Pages in the write-ahead log after which a commit also copies them into the database.
const CHECKPOINT_PAGES: u32 = 8_000;

/// How long to wait for a lock that another program holds.
pub(crate) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

const READ_ONLY: OpenFlags = OpenFlags::SQLITE_OPEN_READ_ONLY.union(OpenFlags::SQLITE_OPEN_NO_MUTEX);

/// Prepared statements kept per connection: more than there are.
const STATEMENTS: usize = 128;

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("the data folder {path} can't be used: {source}; make it writable or name another with --data")]
    Folder { path: PathBuf, source: std::io::Error },
    #[error("the data folder {0} is in use by another flowlord; stop that one or name another with --data")]
    InUse(PathBuf),
    #[error(
        "the database has schema version {found}, this program knows up to {VERSION}: start the newer flowlord, \
         or restore a snapshot made before the upgrade"
    )]
    Newer { found: usize },
    #[error(
        "the file {0} is not a database of flowlord: name another folder with --data; `flowlord import` takes the \
             history of the old system"
    )]
    Foreign(PathBuf),
    #[error("the database {path} can't be opened: {source}")]
    Sqlite { path: PathBuf, source: rusqlite::Error },
    #[error("the database can't be opened for reading: {0}")]
    Pool(#[from] r2d2::Error),
}

impl OpenError {
    pub(crate) fn for_folder(path: &Path) -> impl Fn(std::io::Error) -> Self {
        |source| Self::Folder { path: path.to_owned(), source }
    }

    pub(crate) fn for_file(path: &Path) -> impl Fn(rusqlite::Error) -> Self {
        |source| Self::Sqlite { path: path.to_owned(), source }
    }

    /// Whether the file itself is to blame.
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::Sqlite { source, .. } if is_damage(source))
    }
}

/// Opens the database for writing as the service does: with `record` it notes which rows change, in the log that is
/// there or a new one of that number; else it ends the log.
pub(crate) fn open_recording(path: &Path, record: Option<u64>) -> Result<Connection, OpenError> {
    start_recording(open_writer(path)?, path, record)
}

/// The same again: a database that is gone isn't made anew.
pub(crate) fn reopen_recording(path: &Path, record: Option<u64>) -> Result<Connection, OpenError> {
    let flags = OpenFlags::default() - OpenFlags::SQLITE_OPEN_CREATE;
    start_recording(open_migrated(path, flags)?, path, record)
}

fn start_recording(connection: Connection, path: &Path, record: Option<u64>) -> Result<Connection, OpenError> {
    let started = match record {
        Some(chain) => record_changes(&connection, chain),
        None => end_log(&connection),
    };
    started.map_err(OpenError::for_file(path))?;
    Ok(connection)
}

pub(crate) fn open_writer(path: &Path) -> Result<Connection, OpenError> {
    open_migrated(path, OpenFlags::default())
}

fn open_migrated(path: &Path, flags: OpenFlags) -> Result<Connection, OpenError> {
    let failed = OpenError::for_file(path);
    let mut connection = Connection::open_with_flags(path, flags).map_err(&failed)?;
    // The first version is made in one transaction: a file with other tables is of another program, and stays as it is.
    if !(is_ours(&connection).map_err(&failed)? || is_empty(&connection).map_err(&failed)?) {
        return Err(OpenError::Foreign(path.to_owned()));
    }
    let found = read_version(&connection).map_err(&failed)?;
    if found > VERSION {
        return Err(OpenError::Newer { found });
    }
    set_up_writer(&connection).map_err(&failed)?;
    migrate(&mut connection, found).map_err(&failed)?;
    Ok(connection)
}

/// Opens a database that follows another one, as it is: its tables are those of the leader's program.
pub(crate) fn open_following(path: &Path) -> Result<Connection, OpenError> {
    let failed = OpenError::for_file(path);
    let connection =
        Connection::open_with_flags(path, OpenFlags::default() - OpenFlags::SQLITE_OPEN_CREATE).map_err(&failed)?;
    let found = read_version(&connection).map_err(&failed)?;
    if found > VERSION {
        return Err(OpenError::Newer { found });
    }
    set_up_writer(&connection).map_err(&failed)?;
    // Rows come in any order, with all that follows from them.
    connection.pragma_update(None, "foreign_keys", false).map_err(&failed)?;
    // What a power cut takes back is in the log, and the position goes back with it.
    connection.pragma_update(None, "synchronous", "NORMAL").map_err(&failed)?;
    Ok(connection)
}

fn set_up_writer(connection: &Connection) -> rusqlite::Result<()> {
    // Before the first table, or it does nothing.
    connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    // An acknowledgement means fsynced: NORMAL would leave the last commits to the next checkpoint.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    // A checkpoint costs a commit an fsync of the database as well: rarely, and then of many pages at once.
    connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
    // Negative sizes are kibibytes, whatever the page size.
    connection.pragma_update(None, "cache_size", -32_000)?;
    set_up_connection(connection)
}

fn set_up_connection(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    // Else SQLite prepares a statement with `LIMIT ?` again each time that it runs, since the plan may depend on the value.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(())
}

/// Leaves nothing in the write-ahead log: the last thing that is done on a connection.
pub(crate) fn checkpoint_at_end(connection: &Connection) -> flowlord_kernel::Result<()> {
    let checkpoint = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
    checkpoint.map_err(|err| Error::new(Code::Storage, format!("the checkpoint failed: {err}")))
}

/// Opens a database that somebody else may be writing: not `immutable`, so that it sees what is committed meanwhile.
pub(crate) fn open_read_only(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(path, READ_ONLY)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    Ok(connection)
}

/// How a reader opens the database: it can't change anything.
pub(crate) fn reader_manager(path: &Path) -> r2d2_sqlite::SqliteConnectionManager {
    r2d2_sqlite::SqliteConnectionManager::file(path).with_flags(READ_ONLY).with_init(|connection| {
        connection.pragma_update(None, "query_only", true)?;
        connection.pragma_update(None, "mmap_size", 268_435_456_i64)?;
        // Small: most pages are read from the mapped file, which all connections share.
        connection.pragma_update(None, "cache_size", -4_000)?;
        set_up_connection(connection)
    })
}

pub(crate) fn is_damage(err: &rusqlite::Error) -> bool {
    matches!(err.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
}

/// Whether the disk is to blame, not the command.
pub(crate) fn is_disk(err: &rusqlite::Error) -> bool {
    use ErrorCode::{CannotOpen, DiskFull, PermissionDenied, ReadOnly};
    is_io(err) || matches!(err.sqlite_error_code(), Some(CannotOpen | DiskFull | PermissionDenied | ReadOnly))
}

pub(crate) fn is_io(err: &rusqlite::Error) -> bool {
    err.sqlite_error_code() == Some(ErrorCode::SystemIoFailure)
}

#[cfg(test)]
mod tests {
    use rusqlite::ffi;

    use super::*;

    fn err(code: i32) -> rusqlite::Error {
        rusqlite::Error::SqliteFailure(ffi::Error::new(code), None)
    }

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
    fn a_statement_is_prepared_once_also_with_a_limit_that_is_bound() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f.db");
        let writer = open_writer(&path).unwrap();
        let reader = r2d2::ManageConnection::connect(&reader_manager(&path)).unwrap();
        for connection in [writer, reader] {
            let mut statement = connection.prepare("SELECT uid FROM task WHERE queue = ?1 LIMIT ?2").unwrap();
            for limit in 1..5 {
                assert!(!statement.exists([limit, limit]).unwrap());
            }
            assert_eq!(statement.get_status(rusqlite::StatementStatus::RePrepare), 0);
        }
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
            assert!(err.contains("f.db is not a database of flowlord"), "{err}");
            assert_eq!(std::fs::read(&path).unwrap(), before);
        }
    }

    #[test]
    fn what_the_disk_does_is_told_from_what_a_command_does() {
        for code in [
            ffi::SQLITE_FULL,
            ffi::SQLITE_READONLY,
            ffi::SQLITE_READONLY_DBMOVED,
            ffi::SQLITE_IOERR,
            ffi::SQLITE_IOERR_FSYNC,
            ffi::SQLITE_CANTOPEN,
            ffi::SQLITE_PERM,
        ] {
            assert!(is_disk(&err(code)), "{code}");
        }
        for code in [ffi::SQLITE_CONSTRAINT, ffi::SQLITE_BUSY, ffi::SQLITE_CORRUPT, ffi::SQLITE_TOOBIG] {
            assert!(!is_disk(&err(code)), "{code}");
        }
    }
}
