//! The change log: rows that changed, from which the backup is kept up between snapshots.
//!
//! Triggers of the writer's own connection note the key of each row that changes, in the transaction that changes it:
//! so the log holds what is committed and nothing else, and a snapshot says by itself up to where it holds the log. A
//! *segment* is the present state of all rows noted since the last one, read in one transaction: applied to what was
//! there before, it gives the database of that moment. A *frame* is the segment of one transaction.

pub(crate) mod apply;
mod check;
pub(crate) mod frame;
pub(crate) mod log;
pub(crate) mod migration;
pub(crate) mod read;
pub(crate) mod record;
mod segment;
#[cfg(test)]
mod tests;

use std::path::Path;

use flowlord_messages::changelog::LogPoint;

use crate::DATABASE;
pub use crate::changelog::log::LogState;
use crate::changelog::log::{read_log_point, read_log_state};
use crate::connection::open_read_only;

/// Up to where the database in a file holds its log; none also where it can't be read.
pub fn log_point(path: &Path) -> Option<LogPoint> {
    open_read_only(path).and_then(|connection| read_log_point(&connection)).ok().flatten()
}

/// Where the database of a data folder stands; none where there is none, or it keeps no log.
pub fn log_state(data: &Path) -> Option<LogState> {
    open_read_only(&data.join(DATABASE)).and_then(|connection| read_log_state(&connection)).ok().flatten()
}
