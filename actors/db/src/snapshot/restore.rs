//! Putting a snapshot in the place of the database.

use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use flowlord_messages::changelog::LogPoint;

use crate::DATABASE;
use crate::changelog::apply::{LogReplay, SegmentError};
use crate::column::ReadColumn as _;
use crate::connection::{is_damage, open_read_only};
use crate::folder_lock::FolderLock;
use crate::snapshot::copy::copy;
use crate::snapshot::error::SnapshotError;
use crate::snapshot::verify::{check_snapshot, find_damage};
use crate::sql::CachedSql as _;

#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    #[error("{0} already exists: --force moves it aside and restores")]
    Exists(PathBuf),
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    #[error("the database is damaged after the log was applied: {0}")]
    Log(String),
    #[error("{path} can't be written: {source}")]
    Io { path: PathBuf, source: std::io::Error },
}

impl RestoreError {
    fn for_path(path: &Path) -> impl Fn(std::io::Error) -> Self {
        |source| Self::Io { path: path.to_owned(), source }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoredDatabase {
    pub from: String,
    pub newest: Option<DateTime<Utc>>,
    /// How many segments of the log were applied, and up to when; none when none was.
    pub log: Option<(usize, DateTime<Utc>)>,
    /// Where the database is that was there before; its files keep their endings.
    pub moved_to: Option<PathBuf>,
}

/// The state of the database file in a data folder, as far as a quick look tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DatabaseCondition {
    Nothing,
    Sound,
    Broken(String),
}

/// Looks whether there is a database that opens. Not a full check, which takes as long as reading it all.
/// A file that can't be read for another reason than its content is an error: no reason to replace it.
pub fn inspect_database(data: &Path) -> Result<DatabaseCondition, SnapshotError> {
    let path = data.join(DATABASE);
    match path.metadata() {
        Err(err) if err.kind() == ErrorKind::NotFound => return Ok(DatabaseCondition::Nothing),
        Err(source) => return Err(SnapshotError::Io { path, source }),
        // SQLite makes an empty file before it writes; with a write-ahead log beside it all may be in there.
        Ok(metadata) if metadata.len() == 0 && !path_beside(&path, "-wal").exists() => {
            return Ok(DatabaseCondition::Nothing);
        }
        Ok(_) => {}
    }
    let opened = open_read_only(&path).and_then(|connection| {
        // A database may open and still have no readable first page: SQLite reads it at the first statement.
        let tables = "SELECT count(*) FROM sqlite_schema";
        connection.query_row(tables, [], |row| row.get::<_, i64>(0))?;
        connection.query_row("PRAGMA user_version", [], |row| row.get::<_, i64>(0))
    });
    match opened {
        Ok(_) => Ok(DatabaseCondition::Sound),
        Err(err) if is_damage(&err) => Ok(DatabaseCondition::Broken(err.to_string())),
        Err(source) => Err(SnapshotError::Sqlite { path, source }),
    }
}

/// The same by reading all of it.
pub fn verify_database(data: &Path) -> Result<DatabaseCondition, SnapshotError> {
    match inspect_database(data)? {
        DatabaseCondition::Sound => {}
        found => return Ok(found),
    }
    let path = data.join(DATABASE);
    let found = open_read_only(&path).and_then(|connection| find_damage(&connection));
    Ok(found.map_err(SnapshotError::for_copy(&path))?.map_or(DatabaseCondition::Sound, DatabaseCondition::Broken))
}

/// A checked copy of a snapshot on its way to become the database of a data folder that no service uses.
#[derive(Debug)]
pub struct SnapshotRestore {
    data: PathBuf,
    fresh: PathBuf,
    replay: Option<LogReplay>,
    keeps_log: bool,
}

impl SnapshotRestore {
    /// Makes the copy beside the database; nothing is moved yet.
    pub fn begin(snapshot: &Path, data: &Path, force: bool) -> Result<Self, RestoreError> {
        let path = data.join(DATABASE);
        if path.exists() && !force {
            return Err(RestoreError::Exists(path));
        }
        check_snapshot(snapshot)?;
        let fresh = data.join(format!("{DATABASE}.restoring"));
        // Left by a restore that was cut off.
        match std::fs::remove_file(&fresh) {
            Err(source) if source.kind() != ErrorKind::NotFound => {
                return Err(RestoreError::for_path(&fresh)(source));
            }
            _ => {}
        }
        copy(snapshot, &fresh)?;
        let replay = LogReplay::open(&fresh).map_err(SnapshotError::for_copy(&fresh))?;
        Ok(Self { data: data.to_owned(), fresh, replay, keeps_log: false })
    }

    /// The database will follow the one that it is a copy of: its log goes on here.
    #[must_use]
    pub fn keeping_log(self) -> Self {
        Self { keeps_log: true, ..self }
    }

    /// Up to where it holds the log of changes; none where it holds none.
    pub fn log_point(&self) -> Option<LogPoint> {
        self.replay.as_ref().map(LogReplay::log_point)
    }

    /// The last entry of a cluster's log that it is known to hold; 0 without a cluster.
    pub fn log_entry(&self) -> u64 {
        self.replay.as_ref().map_or(0, LogReplay::log_entry)
    }

    /// Applies the next segment of its log, whose SHA-256 is `digest` in hex.
    /// After an error what was applied so far stays.
    pub fn apply_segment(&mut self, segment: &[u8], digest: &str) -> Result<(), SegmentError> {
        match &mut self.replay {
            Some(replay) => replay.apply_segment(segment, digest),
            None => Err(SegmentError::Foreign("the snapshot has no log".to_owned())),
        }
    }

    /// Puts it in the place of the database; one that is there is moved aside. `from` is how people name the
    /// snapshot.
    pub fn finish(self, from: String, now: DateTime<Utc>) -> Result<RestoredDatabase, RestoreError> {
        let Self { data, fresh, replay, keeps_log } = self;
        let failed = RestoreError::for_path(&data);
        let log = replay.as_ref().and_then(LogReplay::applied_until);
        if let Some(replay) = replay.filter(|_| !keeps_log) {
            replay.finish_replay().map_err(|err| RestoreError::Log(err.to_string()))?;
            // A copy without segments was checked when it was made.
            if log.is_some() {
                check_snapshot(&fresh).map_err(|err| RestoreError::Log(err.to_string()))?;
            }
            // Segments were applied without flushes.
            File::open(&fresh).and_then(|file| file.sync_all()).map_err(&failed)?;
        }
        let path = data.join(DATABASE);
        let newest = newest_task(&fresh)?;
        let moved_to = if path.exists() { Some(move_aside(&path, now).map_err(&failed)?) } else { None };
        std::fs::rename(&fresh, &path).map_err(&failed)?;
        File::open(&data).and_then(|folder| folder.sync_all()).map_err(&failed)?;
        Ok(RestoredDatabase { from, newest, log, moved_to })
    }
}

/// Moves the database of a folder aside, so that the next start finds none; answers where it is then.
pub fn move_database_aside(lock: &FolderLock, now: DateTime<Utc>) -> std::io::Result<Option<PathBuf>> {
    let path = lock.folder().join(DATABASE);
    if path.exists() { move_aside(&path, now).map(Some) } else { Ok(None) }
}

/// Removes the database of a folder that holds a copy of what is elsewhere.
pub fn remove_database(lock: &FolderLock) -> std::io::Result<()> {
    let path = lock.folder().join(DATABASE);
    for ending in ["-wal", "-shm", ""] {
        match std::fs::remove_file(path_beside(&path, ending)) {
            Err(err) if err.kind() == ErrorKind::NotFound => {}
            removed => removed?,
        }
    }
    Ok(())
}

/// With its write-ahead log, without which it isn't the same database.
fn move_aside(path: &Path, now: DateTime<Utc>) -> std::io::Result<PathBuf> {
    let aside = path_beside(path, &format!(".aside-{}", now.format("%Y%m%dT%H%M%S%.6fZ")));
    // The write-ahead log first: left behind, it would be replayed into the database that comes next.
    for ending in ["-wal", "-shm", ""] {
        match std::fs::rename(path_beside(path, ending), path_beside(&aside, ending)) {
            Err(err) if err.kind() == ErrorKind::NotFound => {}
            moved => moved?,
        }
    }
    Ok(aside)
}

fn path_beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

fn newest_task(path: &Path) -> Result<Option<DateTime<Utc>>, SnapshotError> {
    let newest = open_read_only(path)
        .and_then(|connection| connection.read_row("SELECT max(uid) FROM task", [], |row| row.optional_time(0)));
    newest.map_err(SnapshotError::for_copy(path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::open_writer;

    fn now() -> DateTime<Utc> {
        "2026-03-01T12:00:00Z".parse().unwrap()
    }

    fn database(data: &Path, name: &str) {
        let connection = open_writer(&data.join(DATABASE)).unwrap();
        connection.execute("INSERT INTO name (text) VALUES (?1)", [name]).unwrap();
    }

    fn name(path: &Path) -> String {
        open_read_only(path).unwrap().query_row("SELECT text FROM name", [], |row| row.get(0)).unwrap()
    }

    fn restore(snapshot: &Path, data: &Path, force: bool) -> Result<RestoredDatabase, RestoreError> {
        SnapshotRestore::begin(snapshot, data, force)?.finish(snapshot.display().to_string(), now())
    }

    fn snapshot_of(data: &Path, to: &str) -> PathBuf {
        let to = data.join(to);
        copy(&data.join(DATABASE), &to).unwrap();
        to
    }

    #[test]
    fn an_empty_folder_gets_the_snapshot() {
        let (old, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        database(old.path(), "old");
        let snapshot = snapshot_of(old.path(), "one.db");
        assert_eq!(inspect_database(new.path()).unwrap(), DatabaseCondition::Nothing);
        let restored = restore(&snapshot, new.path(), false).unwrap();
        assert_eq!((restored.moved_to, restored.newest), (None, None));
        assert_eq!(name(&new.path().join(DATABASE)), "old");
        assert_eq!(inspect_database(new.path()).unwrap(), DatabaseCondition::Sound);
    }

    #[test]
    fn a_database_is_replaced_only_by_force_and_kept_aside() {
        let data = tempfile::tempdir().unwrap();
        database(data.path(), "old");
        let snapshot = snapshot_of(data.path(), "one.db");
        open_writer(&data.path().join(DATABASE)).unwrap().execute("UPDATE name SET text = 'new'", []).unwrap();
        let refused = restore(&snapshot, data.path(), false).unwrap_err().to_string();
        assert!(refused.contains("--force"), "{refused}");
        assert_eq!(name(&data.path().join(DATABASE)), "new");
        let restored = restore(&snapshot, data.path(), true).unwrap();
        assert_eq!(name(&data.path().join(DATABASE)), "old");
        assert_eq!(name(&restored.moved_to.unwrap()), "new");
    }

    #[test]
    fn a_snapshot_that_is_not_sound_changes_nothing() {
        let data = tempfile::tempdir().unwrap();
        database(data.path(), "mine");
        let bad = data.path().join("bad.db");
        std::fs::write(&bad, "no database at all, but long enough to look like one ".repeat(20)).unwrap();
        let err = restore(&bad, data.path(), true).unwrap_err().to_string();
        assert!(err.contains("bad.db is damaged"), "{err}");
        assert_eq!(name(&data.path().join(DATABASE)), "mine");
    }

    #[test]
    fn a_database_that_does_not_open_is_told_from_one_that_cannot_be_read() {
        let data = tempfile::tempdir().unwrap();
        let path = data.path().join(DATABASE);
        std::fs::write(&path, "no database at all, but long enough to look like one ".repeat(20)).unwrap();
        assert!(matches!(inspect_database(data.path()).unwrap(), DatabaseCondition::Broken(_)));
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        assert!(
            matches!(inspect_database(data.path()), Err(SnapshotError::Sqlite { .. })),
            "{:?}",
            inspect_database(data.path())
        );
    }
}
