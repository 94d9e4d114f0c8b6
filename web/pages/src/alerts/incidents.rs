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

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use flowlord_testkit::sample::noon;

    use super::*;

    fn step(kind: &str, sent: bool) -> IncidentStep {
        let sent = sent.then(noon);
        IncidentStep { at: noon(), kind: kind.to_owned(), headline: String::new(), details: Vec::new(), sent }
    }

    #[test]
    fn an_open_incident_lasts_until_now() {
        let (opened, now) = (noon(), noon() + TimeDelta::hours(3));
        let open = StoredIncident { route: String::new(), opened, closed: None, alerts: 1, steps: Vec::new() };
        assert_eq!(incident_length(&open, now), "3 h 0 min");
        let closed = StoredIncident { closed: Some(opened + TimeDelta::minutes(5)), ..open };
        assert_eq!(incident_length(&closed, now), "5 min");
    }

    #[test]
    fn a_step_is_coloured_by_its_kind_and_unsent_only_where_it_is_a_message() {
        let kinds = ["summary", "update", "acknowledged", "all_clear", "removed"];
        let classes = kinds.map(|kind| step_class(&step(kind, true)));
        assert_eq!(classes, ["alert", "alert", "running", "complete", "waiting"]);
        assert_eq!(kinds.map(|kind| is_unsent(&step(kind, false))), [true, false, false, true, false]);
        assert!(!is_unsent(&step("summary", true)));
    }
}
