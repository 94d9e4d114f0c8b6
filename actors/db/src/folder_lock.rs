//! Keeping other processes out of the data folder.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use crate::connection::OpenError;

/// The lock of a data folder, held until dropped.
#[derive(Debug)]
pub struct FolderLock {
    folder: PathBuf,
    _held: File,
}

impl FolderLock {
    pub fn take(folder: &Path) -> Result<Self, OpenError> {
        let failed = OpenError::for_folder(folder);
        std::fs::create_dir_all(folder).map_err(&failed)?;
        let file = File::create(folder.join("flowlord.lock")).map_err(&failed)?;
        // The lock is the system's, not the file: a process that was killed leaves none behind.
        match file.try_lock() {
            Ok(()) => Ok(Self { folder: folder.to_owned(), _held: file }),
            Err(TryLockError::WouldBlock) => Err(OpenError::InUse(folder.to_owned())),
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_in_use_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let _held = FolderLock::take(folder.path()).unwrap();
        let err = FolderLock::take(folder.path()).unwrap_err();
        assert!(err.to_string().contains("in use by another flowlord"), "{err}");
    }

    #[test]
    fn a_folder_that_cannot_be_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        let err = FolderLock::take(&file.join("data")).unwrap_err();
        assert!(err.to_string().contains("name another with --data"), "{err}");
    }
}
