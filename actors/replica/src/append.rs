//! One append to a log, and what became of it.

use bytes::Bytes;
use flowlord_storage::{Error, Result};

use crate::entry::LogEntry;

/// What an append came to, once that is certain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum AppendOutcome {
    Done,
    /// The number is another entry's, for good.
    Taken(LogEntry),
}

/// What a log said to one try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TryOutcome {
    Stored,
    /// It didn't store it, for this reason; it may hold it nevertheless, by a try before this one.
    Refused(String),
}

/// An entry with what it names or carries.
#[derive(Debug)]
pub(crate) struct FetchedEntry {
    pub(crate) number: u64,
    pub(crate) entry: LogEntry,
    pub(crate) changes: Option<Bytes>,
}

/// One try of an append, and a read of what is stored for good.
pub(crate) trait AppendOnce {
    async fn try_append(&self, number: u64, entry: &LogEntry, rows: &Bytes) -> Result<TryOutcome>;

    /// None while nothing is known to be stored: something may be on its way.
    async fn read_stored(&self, number: u64) -> Result<Option<LogEntry>>;
}

/// Appends, and finds out what became of it. A refusal is no proof that the entry isn't there: an engine of several
/// servers refuses also because of what it hasn't stored yet, or after an answer that was lost. Only an entry that is
/// there decides. After an error nobody knows, and the same entry must be appended again.
pub(crate) async fn settle_append(
    log: &impl AppendOnce,
    number: u64,
    entry: &LogEntry,
    rows: &Bytes,
) -> Result<AppendOutcome> {
    let tried = log.try_append(number, entry, rows).await;
    if let Ok(TryOutcome::Stored) = tried {
        return Ok(AppendOutcome::Done);
    }
    match log.read_stored(number).await? {
        Some(found) if found == *entry => Ok(AppendOutcome::Done),
        Some(found) => Ok(AppendOutcome::Taken(found)),
        None => match tried? {
            TryOutcome::Refused(why) => Err(Error::Location(why)),
            TryOutcome::Stored => Ok(AppendOutcome::Done),
        },
    }
}
