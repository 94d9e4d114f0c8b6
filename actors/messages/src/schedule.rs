//! What starts when: slots, crons, delayed tasks, and the phases that are paused.

use actix::Message;
use chrono::{DateTime, Utc};
use flowlord_domain::{NewAlert, Uid};

use crate::stats::ResultCounts;
use flowlord_kernel::Result;

/// What the scheduler needs at its start.
#[derive(Debug, Message)]
#[rtype(result = "Result<ScheduleInput>")]
pub struct ReadSchedule;

/// What [`ReadSchedule`] answers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ScheduleInput {
    /// The last recorded slot of each phase, started or missed.
    pub last_slots: Vec<SlotKey>,
    /// The crons that counted last, and since when.
    pub crons: Vec<(CronKey, DateTime<Utc>)>,
    /// When the earliest delayed task is due.
    pub next_due: Option<DateTime<Utc>>,
    /// Phases that are paused.
    pub paused: Vec<PausedPhase>,
}

/// The phases that are paused.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Result<Vec<PausedPhase>>")]
pub struct ReadPaused;

/// A phase that starts nothing new.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PausedPhase {
    /// The workflow file, relative to the workflow root.
    pub workflow: String,
    /// The phase's name: `topic` or `topic:job`.
    pub task: String,
    /// When it was paused.
    pub since: DateTime<Utc>,
}

/// The last slot of each phase that has one, and the last that started.
#[derive(Debug, Message)]
#[rtype(result = "Result<Vec<LastSlot>>")]
pub struct ReadLastSlots {
    /// Scheduled at or after.
    pub from: DateTime<Utc>,
    /// Scheduled before; this instant is left out.
    pub to: DateTime<Utc>,
}

/// Where a phase stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastSlot {
    /// Its last slot, started or missed.
    pub key: SlotKey,
    /// Its last slot that started.
    pub started: Option<DateTime<Utc>>,
}

/// A phase's slot: starts at most once, ever.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SlotKey {
    /// The workflow file, relative to the workflow root.
    pub workflow: String,
    /// The phase's name: `topic` or `topic:job`.
    pub task: String,
    /// The scheduled time, UTC.
    pub at: DateTime<Utc>,
}

/// A cron of a phase.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CronKey {
    /// The workflow file, relative to the workflow root.
    pub workflow: String,
    /// The phase's name: `topic` or `topic:job`.
    pub task: String,
    /// The cron expression, as written in the rule.
    pub cron: String,
}

/// Remembers which crons count and since when, so that downtime is noticed also before the first slot of one.
#[derive(Debug, Message)]
#[rtype(result = "Result<()>")]
pub struct SaveCrons {
    /// New ones, and since when each counts.
    pub added: Vec<(CronKey, DateTime<Utc>)>,
    /// Those that no longer count.
    pub removed: Vec<CronKey>,
}

/// Records slots that were not started and won't be.
#[derive(Debug, Message)]
#[rtype(result = "Result<()>")]
pub struct RecordMissed {
    /// The slots; those already recorded stay as they are.
    pub slots: Vec<SlotKey>,
    /// Alerts that go with them; none is raised where all slots were recorded before.
    pub alerts: Vec<NewAlert>,
    /// The sender's time, UTC: SQL reads no clock.
    pub now: DateTime<Utc>,
}

/// Pauses a phase, or lets it go on: what was kept for it is ready then. Answers since when it is paused.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[rtype(result = "Result<Option<DateTime<Utc>>>")]
pub struct SetPaused {
    /// The sender's time, UTC: SQL reads no clock.
    pub now: DateTime<Utc>,
    /// The workflow file, relative to the workflow root.
    pub workflow: String,
    /// The phase's name: `topic` or `topic:job`.
    pub task: String,
    /// Whether it is to be paused.
    pub paused: bool,
}

/// Moves delayed tasks whose time has come to ready.
#[derive(Debug, Message)]
#[rtype(result = "Result<PromotedTasks>")]
pub struct PromoteDue {
    /// What counts as now.
    pub now: DateTime<Utc>,
}

/// What [`PromoteDue`] did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PromotedTasks {
    /// How many became ready.
    pub count: usize,
    /// When the next one is due; at or before `now` when there was too much for one step.
    pub next: Option<DateTime<Utc>>,
}

/// How many slots one answer has.
pub const MAX_SLOTS: usize = 5_000;

/// How many of their tasks are looked at.
pub const MAX_SLOT_TASKS: usize = 20_000;

/// The recorded slots of some phases, newest first. Asked of the DB readers.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[rtype(result = "Result<Vec<PhaseSlots>>")]
pub struct ReadSlots {
    /// Workflow file and `topic:job` of each phase.
    pub phases: Vec<(String, String)>,
    /// Scheduled at or after.
    pub from: DateTime<Utc>,
    /// Scheduled before; this instant is left out.
    pub to: DateTime<Utc>,
    /// Of each slot as many tasks are named.
    pub named: usize,
}

/// One phase, in the order asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PhaseSlots {
    /// Its slots, newest first.
    pub slots: Vec<SlotOutcome>,
    /// Its crons, and since when each counts.
    pub crons: Vec<(String, DateTime<Utc>)>,
    /// Slots before this were not looked at: there are too many.
    pub cut: Option<DateTime<Utc>>,
}

/// A slot and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotOutcome {
    /// The scheduled time, UTC.
    pub at: DateTime<Utc>,
    /// Its first task; none when it started none.
    pub started: Option<Uid>,
    /// How many tasks it started; none when it was missed.
    pub tasks: Option<u64>,
    /// Whether it started none since a slot before it hadn't ended.
    pub is_skipped: bool,
    /// How those of them ended that were looked at: each counts once, by its last attempt.
    pub counts: ResultCounts,
    /// Its first tasks, as many as were asked for.
    pub named: Vec<Uid>,
}

/// When each scheduled phase starts next and when it did last.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Result<Vec<PhaseTimes>>")]
pub struct ReadNextRuns;

/// When one cron of a phase fires.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PhaseTimes {
    /// The workflow file, relative to the workflow root.
    pub workflow: String,
    /// The phase's name: `topic` or `topic:job`.
    pub task: String,
    /// The cron expression, as written in the rule.
    pub cron: String,
    /// The next slot; none while the phase is paused.
    pub next: Option<DateTime<Utc>>,
    /// The last slot that was started since the service is up.
    pub previous: Option<DateTime<Utc>>,
}

/// Lets a phase start nothing new, or go on; answered with since when it is paused. Slots that fell into the pause
/// become what the rule's `missed` says when it goes on; what else would have started is kept until then.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[rtype(result = "Result<Option<DateTime<Utc>>>")]
pub struct PausePhase {
    /// The workflow file, relative to the workflow root.
    pub workflow: String,
    /// The phase's name: `topic` or `topic:job`.
    pub task: String,
    /// Whether it is to be paused.
    pub paused: bool,
}

/// Starts nothing more: the service is stopping. Answered when what was under way is stored.
#[derive(Debug, Message)]
#[rtype(result = "Result<()>")]
pub struct StopScheduling;
