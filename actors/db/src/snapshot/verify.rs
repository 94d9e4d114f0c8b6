//! Whether a database is sound, by reading all of it.

use std::path::Path;

use rusqlite::Connection;

use crate::connection::{is_damage, open_read_only};
use crate::schema::{VERSION, is_ours, read_version};
use crate::snapshot::error::SnapshotError;
use crate::sql::CachedSql as _;

/// Reads a copy through and answers its schema version.
pub fn check_snapshot(path: &Path) -> Result<usize, SnapshotError> {
    let failed = SnapshotError::for_copy(path);
    let connection = open_read_only(path).map_err(&failed)?;
    if let Some(problem) = find_damage(&connection).map_err(&failed)? {
        return Err(SnapshotError::Damaged { path: path.to_owned(), problem });
    }
    if !is_ours(&connection).map_err(&failed)? {
        return Err(SnapshotError::Foreign(path.to_owned()));
    }
    let found = read_version(&connection).map_err(&failed)?;
    if found > VERSION {
        return Err(SnapshotError::Version { path: path.to_owned(), found });
    }
    Ok(found)
}

/// Reads a database through; the first thing that is wrong with it.
pub(crate) fn find_damage(connection: &Connection) -> rusqlite::Result<Option<String>> {
    // One problem is enough to refuse it, and a badly damaged file has thousands.
    match connection.read_value::<String>("PRAGMA integrity_check(1)", []) {
        Ok(verdict) if verdict == "ok" => Ok(None),
        Ok(problem) => Ok(Some(problem.replace('\n', " "))),
        Err(err) if is_damage(&err) => Ok(Some(err.to_string())),
        Err(err) => Err(err),
    }
}
