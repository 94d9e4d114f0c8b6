//! Reading a database that no service uses.

use std::path::{Path, PathBuf};

use flowlord_messages::alerts::{ListAlerts, StoredAlert};

use crate::connection::open_read_only;
use crate::reader::ReadQuery as _;
use crate::schema::{VERSION, read_version};

#[derive(Debug, thiserror::Error)]
pub enum OfflineError {
    #[error("the database {path} can't be read: {source}")]
    Sqlite { path: PathBuf, source: rusqlite::Error },
    #[error(
        "the database {path} has schema version {found} and this program reads {VERSION}: an older one is brought up to \
         date when the service starts, a newer one needs a newer program"
    )]
    Version { path: PathBuf, found: usize },
}

impl OfflineError {
    fn for_file(path: &Path) -> impl Fn(rusqlite::Error) -> Self {
        |source| Self::Sqlite { path: path.to_owned(), source }
    }
}

/// The alerts of some time, from the database `path`. Hold the lock of its folder meanwhile.
pub fn list_alerts(path: &Path, query: &ListAlerts) -> Result<Vec<StoredAlert>, OfflineError> {
    let failed = OfflineError::for_file(path);
    let connection = open_read_only(path).map_err(&failed)?;
    let found = read_version(&connection).map_err(&failed)?;
    // Not migrated here: a look at alerts must not change a database that an older program may still use.
    if found != VERSION {
        return Err(OfflineError::Version { path: path.to_owned(), found });
    }
    query.read_from(&connection).map_err(&failed)
}
