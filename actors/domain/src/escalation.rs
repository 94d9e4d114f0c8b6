//! The escalation policy: notifications of a route come more seldom while alerts keep coming, and once when they end.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::alert::AlertMatcher;

mod acknowledgement;
mod flapping;
mod policy;
mod quiet;

pub use acknowledgement::Acknowledgement;
pub use flapping::EndedIncident;
pub use policy::{EscalationPolicy, IntervalFactor, IntervalFactorError};
pub use quiet::{QuietHours, QuietHoursError};

/// A route, as far as it decides when people are notified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EscalationRoute {
    /// The name of its route.
    pub name: String,
    /// Which alerts it takes; ignored for the default one, which takes what no other takes.
    pub matcher: AlertMatcher,
    /// How often it tells.
    pub policy: EscalationPolicy,
    /// Hours in which it doesn't.
    pub quiet: Option<QuietHours>,
}

/// The state of a route between two checks. Stored, so that a restart neither repeats nor forgets.
// Rows hold it as JSON: a field may change its name here, not there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EscalationState {
    /// The time between two checks.
    #[serde(rename = "interval_us", with = "micros")]
    pub interval: TimeDelta,
    /// When the next check is.
    #[serde(rename = "next_tick")]
    pub next_check: DateTime<Utc>,
    /// The incident that is open.
    #[serde(default)]
    pub incident: Option<OpenIncident>,
    /// How many checks at the shortest interval found nothing new.
    #[serde(rename = "quiet", default, skip_serializing_if = "is_zero")]
    pub quiet_checks: u32,
    /// The acknowledgements that hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub acknowledgements: Vec<Acknowledgement>,
    /// The incident before; none where that is long ago.
    #[serde(rename = "over", default, skip_serializing_if = "Option::is_none")]
    pub last_incident: Option<EndedIncident>,
    /// Quiet hours held back what happened since the last check.
    #[serde(rename = "held", default, skip_serializing_if = "is_false")]
    pub is_held: bool,
}

/// Alerts from the first summary to the all-clear.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenIncident {
    /// When its first summary was sent.
    pub opened: DateTime<Utc>,
    /// How many alerts its notifications had so far.
    pub alerts: u64,
    /// Messages so far: summaries and changes of them.
    pub steps: u32,
    /// The same per `task:job`.
    pub lines: BTreeMap<String, u64>,
    /// The workflow files that they come from, per `task:job`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub workflows: BTreeMap<String, BTreeSet<String>>,
    /// Whom to ask about it, as lines of a notification.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub contacts: BTreeSet<String>,
    /// When its last summary was sent; none for the first one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told: Option<DateTime<Utc>>,
    /// How often it came back after it had eased.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub back: u32,
    /// The last check found nothing new.
    #[serde(default, skip_serializing_if = "is_false")]
    pub eased: bool,
}

/// Alerts of one `task:job` that no notification had yet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewAlerts {
    /// How many alerts there are.
    pub count: u64,
    /// The workflow files that they come from.
    pub workflows: BTreeSet<String>,
    /// When they were raised.
    pub raised: Vec<DateTime<Utc>>,
}

impl From<u64> for NewAlerts {
    fn from(count: u64) -> Self {
        Self { count, ..Self::default() }
    }
}

/// The notification that a check leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IncidentNotification {
    /// New alerts.
    Summary {
        /// Which step of the incident it is, from 1.
        step: u32,
        /// When the incident opened.
        opened: DateTime<Utc>,
        /// When the next update may come.
        next: DateTime<Utc>,
        /// Whether the interval grew with this summary; it doesn't at its longest.
        escalating: bool,
    },
    /// Nothing new, or nothing that nobody acknowledged: only a message that is there already changes.
    Update {
        /// Which step of the incident it is.
        step: u32,
        /// When the incident opened.
        opened: DateTime<Utc>,
        /// When the next update may come.
        next: DateTime<Utc>,
        /// Whether it eases; else it goes on, or somebody acknowledged it now.
        easing: bool,
    },
    /// The incident is over.
    AllClear {
        /// Which step of the incident it is: the last one.
        step: u32,
        /// When the incident opened.
        opened: DateTime<Utc>,
        /// How long it lasted.
        lasted: TimeDelta,
        /// How many alerts its notifications had.
        alerts: u64,
        /// The lines that recovered, `task:job`: by count, most first, and then name.
        lines: Vec<String>,
    },
}

impl EscalationState {
    /// A quiet route.
    pub fn new(policy: EscalationPolicy, now: DateTime<Utc>) -> Self {
        let interval = policy.usable_bounds().0;
        let next_check = add_interval(now, interval);
        Self { interval, next_check, ..Self::default() }
    }

    /// Whether it is time for a check.
    pub fn is_check_due(&self, now: DateTime<Utc>) -> bool {
        now >= self.next_check
    }

    /// How long it is until the next check; nothing when it is due.
    pub fn time_to_check(&self, now: DateTime<Utc>) -> TimeDelta {
        (self.next_check - now).max(TimeDelta::zero())
    }

    /// The state as it holds now: within the bounds of today's policy, and planned from now when the next check
    /// lies further ahead than one interval.
    #[must_use]
    pub fn resumed(&self, policy: EscalationPolicy, now: DateTime<Utc>) -> Self {
        let interval = match self.incident {
            Some(_) => policy.clamp_interval(self.interval),
            None => policy.usable_bounds().0,
        };
        // After a wall clock was stepped back the route would be silent for as long as the step.
        let next_tick = self.next_check.min(add_interval(now, interval));
        Self { interval, next_check: next_tick, ..self.clone() }
    }

    /// The key of what the next telling step from this state says: the route, the incident's opening (before it
    /// opens: the planned check) and the step's number.
    pub fn notification_key(&self, route: &str) -> String {
        // Of nothing but the stored state, so that a step repeated after a crash has the same key and is sent once.
        let (from, step) = match &self.incident {
            Some(incident) => (incident.opened, incident.steps),
            None => (self.next_check, 0),
        };
        format!("{route}/{}/{}", from.timestamp_micros(), u64::from(step) + 1)
    }
}

/// One check of a route. `new_lines` are the alerts per `task:job` that no notification had yet. In quiet hours,
/// which last until `hold`, and before the next check nobody is notified, and the alerts stay new.
pub fn check_route(
    policy: EscalationPolicy,
    state: &EscalationState,
    now: DateTime<Utc>,
    new_lines: &BTreeMap<String, NewAlerts>,
    hold: Option<DateTime<Utc>>,
) -> (EscalationState, Option<IncidentNotification>) {
    let mut state = state.resumed(policy, now);
    // A hint may come early, and a restart asks at once.
    if !state.is_check_due(now) {
        return (state, None);
    }
    if let Some(until) = hold.filter(|until| *until > now) {
        // The interval stays, and so does the incident: what happens meanwhile is judged afterwards.
        state.next_check = until.min(add_interval(now, state.interval));
        state.is_held = true;
        return (state, None);
    }
    // What is over holds no longer, also when nobody said so.
    state.acknowledgements.retain(|known| known.until > now);
    if new_lines.values().any(|line| line.count > 0) {
        let new_lines: BTreeMap<_, _> = new_lines
            .iter()
            .filter(|(_, line)| line.count > 0)
            .map(|(key, line)| (key.clone(), line.clone()))
            .collect();
        let (state, told) = tell_alerts(policy, state, now, &new_lines);
        return (state, Some(told));
    }
    pass_quiet_check(policy, state, now)
}

/// New alerts: a notification, and a longer interval. What somebody acknowledged, and what is flapping, is only
/// counted.
fn tell_alerts(
    policy: EscalationPolicy,
    mut state: EscalationState,
    now: DateTime<Utc>,
    new_lines: &BTreeMap<String, NewAlerts>,
) -> (EscalationState, IncidentNotification) {
    let cared_for = state.takes_care_of(new_lines);
    // What quiet hours held back is in one notification, also when it is flapping.
    let held = std::mem::take(&mut state.is_held);
    let back = state.came_back(policy, now, new_lines);
    let before = state.interval;
    state.interval = policy.longer_interval(before);
    state.next_check = add_interval(now, state.interval);
    state.quiet_checks = 0; // new alerts begin the count of quiet checks anew
    let incident = state.incident.get_or_insert_with(|| OpenIncident { opened: now, back, ..OpenIncident::default() });
    // Asked before the lines are counted: afterwards all are known.
    let only_counted = incident.comes_back(policy, now, new_lines) && !held;
    incident.steps = incident.steps.saturating_add(1);
    incident.count_alerts(new_lines);
    let (step, opened, next) = (incident.steps, incident.opened, state.next_check);
    let told = if cared_for || only_counted {
        IncidentNotification::Update { step, opened, next, easing: false }
    } else {
        // The first one is sent when it opens, which is stored already.
        incident.told = (step > 1).then_some(now);
        IncidentNotification::Summary { step, opened, next, escalating: state.interval > before }
    };
    (state, told)
}

/// No new alerts: a shorter interval, and at the shortest one the end of the incident.
fn pass_quiet_check(
    policy: EscalationPolicy,
    mut state: EscalationState,
    now: DateTime<Utc>,
) -> (EscalationState, Option<IncidentNotification>) {
    let at_the_bottom = state.interval <= policy.usable_bounds().0;
    state.quiet_checks = if at_the_bottom { state.quiet_checks.saturating_add(1) } else { 0 };
    state.is_held = false;
    match state.incident.take() {
        Some(incident) if at_the_bottom && state.quiet_checks >= incident.quiet_ticks(policy) => {
            let over = Some(EndedIncident::new(&incident, now));
            (
                EscalationState { last_incident: over, ..EscalationState::new(policy, now) },
                Some(all_clear(incident, now)),
            )
        }
        Some(mut incident) => {
            incident.eased = true;
            state.incident = Some(incident);
            state.interval = policy.shorter_interval(state.interval);
            state.next_check = add_interval(now, state.interval);
            let told = if at_the_bottom { None } else { state.next_update(true) };
            (state, told)
        }
        // Nothing is open, so there is nothing to acknowledge.
        None => {
            let over = state.last_incident.filter(|over| over.is_recent(policy, now));
            (EscalationState { last_incident: over, ..EscalationState::new(policy, now) }, None)
        }
    }
}

impl EscalationState {
    /// One more step of the incident, by which the message about it changes.
    fn next_update(&mut self, easing: bool) -> Option<IncidentNotification> {
        let incident = self.incident.as_mut()?;
        incident.steps = incident.steps.saturating_add(1);
        Some(IncidentNotification::Update {
            step: incident.steps,
            opened: incident.opened,
            next: self.next_check,
            easing,
        })
    }
}

impl OpenIncident {
    fn count_alerts(&mut self, new_lines: &BTreeMap<String, NewAlerts>) {
        for (line, new) in new_lines {
            self.alerts = self.alerts.saturating_add(new.count);
            let told = self.lines.entry(line.clone()).or_default();
            *told = told.saturating_add(new.count);
            if !new.workflows.is_empty() {
                self.workflows.entry(line.clone()).or_default().extend(new.workflows.iter().cloned());
            }
        }
    }
}

fn all_clear(incident: OpenIncident, now: DateTime<Utc>) -> IncidentNotification {
    let mut lines: Vec<(String, u64)> = incident.lines.into_iter().collect();
    // The map is in the order of names, and a stable sort keeps that within a count.
    lines.sort_by_key(|(_, count)| Reverse(*count));
    IncidentNotification::AllClear {
        step: incident.steps.saturating_add(1),
        opened: incident.opened,
        // A clock stepped back must not make it negative.
        lasted: (now - incident.opened).max(TimeDelta::zero()),
        alerts: incident.alerts,
        lines: lines.into_iter().map(|(line, _)| line).collect(),
    }
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

fn is_false(value: &bool) -> bool {
    !value
}

fn add_interval(now: DateTime<Utc>, interval: TimeDelta) -> DateTime<Utc> {
    now.checked_add_signed(interval).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

/// An interval as a number of microseconds.
mod micros {
    use chrono::TimeDelta;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(interval: &TimeDelta, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i64(interval.num_microseconds().unwrap_or(i64::MAX))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<TimeDelta, D::Error> {
        i64::deserialize(deserializer).map(TimeDelta::microseconds)
    }
}

#[cfg(test)]
mod tests;
