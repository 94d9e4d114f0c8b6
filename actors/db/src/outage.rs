//! A disk that fails: nothing is acknowledged, reading goes on, and writing is tried again until it works.

use std::path::Path;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use flowlord_domain::{AlertKind, NewAlert};
use flowlord_kernel::{Code, Error};
use rusqlite::{Connection, ErrorCode};

use crate::schema::{self, OpenError};
use crate::transaction::Failure;

/// How long to wait before writing is tried again.
pub(crate) const TRY_AGAIN: TimeDelta = TimeDelta::seconds(1);

/// How often the log says that it still doesn't work.
const SAY_AGAIN: TimeDelta = TimeDelta::minutes(1);

/// After an alert, how long an outage that comes and goes isn't worth another one; the log tells each.
pub(crate) const TOLD_FOR: TimeDelta = TimeDelta::minutes(10);

/// How long a reader may hold up the checkpoint of [`reopen`].
const READERS_MAY_TAKE: Duration = Duration::from_millis(500);

/// Writing doesn't work.
#[derive(Debug)]
pub(crate) struct Outage {
    since: DateTime<Utc>,
    why: String,
    advice: &'static str,
    /// Whether what was written lately may be in memory only; see [`reopen`].
    unsure: bool,
    said: DateTime<Utc>,
    refused: u64,
}

impl Outage {
    /// It begins with this error.
    pub(crate) fn begin(err: &rusqlite::Error, now: DateTime<Utc>) -> Self {
        let advice = advice(err);
        Self { since: now, why: err.to_string(), advice, unsure: is_io(err), said: now, refused: 0 }
    }

    /// Writing was tried again, and failed.
    pub(crate) fn goes_on(&mut self, err: &rusqlite::Error, now: DateTime<Utc>) {
        self.unsure |= is_io(err);
        if now - self.said >= SAY_AGAIN {
            self.said = now;
            log::error!(
                "event=storage_unavailable since={} refused={} error={err:?}",
                utc(self.since),
                self.refused
            );
        }
    }

    /// What callers hear meanwhile: nothing was stored.
    pub(crate) fn refuse(&mut self, commands: usize) -> Error {
        self.refused += commands as u64;
        let (since, why, advice) = (utc(self.since), &self.why, self.advice);
        let detail = format!(
            "nothing can be stored since {since} ({why}), and nothing of this was: {advice}; reading goes on"
        );
        Error::new(Code::Storage, detail)
    }

    /// What people are told once it is over.
    pub(crate) fn alert(&self, now: DateTime<Utc>) -> NewAlert {
        let (from, to) = (utc(self.since), utc(now));
        NewAlert {
            kind: AlertKind::Storage,
            at: now,
            uid: None,
            id: String::new(),
            topic: "storage".to_owned(),
            job: String::new(),
            workflow: String::new(),
            msg: format!(
                "the database could not be written from {from} to {to}: {}; {} commands were refused with 503",
                self.why, self.refused
            ),
            task_time: None,
            at_once: None,
        }
    }

    /// It is over.
    pub(crate) fn end(self, now: DateTime<Utc>) {
        let Self { since, refused, why, .. } = self;
        log::warn!(
            "event=storage_recovered since={} until={} refused={refused} error={why:?}",
            utc(since),
            utc(now)
        );
    }

    /// Opens the database anew, without making one where there is none any more.
    ///
    /// After a flush that failed, the system may hold pages in memory that it takes for written: they would be read
    /// back now and be gone after a power cut, and with them all that is appended behind them. So the whole log is
    /// first copied into the database, which writes every page again.
    pub(crate) fn reopen(&self, path: &Path, record: Option<u64>) -> Result<Connection, OpenError> {
        let connection = schema::reopen_recording(path, record)?;
        if self.unsure {
            let failed = |source| OpenError::Sqlite { path: path.to_owned(), source };
            checkpoint(&connection).map_err(failed)?;
        }
        Ok(connection)
    }
}

/// Copies the whole write-ahead log into the database and empties it.
fn checkpoint(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(READERS_MAY_TAKE)?;
    let held_up: bool = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
    connection.busy_timeout(schema::BUSY_TIMEOUT)?;
    if held_up {
        let busy = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY);
        return Err(rusqlite::Error::SqliteFailure(
            busy,
            Some("a reader holds up the checkpoint".to_owned()),
        ));
    }
    Ok(())
}

/// What the callers of a transaction hear that failed.
pub(crate) fn failed(failure: &Failure) -> Error {
    let Failure { err, unknown } = failure;
    let stored = match unknown {
        true => "whether this was stored is not known: send it again, with the same lease or Idempotency-Key",
        false => "nothing of this was stored",
    };
    Error::new(Code::Storage, format!("the database could not be written ({err}); {stored}; {}", advice(err)))
}

/// Whether the disk is to blame, not the command.
pub(crate) fn is_disk(err: &rusqlite::Error) -> bool {
    use ErrorCode::{CannotOpen, DiskFull, PermissionDenied, ReadOnly};
    is_io(err) || matches!(err.sqlite_error_code(), Some(CannotOpen | DiskFull | PermissionDenied | ReadOnly))
}

fn is_io(err: &rusqlite::Error) -> bool {
    err.sqlite_error_code() == Some(ErrorCode::SystemIoFailure)
}

fn advice(err: &rusqlite::Error) -> &'static str {
    match err.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            "the service restarts, checks all of the database and restores the newest sound snapshot"
        }
        Some(ErrorCode::DiskFull) => "free space on the disk of the data folder",
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::CannotOpen) => {
            "make the data folder and its files writable"
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            "end the other program that holds the database"
        }
        _ => "look at the disk of the data folder",
    }
}

fn utc(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

#[cfg(test)]
mod tests {
    use rusqlite::ffi;

    use super::*;

    fn err(code: i32) -> rusqlite::Error {
        rusqlite::Error::SqliteFailure(ffi::Error::new(code), None)
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

    #[test]
    fn callers_hear_whether_it_was_stored_and_what_to_do() {
        let said = |code, unknown| failed(&Failure { err: err(code), unknown }).detail;
        let full = said(ffi::SQLITE_FULL, false);
        assert!(full.contains("nothing of this was stored") && full.contains("free space"), "{full}");
        let broken = said(ffi::SQLITE_IOERR_FSYNC, true);
        assert!(
            broken.contains("is not known: send it again") && broken.contains("look at the disk"),
            "{broken}"
        );
        assert!(said(ffi::SQLITE_READONLY, false).contains("writable"));
        assert!(said(ffi::SQLITE_BUSY, false).contains("end the other program"));
    }

    #[test]
    fn the_log_is_copied_whole_before_writing_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f.db");
        let writer = schema::open_writer(&path).unwrap();
        writer.execute("INSERT INTO name (text) VALUES ('a')", []).unwrap();
        let now = "2026-03-01T12:00:00Z".parse().unwrap();
        let wal = || folder.path().join("f.db-wal").metadata().unwrap().len();

        Outage::begin(&err(ffi::SQLITE_FULL), now).reopen(&path, None).unwrap();
        assert!(wal() > 0, "what was written is written");
        let outage = Outage::begin(&err(ffi::SQLITE_IOERR_FSYNC), now);
        let reader = Connection::open(&path).unwrap();
        reader.execute_batch("BEGIN; SELECT * FROM name").unwrap();
        writer.execute("INSERT INTO name (text) VALUES ('b')", []).unwrap();
        let held = outage.reopen(&path, None).unwrap_err().to_string();
        assert!(held.contains("holds up the checkpoint"), "{held}");
        drop(reader);
        outage.reopen(&path, None).unwrap();
        assert_eq!(wal(), 0, "every page is in the database");
    }

    #[test]
    fn a_database_that_is_gone_is_not_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f.db");
        let outage = Outage::begin(&err(ffi::SQLITE_IOERR), "2026-03-01T12:00:00Z".parse().unwrap());
        assert!(
            matches!(outage.reopen(&path, None), Err(OpenError::Sqlite { source, .. }) if is_disk(&source))
        );
        assert!(!path.exists());
    }
}
