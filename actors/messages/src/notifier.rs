//! What the notifier sends: the payload of an outbox row.

use actix::Message;
use serde::{Deserialize, Serialize};

use crate::error::Result;

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
}

/// Sends nothing more: the service is stopping. What isn't sent stays a row.
#[derive(Debug, Message)]
#[rtype(result = "Result<()>")]
pub struct StopNotifying;
