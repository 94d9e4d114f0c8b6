use proptest::prelude::*;

use super::*;
use crate::alert::AlertMatcher;

const POLICY: EscalationPolicy = policy(5, 80);

const fn policy(min: i64, max: i64) -> EscalationPolicy {
    EscalationPolicy {
        min_interval: TimeDelta::minutes(min),
        max_interval: TimeDelta::minutes(max),
        factor_up: IntervalFactor::TWO,
        factor_down: IntervalFactor::TWO,
        quiet_checks: 1,
    }
}

fn start() -> DateTime<Utc> {
    DateTime::from_timestamp(1_772_366_400, 0).unwrap()
}

fn at(minute: i64) -> DateTime<Utc> {
    start() + TimeDelta::minutes(minute)
}

fn minutes(interval: TimeDelta) -> i64 {
    interval.num_minutes()
}

fn lines(lines: &[(&str, u64)]) -> BTreeMap<String, NewAlerts> {
    lines.iter().map(|(line, count)| ((*line).to_owned(), (*count).into())).collect()
}

/// A look outside quiet hours.
fn step(
    policy: EscalationPolicy,
    state: &EscalationState,
    now: DateTime<Utc>,
    new_lines: &BTreeMap<String, NewAlerts>,
) -> (EscalationState, Option<IncidentNotification>) {
    check_route(policy, state, now, new_lines, None)
}

/// What a tick did: the minute it ran, the interval after it, and a letter: summary, easing, cleared or silent.
type Tick = (i64, i64, char);

/// Ticks through, with `counts` new alerts at each tick.
fn run(policy: EscalationPolicy, counts: &[u64]) -> Vec<Tick> {
    let mut state = EscalationState::new(policy, start());
    let mut ticks = Vec::new();
    for count in counts {
        let now = state.next_check;
        let (next, told) = step(policy, &state, now, &lines(&[("load:hourly", *count)]));
        let letter = match told {
            Some(IncidentNotification::Summary { next: promised, .. }) => {
                assert_eq!(promised, next.next_check);
                'S'
            }
            Some(IncidentNotification::Update { easing, next: promised, .. }) => {
                assert_eq!((easing, promised), (true, next.next_check));
                'E'
            }
            Some(IncidentNotification::AllClear { .. }) => 'C',
            None => '-',
        };
        ticks.push((minutes(now - start()), minutes(next.interval), letter));
        state = next;
    }
    ticks
}

#[test]
fn a_quiet_route_is_looked_at_every_min() {
    assert_eq!(run(POLICY, &[0, 0, 0]), [(5, 5, '-'), (10, 5, '-'), (15, 5, '-')]);
}

#[test]
fn a_storm_is_told_ever_more_seldom_up_to_max() {
    let expected = [(5, 10, 'S'), (15, 20, 'S'), (35, 40, 'S'), (75, 80, 'S'), (155, 80, 'S'), (235, 80, 'S')];
    assert_eq!(run(POLICY, &[900, 900, 900, 900, 900, 900]), expected);
}

#[test]
fn a_trickle_stays_at_the_bottom_rungs() {
    // One alert at each second tick: up, down, up, down, and never cleared in between.
    let expected = [(5, 10, 'S'), (15, 5, 'E'), (20, 10, 'S'), (30, 5, 'E'), (35, 10, 'S')];
    assert_eq!(run(POLICY, &[1, 0, 1, 0, 1]), expected);
}

#[test]
fn flapping_opens_a_new_incident_after_each_all_clear() {
    let expected = [(5, 10, 'S'), (15, 5, 'E'), (20, 5, 'C'), (25, 10, 'S'), (35, 5, 'E'), (40, 5, 'C'), (45, 5, '-')];
    assert_eq!(run(POLICY, &[1, 0, 0, 1, 0, 0, 0]), expected);
}

#[test]
fn after_a_storm_the_interval_halves_down_to_one_all_clear() {
    let expected = [
        (5, 10, 'S'),
        (15, 20, 'S'),
        (35, 40, 'S'),
        (75, 20, 'E'),
        (95, 10, 'E'),
        (105, 5, 'E'),
        (110, 5, 'C'),
        (115, 5, '-'),
    ];
    assert_eq!(run(POLICY, &[1, 1, 1, 0, 0, 0, 0, 0]), expected);
}

#[test]
fn bounds_that_are_no_power_of_two_hold() {
    let narrow = policy(5, 12);
    let expected = [(5, 10, 'S'), (15, 12, 'S'), (27, 12, 'S'), (39, 6, 'E'), (45, 5, 'E'), (50, 5, 'C')];
    assert_eq!(run(narrow, &[1, 1, 1, 0, 0, 0]), expected);
}

#[test]
fn with_one_rung_only_the_first_quiet_tick_clears() {
    let narrow = policy(5, 5);
    assert_eq!(run(narrow, &[1, 1, 0, 0]), [(5, 5, 'S'), (10, 5, 'S'), (15, 5, 'C'), (20, 5, '-')]);
}

#[test]
fn bounds_that_make_no_sense_still_end() {
    let nothing = policy(0, -1);
    let state = EscalationState::new(nothing, start());
    assert!(state.next_check > start());
    let upside_down = policy(5, 1);
    assert_eq!(run(upside_down, &[1, 0]), [(5, 5, 'S'), (10, 5, 'C')]);
    let endless = EscalationPolicy::new(TimeDelta::MAX, TimeDelta::MAX);
    let state = EscalationState { next_check: start(), ..EscalationState::new(endless, start()) };
    let _ = step(endless, &state, start(), &lines(&[("a", 1)]));
}

#[test]
fn what_is_told_says_how_it_stands() {
    let state = EscalationState::new(POLICY, start());
    let (state, told) = step(POLICY, &state, at(6), &lines(&[("b", 2), ("a", 2), ("none", 0)]));
    let summary = IncidentNotification::Summary { step: 1, opened: at(6), next: at(16), escalating: true };
    assert_eq!(told, Some(summary));
    let (state, told) = step(POLICY, &state, at(16), &lines(&[("c:x", 3), ("a", 1)]));
    let summary = IncidentNotification::Summary { step: 2, opened: at(6), next: at(36), escalating: true };
    assert_eq!(told, Some(summary));
    let at_the_top = EscalationState { interval: POLICY.max_interval, ..state.clone() };
    let (_, told) = step(POLICY, &at_the_top, at(36), &lines(&[("a", 1)]));
    assert!(matches!(told, Some(IncidentNotification::Summary { step: 3, escalating: false, .. })));

    let (state, _) = step(POLICY, &state, at(36), &lines(&[]));
    let (state, _) = step(POLICY, &state, at(46), &lines(&[]));
    let (state, told) = step(POLICY, &state, at(51), &lines(&[]));
    let lines = ["a", "c:x", "b"].map(str::to_owned).to_vec();
    assert_eq!(
        told,
        Some(IncidentNotification::AllClear {
            step: 5,
            opened: at(6),
            lasted: TimeDelta::minutes(45),
            alerts: 8,
            lines
        })
    );
    assert!(state.last_incident.is_some(), "it is known when it comes back soon");
    assert_eq!(EscalationState { last_incident: None, ..state }, EscalationState::new(POLICY, at(51)));
}

#[test]
fn a_restart_before_the_tick_tells_nothing_and_keeps_the_plan() {
    let storm = lines(&[("a", 7)]);
    let (state, _) = step(POLICY, &EscalationState::new(POLICY, start()), at(5), &storm);
    let stored = serde_json::to_string(&state).unwrap();
    let read: EscalationState = serde_json::from_str(&stored).unwrap();
    assert_eq!(read, state);
    assert!(!read.is_check_due(at(14)));
    assert_eq!(read.time_to_check(at(14)), TimeDelta::minutes(1));
    assert_eq!(step(POLICY, &read, at(14), &storm), (state.clone(), None));
    // Down for hours: one look, at once, and the plan goes on from there.
    assert!(read.is_check_due(at(300)));
    assert_eq!(read.time_to_check(at(300)), TimeDelta::zero());
    let (after, told) = step(POLICY, &read, at(300), &storm);
    assert!(matches!(told, Some(IncidentNotification::Summary { step: 2, .. })));
    assert_eq!(after.next_check, at(320));
}

#[test]
fn the_stored_form_is_fixed() {
    let (state, _) = step(POLICY, &EscalationState::new(POLICY, start()), at(5), &lines(&[("a:b", 7)]));
    let stored = serde_json::to_string(&state).unwrap();
    let expected = concat!(
        r#"{"interval_us":600000000,"next_tick":"2026-03-01T12:15:00Z","#,
        r#""incident":{"opened":"2026-03-01T12:05:00Z","alerts":7,"steps":1,"lines":{"a:b":7}}}"#
    );
    assert_eq!(stored, expected);
    // With all that is left out where it is empty.
    let full = concat!(
        r#"{"interval_us":600000000,"next_tick":"2026-03-01T12:15:00Z","#,
        r#""incident":{"opened":"2026-03-01T12:05:00Z","alerts":7,"steps":1,"lines":{"a:b":7},"#,
        r#""workflows":{"a:b":["w.toml"]},"told":"2026-03-01T12:05:00Z","back":2,"eased":true},"quiet":1,"#,
        r#""acknowledgements":[{"at":"2026-03-01T12:06:00Z","until":"2026-03-01T13:00:00Z","by":"ada","note":"n","#,
        r#""lines":["a:b"]}],"over":{"at":"2026-03-01T11:00:00Z","back":1,"lines":["a:b"]},"held":true}"#
    );
    let read: EscalationState = serde_json::from_str(full).unwrap();
    assert!(read.quiet_checks == 1 && read.is_held && read.last_incident.is_some(), "{read:?}");
    assert_eq!(serde_json::to_string(&read).unwrap(), full);
}

#[test]
fn a_clock_stepped_back_is_planned_anew() {
    let (state, _) = step(POLICY, &EscalationState::new(POLICY, start()), at(5), &lines(&[("a", 1)]));
    let back = at(-10_000);
    let (state, told) = step(POLICY, &state, back, &lines(&[("a", 1)]));
    assert_eq!((state.next_check, told), (at(-9_990), None));
    // Over before it began: it lasted no time rather than less.
    let (state, _) = step(POLICY, &state, at(-9_990), &lines(&[]));
    let (_, told) = step(POLICY, &state, at(-9_985), &lines(&[]));
    assert!(matches!(told, Some(IncidentNotification::AllClear { lasted, .. }) if lasted == TimeDelta::zero()));
}

#[test]
fn a_policy_changed_over_a_restart_holds_at_once() {
    let mut state = EscalationState::new(POLICY, start());
    for _ in 0..5 {
        state = step(POLICY, &state, state.next_check, &lines(&[("a", 1)])).0;
    }
    assert_eq!(state.interval, POLICY.max_interval);
    let now = state.next_check - TimeDelta::minutes(79);
    let shorter = policy(1, 4);
    let resumed = state.resumed(shorter, now);
    assert_eq!((minutes(resumed.interval), resumed.next_check), (4, now + TimeDelta::minutes(4)));
    assert_eq!(resumed.incident, state.incident);

    let longer = policy(100, 200);
    let resumed = state.resumed(longer, now);
    assert_eq!((minutes(resumed.interval), resumed.next_check), (100, state.next_check));

    let quiet = EscalationState::new(POLICY, start()).resumed(shorter, start());
    assert_eq!(quiet, EscalationState::new(shorter, start()));
}

#[test]
fn a_step_repeated_after_a_crash_has_the_same_key() {
    let storm = lines(&[("a", 1)]);
    let quiet = EscalationState::new(POLICY, start());
    assert_eq!(quiet.notification_key("default"), format!("default/{}/1", at(5).timestamp_micros()));
    let (first, _) = step(POLICY, &quiet, at(6), &storm);
    assert_eq!(first.notification_key("default"), format!("default/{}/2", at(6).timestamp_micros()));
    let (second, _) = step(POLICY, &first, at(16), &storm);
    let keys = [
        quiet.notification_key("default"),
        first.notification_key("default"),
        second.notification_key("default"),
        quiet.notification_key("other"),
    ];
    let different: BTreeSet<&String> = keys.iter().collect();
    assert_eq!(different.len(), keys.len());
}

/// What a route was told over a random life, as the caller sees it.
#[derive(Default)]
struct Life {
    raised: u64,
    untold: u64,
    told: u64,
    told_in_incident: u64,
    opened: u32,
    cleared: u32,
    keys: BTreeSet<String>,
}

impl Life {
    fn tick(
        &mut self,
        policy: EscalationPolicy,
        state: &EscalationState,
        now: DateTime<Utc>,
        hold: Option<DateTime<Utc>>,
    ) -> EscalationState {
        let was_open = state.incident.is_some();
        let key = state.notification_key("r");
        let (next, told) = check_route(policy, state, now, &lines(&[("a", self.untold)]), hold);
        if told.is_some() {
            assert!(self.keys.insert(key), "each message has a key of its own");
        }
        match told {
            Some(IncidentNotification::Summary { .. }) => {
                self.opened += u32::from(!was_open);
                self.told += self.untold;
                self.told_in_incident += self.untold;
                self.untold = 0;
            }
            Some(IncidentNotification::Update { easing: false, .. }) => {
                let comes_and_goes = next.incident.as_ref().is_some_and(OpenIncident::comes_and_goes);
                assert!(was_open && (comes_and_goes || !state.acknowledgements.is_empty()));
                self.told += self.untold;
                self.told_in_incident += self.untold;
                self.untold = 0;
            }
            Some(IncidentNotification::Update { easing: true, .. }) => assert_eq!(self.untold, 0),
            Some(IncidentNotification::AllClear { alerts, .. }) => {
                assert_eq!(self.untold, 0);
                self.cleared += 1;
                assert_eq!(alerts, self.told_in_incident);
                self.told_in_incident = 0;
            }
            None => {}
        }
        assert!((policy.min_interval..=policy.max_interval).contains(&next.interval), "{:?}", next.interval);
        assert!(next.next_check > now && next.next_check <= now + next.interval);
        next
    }
}

fn acknowledgement(at: DateTime<Utc>, minutes: i64) -> Acknowledgement {
    let until = at + TimeDelta::minutes(minutes);
    Acknowledgement { at, until, by: "ada".to_owned(), note: String::new(), lines: BTreeSet::new() }
}

/// An incident of `a` and `b:x` that `ada` takes care of for so long.
fn taken_care_of(matcher: &AlertMatcher, minutes: i64) -> EscalationState {
    let (state, _) = step(POLICY, &EscalationState::new(POLICY, start()), at(5), &lines(&[("a", 1), ("b:x", 1)]));
    let (state, ..) = state.acknowledged(matcher, acknowledgement(at(6), minutes), &lines(&[])).unwrap();
    state
}

#[test]
fn what_is_taken_care_of_is_not_told_again_until_something_else_fails() {
    let state = taken_care_of(&AlertMatcher::default(), 600);
    assert_eq!(state.acknowledged_by().as_deref(), Some("ada"));
    let (state, told) = step(POLICY, &state, at(15), &lines(&[("a", 7)]));
    let update = IncidentNotification::Update { step: 3, opened: at(5), next: at(35), easing: false };
    assert_eq!(told, Some(update), "the interval grows as if it was told");
    assert_eq!(state.incident.as_ref().unwrap().alerts, 9, "it counts");
    let (state, told) = step(POLICY, &state, at(35), &lines(&[("a", 1), ("c", 1)]));
    assert!(matches!(told, Some(IncidentNotification::Summary { step: 4, .. })));
    let (_, told) = step(POLICY, &state, at(75), &lines(&[("c", 1)]));
    assert!(matches!(told, Some(IncidentNotification::Summary { step: 5, .. })), "nobody takes care of the new one");
}

#[test]
fn an_acknowledgement_ends_and_is_about_what_matches() {
    let state = taken_care_of(&AlertMatcher::default(), 5);
    let (state, told) = step(POLICY, &state, at(15), &lines(&[("a", 1)]));
    assert!(matches!(told, Some(IncidentNotification::Summary { .. })), "it was over at minute 11");
    assert_eq!(state.acknowledged_by(), None);
    let job = AlertMatcher { job: Some("x".to_owned()), ..AlertMatcher::default() };
    let state = taken_care_of(&job, 600);
    assert!(matches!(step(POLICY, &state, at(15), &lines(&[("b:x", 1)])).1, Some(IncidentNotification::Update { .. })));
    assert!(matches!(step(POLICY, &state, at(15), &lines(&[("a", 1)])).1, Some(IncidentNotification::Summary { .. })));
    let none = AlertMatcher { topic: Some("none".to_owned()), ..AlertMatcher::default() };
    assert_eq!(state.acknowledged(&none, acknowledgement(at(6), 5), &lines(&[])), None);
}

#[test]
fn the_all_clear_of_what_was_taken_care_of_is_told() {
    let state = taken_care_of(&AlertMatcher::default(), 600);
    let (state, told) = step(POLICY, &state, at(15), &lines(&[]));
    assert!(matches!(told, Some(IncidentNotification::Update { easing: true, .. })));
    let (state, told) = step(POLICY, &state, at(20), &lines(&[]));
    assert!(matches!(told, Some(IncidentNotification::AllClear { alerts: 2, .. })));
    assert_eq!(state.acknowledged_by(), None, "the next incident is another one");
}

#[test]
fn what_was_raised_but_not_told_can_be_taken_care_of_too() {
    let quiet = EscalationState::new(POLICY, start());
    let workflow = AlertMatcher { workflow: Some("etl/*".to_owned()), ..AlertMatcher::default() };
    let raised = |workflow: &str| {
        let new = NewAlerts { count: 1, workflows: BTreeSet::from([workflow.to_owned()]), ..NewAlerts::default() };
        BTreeMap::from([("a".to_owned(), new)])
    };
    assert_eq!(quiet.acknowledged(&workflow, acknowledgement(at(1), 60), &raised("other.toml")), None);
    let (state, known, told) =
        quiet.acknowledged(&workflow, acknowledgement(at(1), 60), &raised("etl/a.toml")).unwrap();
    assert_eq!((known, told), (BTreeSet::from(["a".to_owned()]), None));
    let (state, told) = step(POLICY, &state, at(5), &raised("etl/a.toml"));
    assert!(matches!(told, Some(IncidentNotification::Summary { step: 1, .. })), "the first one is told");
    let (_, told) = step(POLICY, &state, at(15), &raised("etl/a.toml"));
    assert!(matches!(told, Some(IncidentNotification::Update { .. })));
}

#[test]
fn acknowledgements_are_bounded() {
    let mut state = taken_care_of(&AlertMatcher::default(), 600);
    for minute in 7..200 {
        let by = acknowledgement(at(minute), 600);
        state = state.acknowledged(&AlertMatcher::default(), by, &lines(&[])).unwrap().0;
    }
    assert_eq!(state.acknowledgements.len(), 50);
    assert_eq!(state.acknowledgements[49].at, at(199));
}

#[test]
fn in_quiet_hours_alerts_wait_and_the_ladder_stays() {
    let (open, _) = step(POLICY, &EscalationState::new(POLICY, start()), at(5), &lines(&[("a", 1)]));
    let (held, told) = check_route(POLICY, &open, at(15), &lines(&[("a", 3)]), Some(at(18)));
    assert_eq!((held.next_check, told), (at(18), None));
    assert_eq!((held.interval, &held.incident), (open.interval, &open.incident));
    let (held, told) = check_route(POLICY, &open, at(15), &lines(&[]), Some(at(500)));
    assert_eq!((held.next_check, told), (at(25), None), "looked at again, in case the hours change");
    let (_, told) = step(POLICY, &held, at(25), &lines(&[("a", 3)]));
    assert!(matches!(told, Some(IncidentNotification::Summary { step: 2, .. })));
}

#[test]
fn factors_and_quiet_ticks_shape_the_ladder() {
    let shaped = EscalationPolicy {
        factor_up: "3".parse().unwrap(),
        factor_down: "1.5".parse().unwrap(),
        quiet_checks: 3,
        ..policy(4, 36)
    };
    let expected = [
        (4, 12, 'S'),
        (16, 36, 'S'),
        (52, 24, 'E'),
        (76, 16, 'E'),
        (92, 10, 'E'),
        (102, 7, 'E'),
        (109, 4, 'E'),
        (114, 4, 'E'),
        (118, 4, '-'),
        (122, 4, '-'),
        (126, 4, 'C'),
    ];
    let ticks = run(shaped, &[1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(ticks, expected);
    let flat = EscalationPolicy { factor_up: IntervalFactor::ONE, ..policy(5, 80) };
    assert_eq!(run(flat, &[1, 1, 1, 0]), [(5, 5, 'S'), (10, 5, 'S'), (15, 5, 'S'), (20, 5, 'C')]);
    // A tick with news at the bottom begins the count anew.
    let patient = EscalationPolicy { quiet_checks: 2, factor_up: IntervalFactor::ONE, ..policy(5, 80) };
    let letters: String = run(patient, &[1, 0, 1, 0, 0]).into_iter().map(|(.., letter)| letter).collect();
    assert_eq!(letters, "S-S-C");
}

#[test]
fn an_acknowledgement_that_ends_now_is_over() {
    let state = taken_care_of(&AlertMatcher::default(), 5);
    for (minute, left) in [(10, 2), (11, 1)] {
        let by = acknowledgement(at(minute), 60);
        let (next, ..) = state.acknowledged(&AlertMatcher::default(), by, &lines(&[])).unwrap();
        assert_eq!(next.acknowledgements.len(), left, "{minute}");
    }
}

proptest! {
    #[test]
    fn each_alert_is_told_once_and_each_incident_cleared_once(
        events in proptest::collection::vec((-30_i64..200, 0_u64..4, 0_u8..10), 0..60),
        (min, factor) in (1_i64..20, 1_i32..40),
        (up, down, quiet_checks) in (1_000_u32..5_000, 1_100_u32..5_000, 1_u32..4),
    ) {
        let min = TimeDelta::minutes(min);
        let written = |thousandths: u32| format!("{}.{:03}", thousandths / 1_000, thousandths % 1_000);
        let (factor_up, factor_down) = (written(up).parse().unwrap(), written(down).parse().unwrap());
        let policy = EscalationPolicy { factor_up, factor_down, quiet_checks, ..EscalationPolicy::new(min, min * factor) };
        let mut now = start();
        let mut state = EscalationState::new(policy, now);
        let mut life = Life::default();
        for (minutes, alerts, what) in events {
            now += TimeDelta::minutes(minutes);
            life.raised += alerts;
            life.untold += alerts;
            if what == 0 {
                let by = acknowledgement(now, 300);
                let known = state.acknowledged(&AlertMatcher::default(), by, &lines(&[("a", life.untold)]));
                let key = state.notification_key("r");
                if let Some((next, _, told)) = known {
                    prop_assert!(told.is_none() || life.keys.insert(key));
                    state = next;
                }
            }
            let hold = (what == 1).then(|| now + TimeDelta::minutes(100));
            state = life.tick(policy, &state, now, hold);
            // A restart at any point.
            let stored = serde_json::to_string(&state).unwrap();
            prop_assert_eq!(&serde_json::from_str::<EscalationState>(&stored).unwrap(), &state);
        }
        for _ in 0..300 {
            state = life.tick(policy, &state, state.next_check, None);
        }
        prop_assert_eq!((life.told, life.untold), (life.raised, 0));
        prop_assert_eq!(life.opened, life.cleared);
        prop_assert!(state.incident.is_none());
    }
}

#[test]
fn counts_beyond_all_bounds_stay_at_the_largest() {
    let (state, _) = step(POLICY, &EscalationState::new(POLICY, start()), at(5), &lines(&[("a", u64::MAX)]));
    let (state, _) = step(POLICY, &state, at(15), &lines(&[("a", 2), ("b", 1)]));
    let incident = state.incident.unwrap();
    assert_eq!((incident.alerts, incident.lines["a"], incident.lines["b"]), (u64::MAX, u64::MAX, 1));
}

#[test]
fn an_incident_lasts_no_less_than_nothing_where_the_clock_was_set_back() {
    let (open, _) = step(POLICY, &EscalationState::new(POLICY, start()), at(5), &lines(&[("a", 1)]));
    let at_the_bottom = EscalationState { interval: POLICY.min_interval, next_check: at(-60), ..open };
    let (_, told) = step(POLICY, &at_the_bottom, at(-60), &lines(&[]));
    let Some(IncidentNotification::AllClear { lasted, opened, .. }) = told else { panic!("{told:?}") };
    assert_eq!((lasted, opened), (TimeDelta::zero(), at(5)));
}

#[test]
fn workflows_of_a_line_add_up_and_a_line_without_one_matches_none() {
    let from = |workflow: &str| {
        let new = NewAlerts { count: 1, workflows: BTreeSet::from([workflow.to_owned()]), ..NewAlerts::default() };
        BTreeMap::from([("a".to_owned(), new), ("b".to_owned(), 1.into())])
    };
    let (state, _) = step(POLICY, &EscalationState::new(POLICY, start()), at(5), &from("v.toml"));
    let (state, _) = step(POLICY, &state, at(15), &from("w.toml"));
    let incident = state.incident.as_ref().unwrap();
    assert_eq!(incident.workflows["a"], ["v.toml", "w.toml"].map(str::to_owned).into());
    assert!(!incident.workflows.contains_key("b"));
    let known = |workflow: &str| {
        let matcher = AlertMatcher { workflow: Some(workflow.to_owned()), ..AlertMatcher::default() };
        state.acknowledged(&matcher, acknowledgement(at(16), 60), &lines(&[])).map(|(_, lines, _)| lines)
    };
    assert_eq!(known("v.toml"), Some(BTreeSet::from(["a".to_owned()])), "also the one of an earlier alert");
    assert_eq!(known("*"), Some(BTreeSet::from(["a".to_owned(), "b".to_owned()])));
    assert_eq!(known("x.toml"), None);
}

#[test]
fn who_acknowledged_is_named_once_and_no_longer_than_it_holds() {
    let all = AlertMatcher::default();
    let mut state = taken_care_of(&all, 5);
    for (minute, by) in [(10, "cy"), (10, "bob"), (10, "bob")] {
        let by = Acknowledgement { by: by.to_owned(), ..acknowledgement(at(minute), 60) };
        state = state.acknowledged(&all, by, &lines(&[])).unwrap().0;
    }
    assert_eq!(state.acknowledged_by().as_deref(), Some("ada, bob, cy"));
    let (later, _, told) = state.acknowledged(&all, acknowledgement(at(11), 60), &lines(&[])).unwrap();
    assert_eq!(later.acknowledgements.len(), 4, "the first one ended in this minute");
    assert!(matches!(told, Some(IncidentNotification::Update { step: 6, easing: false, .. })), "{told:?}");
}
