//! A copy of the database as a plain SQLite file, by `VACUUM INTO` on a connection of its own, so that writes go on.

use std::fs::File;
use std::io::ErrorKind;
use std::path::Path;

use flowlord_kernel::fault::FaultPoint;

use crate::connection::open_read_only;
use crate::fault;
use crate::snapshot::error::SnapshotError;
use crate::snapshot::lower_priority::{flush_as_it_grows, run_at_lower_priority};
use crate::snapshot::verify::check_snapshot;

/// Copies the database `from` into the new file `to`, checked and on disk, and answers its size in bytes.
///
/// It is written under another name and renamed at the end, so that `to` is whole whenever it is there.
/// An error leaves nothing behind.
pub fn copy(from: &Path, to: &Path) -> Result<u64, SnapshotError> {
    copy_while(from, to, || true)
}

/// The same; the copy is kept only if it still `is_wanted` once it is made.
pub(crate) fn copy_while(from: &Path, to: &Path, is_wanted: impl Fn() -> bool) -> Result<u64, SnapshotError> {
    // Early, before minutes of copying; the rename at the end refuses it again, for one that came meanwhile.
    if to.exists() {
        return Err(SnapshotError::Exists(to.to_owned()));
    }
    let folder = match to.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let folder_failed = SnapshotError::for_path(folder);
    std::fs::create_dir_all(folder).map_err(&folder_failed)?;
    // In the same folder: a rename doesn't cross file systems. Removed when dropped, unless it was renamed.
    let partial = tempfile::Builder::new()
        .prefix(".snapshot-")
        .suffix(".partial")
        .tempfile_in(folder)
        .map_err(&folder_failed)?
        .into_temp_path();
    run_at_lower_priority(|| {
        let copied = vacuum_into(from, &partial).and_then(|()| fault::fail_at(FaultPoint::DuringSnapshot, from));
        copied.map_err(SnapshotError::for_copy(to))?;
        check_snapshot(&partial)
    })?;
    // `VACUUM INTO` doesn't flush what it writes.
    File::open(&partial).and_then(|file| file.sync_all()).map_err(SnapshotError::for_path(&partial))?;
    let bytes = partial.metadata().map_err(SnapshotError::for_path(&partial))?.len();
    // Asked last: damage may have been seen while it was copied, and a copy of that must not pass for a snapshot.
    if !is_wanted() {
        return Err(SnapshotError::GivenUp);
    }
    partial.persist_noclobber(to).map_err(|err| match err.error.kind() {
        ErrorKind::AlreadyExists => SnapshotError::Exists(to.to_owned()),
        _ => SnapshotError::Io { path: to.to_owned(), source: err.error },
    })?;
    // The new name must survive a power cut as well.
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(&folder_failed)?;
    Ok(bytes)
}

fn vacuum_into(from: &Path, to: &Path) -> rusqlite::Result<()> {
    let connection = open_read_only(from)?;
    // Without it the end would flush gigabytes at once, and every commit would wait for them.
    flush_as_it_grows(&connection, to)?;
    let to = to.to_str().ok_or_else(|| rusqlite::Error::InvalidPath(to.to_owned()))?;
    // An empty file, as the temporary one is, is taken for none.
    connection.execute("VACUUM INTO ?1", [to]).map(drop)
}

#[cfg(test)]
mod tests {
    use std::io::{Seek as _, SeekFrom, Write as _};
    use std::path::PathBuf;

    use rusqlite::Connection;

    use super::*;
    use crate::connection::open_writer;
    use crate::schema::VERSION;

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
        open_read_only(path).unwrap().query_row("SELECT count(*) FROM name", [], |row| row.get(0)).unwrap()
    }

    #[test]
    fn a_copy_holds_what_is_only_in_the_log_and_leaves_no_other_file() {
        let (folder, from) = database(1_000);
        let to = folder.path().join("copies/one.db");
        let bytes = copy(&from, &to).unwrap();
        assert_eq!(names(&to), 1_000);
        assert_eq!(bytes, to.metadata().unwrap().len());
        assert_eq!(check_snapshot(&to).unwrap(), VERSION);
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
            check_snapshot(&broken).is_err()
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
        std::fs::write(&other, "something else, longer than a header of a hundred bytes ".repeat(10)).unwrap();
        assert!(matches!(check_snapshot(&other), Err(SnapshotError::Damaged { .. })), "{:?}", check_snapshot(&other));
        let foreign = folder.path().join("foreign.db");
        Connection::open(&foreign).unwrap().execute_batch("CREATE TABLE task_records (id TEXT)").unwrap();
        let err = check_snapshot(&foreign).unwrap_err().to_string();
        assert!(err.contains("foreign.db is not a database of flowlord; `flowlord import`"), "{err}");
        let newer = folder.path().join("newer.db");
        copy(&from, &newer).unwrap();
        let connection = Connection::open(&newer).unwrap();
        connection.pragma_update(None, "user_version", VERSION + 1).unwrap();
        drop(connection);
        let err = check_snapshot(&newer).unwrap_err().to_string();
        assert!(err.contains("this program knows"), "{err}");
    }
}
