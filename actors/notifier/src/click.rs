//! The buttons under an incident's message, and what a click says.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// A button that changes something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Button {
    /// Somebody looks into it.
    Acknowledge,
    /// Nothing of it is told for so many hours.
    Silence(u8),
}

impl Button {
    pub(crate) const ALL: [Self; 3] = [Self::Acknowledge, Self::Silence(1), Self::Silence(4)];

    /// What Slack calls it by.
    pub(crate) fn id(self) -> &'static str {
        match self {
            Self::Acknowledge => "acknowledge",
            Self::Silence(1) => "silence_1h",
            Self::Silence(_) => "silence_4h",
        }
    }

    /// What is written on it.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Acknowledge => "Acknowledge",
            Self::Silence(1) => "Silence 1h",
            Self::Silence(_) => "Silence 4h",
        }
    }
}

/// The incident that a button belongs to: the value that Slack gives back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Target {
    pub(crate) route: String,
    pub(crate) opened: DateTime<Utc>,
}

impl Target {
    /// As a button's value.
    pub(crate) fn value(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}
