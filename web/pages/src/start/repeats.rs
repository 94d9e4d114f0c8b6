//! Alerts of one phase and kind in one line.

use flowlord_messages::alerts::StoredAlert;

/// Alerts that repeat.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct RepeatedAlert {
    pub(super) newest: StoredAlert,
    pub(super) first_at: chrono::DateTime<chrono::Utc>,
    pub(super) count: usize,
}

/// The alerts, newest first, each phase and kind once, at the place of its newest.
pub(super) fn collapse_alerts(alerts: Vec<StoredAlert>) -> Vec<RepeatedAlert> {
    let mut lines: Vec<RepeatedAlert> = Vec::new();
    let key = |alert: &StoredAlert| (alert.kind, alert.topic.clone(), alert.job.clone(), alert.workflow.clone());
    for alert in alerts {
        match lines.iter_mut().find(|line| key(&line.newest) == key(&alert)) {
            Some(line) => {
                line.first_at = alert.at;
                line.count += 1;
            }
            None => lines.push(RepeatedAlert { first_at: alert.at, newest: alert, count: 1 }),
        }
    }
    lines
}
