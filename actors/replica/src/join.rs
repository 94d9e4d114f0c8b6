//! What a node is when it starts.

use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use flowlord_kernel::time_since_boot;
use flowlord_messages::changelog::LogPoint;
use flowlord_messages::cluster::{NodeAddress, Takeover};

use crate::append::AppendOutcome;
use crate::cluster_log::ClusterLog;
use crate::entry::{EntryContent, FormerLead, LogEntry};

/// Which node this is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeIdentity {
    pub address: NodeAddress,
    /// Of its data folder; see [`NodeFile`](crate::NodeFile).
    pub id: String,
    /// The version of its program.
    pub version: String,
}

impl NodeIdentity {
    pub(crate) fn entry(&self, term: u64, at: DateTime<Utc>, content: EntryContent) -> LogEntry {
        let NodeAddress { node, url } = self.address.clone();
        LogEntry { term, node, url, id: self.id.clone(), at, content }
    }

    pub(crate) fn term_entry(&self, term: u64, at: DateTime<Utc>, after: Option<FormerLead>) -> LogEntry {
        self.entry(term, at, EntryContent::Term { version: self.version.clone(), after })
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JoinedRole {
    Leader(Lead),
    Follower(LastEntry),
}

/// The newest entry when the node joined; none where there is no log yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastEntry(pub(crate) Option<LogEntry>);

/// The lead of a node that has just written the entry of its term.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lead {
    pub term: u64,
    /// The number of that entry.
    pub tail: u64,
    /// When the entry began to be written, in time since the machine's start.
    pub begun: Duration,
    /// That this node took over from another, where nobody was told yet.
    pub takeover: Option<Takeover>,
    /// Whether it is the first entry of all: no snapshot leads into the log.
    pub is_first: bool,
}

/// What a node knows of its own database when it joins.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OwnDatabase {
    /// The last entry that it is known to hold.
    pub applied: u64,
    /// Up to where it holds its change log; none where there is no database.
    pub point: Option<LogPoint>,
    /// Whether somebody said that the cluster goes on from it, though it knows entries of a log that isn't there any more.
    pub begins_log: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    #[error(transparent)]
    Place(#[from] flowlord_storage::Error),
    #[error(
        "the data folder is a copy of that of node {node}: give this node a folder of its own, or remove its cluster.json \
         if {node} is gone"
    )]
    Copied { node: String },
    #[error(
        "{place} replaces a file that was to be written only where there is none (If-None-Match): a cluster needs a store \
         that refuses to"
    )]
    Overwrites { place: String },
}

/// Reads who leads. Where that was this node, and its database has all that it shared, or where nobody ever led and the
/// node isn't a standby, it leads from now on.
///
/// # Errors
/// The place can't be read or written; or another node has the same data folder.
pub async fn join(
    log: &ClusterLog,
    own: &NodeIdentity,
    is_standby: bool,
    database: &OwnDatabase,
    now: DateTime<Utc>,
) -> Result<JoinedRole, JoinError> {
    loop {
        let tip = log.tip().await?;
        let last = log.read(tip).await?;
        if last.is_none() && tip > 0 {
            // Removed since it was listed.
            continue;
        }
        if log.holds_transactions() && tip < database.applied && !(tip == 0 && database.begins_log) {
            // In a log that is shorter than what it knows, it would use numbers a second time: it follows,
            // and as nobody is known to lead, never takes over.
            log::error!("event=log_lost tip={tip} applied={}", database.applied);
            return Ok(JoinedRole::Follower(LastEntry(None)));
        }
        let Some(entry) = own.first_entry(log, last.as_ref(), is_standby, database, now).await? else {
            return Ok(JoinedRole::Follower(LastEntry(last)));
        };
        let is_first = last.is_none();
        // The place may be a new one, for databases that know the numbers of another.
        let number = if is_first { log.first_number(database.applied + 1).await? } else { tip + 1 };
        if number <= database.applied {
            log::warn!(
                "event=first_entry_left detail=\"the log begins at {number}, and this database knows entries up to {} of \
                 another place: another node has to lead first\"",
                database.applied
            );
            return Ok(JoinedRole::Follower(LastEntry(last)));
        }
        let begun = time_since_boot();
        let is_written = log.append_with(number, &entry, &Bytes::new()).await? == AppendOutcome::Done;
        // A node that stood still since it listed the place may write a number that was used and removed.
        if is_written && log.next_after(number).await?.is_none() {
            let takeover = entry.takeover();
            return Ok(JoinedRole::Leader(Lead { term: entry.term, tail: number, begun, takeover, is_first }));
        }
        // Another node was faster: what is it now?
    }
}

impl NodeIdentity {
    /// The entry by which this node leads; none where it is to follow.
    async fn first_entry(
        &self,
        log: &ClusterLog,
        last: Option<&LogEntry>,
        is_standby: bool,
        database: &OwnDatabase,
        now: DateTime<Utc>,
    ) -> Result<Option<LogEntry>, JoinError> {
        let Some(last) = last else {
            return Ok((!is_standby).then(|| self.term_entry(1, now, None)));
        };
        // It may have handed over, and have restarted before the other node led.
        if last.id != self.id || last.calls_other(&self.address.node) {
            return Ok(None);
        }
        if last.node != self.address.node {
            // The id is that of the data folder: two nodes with one id would each take the other's lead for
            // their own.
            return Err(JoinError::Copied { node: last.node.clone() });
        }
        // It was put back to an earlier time otherwise, and what it lacks others have.
        let has_all = log.is_held_by(database.applied, database.point).await?;
        Ok(has_all.then(|| self.term_entry(last.term + 1, now, untold_takeover(last))))
    }
}

/// The takeover that the newest entry tells of: its node began nothing else since.
fn untold_takeover(last: &LogEntry) -> Option<FormerLead> {
    match &last.content {
        EntryContent::Term { after, .. } => after.clone(),
        _ => None,
    }
}
