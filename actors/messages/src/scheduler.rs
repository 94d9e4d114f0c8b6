//! What the scheduler answers: what starts when.

use actix::Message;
use chrono::{DateTime, Utc};

use flowlord_kernel::Result;

/// When each scheduled phase starts next and when it did last.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Result<Vec<PhaseTimes>>")]
pub struct NextRuns;

/// One scheduled phase.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PhaseTimes {
    /// The workflow file.
    pub workflow: String,
    /// `topic` or `topic:job`.
    pub task: String,
    /// The cron expression.
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
    /// The workflow file.
    pub workflow: String,
    /// `topic` or `topic:job`.
    pub task: String,
    /// Whether it is to be paused.
    pub paused: bool,
}

/// Starts nothing more: the service is stopping. Answered when what was under way is stored.
#[derive(Debug, Message)]
#[rtype(result = "Result<()>")]
pub struct StopScheduling;
