//! Where workflow files come from: this machine, or an object store.

use flowlord_domain::hex::to_hex;
use flowlord_storage::{
    Error, FileStorage, FolderListing, MAX_OBJECTS, StorageConnections, StorageLocation, StoredObject, is_hidden,
};
use futures_util::{StreamExt as _, TryStreamExt as _};
use sha2::{Digest as _, Sha256};

use crate::files::{self, FileContent, FoundFiles, MAX_FILE_BYTES};

const MAX_READS: usize = 16;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ScannedFile {
    pub(crate) path: String,
    /// Differs when its content does.
    pub(crate) hash: String,
    /// What it holds; none when that is known and wasn't read again.
    pub(crate) text: Option<Result<String, String>>,
}

impl From<FileContent> for ScannedFile {
    fn from(FileContent { path, text, hash }: FileContent) -> Self {
        Self { path, hash, text: Some(text) }
    }
}

/// Reads all workflow files of a place, as `flowlord check` does.
pub async fn read_workflow_files(
    root: &StorageLocation,
    stores: &StorageConnections,
) -> Result<FoundFiles<FileContent>, Error> {
    let Some(path) = root.as_local().map(ToOwned::to_owned) else {
        let FoundFiles { files, skipped, is_bare } = scan_store(&stores.open(root)?, |_, _| false).await?;
        let contents = files
            .into_iter()
            .filter_map(|file| Some(FileContent { text: file.text?, path: file.path, hash: file.hash }));
        return Ok(FoundFiles { files: contents.collect(), skipped, is_bare });
    };
    let read = tokio::task::spawn_blocking(move || files::read_folder(&path)).await;
    let read = read.unwrap_or_else(|err| Err(std::io::Error::other(err)));
    read.map_err(|err| Error::Location(format!("{root} can't be read: {err}")))
}

/// What tells two sets of workflow files apart, wherever they are: the SHA-256 of their paths and contents.
///
/// # Errors
/// The place can't be read.
pub async fn hash_workflow_files(root: &StorageLocation, stores: &StorageConnections) -> Result<String, Error> {
    let mut files = read_workflow_files(root, stores).await?.files;
    files.sort_by(|one, other| one.path.cmp(&other.path));
    let mut hash = Sha256::new();
    for FileContent { path, text, .. } in &files {
        for part in [path, text.as_ref().unwrap_or_else(|problem| problem)] {
            hash.update(part.len().to_le_bytes());
            hash.update(part);
        }
    }
    Ok(to_hex(&hash.finalize()))
}

/// The workflow files at or below a place of an object store. Those that are `known`, by path and ETag, aren't read.
pub(crate) async fn scan_store(
    store: &FileStorage,
    known: impl Fn(&str, &str) -> bool,
) -> Result<FoundFiles<ScannedFile>, Error> {
    let FolderListing { mut objects, mut skipped } = store.list("", MAX_OBJECTS).await?;
    let is_bare = objects.is_empty() && skipped.count() == 0;
    skipped.retain(|entry| !is_hidden(&entry.path));
    let mut named = None;
    if is_bare && let Some(name) = store.location().name() {
        // Nothing below it: the place may be one file.
        match store.head("").await {
            Ok(object) => {
                named = Some(name.to_owned());
                objects.push(object);
            }
            Err(Error::NotFound { .. }) => {}
            Err(err) => return Err(err),
        }
    }
    objects.retain(|object| named.is_some() || is_workflow_key(&object.path));
    let (known, named) = (&known, &named);
    let reads: Vec<_> = objects
        .into_iter()
        .map(|object| async move {
            let path = named.clone().unwrap_or_else(|| object.path.clone());
            if known(&path, &object.etag) {
                return Ok(Some(ScannedFile { path, hash: object.etag, text: None }));
            }
            let read = read_object(store, object).await?;
            Ok(read.map(|(hash, text)| ScannedFile { path, hash, text: Some(text) }))
        })
        .collect();
    // In order, so that the files come by path whichever is read first.
    let reads = futures_util::stream::iter(reads).buffered(MAX_READS);
    let files = reads.try_filter_map(async |seen| Ok(seen)).try_collect().await?;
    Ok(FoundFiles { files, skipped, is_bare })
}

/// The hash and text of an object; none when it left meanwhile.
async fn read_object(
    store: &FileStorage,
    object: StoredObject,
) -> Result<Option<(String, Result<String, String>)>, Error> {
    match store.get(&object.path, MAX_FILE_BYTES).await {
        Ok(content) => Ok(Some((content.etag, files::workflow_text(content.bytes.into())))),
        Err(Error::NotFound { .. }) => Ok(None),
        // Nothing is known of this file now: as if nothing could be seen.
        Err(err @ Error::Unreachable { .. }) => Err(err),
        // Too large, or not ours to read: a fault of this file alone.
        Err(err) => Ok(Some((object.etag, Err(err.to_string())))),
    }
}

/// As [`files::read_folder`] takes them.
fn is_workflow_key(path: &str) -> bool {
    !is_hidden(path) && files::is_named_as_workflow(path.as_ref())
}

#[cfg(test)]
mod tests {
    use flowlord_storage::{GcsAccess, StorageConfig};
    use flowlord_testkit::FakeStore;

    use super::*;

    fn stores(fake: &FakeStore) -> StorageConnections {
        let gcs = GcsAccess { endpoint: Some(fake.url()), credentials_file: None };
        StorageConnections::new(StorageConfig { gcs, ..StorageConfig::default() })
    }

    async fn paths(fake: &FakeStore, root: &str) -> Vec<String> {
        let read = read_workflow_files(&StorageLocation::parse(root).unwrap(), &stores(fake)).await.unwrap();
        read.files.into_iter().map(|content| content.path).collect()
    }

    #[tokio::test]
    async fn only_toml_files_count_however_deep_and_one_that_is_named() {
        let fake = FakeStore::start();
        let names = ["a.toml", "b/c/d.TOML", "README.md", ".hidden.toml", ".git/x.toml", "toml"];
        names.iter().for_each(|name| fake.write(&format!("bucket/flows/{name}"), *name));
        fake.write("bucket/other.toml", "");
        assert_eq!(paths(&fake, "gs://bucket/flows").await, ["a.toml", "b/c/d.TOML"]);
        assert_eq!(paths(&fake, "gs://bucket").await, ["flows/a.toml", "flows/b/c/d.TOML", "other.toml"]);
        assert_eq!(paths(&fake, "gs://bucket/flows/README.md").await, ["README.md"]);
        assert_eq!(paths(&fake, "gs://bucket/nothing").await, Vec::<String>::new());
        assert_eq!(paths(&fake, "gs://empty").await, Vec::<String>::new());
    }

    #[tokio::test]
    async fn the_same_files_have_one_hash_on_a_disk_and_in_a_store() {
        let (fake, folder) = (FakeStore::start(), tempfile::tempdir().unwrap());
        std::fs::create_dir(folder.path().join("b")).unwrap();
        for (name, text) in [("b/a.toml", "x"), ("b.toml", "y")] {
            fake.write(&format!("bucket/{name}"), text);
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let hash = async |root: &str| {
            hash_workflow_files(&StorageLocation::parse(root).unwrap(), &stores(&fake)).await.unwrap()
        };
        let here = hash(folder.path().to_str().unwrap()).await;
        assert_eq!(hash("gs://bucket").await, here);
        std::fs::write(folder.path().join("b.toml"), "z").unwrap();
        assert_ne!(hash(folder.path().to_str().unwrap()).await, here);
    }

    #[tokio::test]
    async fn a_key_that_cant_be_a_path_keeps_no_other_from_loading() {
        let fake = FakeStore::start();
        for key in ["a.toml", "/notes.txt", "b/", "x.toml/", "c//d.toml", ".git//x"] {
            fake.write(&format!("bucket/flows/{key}"), "");
        }
        assert_eq!(paths(&fake, "gs://bucket/flows").await, ["a.toml"]);
        let found =
            read_workflow_files(&StorageLocation::parse("gs://bucket/flows").unwrap(), &stores(&fake)).await.unwrap();
        let odd: Vec<_> = found.skipped.entries.iter().map(|entry| entry.path.as_str()).collect();
        assert_eq!((odd, found.is_bare), (vec!["/notes.txt", "c//d.toml"], false));
    }

    #[tokio::test]
    async fn only_what_changed_is_read() {
        let fake = FakeStore::start();
        fake.write("bucket/a.toml", "a");
        fake.write("bucket/b.toml", [0xff]);
        let store = stores(&fake).open(&StorageLocation::parse("gs://bucket").unwrap()).unwrap();
        let first = scan_store(&store, |_, _| false).await.unwrap().files;
        assert_eq!(first[0].text, Some(Ok("a".to_owned())));
        assert!(first[1].text.as_ref().unwrap().as_ref().unwrap_err().contains("UTF-8"));
        fake.write("bucket/a.toml", "again");
        drop(fake.take_requests());
        let known =
            |path: &str, hash: &str| first.iter().any(|seen| (seen.path.as_str(), seen.hash.as_str()) == (path, hash));
        let second = scan_store(&store, known).await.unwrap().files;
        assert_eq!((&second[0].text, &second[1].text), (&Some(Ok("again".to_owned())), &None));
        let asked: Vec<_> = fake.take_requests().into_iter().map(|request| request.path).collect();
        assert_eq!(asked, ["bucket", "bucket/a.toml"]);
    }

    #[tokio::test]
    async fn a_place_that_cant_be_read_is_named() {
        let stores = StorageConnections::new(StorageConfig::default());
        let err = read_workflow_files(&StorageLocation::parse("/is/not/there").unwrap(), &stores)
            .await
            .unwrap_err()
            .to_string();
        assert!(err.starts_with("/is/not/there can't be read: No such file"), "{err}");
        let fake = FakeStore::start();
        fake.set_broken(Some(503));
        let root = StorageLocation::parse("gs://bucket/x").unwrap();
        let err = read_workflow_files(&root, &self::stores(&fake)).await.unwrap_err().to_string();
        assert!(err.starts_with("gs://bucket/x can't be reached: "), "{err}");
    }
}
