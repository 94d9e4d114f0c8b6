//! Every change of every clock from 2000 to 2040, in every zone that there is.

use std::collections::BTreeMap;

use chrono::{NaiveDate, NaiveTime};
use chrono_tz::TZ_VARIANTS;

use super::*;
use crate::cron::zone::{change_between, offset_from_utc};

/// A change of the clocks: from then on local time is `after` ahead of UTC instead of `before`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Change {
    at: DateTime<Utc>,
    before: TimeDelta,
    after: TimeDelta,
}

fn year(year: i32) -> DateTime<Utc> {
    NaiveDate::from_ymd_opt(year, 1, 1).unwrap().and_time(NaiveTime::MIN).and_utc()
}

fn changes(zone: Tz) -> Vec<Change> {
    let mut changes = Vec::new();
    let mut low = year(2000);
    while low < year(2041) {
        let high = low + TimeDelta::days(5);
        while offset_from_utc(zone, low) != offset_from_utc(zone, high) {
            let at = change_between(zone, low, high);
            changes.push(Change { at, before: offset_from_utc(zone, low), after: offset_from_utc(zone, at) });
            low = at;
        }
        low = high;
    }
    changes
}

/// Each change that differs from others, with one of the zones that have it: there are many names for few clocks.
fn all() -> BTreeMap<Change, Tz> {
    let mut all = BTreeMap::new();
    for zone in TZ_VARIANTS {
        all.extend(changes(zone).into_iter().map(|change| (change, zone)));
    }
    assert!(all.len() > 1_000, "{}", all.len());
    all
}

fn slots(spec: &str, zone: Tz, from: DateTime<Utc>, to: DateTime<Utc>) -> Vec<DateTime<Utc>> {
    let schedule = CronSchedule::parse(spec, zone).unwrap();
    let first = schedule.first_from(from);
    std::iter::successors(first, |slot| schedule.next_after(*slot)).take_while(|slot| *slot < to).collect()
}

/// When the wall clock shows a time on a day, by the change alone.
fn once(change: Change, wall: chrono::NaiveDateTime) -> Option<DateTime<Utc>> {
    let Change { at, before, after } = change;
    let (early, late) = ((wall - before).and_utc(), (wall - after).and_utc());
    match (early < at, late >= at) {
        (true, _) => Some(early),
        (false, true) => Some(late),
        // Skipped: the end of the gap, but for a day that never was.
        (false, false) => (after - before < TimeDelta::hours(12)).then_some(at),
    }
}

#[test]
fn a_fixed_time_comes_once_a_day_around_every_change() {
    for (change, zone) in all() {
        let shift = change.after - change.before;
        let wall = (change.at + change.before).naive_utc();
        for wall in [wall - TimeDelta::minutes(1), wall, wall + shift / 2, wall + shift] {
            let spec = format!("{} {} {} * * *", wall.second(), wall.minute(), wall.hour());
            let (from, to) = (change.at - TimeDelta::hours(40), change.at + TimeDelta::hours(40));
            let days = (-3..=3).filter_map(|days| once(change, wall + TimeDelta::days(days)));
            let mut expected: Vec<_> = days.filter(|slot| (from..to).contains(slot)).collect();
            expected.dedup();
            assert_eq!(slots(&spec, zone, from, to), expected, "{spec} in {zone} around {change:?}");
        }
    }
}

#[test]
fn what_follows_real_time_comes_whenever_the_clock_shows_it_around_every_change() {
    for (change, zone) in all() {
        let (from, to) = (change.at - TimeDelta::hours(3), change.at + TimeDelta::hours(3));
        let minutes = (0..6 * 60).map(|minute| from + TimeDelta::minutes(minute));
        let shows = |at: &DateTime<Utc>| {
            let wall = *at + if *at < change.at { change.before } else { change.after };
            [0, 20, 40].contains(&wall.minute()) && wall.second() == 0
        };
        let expected: Vec<_> = minutes.filter(shows).collect();
        assert_eq!(slots("*/20 * * * *", zone, from, to), expected, "{zone} around {change:?}");
    }
}
