//! How long incidents last.

use chrono::{DateTime, Utc};
use flowlord_messages::alerts::StoredIncident;

use crate::when::long;

pub(super) fn incident_length(incident: &StoredIncident, now: DateTime<Utc>) -> String {
    long(incident.closed.unwrap_or(now) - incident.opened)
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use flowlord_testkit::sample::noon;

    use super::*;

    #[test]
    fn an_open_incident_lasts_until_now() {
        let (opened, now) = (noon(), noon() + TimeDelta::hours(3));
        let open = StoredIncident { route: String::new(), opened, closed: None, alerts: 1, steps: Vec::new() };
        assert_eq!(incident_length(&open, now), "3 h 0 min");
        let closed = StoredIncident { closed: Some(opened + TimeDelta::minutes(5)), ..open };
        assert_eq!(incident_length(&closed, now), "5 min");
    }
}
