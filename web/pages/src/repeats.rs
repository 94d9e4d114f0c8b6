//! Alerts of one phase and kind in one line.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use chrono::{DateTime, Utc};
use flowlord_messages::alerts::StoredAlert;

use crate::PageLink;

/// An alert with those that it repeats.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct RepeatedAlert {
    pub(crate) newest: StoredAlert,
    pub(crate) first_at: DateTime<Utc>,
    pub(crate) count: usize,
}

impl RepeatedAlert {
    /// An alert in a line of its own.
    pub(crate) fn alone(alert: StoredAlert) -> Self {
        Self { first_at: alert.at, newest: alert, count: 1 }
    }

    /// The page that lists each of them.
    pub(crate) fn href(&self) -> String {
        let StoredAlert { at, kind, topic, job, workflow, .. } = &self.newest;
        let mut link = PageLink::to("/web/alert").with("date", &at.date_naive()).with("kind", kind.as_str());
        for (name, value) in [("type", topic), ("job", job), ("workflow", workflow)] {
            if !value.is_empty() {
                link = link.with(name, value);
            }
        }
        link.href()
    }
}

/// The alerts, newest first, each phase and kind once, at the place of its newest.
pub(crate) fn collapse_alerts(alerts: Vec<StoredAlert>) -> Vec<RepeatedAlert> {
    let mut lines: Vec<RepeatedAlert> = Vec::new();
    let mut places = HashMap::new();
    for alert in alerts {
        let StoredAlert { kind, topic, job, workflow, .. } = &alert;
        match places.entry((*kind, topic.clone(), job.clone(), workflow.clone())) {
            Entry::Vacant(place) => {
                place.insert(lines.len());
                lines.push(RepeatedAlert::alone(alert));
            }
            Entry::Occupied(place) => {
                if let Some(line) = lines.get_mut(*place.get()) {
                    line.first_at = alert.at;
                    line.count += 1;
                }
            }
        }
    }
    lines
}

#[cfg(test)]
mod tests;
