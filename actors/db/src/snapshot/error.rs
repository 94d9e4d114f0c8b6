//! What goes wrong with a copy.

use std::path::{Path, PathBuf};

use crate::connection::is_damage;
use crate::schema::VERSION;

#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    #[error("{0} already exists: name another file")]
    Exists(PathBuf),
    #[error("{path} can't be written: {source}")]
    Io { path: PathBuf, source: std::io::Error },
    #[error("the copy {path} failed: {source}")]
    Sqlite { path: PathBuf, source: rusqlite::Error },
    #[error("{path} is damaged: {problem}")]
    Damaged { path: PathBuf, problem: String },
    #[error("damage was seen in the database while it was copied")]
    GivenUp,
    #[error("{0} is not a database of flowlord; `flowlord import` takes the history of the old system")]
    Foreign(PathBuf),
    #[error("{path} has schema version {found}, this program knows 1 to {VERSION}")]
    Version { path: PathBuf, found: usize },
}

impl SnapshotError {
    pub(crate) fn for_copy(path: &Path) -> impl Fn(rusqlite::Error) -> Self {
        |source| Self::Sqlite { path: path.to_owned(), source }
    }

    pub(crate) fn for_path(path: &Path) -> impl Fn(std::io::Error) -> Self {
        |source| Self::Io { path: path.to_owned(), source }
    }

    /// Whether what was read or written isn't sound.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Damaged { .. } => true,
            Self::Sqlite { source, .. } => is_damage(source),
            _ => false,
        }
    }
}
