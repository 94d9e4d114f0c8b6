//! A replay of recorded alerts through other escalation policies: what notifications there would have been.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use serde::Deserialize;

use crate::escalation::{EscalationRoute, EscalationState, IncidentNotification, NewAlerts, check_route};
use crate::summary::line_key;

/// An alert as it was recorded, as far as an escalation policy needs it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct RecordedAlert {
    /// When it was raised.
    pub at: DateTime<Utc>,
    /// The topic, `type` on the wire.
    #[serde(rename = "type")]
    pub topic: String,
    /// The job; empty for none.
    #[serde(default)]
    pub job: String,
    /// The workflow file; empty for none.
    #[serde(default)]
    pub workflow: String,
    /// The owner of its phase; empty for none.
    #[serde(default)]
    pub owner: String,
}

/// How long people waited for something: once, and then again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WaitTimes {
    /// How often somebody waited.
    pub count: u32,
    /// The sum of all waits.
    pub total: TimeDelta,
    /// The longest single wait.
    pub longest: TimeDelta,
}

impl WaitTimes {
    /// The mean; none where nobody waited.
    pub fn mean_wait(&self) -> Option<TimeDelta> {
        self.total.checked_div(i32::try_from(self.count).ok()?)
    }

    fn add_wait(&mut self, wait: TimeDelta) {
        self.count = self.count.saturating_add(1);
        self.total = self.total.checked_add(&wait).unwrap_or(TimeDelta::MAX);
        self.longest = self.longest.max(wait);
    }
}

/// The notifications that there would have been.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AlertReplay {
    /// Messages by the day on which they come: summaries and all-clears. A bot edits one message per incident
    /// instead.
    pub per_day: BTreeMap<NaiveDate, u64>,
    /// The same by route.
    pub per_route: BTreeMap<String, u64>,
    /// Incidents that were opened.
    pub incidents: u32,
    /// Incidents that were still open at the end.
    pub open: u32,
    /// From an incident's first alert to its first message.
    pub first: WaitTimes,
    /// From an incident's last alert to its all-clear.
    pub clear: WaitTimes,
}

impl AlertReplay {
    /// All messages.
    pub fn count_messages(&self) -> u64 {
        self.per_day.values().sum()
    }

    fn count_message(&mut self, route: &str, now: DateTime<Utc>) {
        *self.per_day.entry(now.date_naive()).or_default() += 1;
        *self.per_route.entry(route.to_owned()).or_default() += 1;
    }
}

/// Replays alerts, oldest first, from a quiet start at `from` up to `to`. Each goes to the first route that it
/// matches; what none takes isn't told.
pub fn replay_alerts(
    ladders: &[EscalationRoute],
    alerts: &[RecordedAlert],
    from: DateTime<Utc>,
    to: DateTime<Utc>,
) -> AlertReplay {
    let mut own: Vec<Vec<&RecordedAlert>> = vec![Vec::new(); ladders.len()];
    for alert in alerts.iter().filter(|alert| alert.at >= from && alert.at < to) {
        let mut takers = ladders.iter().zip(&mut own);
        // Only the first that matches takes it, as when it was raised.
        let taker =
            takers.find(|(it, _)| it.matcher.matches([&alert.topic, &alert.job, &alert.workflow, &alert.owner]));
        if let Some((_, own)) = taker {
            own.push(alert);
        }
    }
    let mut replay = AlertReplay::default();
    for (ladder, alerts) in ladders.iter().zip(&own) {
        RouteReplay { ladder, left: alerts, newest: from }.replay_route(from, to, &mut replay);
    }
    replay
}

/// One route while its alerts are replayed.
struct RouteReplay<'a> {
    ladder: &'a EscalationRoute,
    /// Alerts that no notification had yet.
    left: &'a [&'a RecordedAlert],
    /// When the newest alert was raised that a notification had.
    newest: DateTime<Utc>,
}

impl RouteReplay<'_> {
    fn replay_route(mut self, from: DateTime<Utc>, to: DateTime<Utc>, replay: &mut AlertReplay) {
        let mut state = EscalationState::new(self.ladder.policy, from);
        loop {
            if state.incident.is_none() {
                // Without an incident and alerts nothing comes any more.
                let Some(next) = self.left.first() else { return };
                let tick = self.first_tick_with_news(&state, next.at);
                // A check that is passed over sees nothing: what comes later wasn't held back by quiet hours before it.
                state.is_held &= tick == state.next_check;
                state.next_check = tick;
            }
            if state.next_check > to {
                replay.open += u32::from(state.incident.is_some());
                return;
            }
            state = self.pass_tick(&state, replay);
        }
    }

    fn pass_tick(&mut self, state: &EscalationState, replay: &mut AlertReplay) -> EscalationState {
        let now = state.next_check;
        if let Some(until) = self.ladder.quiet.and_then(|quiet| quiet.end_of_hold(now)) {
            // The looks until then change nothing, and the last one is at the end.
            return EscalationState { next_check: until, is_held: true, ..state.clone() };
        }
        let raised = self.left.partition_point(|alert| alert.at <= now);
        let (new, left) = self.left.split_at(raised);
        self.left = left;
        let (state, told) = check_route(self.ladder.policy, state, now, &count_by_line(new), None);
        match told {
            Some(IncidentNotification::Summary { step, .. }) => {
                replay.count_message(&self.ladder.name, now);
                if let Some(first) = new.first().filter(|_| step == 1) {
                    replay.incidents += 1;
                    replay.first.add_wait(now - first.at);
                }
            }
            Some(IncidentNotification::AllClear { .. }) => {
                replay.count_message(&self.ladder.name, now);
                replay.clear.add_wait(now - self.newest);
            }
            // It changes a message that is there, and nobody is called for.
            Some(IncidentNotification::Update { .. }) | None => {}
        }
        // Updates count too: they show that it goes on.
        self.newest = new.last().map_or(self.newest, |alert| alert.at);
        state
    }

    /// The first check of a route without an incident that matters: it sees what is raised at `at`, or it falls into
    /// quiet hours, from whose end on checks are counted anew.
    fn first_tick_with_news(&self, state: &EscalationState, at: DateTime<Utc>) -> DateTime<Utc> {
        let begin = self.ladder.quiet.and_then(|quiet| quiet.next_start(state.next_check));
        first_tick(state, begin.map_or(at, |begin| begin.min(at)))
    }
}

/// The first check of a route without an incident at or after a time: those before it see nothing.
fn first_tick(state: &EscalationState, at: DateTime<Utc>) -> DateTime<Utc> {
    let interval = state.interval.num_microseconds().unwrap_or(i64::MAX).max(1);
    let early = (at - state.next_check).num_microseconds().unwrap_or(0);
    let ticks = if early > 0 { early / interval + i64::from(early % interval > 0) } else { 0 };
    state.next_check + TimeDelta::microseconds(ticks.saturating_mul(interval))
}

fn count_by_line(alerts: &[&RecordedAlert]) -> BTreeMap<String, NewAlerts> {
    let mut lines: BTreeMap<String, NewAlerts> = BTreeMap::new();
    for alert in alerts {
        let line = lines.entry(line_key(&alert.topic, &alert.job)).or_default();
        line.count += 1;
        line.raised.push(alert.at);
    }
    lines
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::alert::AlertMatcher;
    use crate::escalation::{EscalationPolicy, QuietHours};

    fn noon() -> DateTime<Utc> {
        "2026-03-02T12:00:00Z".parse().unwrap()
    }

    fn at(minutes: i64) -> DateTime<Utc> {
        noon() + TimeDelta::minutes(minutes)
    }

    fn alert(at: DateTime<Utc>, topic: &str) -> RecordedAlert {
        RecordedAlert { at, topic: topic.to_owned(), job: String::new(), workflow: String::new(), owner: String::new() }
    }

    fn all(min: i64, max: i64) -> EscalationRoute {
        let policy = EscalationPolicy::new(TimeDelta::minutes(min), TimeDelta::minutes(max));
        EscalationRoute { name: "default".to_owned(), matcher: AlertMatcher::default(), policy, quiet: None }
    }

    fn quiet(ladder: EscalationRoute, hours: &str) -> EscalationRoute {
        EscalationRoute { quiet: Some(QuietHours::parse(hours, chrono_tz::Tz::UTC).unwrap()), ..ladder }
    }

    /// Raised at these seconds after noon.
    fn trace(seconds: impl IntoIterator<Item = i64>) -> Vec<RecordedAlert> {
        seconds.into_iter().map(|second| alert(noon() + TimeDelta::seconds(second), "a")).collect()
    }

    fn day(day: &str) -> NaiveDate {
        day.parse().unwrap()
    }

    #[test]
    fn a_trickle_is_told_as_the_ladder_tells_it() {
        let alerts = trace((0..20).map(|minute| minute * 60 + 30));
        let told = replay_alerts(&[all(5, 80)], &alerts, noon(), at(600));
        // Summaries at 5, 15 and 35, and the all-clear at 110: as the service does.
        assert_eq!(told.per_day, BTreeMap::from([(day("2026-03-02"), 4)]));
        assert_eq!((told.incidents, told.open, told.count_messages()), (1, 0, 4));
        assert_eq!(told.first.mean_wait(), Some(TimeDelta::seconds(270)));
        assert_eq!(told.clear.longest, TimeDelta::seconds(110 * 60 - 19 * 60 - 30));
        let cut = replay_alerts(&[all(5, 80)], &alerts, noon(), at(109));
        assert_eq!((cut.count_messages(), cut.open, cut.clear), (3, 1, WaitTimes::default()));
    }

    #[test]
    fn another_policy_tells_another_story() {
        let flaps = trace((0..10).map(|nth| nth * 1_800 + 30));
        let (often, seldom) = (all(5, 80), all(30, 480));
        let (often, seldom) =
            (replay_alerts(&[often], &flaps, noon(), at(2_000)), replay_alerts(&[seldom], &flaps, noon(), at(2_000)));
        assert_eq!((often.count_messages(), often.incidents), (8, 4));
        assert_eq!((seldom.count_messages(), seldom.incidents), (5, 1));
        assert!(seldom.first.longest > often.first.longest && seldom.clear.longest > often.clear.longest);
    }

    #[test]
    fn each_alert_goes_to_the_first_ladder_that_takes_it() {
        let only = |topic: &str| AlertMatcher { topic: Some(topic.to_owned()), ..AlertMatcher::default() };
        let route = |topic: &str, min| EscalationRoute { name: topic.to_owned(), matcher: only(topic), ..all(min, 80) };
        let ladders = [route("a", 5), route("b", 10)];
        let alerts = [alert(at(1), "a"), alert(at(2), "b"), alert(at(3), "c")];
        let told = replay_alerts(&ladders, &alerts, noon(), at(200));
        assert_eq!((told.incidents, told.count_messages(), told.first.count), (2, 4, 2));
        assert_eq!(told.first.longest, TimeDelta::minutes(8));
        assert_eq!(told.per_route, BTreeMap::from([("a".to_owned(), 2), ("b".to_owned(), 2)]));
        // In its quiet hours one route waits, the other doesn't.
        let [a, b] = ladders.clone();
        let told = replay_alerts(&[a, quiet(b, "12:05-14:00")], &alerts, noon(), at(200));
        assert_eq!((told.count_messages(), told.first.longest), (4, TimeDelta::minutes(118)));
        assert_eq!(replay_alerts(&[], &alerts, noon(), at(200)), AlertReplay::default());
        assert_eq!(replay_alerts(&ladders, &alerts, at(2), at(3)).incidents, 0, "it ended before the first tick");
    }

    #[test]
    fn what_lasts_over_midnight_counts_on_both_days() {
        let alerts = trace([11 * 3_600 + 50 * 60]);
        let told = replay_alerts(&[all(5, 80)], &alerts, noon(), at(1_000));
        assert_eq!(told.per_day, BTreeMap::from([(day("2026-03-02"), 1), (day("2026-03-03"), 1)]));
    }

    /// Tick by tick, without skipping the quiet ones.
    fn plainly(ladder: &EscalationRoute, alerts: &[RecordedAlert], to: DateTime<Utc>) -> u64 {
        let policy = ladder.policy;
        let (mut state, mut told_until, mut messages) = (EscalationState::new(policy, noon()), 0, 0);
        while state.next_check <= to {
            let now = state.next_check;
            let until = alerts.partition_point(|alert| alert.at <= now);
            let new: Vec<&RecordedAlert> = alerts[told_until..until].iter().collect();
            let hold = ladder.quiet.and_then(|quiet| quiet.end_of_hold(now));
            let (next, told) = check_route(policy, &state, now, &count_by_line(&new), hold);
            let until = if hold.is_some() { told_until } else { until };
            messages += u64::from(matches!(
                told,
                Some(IncidentNotification::Summary { .. } | IncidentNotification::AllClear { .. })
            ));
            (state, told_until) = (next, until);
        }
        messages
    }

    #[test]
    fn a_replay_has_the_alerts_from_its_start_and_before_its_end() {
        let alerts = [alert(at(0), "a"), alert(at(30), "b"), alert(at(60), "c")];
        let incidents = |from: i64, to: i64| {
            let told = replay_alerts(&[all(5, 5)], &alerts, at(from), at(to));
            (told.incidents, told.open)
        };
        assert_eq!(incidents(0, 90), (3, 0));
        assert_eq!(incidents(1, 90), (2, 0));
        assert_eq!(incidents(0, 60), (2, 0), "what is raised at the end is not in it");
        assert_eq!(incidents(0, 4), (0, 0), "its first check is later");
        assert_eq!(incidents(0, 5), (1, 1), "a check at the end is in it");
    }

    #[test]
    fn a_recorded_alert_is_read_as_the_api_writes_it() {
        let read = |text| serde_json::from_str::<RecordedAlert>(text);
        let alert =
            read(r#"{"at":"2026-03-02T12:00:00Z","type":"load","job":"x","workflow":"w.toml","kind":"result"}"#);
        let (topic, job, workflow) = ("load".to_owned(), "x".to_owned(), "w.toml".to_owned());
        assert_eq!(alert.unwrap(), RecordedAlert { at: noon(), topic, job, workflow, owner: String::new() });
        let bare = read(r#"{"at":"2026-03-02T12:00:00Z","type":"snapshot"}"#).unwrap();
        assert_eq!((bare.job.as_str(), bare.workflow.as_str()), ("", ""));
        assert!(read(r#"{"at":"2026-03-02T12:00:00Z","topic":"load"}"#).is_err());
    }

    proptest! {
        #[test]
        fn what_is_skipped_is_nothing(
            mut seconds in proptest::collection::vec(0_i64..200_000, 0..40),
            (min, max) in (1_i64..40, 1_i64..300),
            hours in proptest::option::of((0..24, 0..60, 1..600)),
        ) {
            seconds.sort_unstable();
            let (alerts, to) = (trace(seconds), noon() + TimeDelta::seconds(250_000));
            let hours = hours.map(|(hour, minute, lasting)| {
                let end = (hour * 60 + minute + lasting) % 1_440;
                format!("{hour:02}:{minute:02}-{:02}:{:02}", end / 60, end % 60)
            });
            let ladder = hours.iter().fold(all(min, max), |ladder, hours| quiet(ladder, hours));
            let expected = plainly(&ladder, &alerts, to);
            let told = replay_alerts(&[ladder], &alerts, noon(), to);
            prop_assert_eq!(told.count_messages(), expected);
            prop_assert_eq!(told.first.count, told.incidents);
            prop_assert_eq!(told.clear.count + told.open, told.incidents);
        }
    }
}
