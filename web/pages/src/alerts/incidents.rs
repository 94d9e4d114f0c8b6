//! Incidents step by step.

use chrono::{DateTime, Utc};
use flowlord_messages::alerts::{IncidentStep, StoredIncident};

use crate::when::{ShownTime, long};

pub(super) struct DayIncident {
    pub(super) route: String,
    pub(super) opened: ShownTime,
    pub(super) closed: Option<ShownTime>,
    pub(super) lasted: String,
    pub(super) alerts: u64,
    pub(super) steps: Vec<DayIncidentStep>,
}

pub(super) struct DayIncidentStep {
    pub(super) at: ShownTime,
    pub(super) kind: String,
    pub(super) class: &'static str,
    pub(super) headline: String,
    pub(super) details: Vec<String>,
    /// When Slack took it.
    pub(super) sent: Option<ShownTime>,
    /// Whether it is a message of its own that Slack didn't take.
    pub(super) is_unsent: bool,
}

impl DayIncident {
    pub(super) fn new(incident: StoredIncident, now: DateTime<Utc>) -> Self {
        Self {
            route: incident.route,
            opened: ShownTime::date_and_time(incident.opened),
            closed: incident.closed.map(ShownTime::date_and_time),
            lasted: long(incident.closed.unwrap_or(now) - incident.opened),
            alerts: incident.alerts,
            steps: incident.steps.into_iter().map(DayIncidentStep::new).collect(),
        }
    }
}

impl DayIncidentStep {
    fn new(step: IncidentStep) -> Self {
        let class = match step.kind.as_str() {
            "all_clear" => "complete",
            "acknowledged" => "running",
            "removed" => "waiting",
            _ => "alert",
        };
        Self {
            at: ShownTime::full(step.at),
            is_unsent: step.sent.is_none() && ["summary", "all_clear"].contains(&step.kind.as_str()),
            kind: step.kind.replace('_', " "),
            class,
            headline: step.headline,
            details: step.details,
            sent: step.sent.map(ShownTime::time_of_day),
        }
    }
}
