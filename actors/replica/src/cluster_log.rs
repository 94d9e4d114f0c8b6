//! The cluster's log, wherever it is kept.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use flowlord_messages::changelog::LogPoint;
use flowlord_storage::{FileStorage, Result};

use crate::append::{AppendOnce as _, AppendOutcome, FetchedEntry, settle_append};
use crate::entry::{EntryContent, LogEntry};
use crate::place_log::{PlaceLog, read_place_batch};
use crate::stream_log::StreamLog;

/// How long a follower waits for the next entry of a stream.
const WAIT_FOR_ENTRY: Duration = Duration::from_millis(500);

/// The log. Clones share it.
#[derive(Debug, Clone)]
pub struct ClusterLog {
    /// The backup's place: the nodes register themselves there, wherever the log is.
    pub(crate) store: FileStorage,
    engine: LogEngine,
}

#[derive(Debug, Clone)]
enum LogEngine {
    Place(PlaceLog),
    Stream(StreamLog),
}

impl ClusterLog {
    /// In a backup's place. Nothing is asked of it yet.
    pub fn in_place(store: FileStorage) -> Self {
        Self { engine: LogEngine::Place(PlaceLog::new(store.clone())), store }
    }

    /// In a stream of NATS JetStream, with the backup's place beside it for snapshots.
    pub fn in_stream(stream: StreamLog, store: FileStorage) -> Self {
        Self { store, engine: LogEngine::Stream(stream) }
    }

    /// Whether it holds each transaction before that is committed.
    pub fn holds_transactions(&self) -> bool {
        matches!(self.engine, LogEngine::Stream(_))
    }

    /// Whether the place refuses to write a file a second time, on which a log in it depends.
    ///
    /// # Errors
    /// The place can't be read or written.
    pub async fn keeps_first(&self, probe: &str) -> Result<bool> {
        match &self.engine {
            LogEngine::Place(log) => log.keeps_first(probe).await,
            LogEngine::Stream(_) => Ok(true),
        }
    }

    #[cfg(test)]
    pub(crate) async fn append(&self, number: u64, entry: &LogEntry) -> Result<AppendOutcome> {
        self.append_with(number, entry, &Bytes::new()).await
    }

    /// Writes an entry where there is none of its number. Done again after an error, it is done once.
    pub(crate) async fn append_with(&self, number: u64, entry: &LogEntry, rows: &Bytes) -> Result<AppendOutcome> {
        match &self.engine {
            LogEngine::Place(log) => settle_append(log, number, entry, rows).await,
            LogEngine::Stream(log) => {
                if let EntryContent::Rows { path: Some(path), .. } = &entry.content {
                    // Before the entry: who reads that needs them at once.
                    self.store.put(path, rows.clone()).await?;
                    return settle_append(log, number, entry, &Bytes::new()).await;
                }
                settle_append(log, number, entry, rows).await
            }
        }
    }

    /// Where rows of so many bytes go that an entry can't carry.
    pub(crate) fn path_of_large(&self, number: u64, digest: &str, bytes: usize) -> Option<String> {
        match &self.engine {
            LogEngine::Stream(log) if bytes > log.max_rows() => Some(large_rows_path(number, digest)),
            _ => None,
        }
    }

    pub(crate) async fn read(&self, number: u64) -> Result<Option<LogEntry>> {
        match &self.engine {
            _ if number == 0 => Ok(None),
            LogEngine::Place(log) => log.read_stored(number).await,
            LogEngine::Stream(log) => log.read_stored(number).await,
        }
    }

    /// The number of the newest entry; 0 where there is none.
    pub(crate) async fn tip(&self) -> Result<u64> {
        match &self.engine {
            LogEngine::Place(log) => log.tip().await,
            LogEngine::Stream(log) => log.tip().await,
        }
    }

    /// The number of the first entry, which is the same for all who ask; `proposed` where nobody asked before.
    pub(crate) async fn first_number(&self, proposed: u64) -> Result<u64> {
        match &self.engine {
            LogEngine::Place(log) => log.first_number(proposed).await,
            LogEngine::Stream(log) => log.create_from(proposed).await,
        }
    }

    /// The first number after this one that there is an entry of.
    pub(crate) async fn next_after(&self, number: u64) -> Result<Option<u64>> {
        match &self.engine {
            LogEngine::Place(log) => log.next_after(number).await,
            // It has no holes.
            LogEngine::Stream(log) => Ok((log.tip().await? > number).then_some(number + 1)),
        }
    }

    /// Whether a database that holds the log up to an entry, and its own change log up to a point, has everything that
    /// the log names; one that was put back to an earlier time hasn't.
    pub(crate) async fn is_held_by(&self, applied: u64, point: Option<LogPoint>) -> Result<bool> {
        match &self.engine {
            LogEngine::Place(log) => {
                // Without a database it is restored, with the log.
                let Some(point) = point else { return Ok(true) };
                let segments = log.named_segments(applied).await?;
                Ok(segments.iter().all(|segment| segment.is_within(point)))
            }
            LogEngine::Stream(log) => Ok(log.last_rows().await?.is_none_or(|last| last <= applied)),
        }
    }

    /// The entries after this number, and their changes. In a stream it waits a little for the first.
    pub(crate) async fn read_batch(&self, after: u64, most: usize, fetches: bool) -> Result<VecDeque<FetchedEntry>> {
        match &self.engine {
            LogEngine::Place(log) => read_place_batch(log, after, most, fetches).await,
            LogEngine::Stream(log) => {
                let mut entries = log.entries_after(after, most, WAIT_FOR_ENTRY).await?;
                for fetched in &mut entries {
                    if let EntryContent::Rows { path: Some(path), bytes, .. } = &fetched.entry.content {
                        fetched.changes = Some(self.store.get(path, *bytes).await?.bytes);
                    }
                }
                Ok(entries)
            }
        }
    }

    /// Removes entries before this number, which a snapshot holds; a place keeps its own account of them.
    pub(crate) async fn trim(&self, number: u64) -> Result<()> {
        let LogEngine::Stream(log) = &self.engine else { return Ok(()) };
        log.trim(number).await?;
        let large = self.store.list_level(LARGE_ROWS, flowlord_storage::MAX_OBJECTS).await?.files;
        let old = large
            .iter()
            .filter(|file| file.path.get(..16).and_then(|at| at.parse().ok()).is_some_and(|at: u64| at < number));
        let old: Vec<_> = old.map(|file| format!("{LARGE_ROWS}/{}", file.path)).collect();
        self.store.remove_all(&old).await
    }

    /// Removes entries that were all written before `before`, but for those that begin a term.
    pub(crate) async fn forget(&self, before: DateTime<Utc>) -> Result<()> {
        match &self.engine {
            LogEngine::Place(log) => log.forget(before).await,
            LogEngine::Stream(_) => Ok(()),
        }
    }

    pub(crate) async fn remove(&self, numbers: &[u64]) -> Result<()> {
        match &self.engine {
            LogEngine::Place(log) => log.remove(numbers).await,
            LogEngine::Stream(_) => Ok(()),
        }
    }

    /// What makes it less safe than it could be; a sentence each.
    pub async fn warnings(&self) -> Result<Vec<String>> {
        match &self.engine {
            LogEngine::Place(_) => Ok(Vec::new()),
            LogEngine::Stream(log) => log.warnings().await,
        }
    }
}

/// Rows of transactions that no message carries, named by their entry.
const LARGE_ROWS: &str = "cluster/rows";

fn large_rows_path(number: u64, digest: &str) -> String {
    format!("{LARGE_ROWS}/{number:016}-{digest}")
}
