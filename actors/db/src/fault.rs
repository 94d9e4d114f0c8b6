//! What a planned fault is to SQLite; see [`flowlord_kernel::fault`].

use std::path::Path;

use flowlord_kernel::fault::{self, FaultEffect, FaultPoint};
use rusqlite::ffi;

/// Fails as SQLite would where a test planned it for the database `path`.
pub(crate) fn fail_at(point: FaultPoint, path: &Path) -> rusqlite::Result<()> {
    let Some(fault) = path.parent().and_then(|folder| fault::at(point, folder)) else { return Ok(()) };
    let code = match fault {
        FaultEffect::Full => ffi::SQLITE_FULL,
        FaultEffect::ReadOnly => ffi::SQLITE_READONLY,
        FaultEffect::Broken | FaultEffect::Abort => ffi::SQLITE_IOERR,
        FaultEffect::Panic => panic!("planned by a test"),
    };
    Err(rusqlite::Error::SqliteFailure(ffi::Error::new(code), None))
}
