//! The log in the backup's place: numbered files, each created once.

use std::collections::{HashSet, VecDeque};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use flowlord_messages::changelog::{LogPoint, chain_hex};
use flowlord_storage::{Error, FileStorage, MAX_OBJECTS, Result};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use crate::append::{AppendOnce, FetchedEntry, TryOutcome};
use crate::entry::{EntryContent, LogEntry};

const ENTRIES: &str = "cluster/log";

/// The numbers of all entries that begin a term, one small file each: those entries are never removed.
const TERMS: &str = "cluster/terms";

/// The number of the first entry of all.
const FIRST: &str = "cluster/first";

/// So many entries are in one folder: a listing of all would be long.
const FOLDER_ENTRIES: u64 = 1_000;

const MAX_ENTRY_BYTES: u64 = 64 * 1024;

/// How many bytes of segments are read at the same time.
const MAX_BATCH_BYTES: u64 = 64 << 20;

const MAX_SEGMENT_BYTES: u64 = 1 << 30;

/// How many files are read at the same time.
const AT_ONCE: usize = 16;

#[derive(Debug, Clone)]
pub struct PlaceLog {
    pub(crate) store: FileStorage,
}

/// A segment that an entry names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NamedSegment {
    digest: String,
    chain: String,
    upto: i64,
}

impl NamedSegment {
    fn of(content: EntryContent) -> Option<Self> {
        match content {
            EntryContent::Segment { digest, chain, upto, .. } => Some(Self { digest, chain, upto }),
            // Where tables change, a log begins: a database without it has no part in what comes.
            EntryContent::Migrate { digest, chain, .. } => Some(Self { digest, chain, upto: 0 }),
            _ => None,
        }
    }

    /// Whether a database that holds its log up to `point` holds it.
    pub(crate) fn is_within(&self, point: LogPoint) -> bool {
        self.chain == chain_hex(point.chain) && self.upto <= point.position
    }
}

impl PlaceLog {
    /// The log in a backup's place. Nothing is asked of it yet.
    pub fn new(store: FileStorage) -> Self {
        Self { store }
    }

    /// Whether there is a log at all.
    ///
    /// # Errors
    /// The place can't be read.
    pub async fn has_entries(&self) -> Result<bool> {
        Ok(!self.folders().await?.is_empty())
    }

    /// The number of the first entry, which is the same for all who ask; `proposed` where nobody asked before. Nodes that
    /// wrote different ones would each believe to be the first.
    pub(crate) async fn first_number(&self, proposed: u64) -> Result<u64> {
        // Whether it was written or was there already: what is read then is the same for all.
        self.store.create(FIRST, proposed.to_string()).await?;
        let content = self.store.get(FIRST, MAX_ENTRY_BYTES).await?;
        let number = std::str::from_utf8(&content.bytes).ok().and_then(|text| text.parse().ok());
        number.ok_or_else(|| Error::Location(format!("{FIRST} isn't the number of an entry: remove it")))
    }

    /// The number of the newest entry; 0 where there is none.
    pub(crate) async fn tip(&self) -> Result<u64> {
        // The newest folder may have been made for an entry that isn't there yet.
        for folder in self.folders().await?.into_iter().rev() {
            if let Some(newest) = self.numbers_in(folder).await?.last() {
                return Ok(*newest);
            }
        }
        Ok(0)
    }

    /// Whether the place refuses to write a file a second time, on which all depends.
    ///
    /// # Errors
    /// The place can't be read or written.
    pub async fn keeps_first(&self, probe: &str) -> Result<bool> {
        let path = format!("cluster/probes/{probe}");
        let (first, second) = (self.store.create(&path, "first").await?, self.store.create(&path, "second").await?);
        let found = self.store.get(&path, MAX_ENTRY_BYTES).await?;
        self.store.remove(&path).await?;
        Ok(first && !second && found.bytes == "first")
    }

    /// The first number after this one that there is an entry of.
    pub(crate) async fn next_after(&self, number: u64) -> Result<Option<u64>> {
        for folder in self.folders_after(number).await? {
            let numbers = self.numbers_in(folder).await?;
            if let Some(next) = numbers.into_iter().find(|next| *next > number) {
                return Ok(Some(next));
            }
        }
        Ok(None)
    }

    /// The SHA-256 of every segment that entries after this number name: others in the place are of former leaders, who
    /// lost their lead before these counted. None where there is no log.
    ///
    /// # Errors
    /// The place can't be read.
    pub async fn segments_after(&self, number: u64) -> Result<Option<HashSet<String>>> {
        if !self.has_entries().await? {
            return Ok(None);
        }
        Ok(Some(self.named_segments(number).await?.into_iter().map(|segment| segment.digest).collect()))
    }

    /// The segments that entries after this number name.
    pub(crate) async fn named_segments(&self, number: u64) -> Result<Vec<NamedSegment>> {
        let mut named = Vec::new();
        for folder in self.folders_after(number).await? {
            let numbers = self.numbers_in(folder).await?;
            let later = numbers.iter().filter(|later| **later > number);
            let mut read = stream::iter(later.map(|later| self.read_stored(*later))).buffered(AT_ONCE);
            while let Some(entry) = read.next().await {
                named.extend(entry?.and_then(|entry| NamedSegment::of(entry.content)));
            }
        }
        Ok(named)
    }

    /// Removes entries that were all written before `before`, but for those that begin a term.
    pub(crate) async fn forget(&self, before: DateTime<Utc>) -> Result<()> {
        let terms: Vec<u64> = self.numbers_of(TERMS).await?;
        let folders = self.folders().await?;
        // Never the newest: what is read next is there.
        for folder in folders.iter().rev().skip(2).rev() {
            let numbers = self.numbers_in(*folder).await?;
            let others: Vec<_> = numbers.iter().filter(|number| !terms.contains(number)).copied().collect();
            let Some(last) = others.last() else { continue };
            if self.read_stored(*last).await?.is_none_or(|entry| entry.at >= before) {
                return Ok(());
            }
            self.remove(&others).await?;
        }
        Ok(())
    }

    pub(crate) async fn remove(&self, numbers: &[u64]) -> Result<()> {
        let paths: Vec<_> = numbers.iter().map(|number| entry_path(*number)).collect();
        self.store.remove_all(&paths).await
    }

    async fn folders(&self) -> Result<Vec<u64>> {
        let folders = self.store.list_level(ENTRIES, MAX_OBJECTS).await?.folders;
        Ok(folders.iter().filter_map(|folder| folder.parse().ok()).collect())
    }

    /// Those that may have entries after this number.
    async fn folders_after(&self, number: u64) -> Result<Vec<u64>> {
        let mut folders = self.folders().await?;
        folders.retain(|folder| *folder >= folder_of(number + 1));
        Ok(folders)
    }

    async fn numbers_in(&self, folder: u64) -> Result<Vec<u64>> {
        self.numbers_of(&folder_path(folder)).await
    }

    async fn numbers_of(&self, path: &str) -> Result<Vec<u64>> {
        let files = self.store.list_level(path, MAX_OBJECTS).await?.files;
        Ok(files.iter().filter_map(|file| file.path.trim_end_matches(".json").parse().ok()).collect())
    }
}

/// The entries after this number without a gap, and the segments that they name.
pub(crate) async fn read_place_batch(
    log: &PlaceLog,
    after: u64,
    most: usize,
    fetches: bool,
) -> Result<VecDeque<FetchedEntry>> {
    let entries = read_entries(log, after, most).await?;
    if !fetches {
        return Ok(entries.into_iter().map(|(number, entry)| FetchedEntry { number, entry, changes: None }).collect());
    }
    let (mut bytes, mut few) = (0, Vec::new());
    for (number, entry) in entries {
        bytes += segment_bytes(&entry);
        if bytes > MAX_BATCH_BYTES && !few.is_empty() {
            break;
        }
        few.push((number, entry));
    }
    let fetched = few.into_iter().map(|(number, entry)| async move {
        let changes = fetch_segment(&log.store, &entry).await?;
        Ok(FetchedEntry { number, entry, changes })
    });
    stream::iter(fetched).buffered(most).try_collect().await
}

/// The entries after this number without a gap.
async fn read_entries(log: &PlaceLog, after: u64, most: usize) -> Result<Vec<(u64, LogEntry)>> {
    let numbers = (after + 1..).take(most).map(|number| async move { Ok((number, log.read_stored(number).await?)) });
    let mut read = stream::iter(numbers).buffered(most);
    let mut entries = Vec::new();
    while let Some((number, Some(entry))) = read.try_next().await? {
        entries.push((number, entry));
    }
    Ok(entries)
}

fn segment_bytes(entry: &LogEntry) -> u64 {
    match entry.content {
        EntryContent::Segment { bytes, .. } => bytes,
        _ => 0,
    }
}

/// None where an entry names none, and where it isn't there.
async fn fetch_segment(store: &FileStorage, entry: &LogEntry) -> Result<Option<Bytes>> {
    let EntryContent::Segment { path, .. } = &entry.content else { return Ok(None) };
    match store.get(path, MAX_SEGMENT_BYTES).await {
        Ok(content) => Ok(Some(content.bytes)),
        Err(Error::NotFound { .. }) => Ok(None),
        Err(err) => Err(err),
    }
}

impl AppendOnce for PlaceLog {
    async fn try_append(&self, number: u64, entry: &LogEntry, _: &Bytes) -> Result<TryOutcome> {
        if matches!(entry.content, EntryContent::Term { .. }) {
            // Before the entry: one that is missing here might be removed, and a former leader would find its number free.
            self.store.put(&format!("{TERMS}/{number:016}"), entry.node.clone()).await?;
        }
        let (path, bytes) = (entry_path(number), serde_json::to_vec(entry).unwrap_or_default());
        match self.store.create(&path, bytes).await? {
            true => Ok(TryOutcome::Stored),
            false => Ok(TryOutcome::Refused(format!("{path} is there, and can't be read"))),
        }
    }

    async fn read_stored(&self, number: u64) -> Result<Option<LogEntry>> {
        let path = entry_path(number);
        let content = match self.store.get(&path, MAX_ENTRY_BYTES).await {
            Err(Error::NotFound { .. }) => return Ok(None),
            content => content?,
        };
        serde_json::from_slice(&content.bytes).map(Some).map_err(|err| unreadable_entry(&path, &err))
    }
}

fn folder_of(number: u64) -> u64 {
    number / FOLDER_ENTRIES
}

fn folder_path(folder: u64) -> String {
    format!("{ENTRIES}/{folder:013}")
}

fn entry_path(number: u64) -> String {
    format!("{}/{number:016}.json", folder_path(folder_of(number)))
}

fn unreadable_entry(path: &str, err: &serde_json::Error) -> Error {
    Error::Location(format!("{path} isn't an entry of a cluster's log ({err}): a newer program may have written it"))
}
