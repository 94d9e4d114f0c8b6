//! Flapping: a few notifications, and then only counting until it stays away.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::{EscalationPolicy, EscalationState, NewAlerts, OpenIncident};

/// How many shortest intervals without an alert part two stretches of alerts.
const PARTED: i32 = 4;

/// How often an incident comes back until it is flapping.
const BACK: u32 = 3;

/// After how many longest intervals there is a reminder.
const REMINDED: i32 = 4;

/// The incident before this one. Stored, so that what comes back soon is known again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndedIncident {
    /// When it was over.
    pub at: DateTime<Utc>,
    /// How often it came back.
    pub back: u32,
    /// What failed in it, `task:job`.
    pub lines: BTreeSet<String>,
}

impl EndedIncident {
    pub(super) fn new(incident: &OpenIncident, at: DateTime<Utc>) -> Self {
        Self { at, back: incident.back, lines: incident.lines.keys().cloned().collect() }
    }

    /// Whether what comes now is still the same coming back.
    pub(super) fn is_recent(&self, policy: EscalationPolicy, now: DateTime<Utc>) -> bool {
        // A clock set back must not make an old one recent.
        self.at <= now && now - self.at < policy.usable_bounds().1
    }
}

impl EscalationState {
    /// How often what opens an incident now came back already.
    pub(super) fn came_back(
        &self,
        policy: EscalationPolicy,
        now: DateTime<Utc>,
        new_lines: &BTreeMap<String, NewAlerts>,
    ) -> u32 {
        let over = self.last_incident.as_ref().filter(|over| over.is_recent(policy, now));
        let same = over.filter(|over| new_lines.keys().all(|line| over.lines.contains(line)));
        same.map_or(0, |over| over.back.saturating_add(1))
    }
}

impl OpenIncident {
    /// Whether it is flapping.
    pub(super) fn comes_and_goes(&self) -> bool {
        self.back >= BACK
    }

    /// Notes what is new in it; answers whether that is only counted: lines of earlier notifications, of an incident that
    /// is flapping.
    pub(super) fn comes_back(
        &mut self,
        policy: EscalationPolicy,
        now: DateTime<Utc>,
        new_lines: &BTreeMap<String, NewAlerts>,
    ) -> bool {
        let after_quiet = std::mem::take(&mut self.eased);
        // Something else fails, too: that is news, however often the rest came back.
        if !new_lines.keys().all(|line| self.lines.contains_key(line)) {
            return false;
        }
        self.back = self.back.saturating_add(u32::from(after_quiet));
        // Within one look it came, went, and came again.
        if count_stretches(policy, new_lines) > 1 {
            self.back = self.back.max(BACK);
        }
        let told = self.told.unwrap_or(self.opened);
        let again = policy.usable_bounds().1.checked_mul(REMINDED).unwrap_or(TimeDelta::MAX);
        self.comes_and_goes() && now - told < again
    }

    /// How many quiet checks at the shortest interval end it: what is flapping must stay away for as long as the
    /// longest interval.
    pub(super) fn quiet_ticks(&self, policy: EscalationPolicy) -> u32 {
        if !self.comes_and_goes() {
            return policy.quiet_checks;
        }
        let bounds = <[_; 2]>::from(policy.usable_bounds());
        let [min, max] = bounds.map(|bound| bound.num_microseconds().unwrap_or(i64::MAX).max(1));
        let ticks = u32::try_from((max - 1) / min + 1).unwrap_or(u32::MAX);
        policy.quiet_checks.max(ticks)
    }
}

/// How many stretches these alerts are, with a pause between each.
fn count_stretches(policy: EscalationPolicy, lines: &BTreeMap<String, NewAlerts>) -> usize {
    let mut raised: Vec<_> = lines.values().flat_map(|line| &line.raised).copied().collect();
    raised.sort_unstable();
    let pause = policy.usable_bounds().0.checked_mul(PARTED).unwrap_or(TimeDelta::MAX);
    1 + raised.windows(2).filter(|pair| pair[1] - pair[0] >= pause).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::escalation::{IncidentNotification, check_route};

    fn at(minute: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_772_366_400 + minute * 60, 0).unwrap()
    }

    fn lines(names: &[&str], minutes: &[i64]) -> BTreeMap<String, NewAlerts> {
        let line = NewAlerts {
            count: minutes.len() as u64,
            raised: minutes.iter().copied().map(at).collect(),
            ..NewAlerts::default()
        };
        names.iter().map(|name| ((*name).to_owned(), line.clone())).collect()
    }

    /// What the usual ladder tells of alerts of these minutes, up to a minute: `minute letter`.
    fn told(minutes: &[i64], until: i64) -> Vec<String> {
        let policy = EscalationPolicy::default();
        let (mut state, mut seen, mut told) = (EscalationState::new(policy, at(0)), 0, Vec::new());
        while state.next_check <= at(until) {
            let now = state.next_check;
            let raised = minutes.partition_point(|minute| at(*minute) <= now);
            let new = if raised > seen { lines(&["a"], &minutes[seen..raised]) } else { BTreeMap::new() };
            seen = raised;
            let (next, what) = check_route(policy, &state, now, &new, None);
            let letter = match what {
                Some(IncidentNotification::Summary { .. }) => "S",
                Some(IncidentNotification::Update { easing: true, .. }) => "E",
                Some(IncidentNotification::Update { .. }) => "u",
                Some(IncidentNotification::AllClear { .. }) => "C",
                None => "-",
            };
            if letter != "-" {
                told.push(format!("{} {letter}", (now - at(0)).num_minutes()));
            }
            // A restart at any point.
            state = serde_json::from_str(&serde_json::to_string(&next).unwrap()).unwrap();
        }
        told
    }

    #[test]
    fn what_comes_back_after_quiet_looks_is_told_twice_more_and_then_counted() {
        let expected = ["5 S", "15 E", "20 S", "30 E", "35 S", "45 E", "50 u", "60 E", "65 u", "75 E", "155 C"];
        assert_eq!(told(&[1, 17, 32, 47, 62], 400), expected);
    }

    #[test]
    fn what_comes_and_goes_between_two_looks_is_only_counted() {
        let bursts = [1, 14, 34, 60, 90, 120, 170, 200];
        let expected = ["5 S", "15 S", "35 S", "75 S", "155 u", "235 u", "315 E", "355 E", "375 E", "385 E", "465 C"];
        assert_eq!(told(&bursts, 600), expected);
        // One alert before each look is no coming and going, however long the looks are apart.
        assert_eq!(told(&[1, 14, 34, 74, 154, 234], 250), ["5 S", "15 S", "35 S", "75 S", "155 S", "235 S"]);
        assert_eq!(told(&[1, 14, 34, 60, 79, 98, 117, 136, 155], 160)[4], "155 S", "nor is a trickle");
    }

    #[test]
    fn what_opens_again_soon_after_the_all_clear_waits_longer_for_the_next() {
        let hourly: Vec<_> = (0..7).map(|hour| hour * 60 + 1).collect();
        let told = told(&hourly, 600);
        let messages: Vec<_> = told.iter().filter(|what| what.ends_with(['S', 'C'])).collect();
        assert_eq!(messages, ["5 S", "20 C", "65 S", "80 C", "125 S", "140 C", "185 S", "455 C"]);
    }

    #[test]
    fn something_else_is_told_as_ever_and_so_is_a_reminder() {
        let policy = EscalationPolicy::default();
        let mut state = EscalationState::new(policy, at(0));
        state = check_route(policy, &state, at(5), &lines(&["a"], &[1]), None).0;
        let (state, what) = check_route(policy, &state, at(15), &lines(&["a"], &[6, 30]), None);
        assert!(matches!(what, Some(IncidentNotification::Update { easing: false, .. })), "{what:?}");
        let (_, what) = check_route(policy, &state, at(35), &lines(&["a", "b"], &[16]), None);
        assert!(matches!(what, Some(IncidentNotification::Summary { .. })), "{what:?}");
        let late = 5 + 4 * 80;
        for (minute, told) in [(late - 1, false), (late, true)] {
            let (_, what) = check_route(policy, &state, at(minute), &lines(&["a"], &[16]), None);
            assert_eq!(matches!(what, Some(IncidentNotification::Summary { .. })), told, "{minute}: {what:?}");
        }
    }

    #[test]
    fn what_quiet_hours_held_back_is_told() {
        let policy = EscalationPolicy::default();
        let state = check_route(policy, &EscalationState::new(policy, at(0)), at(5), &lines(&["a"], &[1]), None).0;
        let (held, what) = check_route(policy, &state, at(15), &lines(&["a"], &[6]), Some(at(300)));
        assert_eq!(what, None);
        let (held, _) = check_route(policy, &held, held.next_check, &lines(&["a"], &[6]), Some(at(26)));
        let (_, what) = check_route(policy, &held, held.next_check, &lines(&["a"], &[6, 26]), None);
        assert!(matches!(what, Some(IncidentNotification::Summary { .. })), "{what:?}");
    }

    #[test]
    fn an_incident_is_recent_for_as_long_as_the_longest_interval() {
        let over = EndedIncident { at: at(100), back: 1, lines: BTreeSet::new() };
        for (minute, is_recent) in [(99, false), (100, true), (179, true), (180, false)] {
            assert_eq!(over.is_recent(EscalationPolicy::default(), at(minute)), is_recent, "{minute}");
        }
    }

    #[test]
    fn a_reminder_counts_from_the_last_summary() {
        let policy = EscalationPolicy::default();
        let mut state = EscalationState::new(policy, at(0));
        for (minute, name, raised) in [(5, "a", [1, 1]), (15, "b", [6, 6]), (35, "a", [10, 32])] {
            state = check_route(policy, &state, at(minute), &lines(&[name], &raised), None).0;
        }
        // Summaries at 5 and 15: the reminder is four longest intervals after the second.
        let due = 15 + 4 * 80;
        for (minute, is_summary) in [(due - 1, false), (due, true)] {
            let (_, what) = check_route(policy, &state, at(minute), &lines(&["a"], &[40]), None);
            assert_eq!(matches!(what, Some(IncidentNotification::Summary { .. })), is_summary, "{minute}: {what:?}");
        }
    }
}
