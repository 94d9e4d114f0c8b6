//! What became of the slots of phases, and how the tasks of a topic and job ended hour by hour: what the grids of the
//! pages are made of.

use actix::Message;
use chrono::{DateTime, Utc};
use flowlord_domain::Uid;

use crate::read::Counts;
use flowlord_kernel::Result;

/// How many slots one answer has.
pub const MAX_SLOTS: usize = 5_000;

/// How many of their tasks are looked at.
pub const MAX_LOOKED_AT: usize = 20_000;

/// How many hours of topics and jobs are looked up.
pub const MAX_HOURS: usize = 50_000;

/// The recorded slots of some phases, newest first. Asked of the DB readers.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[rtype(result = "Result<Vec<PhaseSlots>>")]
pub struct ReadSlots {
    /// Workflow file and `topic:job` of each phase.
    pub phases: Vec<(String, String)>,
    /// Scheduled at or after.
    pub from: DateTime<Utc>,
    /// Scheduled before.
    pub to: DateTime<Utc>,
    /// Of each slot as many tasks are named.
    pub named: usize,
}

/// One phase, in the order asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PhaseSlots {
    /// Its slots.
    pub slots: Vec<SlotOutcome>,
    /// Its crons, and since when each counts.
    pub crons: Vec<(String, DateTime<Utc>)>,
    /// Slots before this were not looked at: there are too many.
    pub cut: Option<DateTime<Utc>>,
}

/// A slot and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotOutcome {
    /// Its time.
    pub at: DateTime<Utc>,
    /// Its first task; none when it started none.
    pub started: Option<Uid>,
    /// How many tasks it started; none when it was missed.
    pub tasks: Option<u64>,
    /// How those of them ended that were looked at: each counts once, by its last attempt.
    pub counts: Counts,
    /// The first ones.
    pub named: Vec<Uid>,
}

/// How the tasks of topics and jobs ended, by hour of creation. Asked of the DB readers.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[rtype(result = "Result<Vec<Vec<(DateTime<Utc>, Counts)>>>")]
pub struct ReadHours {
    /// Topic and job of each.
    pub queues: Vec<(String, String)>,
    /// The first hour.
    pub from: DateTime<Utc>,
    /// The hours end before.
    pub to: DateTime<Utc>,
    /// Of each only the newest hour that has any.
    pub newest: bool,
}
