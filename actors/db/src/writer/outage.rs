//! A disk that fails: nothing is acknowledged, reading goes on, and writing is tried again until it works.

use std::path::Path;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use flowlord_domain::{AlertKind, NewAlert};
use flowlord_kernel::{Code, Error};
use rusqlite::{Connection, ErrorCode};

use crate::connection::{BUSY_TIMEOUT, OpenError, is_io, reopen_recording};
use crate::utc_seconds;
use crate::writer::transaction::FailedTransaction;

pub(super) const RETRY_DELAY: TimeDelta = TimeDelta::seconds(1);

/// How often the log says that it still doesn't work.
const LOG_INTERVAL: TimeDelta = TimeDelta::minutes(1);

/// After an alert, how long an outage that returns isn't worth another one; the log has each.
pub(super) const ALERT_INTERVAL: TimeDelta = TimeDelta::minutes(10);

/// How long a reader may hold up the checkpoint of [`DiskOutage::reopen_database`].
const READER_TIMEOUT: Duration = Duration::from_millis(500);

#[derive(Debug)]
pub(super) struct DiskOutage {
    since: DateTime<Utc>,
    why: String,
    advice: &'static str,
    /// Whether what was written lately may be in memory only; see [`Self::reopen_database`].
    is_unsure: bool,
    logged_at: DateTime<Utc>,
    refused: u64,
}

impl DiskOutage {
    pub(super) fn from_error(err: &rusqlite::Error, now: DateTime<Utc>) -> Self {
        let advice = advice_for(err);
        Self { since: now, why: err.to_string(), advice, is_unsure: is_io(err), logged_at: now, refused: 0 }
    }

    pub(super) fn note_retry(&mut self, err: &rusqlite::Error, now: DateTime<Utc>) {
        // A full disk writes nothing wrong; only a flush that failed leaves pages in doubt.
        self.is_unsure |= is_io(err);
        if now - self.logged_at >= LOG_INTERVAL {
            self.logged_at = now;
            log::error!(
                "event=storage_unavailable since={} refused={} error={err:?}",
                utc_seconds(self.since),
                self.refused
            );
        }
    }

    /// What callers are answered meanwhile: nothing was stored.
    pub(super) fn refuse_commands(&mut self, commands: usize) -> Error {
        self.refused += commands as u64;
        let (since, why, advice) = (utc_seconds(self.since), &self.why, self.advice);
        let detail =
            format!("nothing can be stored since {since} ({why}), and nothing of this was: {advice}; reads still work");
        Error::new(Code::Storage, detail)
    }

    pub(super) fn to_alert(&self, now: DateTime<Utc>) -> NewAlert {
        let (from, to) = (utc_seconds(self.since), utc_seconds(now));
        let msg = format!(
            "the database could not be written from {from} to {to}: {}; {} commands were refused with 503",
            self.why, self.refused
        );
        NewAlert::without_task(AlertKind::Storage, "storage", msg, now)
    }

    pub(super) fn log_end(self, now: DateTime<Utc>) {
        let Self { since, refused, why, .. } = self;
        log::warn!(
            "event=storage_recovered since={} until={} refused={refused} error={why:?}",
            utc_seconds(since),
            utc_seconds(now)
        );
    }

    /// Opens the database anew, without making one where there is none any more.
    ///
    /// After a flush that failed, the system may hold pages in memory that it takes for written: they would be read
    /// back now and be gone after a power cut, and with them all that is appended behind them. So the whole log is
    /// first copied into the database, which writes every page again.
    pub(super) fn reopen_database(&self, path: &Path, record: Option<u64>) -> Result<Connection, OpenError> {
        let connection = reopen_recording(path, record)?;
        if self.is_unsure {
            checkpoint_whole_log(&connection).map_err(OpenError::for_file(path))?;
        }
        Ok(connection)
    }
}

/// Copies the whole write-ahead log into the database and empties it.
fn checkpoint_whole_log(connection: &Connection) -> rusqlite::Result<()> {
    // Not the usual timeout: the writer's thread would stand still, and tries again in a second anyway.
    connection.busy_timeout(READER_TIMEOUT)?;
    let held_up: bool = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    if held_up {
        let busy = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY);
        let why = "a reader holds up the checkpoint".to_owned();
        return Err(rusqlite::Error::SqliteFailure(busy, Some(why)));
    }
    Ok(())
}

pub(super) fn answer_for(failure: &FailedTransaction) -> Error {
    let FailedTransaction { err, is_unknown } = failure;
    let stored = match is_unknown {
        true => "whether this was stored is not known: send it again, with the same lease or Idempotency-Key",
        false => "nothing of this was stored",
    };
    let detail = format!("the database could not be written ({err}); {stored}; {}", advice_for(err));
    Error::new(Code::Storage, detail)
}

fn advice_for(err: &rusqlite::Error) -> &'static str {
    match err.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            "the service restarts, checks the whole database and restores the newest intact snapshot"
        }
        Some(ErrorCode::DiskFull) => "free space on the disk of the data folder",
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::CannotOpen) => {
            "make the data folder and its files writable"
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => "end the other program that holds the database",
        _ => "check the disk of the data folder",
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::ffi;

    use super::*;
    use crate::connection::{is_disk, open_writer};

    fn err(code: i32) -> rusqlite::Error {
        rusqlite::Error::SqliteFailure(ffi::Error::new(code), None)
    }

    #[test]
    fn callers_hear_whether_it_was_stored_and_what_to_do() {
        let said = |code, is_unknown| answer_for(&FailedTransaction { err: err(code), is_unknown }).detail;
        let full = said(ffi::SQLITE_FULL, false);
        assert!(full.contains("nothing of this was stored") && full.contains("free space"), "{full}");
        let broken = said(ffi::SQLITE_IOERR_FSYNC, true);
        assert!(broken.contains("is not known: send it again") && broken.contains("check the disk"), "{broken}");
        assert!(said(ffi::SQLITE_READONLY, false).contains("writable"));
        assert!(said(ffi::SQLITE_BUSY, false).contains("end the other program"));
    }

    #[test]
    fn the_log_is_copied_whole_before_writing_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f.db");
        let writer = open_writer(&path).unwrap();
        writer.execute("INSERT INTO name (text) VALUES ('a')", []).unwrap();
        let now = "2026-03-01T12:00:00Z".parse().unwrap();
        let wal = || folder.path().join("f.db-wal").metadata().unwrap().len();

        DiskOutage::from_error(&err(ffi::SQLITE_FULL), now).reopen_database(&path, None).unwrap();
        assert!(wal() > 0, "what was written is written");
        let outage = DiskOutage::from_error(&err(ffi::SQLITE_IOERR_FSYNC), now);
        let reader = Connection::open(&path).unwrap();
        reader.execute_batch("BEGIN; SELECT * FROM name").unwrap();
        writer.execute("INSERT INTO name (text) VALUES ('b')", []).unwrap();
        let held = outage.reopen_database(&path, None).unwrap_err().to_string();
        assert!(held.contains("holds up the checkpoint"), "{held}");
        drop(reader);
        outage.reopen_database(&path, None).unwrap();
        assert_eq!(wal(), 0, "every page is in the database");
    }

    #[test]
    fn a_database_that_is_gone_is_not_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f.db");
        let outage = DiskOutage::from_error(&err(ffi::SQLITE_IOERR), "2026-03-01T12:00:00Z".parse().unwrap());
        assert!(
            matches!(outage.reopen_database(&path, None), Err(OpenError::Sqlite { source, .. }) if is_disk(&source))
        );
        assert!(!path.exists());
    }
}
