//! One look at a watched place: what came since the last one starts its tasks.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use chrono::{DateTime, Utc};
use flowlord_kernel::{Error, Port, SharedClock};
use flowlord_messages::files::{FileSource, ReadSeen, SaveSeen, SeenFile};
use flowlord_store::{Listing, Location, MOST_OBJECTS, Object, Stores, is_hidden};
use futures_util::StreamExt as _;

use crate::Recorder;
use crate::known::{Known, event};
use crate::record::Arrived;
use crate::watch::alert;

/// How many files are remembered by one command.
const SAVED_AT_ONCE: usize = 1_000;

/// How many files are recorded at the same time.
const AT_ONCE: usize = 16;

/// What a look needs.
#[derive(Debug, Clone)]
pub(crate) struct Looker {
    pub(crate) recorder: Recorder,
    pub(crate) stores: Stores,
    pub(crate) clock: SharedClock,
    pub(crate) read: Port<ReadSeen>,
    pub(crate) save: Port<SaveSeen>,
    /// Nothing more is to begin.
    pub(crate) stopping: Arc<AtomicBool>,
}

/// What a look came to.
#[derive(Debug)]
pub(crate) struct Looked {
    /// What is known from then on.
    pub(crate) known: Known,
    /// What is there, or why nobody knows.
    pub(crate) found: Result<Contents, String>,
    /// To be looked at again soon: some files may still be written to, or weren't recorded.
    pub(crate) soon: bool,
}

/// What is in a place.
#[derive(Debug)]
pub(crate) struct Contents {
    /// How many files.
    pub(crate) files: usize,
    /// What is said of entries that are skipped; empty where there are none.
    pub(crate) skipped: String,
}

impl Looker {
    pub(crate) async fn look(&self, place: &Location, mut known: Known) -> Looked {
        let mut soon = false;
        let found = self.try_look(place, &mut known, &mut soon).await;
        Looked { known, found, soon }
    }

    async fn try_look(
        &self,
        place: &Location,
        known: &mut Known,
        soon: &mut bool,
    ) -> Result<Contents, String> {
        let name = place.to_string();
        let unstored = |err: Error| format!("{name}: {}", err.detail);
        if !known.is_read {
            known.read(self.read.call(ReadSeen { place: name.clone() }).await.map_err(unstored)?);
        }
        let listing = self.list(place).await?;
        let contents = Contents { files: listing.objects.len(), skipped: listing.skipped.text() };
        let told = known.compare(listing, place.as_local().is_some());
        *soon = told.unsettled > 0;
        if !told.odd.is_empty() {
            log::warn!("event=entries_skipped place={name:?} problem={:?}", contents.skipped);
            let problem = format!("{name}: all other files are watched: {}", contents.skipped);
            self.recorder.deps.raise.raise(alert(problem, self.clock.now()));
            self.store(&name, &told.odd, &[], None).await.map_err(unstored)?;
            known.seen.extend(told.odd);
        }
        self.remember(&name, known, told.there, told.left).await.map_err(unstored)?;
        *soon |= !self.record(place, known, told.arrived).await;
        Ok(contents)
    }

    async fn list(&self, place: &Location) -> Result<Listing, String> {
        if let Some(path) = place.as_local()
            && !path.is_dir()
        {
            return Err(format!("{place} isn't there: make the folder, or change files.folders"));
        }
        let store = self.stores.open(place).map_err(|err| err.to_string())?;
        let mut listing = store.list("", MOST_OBJECTS).await.map_err(|err| err.to_string())?;
        listing.skipped.retain(|entry| !is_hidden(&entry.path));
        Ok(listing)
    }

    async fn store(
        &self,
        name: &str,
        seen: &[(String, String)],
        left: &[String],
        since: Option<DateTime<Utc>>,
    ) -> Result<(), Error> {
        let (place, seen, left) = (name.to_owned(), seen.to_vec(), left.to_vec());
        self.save.call(SaveSeen { place, seen, left, since }).await
    }

    /// Remembers what was there at first, and forgets what left.
    async fn remember(
        &self,
        name: &str,
        known: &mut Known,
        there: Vec<(String, String)>,
        left: Vec<String>,
    ) -> Result<(), Error> {
        for some in there.chunks(SAVED_AT_ONCE) {
            self.store(name, some, &[], None).await?;
        }
        for some in left.chunks(SAVED_AT_ONCE) {
            self.store(name, &[], some, None).await?;
        }
        if known.since.is_none() {
            let now = Some(self.clock.now());
            self.store(name, &[], &[], now).await?;
            known.since = now;
            log::info!("event=place_watched place={name:?} files={}", there.len() + known.seen.len());
        }
        known.seen.extend(there);
        left.iter().for_each(|path| drop(known.seen.remove(path)));
        Ok(())
    }

    /// Records files, each with what it starts; answers whether all were.
    async fn record(&self, place: &Location, known: &mut Known, arrived: Vec<Object>) -> bool {
        let one = async |object: Object| {
            if self.stopping.load(Ordering::Relaxed) {
                return None;
            }
            let seen =
                SeenFile { place: place.to_string(), path: object.path.clone(), etag: object.etag.clone() };
            let file = event(place, &object);
            let ignored = String::new();
            let arrived = Arrived { file, source: FileSource::Watch, ignored, seen: Some(seen) };
            match self.recorder.record(arrived).await {
                Ok(_) => Some(object),
                Err(err) => {
                    log::warn!(
                        "event=file_not_recorded place={:?} path={:?} error={err:?}",
                        place.to_string(),
                        object.path
                    );
                    None
                }
            }
        };
        let all = arrived.len();
        // In their order, so that files that wait for each other are counted as they came.
        let recorded: Vec<Option<Object>> =
            futures_util::stream::iter(arrived).map(one).buffered(AT_ONCE).collect().await;
        let recorded = recorded.into_iter().flatten();
        let before = known.seen.len();
        let mut count = 0;
        for object in recorded {
            count += 1;
            known.seen.insert(object.path, object.etag);
        }
        log::debug!("event=place_looked_at place={:?} new={count} known={before}", place.to_string());
        count == all
    }
}
