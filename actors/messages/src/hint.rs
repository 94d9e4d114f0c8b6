//! Hints of the DB owner after a commit. Losing one delays, never loses.

use actix::Message;
use chrono::{DateTime, Utc};

/// Tasks of these topics became ready.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct TasksReady {
    /// `(topic, job)`, each once.
    pub topics: Vec<(String, String)>,
}

/// A delayed task was stored.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct TasksDelayed {
    /// When the earliest of them is due.
    pub due: DateTime<Utc>,
}

/// Alerts were stored.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct AlertRaised;

/// Messages were put into the outbox.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct Notify;

/// Something changed that people may look at: what, is to be fetched by [`crate::changes::TakeChanges`]. Sent once
/// until that was done.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct Changed;

/// A snapshot was taken, failed or left.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct SnapshotsChanged;
