//! Incidents step by step.

use chrono::{DateTime, Utc};
use flowlord_messages::alerts::{IncidentStep, StoredIncident};

use crate::when::long;

pub(super) fn incident_length(incident: &StoredIncident, now: DateTime<Utc>) -> String {
    long(incident.closed.unwrap_or(now) - incident.opened)
}

pub(super) fn step_class(step: &IncidentStep) -> &'static str {
    match step.kind.as_str() {
        "all_clear" => "complete",
        "acknowledged" => "running",
        "removed" => "waiting",
        _ => "alert",
    }
}

/// Whether a step is a message of its own that Slack didn't take.
pub(super) fn is_unsent(step: &IncidentStep) -> bool {
    step.sent.is_none() && ["summary", "all_clear"].contains(&step.kind.as_str())
}
