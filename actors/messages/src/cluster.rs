//! The cluster: several nodes with the same database, one leader that writes it, and the log between them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use actix::Message;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use flowlord_domain::named_enum;
use flowlord_kernel::{Code, Error, Result, time_since_boot};
use serde::{Deserialize, Serialize};

use crate::changelog::LogPoint;

/// How long a leader acknowledges writes after it began the last append that succeeded.
pub const LEASE_TERM: Duration = Duration::from_secs(8);

/// How long a follower hears nothing of the leader before it takes over. Longer than [`LEASE_TERM`] by more than two
/// clocks differ in that time.
pub const TAKEOVER_SILENCE: Duration = Duration::from_secs(10);

named_enum! {
    /// What a node does.
    #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
    pub enum NodeRole {
        /// It is alone: there is no cluster.
        #[default]
        Single = "single",
        /// It writes.
        Leader = "leader",
        /// It reads, forwards writes to the leader, and takes over.
        Follower = "follower",
    }
}

/// A node, and where the others reach it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeAddress {
    /// Its name.
    pub node: String,
    /// Its base URL.
    pub url: String,
}

/// A change of the leader.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Takeover {
    /// When the new one began, by its clock.
    pub at: DateTime<Utc>,
    /// The node that led before.
    pub from: String,
    /// The node that leads since.
    pub to: String,
    /// Whether the former leader left the lead; then nothing is missing.
    pub is_handover: bool,
    /// What the former leader acknowledged between this and `at` may be missing; none where nothing is, and where the new
    /// one doesn't know.
    pub missing_since: Option<DateTime<Utc>>,
    /// Whether the new leader holds all that was acknowledged before: after a handover, and where the log holds each
    /// change before it is acknowledged.
    pub is_complete: bool,
}

/// How the cluster is, as one node sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClusterState {
    /// This node; none where there is no cluster.
    pub node: Option<NodeAddress>,
    /// What this node does.
    pub role: NodeRole,
    /// The leader; none while nobody leads.
    pub leader: Option<NodeAddress>,
    /// Counts the leaders.
    pub term: u64,
    /// The number of the last entry of the log that is in this node's database.
    pub applied: u64,
    /// This node's database holds everything that was acknowledged before; none while that isn't known.
    pub through: Option<DateTime<Utc>>,
    /// The last change of the leader that this node knows of.
    pub takeover: Option<Takeover>,
    /// Why this node can't follow, where it can't; one sentence.
    pub problem: Option<String>,
    /// When this node, which follows, found last that it holds all that is in the log, by its own clock.
    pub current_at: Option<DateTime<Utc>>,
    /// What makes the log less safe than it could be; a sentence each.
    pub warnings: Vec<String>,
    /// Whether this node, which follows, has the tables of an older program, which its own can't list.
    pub has_older_tables: bool,
}

impl ClusterState {
    /// By how much this node's database is behind, in seconds; a leader's is by nothing.
    #[must_use]
    pub fn lag_seconds(&self, now: DateTime<Utc>) -> Option<f64> {
        match self.role {
            NodeRole::Follower => {
                // The later of the two, or the one that is known.
                let lag = now - self.through.max(self.current_at)?;
                // Times are the leader's, whose clock may be ahead of this one.
                Some((lag.as_seconds_f64() * 1e3).round().max(0.) / 1e3)
            }
            NodeRole::Single | NodeRole::Leader => Some(0.),
        }
    }
}

/// A node as it last registered itself.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeState {
    /// Which one, and where.
    pub address: NodeAddress,
    /// What it does.
    pub role: NodeRole,
    /// The number of the last entry of the log that is in its database.
    pub applied: u64,
    /// By how much its database is behind; none while that isn't known.
    pub lag_seconds: Option<f64>,
    /// Whether it can't follow until there is a new snapshot.
    pub needs_snapshot: bool,
    /// When its database differed last from the leader's, which led to a new one; none where it never did.
    pub difference: Option<DatabaseDifference>,
    /// The version of its program.
    pub version: String,
    /// When it registered itself, by its clock.
    pub seen_at: DateTime<Utc>,
}

/// That a node's database wasn't what the leader's was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseDifference {
    /// When that was found, by its clock.
    pub at: DateTime<Utc>,
    /// Where; one sentence.
    pub what: String,
}

/// How the cluster is.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Result<ClusterState>")]
pub struct ReadCluster;

/// The nodes that registered themselves lately, by name; this asks the place that they share.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Result<Vec<NodeState>>")]
pub struct ListNodes;

/// To the web: what [`ReadCluster`] answers is new.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct ClusterChanged(pub ClusterState);

/// To the leader: another node is to lead. Answered once the change has begun; the service then restarts as a follower.
#[derive(Debug, Clone, Default, Message)]
#[rtype(result = "Result<()>")]
pub struct HandOver {
    /// The node that takes over; none for the follower that has most of the log.
    pub to: Option<String>,
}

/// What the leader shares with its followers, in the order in which they get it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SharedRecord {
    /// A segment of the change log is in the backup's place.
    Segment {
        /// Its file there.
        path: String,
        /// The SHA-256 of its bytes, in hex.
        digest: String,
        /// The size of its file.
        bytes: u64,
        /// It holds what was acknowledged before.
        at: DateTime<Utc>,
        /// Up to where the change log is in the place with it.
        log: LogPoint,
    },
    /// Everything that was acknowledged before is in the log already.
    Current {
        /// When that was so.
        at: DateTime<Utc>,
    },
    /// A snapshot is there, checked; it counts from now on. Refused with `not_ready` while segments don't hold all
    /// that it holds: should this node lose its lead, nobody else would have the rest.
    Snapshot {
        /// Its file.
        name: String,
        /// Up to where it holds the change log; none where none is kept.
        log: Option<LogPoint>,
    },
    /// The leader's program has newer tables, and makes them once this is in the log.
    Migration(SchemaMigration),
}

/// A change of the tables, which each node makes at the same entry of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaMigration {
    /// The version of the tables before.
    pub from: usize,
    /// Their version then.
    pub to: usize,
    /// The SHA-256 of the statements that lead there, in hex.
    pub digest: String,
    /// The number of the change log from there on.
    pub chain: u64,
}

/// To the leader's replica: appends to the cluster's log, and answers the number of the entry. Fails with `not_leader`
/// once another node leads, and then nothing was appended.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<u64>")]
pub struct AppendRecord(pub SharedRecord);

/// To the leader's replica, from the DB owner, whose transaction is open: appends the rows that it changed. Answers the
/// number of the entry once the log holds it. Fails with `not_leader` where another node leads, and then the log never
/// holds them. After every other error nobody knows.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<u64>")]
pub struct AppendRows {
    /// The SHA-256 of `bytes`, in hex.
    pub digest: String,
    /// A segment of the change log.
    pub bytes: Bytes,
    /// When the transaction began: what was acknowledged before is in the log already.
    pub at: DateTime<Utc>,
}

/// To the leader's replica: no snapshot is kept that began before this, so older entries of the log are of no use.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Result<()>")]
pub struct ForgetEntries {
    /// When the oldest snapshot began that is kept.
    pub before: DateTime<Utc>,
}

/// To the database of a follower: applies a segment of the change log.
#[derive(Debug, Message)]
#[rtype(result = "Result<SegmentOutcome>")]
pub struct ApplySegment {
    /// The entry of the cluster's log that names the segment.
    pub entry: u64,
    /// The SHA-256 of its bytes, in hex.
    pub digest: String,
    /// The segment as it is in the backup's place.
    pub bytes: Vec<u8>,
}

/// To the database of a follower: applies what a transaction of the leader changed.
#[derive(Debug, Message)]
#[rtype(result = "Result<SegmentOutcome>")]
pub struct ApplyRows {
    /// The entry of the cluster's log that holds them.
    pub entry: u64,
    /// The SHA-256 of `bytes`, in hex.
    pub digest: String,
    /// As [`AppendRows`] got them.
    pub bytes: Bytes,
}

/// To the database of a follower: changes its tables.
#[derive(Debug, Message)]
#[rtype(result = "Result<SegmentOutcome>")]
pub struct ApplyMigration {
    /// The entry of the cluster's log that says so.
    pub entry: u64,
    /// What changes.
    pub migration: SchemaMigration,
    /// Whether the log holds each transaction before it is committed.
    pub has_frames: bool,
    /// When the leader began to.
    pub at: DateTime<Utc>,
}

/// What became of a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SegmentOutcome {
    /// It is in the database, or was before.
    Applied {
        /// The database holds what was acknowledged before.
        at: DateTime<Utc>,
    },
    /// It doesn't go on from this database: a snapshot must take its place. Says why.
    Diverged(String),
    /// The database isn't what the leader's is, though it applied the same: a snapshot must take its place. Says where.
    Differs(String),
    /// A newer program wrote it. Says what to do.
    Newer(String),
}

/// To the leader's replica: the service stops, and all is shipped. A follower may lead at once.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Result<()>")]
pub struct ResignLead;

/// To a follower's replica: ends before the database does.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Result<()>")]
pub struct StopFollowing;

/// Until when this node may acknowledge writes. Whoever acknowledges holds a clone, and asks it last.
///
/// Its time is that of [`time_since_boot`], which nobody sets and which goes on while the machine is suspended.
///
/// ```
/// use flowlord_kernel::time_since_boot;
/// use flowlord_messages::cluster::LeaderLease;
///
/// let lease = LeaderLease::lapsed();
/// assert!(!lease.is_held());
/// lease.renew(time_since_boot());
/// assert!(lease.is_held() && lease.clone().refusal().is_none());
/// ```
#[derive(Debug, Clone)]
pub struct LeaderLease(Arc<AtomicU64>);

impl LeaderLease {
    /// That of a service without a cluster: nobody takes over from it.
    #[must_use]
    pub fn unlimited() -> Self {
        Self(Arc::new(AtomicU64::new(u64::MAX)))
    }

    /// One that isn't held yet.
    #[must_use]
    pub fn lapsed() -> Self {
        Self(Arc::default())
    }

    /// An append that began at `begun`, in time since the machine's start, has succeeded.
    pub fn renew(&self, begun: Duration) {
        self.0.store(nanoseconds(begun.saturating_add(LEASE_TERM)), Ordering::SeqCst);
    }

    /// Another node leads.
    pub fn give_up(&self) {
        self.0.store(0, Ordering::SeqCst);
    }

    /// Whether a write may be acknowledged now.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.is_held_at(time_since_boot())
    }

    fn is_held_at(&self, now: Duration) -> bool {
        nanoseconds(now) < self.0.load(Ordering::SeqCst)
    }

    /// The answer to a write that wasn't begun, where it may not be acknowledged.
    #[must_use]
    pub fn refusal(&self) -> Option<Error> {
        let detail = "this node couldn't renew its lead; nothing of this was stored. Another node may lead";
        (!self.is_held()).then(|| Error::new(Code::NotLeader, detail))
    }

    /// The answer to a write that was committed here, where it may not be acknowledged any more.
    #[must_use]
    pub fn refusal_after_commit(&self) -> Option<Error> {
        let detail = "this node lost its lead while it stored this; whether it was stored is not known. Send it again";
        (!self.is_held()).then(|| Error::new(Code::NotLeader, detail))
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_ends_by_itself_at_once_when_given_up_and_never_without_a_cluster() {
        let lease = LeaderLease::lapsed();
        let begun = Duration::from_secs(100);
        assert!(!lease.is_held_at(Duration::ZERO));
        lease.renew(begun);
        assert!(lease.is_held_at(begun + LEASE_TERM - Duration::from_nanos(1)));
        assert!(!lease.is_held_at(begun + LEASE_TERM));
        let known_elsewhere = lease.clone();
        lease.give_up();
        assert!(!known_elsewhere.is_held_at(begun));
        assert_eq!(known_elsewhere.refusal().unwrap().code, Code::NotLeader);
        assert!(LeaderLease::unlimited().is_held());
        assert!(TAKEOVER_SILENCE > LEASE_TERM);
    }

    #[test]
    fn only_a_follower_is_behind() {
        let now: DateTime<Utc> = "2026-03-01T12:00:10Z".parse().unwrap();
        let mut state = ClusterState { through: Some("2026-03-01T12:00:07.5Z".parse().unwrap()), ..Default::default() };
        assert_eq!(state.lag_seconds(now), Some(0.));
        state.role = NodeRole::Follower;
        assert_eq!(state.lag_seconds(now), Some(2.5));
        state.through = Some(now + chrono::TimeDelta::seconds(1));
        assert_eq!(state.lag_seconds(now), Some(0.), "its clock is ahead");
        state.through = None;
        assert_eq!(state.lag_seconds(now), None);
    }
}
