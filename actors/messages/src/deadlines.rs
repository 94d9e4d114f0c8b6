//! Deadline checks: tasks that are still unfinished, slots whose tasks didn't begin or end in time.

use actix::Message;
use chrono::{DateTime, Utc};
use flowlord_domain::deadlines::PhasePause;
use flowlord_domain::join::LateJoin;
use flowlord_domain::{Attempt, NewAlert};

use crate::schedule::SlotKey;
use flowlord_kernel::Result;

/// What wasn't looked at yet; asked of the DB readers.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<DeadlineInput>")]
pub struct ReadDeadlineInput {
    /// Tasks created up to this instant should be finished; those that a pause kept, if it ended by then.
    pub unfinished_before: DateTime<Utc>,
    /// Tasks that are at work since then or longer are wanted; none where no phase limits that.
    pub running_since: Option<DateTime<Utc>>,
    /// Pauses that ended after this instant are wanted, and all that go on.
    pub paused_after: DateTime<Utc>,
}

/// What [`ReadDeadlineInput`] answers.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DeadlineInput {
    /// Deadlines up to this instant were looked at; none before the first look.
    pub looked_until: Option<DateTime<Utc>>,
    /// Tasks that should be finished, aren't, and weren't looked at yet.
    pub unfinished: Vec<Attempt>,
    /// How far these go, by their creation: of more than one look takes, the next look takes the rest.
    pub unfinished_until: DateTime<Utc>,
    /// Tasks that are at work for long.
    pub running: Vec<Attempt>,
    /// Pauses of phases: those that go on, and those that ended of late.
    pub pauses: Vec<PhasePause>,
}

/// What slots led to; asked of the DB readers.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Vec<SlotTasks>>")]
pub struct ReadSlotTasks {
    /// The slots, each with the cron that it comes from.
    pub slots: Vec<(SlotKey, String)>,
}

/// What a slot led to.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SlotTasks {
    /// Since when its cron counts; none where that isn't remembered.
    pub since: Option<DateTime<Utc>>,
    /// All attempts of each chain that it started; none where they have left the history.
    pub chains: Option<Vec<Vec<Attempt>>>,
}

/// Raises what was found, each once ever, and remembers how far was looked. Asked of the DB owner.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<()>")]
pub struct RaiseBreaches {
    /// Deadlines up to this instant were looked at: now.
    pub looked_until: DateTime<Utc>,
    /// Tasks created up to this instant were looked at.
    pub unfinished_until: DateTime<Utc>,
    /// What was found overdue; each is told once ever.
    pub breaches: Vec<DeadlineBreach>,
    /// Joins that are late: each starts with what is there, or is told.
    pub late_joins: Vec<LateJoin>,
}

/// A deadline that was missed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadlineBreach {
    /// What names it: one of each is told, ever.
    pub key: String,
    /// What is told of it; none where another breach of the same look tells of it, too.
    pub alert: Option<NewAlert>,
}
