//! Meta files: a row each for the tasks of a batch.

mod local;
#[cfg(test)]
mod tests;
mod unpack;

use std::path::PathBuf;
use std::sync::Arc;

use flowlord_domain::glob::Glob;
use flowlord_domain::template::MetaRow;
use flowlord_kernel::{Code, Error, Result};
use flowlord_storage::{FolderListing, MAX_OBJECTS, StorageConnections, StorageLocation};

use crate::files::run_blocking;
use unpack::{MAX_UNPACKED_BYTES, RowReader};

/// At most this many files may match one path.
const MAX_MATCHED_FILES: usize = 1_000;

#[derive(Debug, Clone)]
pub struct MetaFiles {
    /// The workflow files; paths begin here, or beside it where it is one file.
    pub root: StorageLocation,
    /// Folders of this machine outside of it that paths may lead into.
    pub allowed: Vec<PathBuf>,
    pub stores: StorageConnections,
}

impl MetaFiles {
    /// Reads the rows of the file, or of all files that a path with `*`, `?` or `[…]` matches, by name.
    pub async fn read_rows(&self, path: &str) -> Result<Arc<Vec<MetaRow>>> {
        let rows = match self.find_place(path)? {
            MetaFilePlace::Local(path) => {
                let (root, allowed) = (self.root.as_local().map(ToOwned::to_owned), self.allowed.clone());
                run_blocking(move || local::read_local_rows(root.as_deref(), &allowed, &path)).await??
            }
            MetaFilePlace::Remote(location) => self.read_remote(path, &location).await?,
        };
        Ok(Arc::new(rows))
    }

    fn find_place(&self, path: &str) -> Result<MetaFilePlace> {
        let location = match (path.contains("://"), &self.root) {
            (true, _) => StorageLocation::parse(path).map_err(|err| invalid_location(&err))?,
            (false, StorageLocation::Local(_)) => return Ok(MetaFilePlace::Local(PathBuf::from(path))),
            (false, root) => {
                // A place of a store that is a file is one by its name: the store isn't asked.
                let is_file = root.name().is_some_and(|name| name.to_ascii_lowercase().ends_with(".toml"));
                let folder = if is_file { root.parent() } else { root.clone() };
                folder.join(path).map_err(|err| invalid_location(&err))?
            }
        };
        if let StorageLocation::Local(path) = location {
            return Ok(MetaFilePlace::Local(path));
        }
        // A path in a rule must not make the service speak to stores that its operator never named.
        let same_kind = std::mem::discriminant(&location) == std::mem::discriminant(&self.root);
        if !same_kind && !self.stores.config().reaches(&location) {
            return Err(refuse_path(path, "no such store is configured: set [store.s3] or [store.gcs]"));
        }
        Ok(MetaFilePlace::Remote(location))
    }

    async fn read_remote(&self, path: &str, location: &StorageLocation) -> Result<Vec<MetaRow>> {
        let (bucket, pattern) = location.split_bucket();
        let store = self.stores.open(&bucket).map_err(|err| store_error(path, &err))?;
        let mut keys = vec![pattern.to_owned()];
        if is_pattern(pattern) {
            let FolderListing { objects, skipped } =
                store.list(fixed_folder(pattern), MAX_OBJECTS).await.map_err(|err| store_error(path, &err))?;
            if skipped.count() > 0 {
                log::warn!("event=meta_files_skipped path={path:?} problem={:?}", skipped.text());
            }
            keys = objects.into_iter().map(|object| object.path).collect();
            keys = match_names(path, pattern, keys)?;
        }
        let mut rows = RowReader::default();
        for key in keys {
            let content = store.get(&key, MAX_UNPACKED_BYTES).await.map_err(|err| store_error(path, &err))?;
            let path = path.to_owned();
            // Unpacking and parsing would hold up the actor's thread.
            rows = run_blocking(move || rows.add_file(&path, &key, &content.bytes[..])).await??;
        }
        Ok(rows.rows)
    }
}

fn invalid_location(err: &flowlord_storage::Error) -> Error {
    Error::new(Code::InvalidRequest, format!("meta-file {err}"))
}

fn store_error(path: &str, err: &flowlord_storage::Error) -> Error {
    let code = match err {
        flowlord_storage::Error::Unreachable { .. } => Code::NotReady,
        _ => Code::InvalidRequest,
    };
    Error::new(code, format!("meta-file `{path}`: {err}"))
}

enum MetaFilePlace {
    Local(PathBuf),
    Remote(StorageLocation),
}

fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

fn parse_glob(path: &str, pattern: &str) -> Result<Glob> {
    Glob::parse(pattern).map_err(|err| refuse_path(path, &err.to_string()))
}

/// The folders before the first part that is a pattern.
fn fixed_folder(pattern: &str) -> &str {
    let before = pattern.find(['*', '?', '[']).map_or(pattern, |at| &pattern[..at]);
    before.rsplit_once('/').map_or("", |(folder, _)| folder)
}

fn refuse_path(path: &str, why: &str) -> Error {
    Error::new(Code::InvalidRequest, format!("meta-file `{path}`: {why}"))
}

/// Those of `names` that a pattern matches, which is at least one.
fn match_names(path: &str, pattern: &str, names: Vec<String>) -> Result<Vec<String>> {
    let glob = parse_glob(path, pattern)?;
    let found: Vec<_> = names.into_iter().filter(|name| glob.matches(name)).collect();
    match found.len() {
        0 => Err(refuse_path(path, "no file matches it")),
        len if len > MAX_MATCHED_FILES => Err(refuse_path(path, "more than 1000 files match it: name fewer")),
        _ => Ok(found),
    }
}
