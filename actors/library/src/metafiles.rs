//! Meta files: a row each for the tasks of a batch.

mod local;
#[cfg(test)]
mod tests;
mod unpack;

use std::path::PathBuf;
use std::sync::Arc;

use flowlord_domain::glob::Glob;
use flowlord_domain::template::Row;
use flowlord_kernel::{Code, Error, Result};
use flowlord_store::{Listing, Location, MOST_OBJECTS, Stores};

use unpack::{MOST_BYTES, Rows};

/// As many files may match one path.
const MOST_FILES: usize = 1_000;

/// Where meta files may be.
#[derive(Debug, Clone)]
pub struct MetaFiles {
    /// The workflow files; paths begin here, or beside it where it is one file.
    pub root: Location,
    /// Folders of this machine outside of it that paths may lead into.
    pub allowed: Vec<PathBuf>,
    /// How object stores are reached.
    pub stores: Stores,
}

impl MetaFiles {
    /// Reads the rows of the file, or of all files that a path with `*`, `?` or `[…]` matches, by name.
    ///
    /// # Errors
    /// What to change, where the path may not be read, or what it leads to isn't rows.
    pub async fn rows(&self, path: &str) -> Result<Arc<Vec<Row>>> {
        let rows = match self.place(path)? {
            Place::Local(path) => {
                let (root, allowed) = (self.root.as_local().map(ToOwned::to_owned), self.allowed.clone());
                blocking(move || local::rows(root.as_deref(), &allowed, &path)).await?
            }
            Place::Remote(location) => self.remote(path, &location).await?,
        };
        Ok(Arc::new(rows))
    }

    fn place(&self, path: &str) -> Result<Place> {
        let wrong = |err: flowlord_store::Error| Error::new(Code::InvalidRequest, format!("meta-file {err}"));
        let location = match (path.contains("://"), &self.root) {
            (true, _) => Location::parse(path).map_err(wrong)?,
            (false, Location::Local(_)) => return Ok(Place::Local(PathBuf::from(path))),
            (false, root) => {
                // A place of a store that is a file is one by its name: the store isn't asked.
                let is_file = root.name().is_some_and(|name| name.to_ascii_lowercase().ends_with(".toml"));
                let folder = if is_file { root.parent() } else { root.clone() };
                folder.join(path).map_err(wrong)?
            }
        };
        if let Location::Local(path) = location {
            return Ok(Place::Local(path));
        }
        let same_kind = std::mem::discriminant(&location) == std::mem::discriminant(&self.root);
        if !same_kind && !self.stores.config().reaches(&location) {
            return Err(refused(path, "no such store is configured: set [store.s3] or [store.gcs]"));
        }
        Ok(Place::Remote(location))
    }

    async fn remote(&self, path: &str, location: &Location) -> Result<Vec<Row>> {
        let failed = |err: flowlord_store::Error| {
            let code = match err {
                flowlord_store::Error::Unreachable { .. } => Code::NotReady,
                _ => Code::InvalidRequest,
            };
            Error::new(code, format!("meta-file `{path}`: {err}"))
        };
        let (bucket, pattern) = location.split_bucket();
        let store = self.stores.open(&bucket).map_err(failed)?;
        let mut keys = vec![pattern.to_owned()];
        if is_pattern(pattern) {
            let Listing { objects, skipped } =
                store.list(fixed_folder(pattern), MOST_OBJECTS).await.map_err(failed)?;
            if skipped.count() > 0 {
                log::warn!("event=meta_files_skipped path={path:?} problem={:?}", skipped.text());
            }
            keys = objects.into_iter().map(|object| object.path).collect();
            keys = matching(path, pattern, keys)?;
        }
        let mut rows = Rows::default();
        for key in keys {
            let content = store.get(&key, MOST_BYTES).await.map_err(failed)?;
            let path = path.to_owned();
            rows = blocking(move || rows.add(&path, &key, &content.bytes[..])).await?;
        }
        Ok(rows.rows)
    }
}

enum Place {
    Local(PathBuf),
    Remote(Location),
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|err| Err(Error::new(Code::Internal, format!("reading a meta file failed: {err}"))))
}

fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

fn glob(path: &str, pattern: &str) -> Result<Glob> {
    Glob::parse(pattern).map_err(|err| refused(path, &err.to_string()))
}

/// The folders before the first part that is a pattern.
fn fixed_folder(pattern: &str) -> &str {
    let before = pattern.find(['*', '?', '[']).map_or(pattern, |at| &pattern[..at]);
    before.rsplit_once('/').map_or("", |(folder, _)| folder)
}

fn refused(path: &str, why: &str) -> Error {
    Error::new(Code::InvalidRequest, format!("meta-file `{path}`: {why}"))
}

/// Those of `names` that a pattern matches, which is at least one.
fn matching(path: &str, pattern: &str, names: Vec<String>) -> Result<Vec<String>> {
    let glob = glob(path, pattern)?;
    let found: Vec<_> = names.into_iter().filter(|name| glob.matches(name)).collect();
    match found.len() {
        0 => Err(refused(path, "no file matches it")),
        len if len > MOST_FILES => Err(refused(path, "more than 1000 files match it: name fewer")),
        _ => Ok(found),
    }
}
