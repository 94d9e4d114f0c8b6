//! How often people are told about alerts: more seldom while they keep coming, and once when they are over.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

/// How often a route may be told: never more often than `min`, and while alerts come at least every `max`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// The shortest interval, and how often a quiet route is looked at.
    pub min: TimeDelta,
    /// The longest interval.
    pub max: TimeDelta,
}

impl Policy {
    /// The bounds, made usable: an interval of nothing would never end, one upside down has no room.
    fn bounds(self) -> (TimeDelta, TimeDelta) {
        let min = whole_micros(self.min).max(TimeDelta::milliseconds(1));
        (min, whole_micros(self.max).max(min))
    }

    fn clamp(self, interval: TimeDelta) -> TimeDelta {
        let (min, max) = self.bounds();
        whole_micros(interval).clamp(min, max)
    }
}

/// Where a route stands on the ladder. Stored, so that a restart neither repeats nor forgets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LadderState {
    /// The time between two ticks.
    #[serde(rename = "interval_us", with = "micros")]
    pub interval: TimeDelta,
    /// When it is looked at next.
    pub next_tick: DateTime<Utc>,
    /// What people were told of and not yet that it is over.
    #[serde(default)]
    pub incident: Option<Incident>,
}

/// Alerts from the first summary to the all-clear.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incident {
    /// When its first summary was told.
    pub opened: DateTime<Utc>,
    /// Alerts told so far.
    pub alerts: u64,
    /// Summaries told so far.
    pub steps: u32,
    /// Alerts told so far per `task:job`.
    pub lines: BTreeMap<String, u64>,
}

/// What people are told at a tick.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// New alerts.
    Summary {
        /// Which summary of the incident it is, from 1.
        step: u32,
        /// When the incident opened.
        opened: DateTime<Utc>,
        /// When the next update may come.
        next: DateTime<Utc>,
        /// Whether the interval grew with this summary; it doesn't at its longest.
        escalating: bool,
    },
    /// The incident is over.
    AllClear {
        /// When the incident opened.
        opened: DateTime<Utc>,
        /// How long it lasted.
        lasted: TimeDelta,
        /// How many alerts were told.
        alerts: u64,
        /// The lines that recovered, `task:job`: by count, most first, and then name.
        lines: Vec<String>,
    },
}

impl LadderState {
    /// A quiet route.
    #[must_use]
    pub fn new(policy: Policy, now: DateTime<Utc>) -> Self {
        let interval = policy.bounds().0;
        Self { interval, next_tick: after(now, interval), incident: None }
    }

    /// Whether it is time to look.
    #[must_use]
    pub fn due(&self, now: DateTime<Utc>) -> bool {
        now >= self.next_tick
    }

    /// How long it is until the next tick; nothing when it is due.
    #[must_use]
    pub fn wait(&self, now: DateTime<Utc>) -> TimeDelta {
        (self.next_tick - now).max(TimeDelta::zero())
    }

    /// The state as it holds now: within the bounds of today's policy, and planned from now when the next tick
    /// lies further ahead than one interval. That happens when the wall clock is stepped back or the policy has
    /// become shorter; without it a route would fall silent for as long as the step.
    #[must_use]
    pub fn resumed(&self, policy: Policy, now: DateTime<Utc>) -> Self {
        let interval = match self.incident {
            Some(_) => policy.clamp(self.interval),
            None => policy.bounds().0,
        };
        let next_tick = self.next_tick.min(after(now, interval));
        Self { interval, next_tick, incident: self.incident.clone() }
    }

    /// The key of what the next telling step from this state says: the route, the incident's opening (before it
    /// opens: the planned tick) and the step's number.
    ///
    /// It depends on nothing but the stored state, so a step repeated after a crash gets the same key.
    #[must_use]
    pub fn key(&self, route: &str) -> String {
        let (from, step) = match &self.incident {
            Some(incident) => (incident.opened, incident.steps),
            None => (self.next_tick, 0),
        };
        format!("{route}/{}/{}", from.timestamp_micros(), u64::from(step) + 1)
    }
}

/// One look at a route. `new_lines` are the alerts per `task:job` that weren't told yet.
///
/// Before the next tick nothing is told, and the alerts stay untold.
#[must_use]
pub fn step(
    policy: Policy,
    state: &LadderState,
    now: DateTime<Utc>,
    new_lines: &BTreeMap<String, u64>,
) -> (LadderState, Option<Told>) {
    let state = state.resumed(policy, now);
    if !state.due(now) {
        return (state, None);
    }
    if new_lines.values().any(|count| *count > 0) {
        let (state, told) = tell(policy, state, now, new_lines);
        return (state, Some(told));
    }
    quiet(policy, state, now)
}

/// New alerts: told, and the next time later.
fn tell(
    policy: Policy,
    state: LadderState,
    now: DateTime<Utc>,
    new_lines: &BTreeMap<String, u64>,
) -> (LadderState, Told) {
    let doubled = state.interval.checked_mul(2).unwrap_or(policy.max);
    let interval = policy.clamp(doubled);
    let next_tick = after(now, interval);
    let mut incident = state.incident.unwrap_or_else(|| Incident {
        opened: now,
        alerts: 0,
        steps: 0,
        lines: BTreeMap::new(),
    });
    incident.steps = incident.steps.saturating_add(1);
    for (line, count) in new_lines.iter().filter(|(_, count)| **count > 0) {
        incident.alerts = incident.alerts.saturating_add(*count);
        let told = incident.lines.entry(line.clone()).or_default();
        *told = told.saturating_add(*count);
    }
    let told = Told::Summary {
        step: incident.steps,
        opened: incident.opened,
        next: next_tick,
        escalating: interval > state.interval,
    };
    (LadderState { interval, next_tick, incident: Some(incident) }, told)
}

/// No new alerts: down one rung, and from the lowest one out of the incident.
fn quiet(policy: Policy, state: LadderState, now: DateTime<Utc>) -> (LadderState, Option<Told>) {
    let at_the_bottom = state.interval <= policy.bounds().0;
    match state.incident {
        Some(incident) if at_the_bottom => (LadderState::new(policy, now), Some(all_clear(incident, now))),
        incident => {
            let interval = policy.clamp(state.interval / 2);
            (LadderState { interval, next_tick: after(now, interval), incident }, None)
        }
    }
}

fn all_clear(incident: Incident, now: DateTime<Utc>) -> Told {
    let mut lines: Vec<(String, u64)> = incident.lines.into_iter().collect();
    // The map is in the order of names, and a stable sort keeps that within a count.
    lines.sort_by_key(|(_, count)| Reverse(*count));
    Told::AllClear {
        opened: incident.opened,
        // A clock stepped back must not make it negative.
        lasted: (now - incident.opened).max(TimeDelta::zero()),
        alerts: incident.alerts,
        lines: lines.into_iter().map(|(line, _)| line).collect(),
    }
}

fn after(now: DateTime<Utc>, interval: TimeDelta) -> DateTime<Utc> {
    now.checked_add_signed(interval).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

/// What is stored are microseconds, so that a state read back equals the one written.
fn whole_micros(interval: TimeDelta) -> TimeDelta {
    TimeDelta::microseconds(interval.num_microseconds().unwrap_or(i64::MAX))
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
