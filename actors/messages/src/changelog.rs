//! The change log: rows that changed, which keeps the backup up between snapshots.

use actix::Message;
use chrono::{DateTime, Utc};

use flowlord_kernel::Result;

/// Up to where a database holds a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogPoint {
    /// Which log: drawn at its beginning.
    pub chain: u64,
    /// The number of the last change.
    pub position: i64,
}

/// The number of a log as it is written where others read it.
#[must_use]
pub fn chain_hex(chain: u64) -> String {
    format!("{chain:016x}")
}

/// To the DB owner: what changed since the last segment, of one moment. It holds what was answered before.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Result<ChangeTail>")]
pub struct ReadSegment {
    /// The time to note in the segment, UTC.
    pub at: DateTime<Utc>,
    /// Of more changes than this no segment is made.
    pub most: u64,
}

/// What [`ReadSegment`] answers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChangeTail {
    /// The log; none while nothing is recorded.
    pub chain: Option<u64>,
    /// How many changes aren't in the backup.
    pub pending: u64,
    /// They; none where nothing changed, or too much.
    pub segment: Option<ChangeSegment>,
}

/// Rows as they are after changes.
#[derive(Clone, PartialEq, Eq)]
pub struct ChangeSegment {
    /// The log that it is of.
    pub chain: u64,
    /// It holds the changes after this number,
    pub after: i64,
    /// up to this one.
    pub upto: i64,
    /// Of when it is.
    pub at: DateTime<Utc>,
    /// The SHA-256 of its bytes, in hex.
    pub digest: String,
    /// The rows, written for the file in the backup.
    pub bytes: Vec<u8>,
}

impl std::fmt::Debug for ChangeSegment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Not the bytes: they may be megabytes, and are texts of tasks.
        let Self { after, upto, at, bytes, .. } = self;
        write!(f, "Segment {{ {after} to {upto} at {at}, {} bytes }}", bytes.len())
    }
}

/// A segment is in the backup: forgets its changes, a bounded part of them. Answers whether there may be more of them.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<bool>")]
pub struct ForgetChanges {
    /// The log; refused where it began anew meanwhile.
    pub chain: u64,
    /// Up to this number.
    pub upto: i64,
    /// The digest of the segment that holds them.
    pub digest: String,
    /// The entry of the cluster's log that names the segment; 0 without a cluster.
    pub entry: u64,
    /// At most this many.
    pub limit: usize,
}

/// Begins the log anew, with the next snapshot: what was noted is no longer of use.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Result<()>")]
pub struct RestartChangeLog {
    /// Random bits that name the new log.
    pub chain: u64,
}

/// How far the backup is kept up between snapshots, as far as is known without asking its place.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Result<ShippingState>")]
pub struct ReadShippingState;

/// What [`ReadShippingState`] answers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ShippingState {
    /// Whether it is kept up at all.
    pub on: bool,
    /// Whether a snapshot is there that the log goes on from.
    pub based: bool,
    /// What was answered before is in the backup; none before the first time.
    pub until: Option<DateTime<Utc>>,
    /// How many changes weren't in it at the last look.
    pub pending: u64,
    /// Why the last try failed, when it did.
    pub problem: Option<String>,
}

/// Ships what is left, and no more: the service is stopping.
#[derive(Debug, Message)]
#[rtype(result = "Result<()>")]
pub struct StopShipping;
