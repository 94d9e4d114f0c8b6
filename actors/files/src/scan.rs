//! One scan of a watched place: what came since the last one starts its tasks.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use chrono::{DateTime, Utc};
use flowlord_messages::files::{FileSource, ReadSeenFiles, SaveSeenFiles, SeenFile};
use flowlord_storage::{FolderListing, MAX_OBJECTS, StorageConnections, StorageLocation, StoredObject, is_hidden};
use futures_util::StreamExt as _;

use crate::known::{KnownFiles, file_event};
use crate::record::{ArrivedFile, FileRecorder, file_alert};

const FILES_PER_SAVE: usize = 1_000;

const MAX_RECORDING: usize = 16;

#[derive(Debug, Clone)]
pub(crate) struct PlaceScanner {
    pub(crate) recorder: FileRecorder,
    pub(crate) stores: StorageConnections,
    /// Nothing more is to begin.
    pub(crate) is_stopping: Arc<AtomicBool>,
}

#[derive(Debug)]
pub(crate) struct PlaceScan {
    pub(crate) known: KnownFiles,
    /// What is there, or why nobody knows.
    pub(crate) found: Result<PlaceContents, String>,
    /// To be scanned again soon: some files may still be written to, or weren't recorded.
    pub(crate) is_unsettled: bool,
}

#[derive(Debug)]
pub(crate) struct PlaceContents {
    pub(crate) files: usize,
    /// Which entries are skipped, and why; empty where there are none.
    pub(crate) skipped: String,
}

impl PlaceScanner {
    pub(crate) async fn scan_place(&self, place: &StorageLocation, mut known: KnownFiles) -> PlaceScan {
        let mut is_unsettled = false;
        let found = self.try_scan(place, &mut known, &mut is_unsettled).await;
        PlaceScan { known, found, is_unsettled }
    }

    async fn try_scan(
        &self,
        place: &StorageLocation,
        known: &mut KnownFiles,
        is_unsettled: &mut bool,
    ) -> Result<PlaceContents, String> {
        let name = place.to_string();
        if !known.is_read {
            let read = self.recorder.deps.reader.call(ReadSeenFiles { place: name.clone() }).await;
            known.restore_stored(read.map_err(|err| format!("{name}: {}", err.detail))?);
        }
        let listing = self.list_place(place).await?;
        let contents = PlaceContents { files: listing.objects.len(), skipped: listing.skipped.text() };
        let changes = known.compare(listing, place.as_local().is_some());
        *is_unsettled = changes.unsettled > 0;
        if !changes.odd.is_empty() {
            log::warn!("event=entries_skipped place={name:?} problem={:?}", contents.skipped);
            let problem = format!("{name}: all other files are watched: {}", contents.skipped);
            self.recorder.deps.alert_sender.raise(file_alert(problem, self.recorder.deps.kit.now()));
            self.save_seen(&name, &changes.odd, &[], None).await?;
            known.seen.extend(changes.odd);
        }
        self.save_changes(&name, known, changes.there, changes.left).await?;
        *is_unsettled |= !self.record_arrived(place, known, changes.arrived).await;
        Ok(contents)
    }

    async fn list_place(&self, place: &StorageLocation) -> Result<FolderListing, String> {
        if let Some(path) = place.as_local()
            // A store has no folders that could be missing; a disk that isn't mounted must not look empty.
            && !path.is_dir()
        {
            return Err(format!("{place} doesn't exist: create the folder, or change files.folders"));
        }
        let store = self.stores.open(place).map_err(|err| err.to_string())?;
        let mut listing = store.list("", MAX_OBJECTS).await.map_err(|err| err.to_string())?;
        listing.skipped.retain(|entry| !is_hidden(&entry.path));
        Ok(listing)
    }

    async fn save_seen(
        &self,
        name: &str,
        seen: &[(String, String)],
        left: &[String],
        since: Option<DateTime<Utc>>,
    ) -> Result<(), String> {
        let (place, seen, left) = (name.to_owned(), seen.to_vec(), left.to_vec());
        let saved = self.recorder.deps.writer.call(SaveSeenFiles { place, seen, left, since }).await;
        saved.map_err(|err| format!("{name}: {}", err.detail))
    }

    /// Remembers what was there at first, and forgets what left.
    async fn save_changes(
        &self,
        name: &str,
        known: &mut KnownFiles,
        there: Vec<(String, String)>,
        left: Vec<String>,
    ) -> Result<(), String> {
        for some in there.chunks(FILES_PER_SAVE) {
            self.save_seen(name, some, &[], None).await?;
        }
        for some in left.chunks(FILES_PER_SAVE) {
            self.save_seen(name, &[], some, None).await?;
        }
        if known.since.is_none() {
            let now = Some(self.recorder.deps.kit.now());
            // Last: a first scan that is cut off begins again, and none of its files counts as new.
            self.save_seen(name, &[], &[], now).await?;
            known.since = now;
            log::info!("event=place_watched place={name:?} files={}", there.len() + known.seen.len());
        }
        known.seen.extend(there);
        left.iter().for_each(|path| drop(known.seen.remove(path)));
        Ok(())
    }

    /// Records files, each with what it starts; true when all were recorded.
    async fn record_arrived(
        &self,
        place: &StorageLocation,
        known: &mut KnownFiles,
        arrived: Vec<StoredObject>,
    ) -> bool {
        let all = arrived.len();
        // In their order, so that files that wait for each other are counted as they came.
        let recorded: Vec<Option<StoredObject>> = futures_util::stream::iter(arrived)
            .map(|object| self.record_object(place, object))
            .buffered(MAX_RECORDING)
            .collect()
            .await;
        let (count, before) = (recorded.iter().flatten().count(), known.seen.len());
        known.seen.extend(recorded.into_iter().flatten().map(|object| (object.path, object.etag)));
        log::debug!("event=place_looked_at place={:?} new={count} known={before}", place.to_string());
        count == all
    }

    /// Records a file with what it starts; none when that failed.
    async fn record_object(&self, place: &StorageLocation, object: StoredObject) -> Option<StoredObject> {
        if self.is_stopping.load(Ordering::Relaxed) {
            return None;
        }
        let (name, path) = (place.to_string(), object.path.clone());
        let seen = Some(SeenFile { place: name.clone(), path: path.clone(), etag: object.etag.clone() });
        let (file, ignored) = (file_event(place, &object), String::new());
        let arrived = ArrivedFile { file, source: FileSource::Watch, ignored, seen };
        let recorded = self.recorder.record_file(arrived).await.inspect_err(|err| {
            log::warn!("event=file_not_recorded place={name:?} path={path:?} error={err:?}");
        });
        recorded.ok().map(|_| object)
    }
}
