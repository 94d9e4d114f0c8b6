//! The outbox: messages for Slack, what became of them, where an incident's message is, and what people click there.

use actix::Message;
use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use flowlord_kernel::Result;

/// A message to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewMessage {
    /// The route's name.
    pub route: String,
    /// What it is: `alert`, `summary`, `all_clear`, `test`.
    pub kind: String,
    /// A message with the same key is stored once.
    pub key: String,
    /// The payload, JSON of [`crate::outbox::MessagePayload`].
    pub payload: String,
}

/// Puts a message into the outbox.
#[derive(Debug, Message)]
#[rtype(result = "Result<i64>")]
pub struct EnqueueMessage {
    /// The sender's time, UTC: SQL reads no clock.
    pub now: DateTime<Utc>,
    /// The message; one whose key is known already is not stored again.
    pub message: NewMessage,
}

/// How a message looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MessageColour {
    /// All is well again.
    Green,
    /// For information only.
    Blue,
    /// An incident is easing.
    Yellow,
    /// Something is broken.
    Red,
}

/// A message, apart from how Slack wants it written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessagePayload {
    /// The first line, also shown in previews.
    pub headline: String,
    /// Lines in the known shape, shown in a fixed-width font.
    pub lines: Vec<String>,
    /// A link to the page for it: an address, or a path of the service.
    pub link: Option<String>,
    /// A line in small print: what comes next.
    pub footer: String,
    /// The colour of the bar beside it.
    pub colour: MessageColour,
    /// The incident that it tells of; none for what stands alone, like a test or an alert told at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incident: Option<IncidentRef>,
}

/// Which incident a message tells of, and how that stands: a bot has one message for it and edits that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IncidentRef {
    /// When it opened; with the route this names it.
    pub opened: DateTime<Utc>,
    /// Which step of it this is, from 1.
    pub step: u32,
    /// Whether it grows, eases or is over.
    pub stage: IncidentStage,
    /// Who acknowledged it; none where nobody did.
    #[serde(default)]
    pub acknowledged_by: Option<String>,
    /// Lines for the thread: what is new in this step.
    #[serde(default)]
    pub details: Vec<String>,
    /// How long it lasted so far, in words.
    #[serde(default)]
    pub lasted: String,
    /// Alerts told so far.
    #[serde(default)]
    pub alerts: u64,
    /// What fails, as `task:job`.
    #[serde(default)]
    pub tasks: Vec<String>,
}

/// Where an incident goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IncidentStage {
    /// It grows: notifications come more seldom.
    Escalating,
    /// It goes on as before.
    Steady,
    /// Less, or no more news.
    Easing,
    /// It is over.
    Clear,
}

/// Sends nothing more: the service is stopping. What isn't sent stays a row.
#[derive(Debug, Message)]
#[rtype(result = "Result<()>")]
pub struct StopNotifying;

/// What Slack posted to `/slack/interactive`: a click on a button.
#[derive(Clone, Message)]
#[rtype(result = "Result<()>")]
pub struct SlackInteraction {
    /// The header `X-Slack-Request-Timestamp`, in seconds since 1970.
    pub timestamp: String,
    /// The header `X-Slack-Signature`, an HMAC of timestamp and body.
    pub signature: String,
    /// The body, as it came: that is what is signed.
    pub body: String,
}

/// The signature that Slack gives a request.
#[must_use]
pub fn slack_signature(secret: &str, timestamp: &str, body: &str) -> Option<String> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).ok()?;
    for part in ["v0:", timestamp, ":", body] {
        mac.update(part.as_bytes());
    }
    let digest = mac.finalize().into_bytes();
    Some(digest.iter().fold("v0=".to_owned(), |hex, byte| format!("{hex}{byte:02x}")))
}

impl std::fmt::Debug for SlackInteraction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Its body has secrets: the address to answer at, and a token.
        f.write_str("SlackCall")
    }
}

/// Hears no click any more: the service is stopping.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Result<()>")]
pub struct StopButtons;

/// What becomes of a message; answered once Slack took or refused it, or after some seconds.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Result<DeliveryStatus>")]
pub struct AwaitDelivery {
    /// The outbox row's id.
    pub id: i64,
}

/// What [`AwaitDelivery`] answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeliveryStatus {
    /// Slack has taken it.
    Arrived,
    /// Slack refused it, or can't be reached. It comes again.
    Refused {
        /// Why nobody knows, for people.
        error: String,
        /// When it is tried again.
        retry_at: DateTime<Utc>,
    },
    /// Nobody knows. It comes again, and says so.
    Unknown {
        /// Why nobody knows, for people.
        error: String,
        /// When it is tried again.
        retry_at: DateTime<Utc>,
    },
    /// It wasn't tried yet.
    Waits {
        /// How many messages are sent before it.
        ahead: u64,
        /// What Slack said to the first of them.
        error: Option<String>,
    },
}

/// Messages to send, in order: the first ones of each route.
#[derive(Debug, Message)]
#[rtype(result = "Result<Vec<OutboxRow>>")]
pub struct ReadPendingMessages {
    /// At most this many of a route.
    pub limit: usize,
}

/// The ways that fail, for a notifier that starts.
#[derive(Debug, Message)]
#[rtype(result = "Result<Vec<RouteTransport>>")]
pub struct ReadOutages;

/// Where the messages of an incident are, the way of its own route first.
#[derive(Debug, Message)]
#[rtype(result = "Result<Vec<SlackThread>>")]
pub struct ReadThreads {
    /// The route of the incident.
    pub route: String,
    /// When the incident was opened.
    pub opened: DateTime<Utc>,
}

/// What became of a message; none where there is no such row.
#[derive(Debug, Message)]
#[rtype(result = "Result<Option<DeliveryRecord>>")]
pub struct ReadMessage {
    /// The outbox row's id.
    pub id: i64,
}

/// What [`ReadMessage`] answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryRecord {
    /// When Slack took it.
    pub sent: Option<DateTime<Utc>>,
    /// How often it was tried so far.
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
    /// The route's name.
    pub route: String,
    /// What it is: `alert`, `summary`, `all_clear`, `test`.
    pub kind: String,
    /// The payload, JSON of [`crate::outbox::MessagePayload`].
    pub payload: String,
    /// How often it was tried so far.
    pub attempts: u32,
    /// It isn't sent before; none means at once.
    pub retry_at: Option<DateTime<Utc>>,
    /// Whether an earlier attempt may have arrived.
    pub uncertain: bool,
}

/// What became of an attempt to send a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeliveryOutcome {
    /// Slack has taken it.
    Sent,
    /// Nothing was sent, and nothing will be: there is no message to change, or no way to anybody.
    Skipped,
    /// Slack refused it, or could not be reached: surely not delivered.
    Refused {
        /// What went wrong, for people.
        error: String,
        /// When to try again.
        retry_at: DateTime<Utc>,
    },
    /// Nobody knows: sent, and no answer came.
    Unknown {
        /// What went wrong, for people.
        error: String,
        /// When to try again.
        retry_at: DateTime<Utc>,
    },
}

/// Remembers what became of a message.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<()>")]
pub struct RecordDelivery {
    /// The sender's time, UTC: SQL reads no clock.
    pub now: DateTime<Utc>,
    /// The outbox row's id.
    pub id: i64,
    /// What became of it.
    pub delivery: DeliveryOutcome,
    /// How the way that was tried stands now; none where the attempt says nothing about it.
    pub way: Option<RouteTransport>,
    /// Where the incident's message is now.
    pub thread: Option<SlackThread>,
}

/// How the way of a route stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteTransport {
    /// The route's name.
    pub route: String,
    /// Since when it fails; none where it works.
    pub outage: Option<TransportOutage>,
}

/// A way that fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransportOutage {
    /// When it failed first.
    pub since: DateTime<Utc>,
    /// How often it failed since then.
    pub failures: u32,
    /// It isn't tried before this.
    pub retry_at: DateTime<Utc>,
}

/// The one message of an incident, by the way of one route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlackThread {
    /// The route of the incident.
    pub route: String,
    /// When the incident opened.
    pub opened: DateTime<Utc>,
    /// The route by whose way it was sent: another where the first was down.
    pub via: String,
    /// The channel's id in Slack.
    pub channel: String,
    /// The message's id there.
    pub ts: String,
    /// What it says, JSON of [`crate::outbox::MessagePayload`].
    pub payload: String,
}
