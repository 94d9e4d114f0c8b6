//! What the notifier sends: the payload of an outbox row.

use actix::Message;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use flowlord_kernel::Result;

/// How a message looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Colour {
    /// Well again.
    Green,
    /// For information.
    Blue,
    /// Easing.
    Yellow,
    /// Broken.
    Red,
}

/// A message, apart from how Slack wants it written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payload {
    /// The headline.
    pub headline: String,
    /// Lines in the known shape, shown in a fixed-width font.
    pub lines: Vec<String>,
    /// A link to the page for it.
    pub link: Option<String>,
    /// What comes next.
    pub footer: String,
    /// Its colour.
    pub colour: Colour,
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
    /// Where it goes.
    pub stage: Stage,
    /// Who acknowledged it.
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
pub enum Stage {
    /// More and more.
    Escalating,
    /// As before.
    Steady,
    /// Less, or no more news.
    Easing,
    /// Over.
    Clear,
}

/// Sends nothing more: the service is stopping. What isn't sent stays a row.
#[derive(Debug, Message)]
#[rtype(result = "Result<()>")]
pub struct StopNotifying;

/// What Slack posted to `/slack/interactive`: a click on a button.
#[derive(Clone, Message)]
#[rtype(result = "Result<()>")]
pub struct SlackCall {
    /// The header `X-Slack-Request-Timestamp`.
    pub timestamp: String,
    /// The header `X-Slack-Signature`.
    pub signature: String,
    /// The body, as it came: that is what is signed.
    pub body: String,
}

impl std::fmt::Debug for SlackCall {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SlackCall")
    }
}

/// Hears no click any more: the service is stopping.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Result<()>")]
pub struct StopButtons;

/// What becomes of a message; answered once Slack took or refused it, or after some seconds.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Result<Fate>")]
pub struct AwaitMessage {
    /// The outbox row.
    pub id: i64,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// Slack took it.
    Arrived,
    /// Slack refused it, or can't be reached. It comes again.
    Refused {
        /// What Slack said.
        error: String,
        /// When it is tried again.
        retry_at: DateTime<Utc>,
    },
    /// Nobody knows. It comes again, and says so.
    Unknown {
        /// Why.
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
