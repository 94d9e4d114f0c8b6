//! The outbox: what Slack is to be told, what became of it, and where an incident's message is. What goes in is
//! [`crate::write::NewMessage`].

use actix::Message;
use chrono::{DateTime, Utc};

use flowlord_kernel::Result;

/// Messages to send, in order: the first ones of each route.
#[derive(Debug, Message)]
#[rtype(result = "Result<Vec<OutboxRow>>")]
pub struct PendingMessages {
    /// At most this many of a route.
    pub limit: usize,
}

/// The ways that fail, for a notifier that starts.
#[derive(Debug, Message)]
#[rtype(result = "Result<Vec<RouteWay>>")]
pub struct ReadOutages;

/// Where the messages of an incident are, the way of its own route first.
#[derive(Debug, Message)]
#[rtype(result = "Result<Vec<SlackThread>>")]
pub struct ReadThreads {
    /// The incident's route.
    pub route: String,
    /// When it opened.
    pub opened: DateTime<Utc>,
}

/// What became of a message; none where there is no such row.
#[derive(Debug, Message)]
#[rtype(result = "Result<Option<MessageFate>>")]
pub struct ReadMessage {
    /// The outbox row.
    pub id: i64,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageFate {
    /// When Slack took it.
    pub sent: Option<DateTime<Utc>>,
    /// Attempts so far.
    pub attempts: u32,
    /// What Slack said last.
    pub error: Option<String>,
    /// When it is tried again.
    pub retry_at: Option<DateTime<Utc>>,
    /// Whether an attempt may have arrived.
    pub uncertain: bool,
    /// Messages of the same route that are sent before it.
    pub ahead: u64,
    /// What Slack said last to the first of them.
    pub first_error: Option<String>,
}

/// A message to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxRow {
    /// The row id, growing.
    pub id: i64,
    /// When it was put there.
    pub at: DateTime<Utc>,
    /// The route.
    pub route: String,
    /// What it is.
    pub kind: String,
    /// JSON of [`crate::notifier::Payload`].
    pub payload: String,
    /// Attempts so far.
    pub attempts: u32,
    /// Not before.
    pub retry_at: Option<DateTime<Utc>>,
    /// Whether an earlier attempt may have arrived.
    pub uncertain: bool,
}

/// What became of an attempt to send a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery {
    /// Slack took it.
    Sent,
    /// Nothing was sent, and nothing will be: there is no message to change, or no way to anybody.
    Skipped,
    /// Slack refused it, or could not be reached: surely not delivered.
    Refused {
        /// Why.
        error: String,
        /// When to try again.
        retry_at: DateTime<Utc>,
    },
    /// Nobody knows: sent, and no answer came.
    Unknown {
        /// Why.
        error: String,
        /// When to try again.
        retry_at: DateTime<Utc>,
    },
}

/// Remembers what became of a message.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<()>")]
pub struct MarkNotified {
    /// When.
    pub now: DateTime<Utc>,
    /// The outbox row.
    pub id: i64,
    /// What became of it.
    pub delivery: Delivery,
    /// How the way that was tried stands now; none where the attempt says nothing about it.
    pub way: Option<RouteWay>,
    /// Where the incident's message is now.
    pub thread: Option<SlackThread>,
}

/// How the way of a route stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteWay {
    /// The route.
    pub route: String,
    /// Since when it fails; none where it works.
    pub outage: Option<Outage>,
}

/// A way that fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outage {
    /// When it failed first.
    pub since: DateTime<Utc>,
    /// How often since.
    pub failures: u32,
    /// It isn't tried before this.
    pub retry_at: DateTime<Utc>,
}

/// The one message of an incident, by the way of one route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlackThread {
    /// The incident's route.
    pub route: String,
    /// When the incident opened.
    pub opened: DateTime<Utc>,
    /// The route by whose way it was sent: another where the first was down.
    pub via: String,
    /// The channel's id.
    pub channel: String,
    /// The message's id there.
    pub ts: String,
    /// What it says, JSON of [`crate::notifier::Payload`].
    pub payload: String,
}
