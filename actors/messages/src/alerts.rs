//! What the alerts actor answers: the ladder.

use actix::Message;
use chrono::{DateTime, TimeDelta, Utc};

use crate::error::Result;

/// How each route stands.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Result<Vec<LadderStatus>>")]
pub struct LadderStates;

/// One route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LadderStatus {
    /// The route's name.
    pub route: String,
    /// How long it waits now between two looks.
    pub interval: TimeDelta,
    /// When it looks next.
    pub next: DateTime<Utc>,
    /// Since when an incident is open.
    pub incident_since: Option<DateTime<Utc>>,
}

/// Moves no ladder any more: the service is stopping.
#[derive(Debug, Message)]
#[rtype(result = "Result<()>")]
pub struct StopAlerting;
