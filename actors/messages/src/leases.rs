//! Leases: what a worker holds while it works on a task, what workers ask of the dispatch actor, and what that asks of
//! the DB owner.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use actix::Message;
use chrono::{DateTime, TimeDelta, Utc};
use flowlord_domain::limits::{LimitBlock, LimitTable};
use flowlord_domain::{Attempt, Uid};
use tokio::sync::oneshot;

use flowlord_kernel::Result;

/// When the earliest lease ends.
#[derive(Debug, Message)]
#[rtype(result = "Result<Option<DateTime<Utc>>>")]
pub struct ReadNextExpiry;

/// A topic, or one job of it, that a worker takes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicFilter {
    /// The topic; `type` on the wire.
    pub topic: String,
    /// Only this job; none means any.
    pub job: Option<String>,
}

/// As workers write it: `topic` or `topic:job`.
impl fmt::Display for TopicFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.job {
            None => f.write_str(&self.topic),
            Some(job) => write!(f, "{}:{job}", self.topic),
        }
    }
}

/// What one waiting worker wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseRequest {
    /// Topics, in the order in which they take turns.
    pub topics: Vec<TopicFilter>,
    /// At most this many tasks.
    pub max: usize,
    /// The worker's name, as it gives it.
    pub worker: String,
    /// For how long each lease is to last.
    pub lease: TimeDelta,
    /// Random bits from which the secrets of the leases are made.
    pub seed: u64,
}

/// Hands ready tasks to workers.
#[derive(Debug, Message)]
#[rtype(result = "Result<GrantedLeases>")]
pub struct GrantLeases {
    /// The sender's time, UTC: SQL reads no clock.
    pub now: DateTime<Utc>,
    /// The workers, those that waited longest first.
    pub wanted: Vec<LeaseRequest>,
    /// What the phases allow.
    pub limits: Arc<LimitTable>,
}

/// What [`GrantLeases`] answers.
#[derive(Debug, Default)]
pub struct GrantedLeases {
    /// For each worker its tasks.
    pub granted: Vec<Vec<LeaseGrant>>,
    /// What was wanted and ready, and may not start.
    pub blocked: Vec<BlockedQueue>,
}

/// A topic and job whose tasks a limit holds back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockedQueue {
    /// The topic; `type` on the wire.
    pub topic: String,
    /// The job; empty for none.
    pub job: String,
    /// The limit.
    pub block: LimitBlock,
}

/// Counts leased tasks by these limits, where those changed.
#[derive(Debug, Message)]
#[rtype(result = "Result<()>")]
pub struct KeepLimits {
    /// What the phases allow.
    pub limits: Arc<LimitTable>,
}

/// A task handed out.
#[derive(Debug, Clone, PartialEq)]
pub struct LeaseGrant {
    /// What the worker proves its right by.
    pub lease: LeaseToken,
    /// When the lease ends.
    pub expires: DateTime<Utc>,
    /// The attempt that was handed out.
    pub task: Arc<Attempt>,
}

/// Keeps a lease alive.
#[derive(Debug, Message)]
#[rtype(result = "Result<LeaseExtension>")]
pub struct ExtendLease {
    /// The sender's time, UTC: SQL reads no clock.
    pub now: DateTime<Utc>,
    /// The lease that the worker believes to have.
    pub lease: LeaseToken,
    /// For how long from now; none means as long as was asked for last.
    pub by: Option<TimeDelta>,
    /// For how long where nobody ever asked.
    pub default: TimeDelta,
    /// Which tasks can't come back to their worker once their lease expired.
    pub limits: Arc<LimitTable>,
    /// How far the worker is, 0 to 1.
    pub progress: Option<f64>,
    /// What the worker says.
    pub msg: Option<String>,
}

/// What [`ExtendLease`] answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseExtension {
    /// When the lease ends now.
    pub expires: DateTime<Utc>,
    /// Whether the worker should give up.
    pub cancel: bool,
}

/// Whether a worker still holds a task. Asked of the DB readers.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Result<LeaseStanding>")]
pub struct ReadLeaseStanding {
    /// The lease that the worker believes to have.
    pub lease: LeaseToken,
}

/// What [`ReadLeaseStanding`] answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaseStanding {
    /// Its worker may go on, also when it ran out and nobody else got the task.
    Held,
    /// Another worker has the task, or the task has a result.
    Lost,
    /// It was never given.
    Unknown,
}

/// Gives a task back; the attempt isn't counted, unless its time is over.
#[derive(Debug, Message)]
#[rtype(result = "Result<ReleasedLease>")]
pub struct ReleaseLease {
    /// The sender's time, UTC: SQL reads no clock.
    pub now: DateTime<Utc>,
    /// The lease that the worker believes to have.
    pub lease: LeaseToken,
    /// Ready again after this long.
    pub delay: TimeDelta,
}

/// What [`ReleaseLease`] did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReleasedLease {
    /// Its worker had the task for too long: the lease has ended, and the task with it.
    pub is_timed_out: bool,
}

/// Puts tasks back whose leases ran out.
#[derive(Debug, Message)]
#[rtype(result = "Result<ReapedLeases>")]
pub struct ReapLeases {
    /// The sender's time, UTC: SQL reads no clock.
    pub now: DateTime<Utc>,
    /// A task whose lease ran out this often isn't put back but answered in `exhausted`; releases don't count.
    pub max_deliveries: u32,
}

/// What [`ReapLeases`] did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReapedLeases {
    /// How many became ready again.
    pub requeued: usize,
    /// Leases of tasks that were handed out too often: to be ended with an error.
    pub exhausted: Vec<LeaseToken>,
    /// Leases of tasks past their time-out, and how long that is: to be ended with an error.
    pub timed_out: Vec<(LeaseToken, TimeDelta)>,
    /// When the next lease ends.
    pub next: Option<DateTime<Utc>>,
}

/// Hands out tasks, waiting up to `wait` for the first one.
///
/// The answer comes by `reply`, so that a worker that went away isn't given a task: its end is closed.
#[derive(Debug, Message)]
#[rtype(result = "Result<()>")]
pub struct RequestLeases {
    /// Topics, in the order in which they take turns.
    pub topics: Vec<TopicFilter>,
    /// At most this many.
    pub max: usize,
    /// The worker's name, as it gives it.
    pub worker: String,
    /// For how long each lease lasts.
    pub lease: TimeDelta,
    /// How long to wait for the first one.
    pub wait: TimeDelta,
    /// Where the worker asks from, if that is known.
    pub address: Option<IpAddr>,
    /// Where the tasks go; an empty list at the end of the wait.
    pub reply: oneshot::Sender<Result<Vec<LeaseGrant>>>,
}

/// Extends a lease, and reports how far the worker is.
#[derive(Debug, Message)]
#[rtype(result = "Result<LeaseExtension>")]
pub struct SendHeartbeat {
    /// The lease that the worker believes to have.
    pub lease: LeaseToken,
    /// For how long; none means as long as was asked for last.
    pub by: Option<TimeDelta>,
    /// How far the worker is, 0 to 1.
    pub progress: Option<f64>,
    /// What the worker says.
    pub msg: Option<String>,
}

/// Gives a task back.
#[derive(Debug, Message)]
#[rtype(result = "Result<()>")]
pub struct ReleaseTask {
    /// The lease that the worker believes to have.
    pub lease: LeaseToken,
    /// Ready again after this long.
    pub delay: TimeDelta,
}

/// Which workers asked for tasks lately.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Result<Vec<SeenWorker>>")]
pub struct ReadWorkers;

/// A worker that asked for tasks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenWorker {
    /// Its name, as it gives it.
    pub name: String,
    /// The topics of its last request.
    pub topics: Vec<TopicFilter>,
    /// When it last asked; now while it waits.
    pub asked: DateTime<Utc>,
    /// Where it last asked from, if that is known.
    pub address: Option<IpAddr>,
}

/// When workers last asked for tasks of these topics and jobs.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[rtype(result = "Result<LastAsked>")]
pub struct ReadLastAsked {
    /// Topic and job of each.
    pub queues: Vec<(String, String)>,
}

/// What [`ReadLastAsked`] answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastAsked {
    /// Nothing is known of the time before.
    pub known_since: DateTime<Utc>,
    /// For each queue; now while a worker waits, none when nobody asked.
    pub asked: Vec<Option<DateTime<Utc>>>,
    /// For each queue the limit that its tasks met when a worker last asked, and since when.
    pub blocks: Vec<Option<(DateTime<Utc>, LimitBlock)>>,
}

/// The limits by which tasks are leased; none before the workflows were read.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Result<Option<Arc<LimitTable>>>")]
pub struct ReadLimits;

/// When the buckets of topics and jobs with a `rate` are full again. Asked of the DB readers.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Result<Vec<StartBucket>>")]
pub struct ReadStartBuckets;

/// The bucket of a topic and job from which each start takes a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartBucket {
    /// The topic; `type` on the wire.
    pub topic: String,
    /// The job; empty for none.
    pub job: String,
    /// When it is full again.
    pub full_at: DateTime<Utc>,
}

/// How many tasks workers hold, by worker, topic and job. Asked of the DB readers.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Result<Vec<WorkerLeases>>")]
pub struct ReadWorkerLeases;

/// The tasks of a topic and job that a worker holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerLeases {
    /// The worker's name.
    pub worker: String,
    /// The topic; `type` on the wire.
    pub topic: String,
    /// The job; empty for none.
    pub job: String,
    /// Tasks under a lease of it.
    pub leased: u64,
    /// Its last sign of life about one of them.
    pub last_beat: Option<DateTime<Utc>>,
}

/// Hands out nothing more and answers all who wait: the service is stopping.
#[derive(Debug, Message)]
#[rtype(result = "Result<()>")]
pub struct StopLeasing;

/// A lease: the attempt and a secret of this hand-out. Written as `uid-secret`, 14 and 16 hexadecimal digits.
///
/// ```
/// use flowlord_domain::Uid;
/// use flowlord_messages::LeaseToken;
///
/// let lease = LeaseToken { uid: Uid(1_700_000_000_000_000), secret: 0xfeed_beef };
/// assert_eq!(lease.to_string(), "060a24181e4000-00000000feedbeef");
/// assert_eq!("060a24181e4000-00000000feedbeef".parse(), Ok(lease));
/// assert!("060a24181e4000".parse::<LeaseToken>().is_err(), "the secret is missing");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LeaseToken {
    /// The attempt that was handed out.
    pub uid: Uid,
    /// 64 random bits, new at each hand-out.
    pub secret: u64,
}

impl fmt::Display for LeaseToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:016x}", self.uid, self.secret)
    }
}

/// A text that was never a lease.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this is not a valid lease")]
pub struct InvalidLeaseToken;

impl FromStr for LeaseToken {
    type Err = InvalidLeaseToken;

    fn from_str(text: &str) -> std::result::Result<Self, InvalidLeaseToken> {
        let (uid, secret) = text.split_once('-').ok_or(InvalidLeaseToken)?;
        // Digits only: `from_str_radix` would also take a sign.
        if secret.len() != 16 || !secret.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(InvalidLeaseToken);
        }
        let uid = uid.parse().map_err(|_| InvalidLeaseToken)?;
        u64::from_str_radix(secret, 16).map(|secret| Self { uid, secret }).map_err(|_| InvalidLeaseToken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_and_parses() {
        let lease = LeaseToken { uid: Uid(1_700_000_000_000_000), secret: 0xfeed_beef };
        assert_eq!(lease.to_string().parse(), Ok(lease));
    }

    #[test]
    fn refuses_what_was_never_given() {
        for text in ["", "-", "x-y", "060a24181e4000", "060a24181e4000-1", "060a24181e4000-+00000000000001a"] {
            assert_eq!(text.parse::<LeaseToken>(), Err(InvalidLeaseToken), "{text:?}");
        }
    }
}
