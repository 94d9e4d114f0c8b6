//! Alerts about the backup: each problem once, until it is over.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use flowlord_domain::{AlertKind, NewAlert, duration};

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RaisedAlerts {
    is_failure_raised: bool,
    is_age_raised: bool,
}

impl RaisedAlerts {
    /// The alerts to raise after a snapshot was tried. A disk that stays full is one alert, not one each time; that the
    /// newest verified snapshot is older than twice the time between two is another.
    pub(crate) fn alerts_after(
        &mut self,
        problem: Option<&str>,
        newest: Option<DateTime<Utc>>,
        every: Option<TimeDelta>,
        now: DateTime<Utc>,
    ) -> Vec<NewAlert> {
        let Some(problem) = problem else {
            *self = Self::default();
            return Vec::new();
        };
        let mut alerts = Vec::new();
        if !std::mem::replace(&mut self.is_failure_raised, true) {
            alerts.push(snapshot_alert(format!("no snapshot was taken: {problem}"), now));
        }
        let Some((newest, every)) = newest.zip(every).filter(|(newest, every)| now - newest > *every * 2) else {
            return alerts;
        };
        if !std::mem::replace(&mut self.is_age_raised, true) {
            let (newest, every) = (newest.to_rfc3339_opts(SecondsFormat::Secs, true), duration::print_duration(every));
            let old = "the newest verified snapshot is of";
            alerts.push(snapshot_alert(
                format!("{old} {newest}, older than twice backup.every ({every}): {problem}"),
                now,
            ));
        }
        alerts
    }
}

pub(crate) fn snapshot_alert(msg: String, now: DateTime<Utc>) -> NewAlert {
    NewAlert::without_task(AlertKind::Snapshot, "snapshot", msg, now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_told_once_and_so_is_age_until_one_succeeds() {
        let at = |hour: i64| "2026-03-01T12:00:00Z".parse::<DateTime<Utc>>().unwrap() + TimeDelta::hours(hour);
        let mut raised = RaisedAlerts::default();
        let mut judge = |problem: Option<&str>, hour: i64| -> Vec<String> {
            let alerts = raised.alerts_after(problem, Some(at(0)), Some(TimeDelta::hours(24)), at(hour));
            alerts.into_iter().map(|alert| alert.msg).collect()
        };
        assert_eq!(judge(None, 24), [""; 0]);
        assert_eq!(judge(Some("the disk is full"), 25), ["no snapshot was taken: the disk is full"]);
        assert_eq!(judge(Some("the disk is full"), 48), [""; 0]);
        let old = judge(Some("the disk is full"), 49);
        assert_eq!(
            old,
            ["the newest verified snapshot is of 2026-03-01T12:00:00Z, older than twice backup.every (1d): the \
              disk is full"]
        );
        assert_eq!(judge(Some("the disk is full"), 50), [""; 0]);
        assert_eq!(judge(None, 51), [""; 0]);
        assert_eq!(judge(Some("gone"), 52).len(), 2, "again, since it was over");
        let mut none = RaisedAlerts::default();
        assert_eq!(
            none.alerts_after(Some("gone"), None, Some(TimeDelta::hours(1)), at(99)).len(),
            1,
            "there never was one"
        );
    }
}
