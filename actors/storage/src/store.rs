//! Files at and below one place.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt as _, stream};
use object_store::list::PaginatedListStore;
use object_store::path::Path as Key;
use object_store::{GetOptions, ObjectStore, ObjectStoreExt as _, PutMode, PutPayload, WriteMultipart};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::entry::{StoredObject, etag_of, object_of};
use crate::error::{Error, Result};
use crate::location::{StorageLocation, key_of};

pub const MAX_OBJECTS: usize = 100_000;

/// How much is held of a file that is copied.
const CHUNK_BYTES: usize = 8 * 1024 * 1024;

/// How many files are removed at the same time.
const MAX_REMOVALS: usize = 8;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredContent {
    pub bytes: Bytes,
    pub etag: String,
}

/// Everything at and below one place. Cheap to clone.
#[derive(Clone)]
pub struct FileStorage {
    store: Arc<dyn ObjectStore>,
    /// How it is listed; none for a folder of this machine.
    pub(crate) pages: Option<Arc<dyn PaginatedListStore>>,
    pub(crate) root: Key,
    location: StorageLocation,
}

impl std::fmt::Debug for FileStorage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("location", &self.location).finish_non_exhaustive()
    }
}

pub(crate) trait RemoteStorage: ObjectStore + PaginatedListStore {}

impl<T: ObjectStore + PaginatedListStore> RemoteStorage for T {}

impl FileStorage {
    pub(crate) fn open_local(store: Arc<dyn ObjectStore>, root: Key, location: StorageLocation) -> Self {
        Self { store, pages: None, root, location }
    }

    pub(crate) fn open_remote(store: Arc<dyn RemoteStorage>, root: Key, location: StorageLocation) -> Self {
        Self { store: Arc::clone(&store) as _, pages: Some(store), root, location }
    }

    pub fn location(&self) -> &StorageLocation {
        &self.location
    }

    /// One file, without what it holds; the place itself for an empty path.
    pub async fn head(&self, path: &str) -> Result<StoredObject> {
        let found = self.store.head(&self.full_key(path)?).await.map_err(|err| self.error_at(&err, path))?;
        Ok(object_of(path.to_owned(), &found))
    }

    /// One file; the place itself for an empty path.
    pub async fn get(&self, path: &str, most: u64) -> Result<StoredContent> {
        let got = self.store.get(&self.full_key(path)?).await.map_err(|err| self.error_at(&err, path))?;
        // By what the store says, before anything is read; below by what it sends, which may be more.
        if got.meta.size > most {
            return Err(Error::TooLarge { at: self.shown_path(path), most });
        }
        let etag = etag_of(&got.meta);
        let mut bytes = BytesMut::new();
        let mut stream = got.into_stream();
        while let Some(part) = stream.next().await {
            bytes.extend_from_slice(&part.map_err(|err| self.error_at(&err, path))?);
            if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > most {
                return Err(Error::TooLarge { at: self.shown_path(path), most });
            }
        }
        Ok(StoredContent { bytes: bytes.freeze(), etag })
    }

    /// Writes a file: readers see the old one or the new one, whole.
    pub async fn put(&self, path: &str, bytes: impl Into<Bytes>) -> Result<()> {
        let payload = PutPayload::from(bytes.into());
        self.store.put(&self.full_key(path)?, payload).await.map_err(|err| self.error_at(&err, path))?;
        Ok(())
    }

    /// Writes a file where there is none of this name; answers whether it did. Of several at once, one does.
    pub async fn create(&self, path: &str, bytes: impl Into<Bytes>) -> Result<bool> {
        let payload = PutPayload::from(bytes.into());
        match self.store.put_opts(&self.full_key(path)?, payload, PutMode::Create.into()).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::AlreadyExists { .. }) => Ok(false),
            Err(err) => Err(self.error_at(&err, path)),
        }
    }

    /// Writes a file of any size, read from `from` piece by piece; seen whole or not at all.
    pub async fn put_file(&self, path: &str, from: &std::path::Path) -> Result<()> {
        let mut file = tokio::fs::File::open(from).await.map_err(|err| Error::of_io(from, &err))?;
        let first = read_chunk(&mut file).await.map_err(|err| Error::of_io(from, &err))?;
        // One request instead of three, and no parts that a crash leaves behind.
        if first.len() < CHUNK_BYTES {
            return self.put(path, first).await;
        }
        let upload = self.store.put_multipart(&self.full_key(path)?).await.map_err(|err| self.error_at(&err, path))?;
        let mut writer = WriteMultipart::new_with_chunk_size(upload, CHUNK_BYTES);
        let mut chunk = first;
        while !chunk.is_empty() {
            // One piece on its way at a time.
            let read = match writer.wait_for_capacity(1).await {
                Ok(()) => {
                    writer.put(chunk);
                    read_chunk(&mut file).await.map_err(|err| Error::of_io(from, &err))
                }
                Err(err) => Err(self.error_at(&err, path)),
            };
            chunk = match read {
                Ok(chunk) => chunk,
                Err(err) => {
                    // What the store holds of it by then, the store removes by its own rules if not by this.
                    let _best_effort = writer.abort().await;
                    return Err(err);
                }
            };
        }
        writer.finish().await.map_err(|err| self.error_at(&err, path))?;
        Ok(())
    }

    pub async fn get_file(&self, path: &str, to: &std::path::Path) -> Result<()> {
        let mut file = tokio::fs::File::create(to).await.map_err(|err| Error::of_io(to, &err))?;
        self.read(path, async |piece| file.write_all(&piece).await.map_err(|err| Error::of_io(to, &err))).await?;
        file.sync_all().await.map_err(|err| Error::of_io(to, &err))
    }

    pub async fn read(&self, path: &str, mut each: impl AsyncFnMut(Bytes) -> Result<()>) -> Result<()> {
        let key = self.full_key(path)?;
        let found = self.store.head(&key).await.map_err(|err| self.error_at(&err, path))?;
        let mut at = 0;
        while at < found.size {
            let end = found.size.min(at + u64::try_from(CHUNK_BYTES).unwrap_or(u64::MAX));
            // By its tag, so that pieces of two versions never make one file.
            let options = GetOptions::new().with_range(Some(at..end)).with_if_match(found.e_tag.clone());
            let got = self.store.get_opts(&key, options).await.map_err(|err| self.error_at(&err, path))?;
            each(got.bytes().await.map_err(|err| self.error_at(&err, path))?).await?;
            at = end;
        }
        Ok(())
    }

    /// Removes a file; one that isn't there is removed already.
    pub async fn remove(&self, path: &str) -> Result<()> {
        match self.store.delete(&self.full_key(path)?).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(err) => Err(self.error_at(&err, path)),
        }
    }

    /// Removes several files, a few at the same time.
    pub async fn remove_all(&self, paths: &[String]) -> Result<()> {
        let mut removed = stream::iter(paths.iter().map(|path| self.remove(path))).buffer_unordered(MAX_REMOVALS);
        while let Some(removed) = removed.next().await {
            removed?;
        }
        Ok(())
    }

    pub(crate) fn full_key(&self, path: &str) -> Result<Key> {
        let within = key_of(path, path)?;
        Ok(self.root.parts().chain(within.parts()).collect())
    }

    /// How people name a file in it.
    pub(crate) fn shown_path(&self, path: &str) -> String {
        self.location.join(path).map_or_else(|_| path.to_owned(), |at| at.to_string())
    }

    pub(crate) fn error_at(&self, err: &object_store::Error, path: &str) -> Error {
        Error::of_store(err, self.location.storage_kind(), &self.shown_path(path))
    }
}

/// A whole chunk, less only at the file's end.
async fn read_chunk(file: &mut tokio::fs::File) -> std::io::Result<Bytes> {
    let mut chunk = BytesMut::with_capacity(CHUNK_BYTES);
    let most = u64::try_from(CHUNK_BYTES).unwrap_or(u64::MAX);
    let mut limited = file.take(most);
    while limited.read_buf(&mut chunk).await? > 0 {}
    Ok(chunk.freeze())
}
