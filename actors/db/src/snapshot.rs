//! A copy of the database as a plain SQLite file, by `VACUUM INTO` on a connection of its own, so that writes go on.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use actix::fut::{ActorFutureExt as _, ready, wrap_future};
use actix::{Context, Handler, ResponseActFuture};
use flowlord_kernel::fault::Point;
use flowlord_kernel::{Code, Error, Result, guarded};
use flowlord_messages::snapshot::{Copied, CopyDatabase};
use rusqlite::{Connection, OpenFlags};

use crate::fault;
use crate::gently::{flush_as_it_grows, gently};
use crate::owner::Owner;
use crate::rowlog::log_point;
use crate::schema::{VERSION, is_ours};

/// Why there is no copy.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// There is a file of that name.
    #[error("{0} is there already: name another file")]
    Exists(PathBuf),
    /// The file or its folder can't be written.
    #[error("{path} can't be written: {source}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// SQLite says no.
    #[error("the copy {path} failed: {source}")]
    Sqlite {
        /// Which.
        path: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
    /// What was copied isn't sound.
    #[error("{path} is damaged: {problem}")]
    Damaged {
        /// Which.
        path: PathBuf,
        /// What the check says.
        problem: String,
    },
    /// The database turned out damaged while it was copied: what was read of it isn't to be kept.
    #[error("damage was seen in the database while it was copied")]
    GivenUp,
    /// A database of another program.
    #[error("{0} is no database of flowlord; `flowlord import` takes the history of the old system")]
    Foreign(PathBuf),
    /// One of a newer version.
    #[error("{path} has schema version {found}, this program knows 1 to {VERSION}")]
    Version {
        /// Which.
        path: PathBuf,
        /// The version found.
        found: usize,
    },
}

impl SnapshotError {
    /// Whether what was read or written isn't sound.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Damaged { .. } => true,
            Self::Sqlite { source, .. } => is_damage(source),
            _ => false,
        }
    }
}

/// Copies the database `from` into the new file `to`, checked and on disk, and answers its size in bytes.
///
/// It is written under another name and renamed at the end, so that `to` is whole whenever it is there.
///
/// # Errors
/// When `to` exists, either can't be used, or the copy isn't sound. Nothing is left behind then.
pub fn copy(from: &Path, to: &Path) -> std::result::Result<u64, SnapshotError> {
    copy_while(from, to, || true)
}

/// The same; the copy is kept only if it still `is_wanted` once it is made.
fn copy_while(
    from: &Path,
    to: &Path,
    is_wanted: impl Fn() -> bool,
) -> std::result::Result<u64, SnapshotError> {
    if to.exists() {
        return Err(SnapshotError::Exists(to.to_owned()));
    }
    let folder = match to.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| SnapshotError::Io { path, source }
    };
    std::fs::create_dir_all(folder).map_err(io(folder))?;
    // In the same folder: a rename doesn't cross file systems. Removed when dropped, unless it was renamed.
    let partial = tempfile::Builder::new()
        .prefix(".snapshot-")
        .suffix(".partial")
        .tempfile_in(folder)
        .map_err(io(folder))?
        .into_temp_path();
    gently(|| {
        let copied = vacuum_into(from, &partial).and_then(|()| fault::at(Point::DuringSnapshot, from));
        copied.map_err(|source| SnapshotError::Sqlite { path: to.to_owned(), source })?;
        check(&partial)
    })?;
    File::open(&partial).and_then(|file| file.sync_all()).map_err(io(&partial))?;
    let bytes = partial.metadata().map_err(io(&partial))?.len();
    if !is_wanted() {
        return Err(SnapshotError::GivenUp);
    }
    partial.persist_noclobber(to).map_err(|err| match err.error.kind() {
        std::io::ErrorKind::AlreadyExists => SnapshotError::Exists(to.to_owned()),
        _ => SnapshotError::Io { path: to.to_owned(), source: err.error },
    })?;
    // The new name must survive a power cut as well.
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(io(folder))?;
    Ok(bytes)
}

fn vacuum_into(from: &Path, to: &Path) -> rusqlite::Result<()> {
    // Not `immutable`: it reads what the writer commits meanwhile, up to its beginning.
    let connection = read_only(from)?;
    flush_as_it_grows(&connection, to)?;
    let to = to.to_str().ok_or_else(|| rusqlite::Error::InvalidPath(to.to_owned()))?;
    // An empty file, as the temporary one is, is taken for none.
    connection.execute("VACUUM INTO ?1", [to]).map(drop)
}

pub(crate) fn read_only(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(Duration::from_secs(5))?;
    Ok(connection)
}

/// Reads a copy through and answers its schema version.
///
/// # Errors
/// When it can't be opened, isn't sound, or is no database that this program can open.
pub fn check(path: &Path) -> std::result::Result<usize, SnapshotError> {
    let failed = |source| SnapshotError::Sqlite { path: path.to_owned(), source };
    let connection = read_only(path).map_err(failed)?;
    if let Some(problem) = find_damage(&connection).map_err(failed)? {
        return Err(SnapshotError::Damaged { path: path.to_owned(), problem });
    }
    if !is_ours(&connection).map_err(failed)? {
        return Err(SnapshotError::Foreign(path.to_owned()));
    }
    let found = connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(failed)?;
    if found > VERSION {
        return Err(SnapshotError::Version { path: path.to_owned(), found });
    }
    Ok(found)
}

/// Reads a database through; the first thing that is wrong with it.
pub(crate) fn find_damage(connection: &Connection) -> rusqlite::Result<Option<String>> {
    let verdict: rusqlite::Result<String> =
        connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0));
    match verdict {
        Ok(verdict) if verdict == "ok" => Ok(None),
        Ok(problem) => Ok(Some(problem.replace('\n', " "))),
        Err(err) if is_damage(&err) => Ok(Some(err.to_string())),
        Err(err) => Err(err),
    }
}

pub(crate) fn is_damage(err: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
    matches!(err.sqlite_error_code(), Some(DatabaseCorrupt | NotADatabase))
}

impl Handler<CopyDatabase> for Owner {
    type Result = ResponseActFuture<Self, Result<Copied>>;

    /// The owner chooses the point: after all that was sent before. The copy itself is made beside its thread.
    fn handle(&mut self, command: CopyDatabase, ctx: &mut Context<Self>) -> Self::Result {
        guarded(self, ctx, |owner, ctx| -> Self::Result {
            owner.flush(ctx);
            if let Some(damaged) = owner.damage.refusal() {
                return Box::pin(ready(Err(damaged)));
            }
            let (from, to, damage) = (owner.path.clone(), command.to, owner.damage.clone());
            let copied = actix_rt::task::spawn_blocking(move || {
                let copied = copy_while(&from, &to, || damage.seen().is_none());
                if copied.as_ref().is_err_and(SnapshotError::is_damage) {
                    damage.check_source(&from);
                }
                copied.map(|bytes| Copied { log: log_point(&to), path: to, bytes })
            });
            let copied = wrap_future::<_, Self>(copied);
            Box::pin(copied.map(|copied, _, _| match copied {
                Ok(copied) => copied.map_err(|err| refused(&err)),
                Err(err) => Err(Error::new(Code::Internal, format!("the copy failed inside: {err}"))),
            }))
        })
    }
}

fn refused(err: &SnapshotError) -> Error {
    let code = match err {
        SnapshotError::Exists(_) => Code::InvalidRequest,
        _ => Code::Storage,
    };
    Error::new(code, err.to_string())
}

#[cfg(test)]
mod tests {
    use std::io::{Seek as _, SeekFrom, Write as _};

    use super::*;
    use crate::schema::open_writer;

    fn database(rows: i64) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f.db");
        let connection = open_writer(&path).unwrap();
        let insert = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
            INSERT INTO name (text) SELECT printf('%0200d', i) FROM n";
        connection.execute(insert, [rows]).unwrap();
        // Left open by nobody, its write-ahead log not yet in the file.
        std::mem::forget(connection);
        (folder, path)
    }

    fn names(path: &Path) -> i64 {
        read_only(path).unwrap().query_row("SELECT count(*) FROM name", [], |row| row.get(0)).unwrap()
    }

    #[test]
    fn a_copy_holds_what_is_only_in_the_log_and_leaves_no_other_file() {
        let (folder, from) = database(1_000);
        let to = folder.path().join("copies/one.db");
        let bytes = copy(&from, &to).unwrap();
        assert_eq!(names(&to), 1_000);
        assert_eq!(bytes, to.metadata().unwrap().len());
        assert_eq!(check(&to).unwrap(), VERSION);
        let files: Vec<_> = to.parent().unwrap().read_dir().unwrap().collect();
        assert_eq!(files.len(), 1, "{files:?}");
    }

    #[test]
    fn a_copy_is_never_written_over() {
        let (folder, from) = database(1);
        let to = folder.path().join("one.db");
        std::fs::write(&to, "mine").unwrap();
        let err = copy(&from, &to).unwrap_err().to_string();
        assert!(err.contains("name another file"), "{err}");
        assert_eq!(std::fs::read_to_string(&to).unwrap(), "mine");
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_named_and_nothing_is_left() {
        let (folder, from) = database(1);
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        let err = copy(&from, &file.join("one.db")).unwrap_err().to_string();
        assert!(err.contains("file can't be written"), "{err}");
        let missing = copy(&folder.path().join("none.db"), &folder.path().join("copies/one.db"));
        assert!(matches!(missing, Err(SnapshotError::Sqlite { .. })), "{missing:?}");
        assert_eq!(folder.path().join("copies").read_dir().unwrap().count(), 0);
    }

    #[test]
    fn a_broken_page_is_found_wherever_it_is() {
        let (folder, from) = database(2_000);
        let to = folder.path().join("one.db");
        copy(&from, &to).unwrap();
        let whole = std::fs::read(&to).unwrap();
        let size = usize::from(u16::from_be_bytes([whole[16], whole[17]]));
        let found = |page: usize| {
            let broken = folder.path().join("broken.db");
            std::fs::write(&broken, &whole).unwrap();
            let mut file = File::options().write(true).open(&broken).unwrap();
            // The header of each page: without page checksums, only the structure can be checked.
            file.seek(SeekFrom::Start((page * size).try_into().unwrap())).unwrap();
            file.write_all(&[0xAA]).unwrap();
            check(&broken).is_err()
        };
        let pages = whole.len() / size;
        assert!(pages > 20, "{pages}");
        let missed: Vec<usize> = (0..pages).step_by(7).filter(|page| !found(*page)).collect();
        assert_eq!(missed, [0_usize; 0], "of {pages}");
    }

    #[test]
    fn no_database_and_a_newer_one_are_refused() {
        let (folder, from) = database(1);
        let other = folder.path().join("other.db");
        std::fs::write(&other, "something else, longer than a header of a hundred bytes ".repeat(10))
            .unwrap();
        assert!(matches!(check(&other), Err(SnapshotError::Damaged { .. })), "{:?}", check(&other));
        let foreign = folder.path().join("foreign.db");
        Connection::open(&foreign).unwrap().execute_batch("CREATE TABLE task_records (id TEXT)").unwrap();
        let err = check(&foreign).unwrap_err().to_string();
        assert!(err.contains("foreign.db is no database of flowlord; `flowlord import`"), "{err}");
        let newer = folder.path().join("newer.db");
        copy(&from, &newer).unwrap();
        let connection = Connection::open(&newer).unwrap();
        connection.pragma_update(None, "user_version", VERSION + 1).unwrap();
        drop(connection);
        let err = check(&newer).unwrap_err().to_string();
        assert!(err.contains("this program knows"), "{err}");
    }
}
