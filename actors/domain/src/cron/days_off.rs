//! Days on which a schedule has no slots.

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::{DateTime, Datelike as _, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Utc, Weekday};

use super::zone::first_instant;
use super::{CronSchedule, ScheduleKind};

/// How many days without a slot are passed before a schedule counts as one that never fires.
const MAX_STEPS: usize = 4_000;

/// How many days off may follow each other.
const MAX_BLOCK: usize = 366;

named_enum! {
    /// What becomes of slots that fall on days off.
    #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
    pub enum OffDayRule {
        /// There are none.
        #[default]
        Skip = "skip",
        /// They are on the next working day, at the same time.
        Next = "next",
        /// They are on the last working day before, at the same time.
        Previous = "previous",
    }
}

/// Days off, and what becomes of slots on them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DaysOff {
    /// Of a calendar.
    pub dates: Arc<BTreeSet<NaiveDate>>,
    /// Of the rule.
    pub own_dates: BTreeSet<NaiveDate>,
    /// Each year: month and day.
    pub yearly: Vec<(u32, u32)>,
    /// Each week.
    pub weekdays: Vec<Weekday>,
    /// What becomes of slots on them.
    pub rule: OffDayRule,
}

impl DaysOff {
    /// Whether a day is off.
    pub fn is_off(&self, day: NaiveDate) -> bool {
        self.weekdays.contains(&day.weekday())
            || self.dates.contains(&day)
            || self.own_dates.contains(&day)
            || self.yearly.contains(&(day.month(), day.day()))
    }

    fn is_empty(&self) -> bool {
        self.weekdays.is_empty() && self.dates.is_empty() && self.own_dates.is_empty() && self.yearly.is_empty()
    }

    /// The days whose slots are on a working day.
    fn days_moved_to(&self, day: NaiveDate) -> Vec<NaiveDate> {
        let step = match self.rule {
            OffDayRule::Skip => return vec![day],
            OffDayRule::Next => NaiveDate::pred_opt,
            OffDayRule::Previous => NaiveDate::succ_opt,
        };
        let block = std::iter::successors(step(&day), step).take_while(|day| self.is_off(*day)).take(MAX_BLOCK);
        std::iter::once(day).chain(block).collect()
    }
}

impl CronSchedule {
    /// The same without slots on these days. An interval has none but its own.
    #[must_use]
    pub fn with_days_off(self, days: DaysOff) -> Self {
        let counts = !days.is_empty() && matches!(self.kind, ScheduleKind::CronFields(_));
        Self { days: counts.then_some(days), ..self }
    }

    /// The days on which it has no slots.
    pub fn days_off(&self) -> Option<&DaysOff> {
        self.days.as_ref()
    }

    /// The first slot after `after` that is on a working day, or was moved to one.
    pub(super) fn next_working(&self, days: &DaysOff, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let mut day = self.local_time(after).date();
        for _ in 0..MAX_STEPS {
            if !days.is_off(day) {
                let moved = days.days_moved_to(day).into_iter();
                if let Some(slot) = moved.filter_map(|from| self.first_moved(from, day, after)).min() {
                    return Some(slot);
                }
            }
            day = self.next_candidate(days, day)?;
        }
        None
    }

    /// The first slot of one day that comes after `after` once it is on another.
    fn first_moved(&self, from: NaiveDate, to: NaiveDate, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let now = self.local_time(after);
        let begin = from.and_time(if now.date() == to { now.time() } else { NaiveTime::MIN });
        // A second before, since what is searched for comes after: a slot at `begin` itself counts.
        let mut slot = self.next_unfiltered(self.instant_of(begin).checked_sub_signed(TimeDelta::seconds(1))?)?;
        loop {
            let wall = self.local_time(slot);
            if wall.date() != from {
                return None;
            }
            // One that stays keeps its instant: of an hour that comes twice its wall time would name the first.
            let moved = if from == to { slot } else { self.instant_of(to.and_time(wall.time())) };
            if moved > after {
                return Some(moved);
            }
            slot = self.next_unfiltered(slot)?;
        }
    }

    /// The next day that may have slots.
    fn next_candidate(&self, days: &DaysOff, day: NaiveDate) -> Option<NaiveDate> {
        let tomorrow = day.succ_opt()?;
        // Slots of this day may go to tomorrow, which may have none of its own.
        if days.rule == OffDayRule::Next && days.is_off(day) {
            return Some(tomorrow);
        }
        let begin = self.instant_of(tomorrow.and_time(NaiveTime::MIN)).checked_sub_signed(TimeDelta::seconds(1))?;
        let next = self.local_time(self.next_unfiltered(begin)?).date().max(tomorrow);
        if days.rule != OffDayRule::Previous {
            return Some(next);
        }
        // The slots of `next`, should it be off, are on the last working day before it.
        let back = std::iter::successors(Some(next), NaiveDate::pred_opt).take_while(|it| *it > day).take(MAX_BLOCK);
        Some(back.into_iter().find(|it| !days.is_off(*it)).unwrap_or(next))
    }

    fn local_time(&self, at: DateTime<Utc>) -> NaiveDateTime {
        at.with_timezone(&self.zone).naive_local()
    }

    fn instant_of(&self, wall: NaiveDateTime) -> DateTime<Utc> {
        first_instant(self.zone, wall).unwrap_or_else(|| wall.and_utc())
    }
}

#[cfg(test)]
mod tests {
    use chrono_tz::Tz;
    use proptest::prelude::*;

    use super::*;

    fn schedule(spec: &str, rule: OffDayRule, dates: &[&str]) -> CronSchedule {
        let dates = Arc::new(dates.iter().map(|date| date.parse().unwrap()).collect());
        let weekdays = vec![Weekday::Sat, Weekday::Sun];
        CronSchedule::parse(spec, Tz::UTC).unwrap().with_days_off(DaysOff {
            dates,
            weekdays,
            rule,
            ..DaysOff::default()
        })
    }

    fn slots(schedule: &CronSchedule, after: &str, count: usize) -> Vec<String> {
        let first = schedule.next_after(after.parse().unwrap());
        let all = std::iter::successors(first, |slot| schedule.next_after(*slot));
        all.take(count).map(|slot| slot.format("%a %m-%d %H:%M").to_string()).collect()
    }

    #[test]
    fn slots_on_days_off_are_left_out_or_moved() {
        // Monday 1 January is off, too.
        let off = ["2024-01-01"];
        for (spec, rule, expected) in [
            ("0 3 * * *", OffDayRule::Skip, ["Fri 12-29 03:00", "Tue 01-02 03:00", "Wed 01-03 03:00"]),
            ("0 3 * * *", OffDayRule::Next, ["Fri 12-29 03:00", "Tue 01-02 03:00", "Wed 01-03 03:00"]),
            ("0 3 * * sun", OffDayRule::Next, ["Tue 01-02 03:00", "Mon 01-08 03:00", "Mon 01-15 03:00"]),
            ("0 3 * * sun", OffDayRule::Previous, ["Fri 12-29 03:00", "Fri 01-05 03:00", "Fri 01-12 03:00"]),
            ("0 3 * * sun", OffDayRule::Skip, ["", "", ""]),
            ("0 5 1 * *", OffDayRule::Next, ["Tue 01-02 05:00", "Thu 02-01 05:00", "Fri 03-01 05:00"]),
            ("0 5 1 * *", OffDayRule::Previous, ["Fri 12-29 05:00", "Thu 02-01 05:00", "Fri 03-01 05:00"]),
            ("30 6 * * sat", OffDayRule::Next, ["Tue 01-02 06:30", "Mon 01-08 06:30", "Mon 01-15 06:30"]),
        ] {
            let found = slots(&schedule(spec, rule, &off), "2023-12-28T12:00:00Z", 3);
            let expected: Vec<_> = expected.iter().filter(|slot| !slot.is_empty()).collect();
            assert_eq!(found.iter().collect::<Vec<_>>(), expected, "{spec} {rule:?}");
        }
    }

    #[test]
    fn days_are_those_of_its_place_and_intervals_have_none_off() {
        let off = DaysOff { own_dates: BTreeSet::from(["2024-01-15".parse().unwrap()]), ..DaysOff::default() };
        let berlin =
            CronSchedule::parse("CRON_TZ=Europe/Berlin 30 0 * * *", Tz::UTC).unwrap().with_days_off(off.clone());
        let found = slots(&berlin, "2024-01-13T12:00:00Z", 2);
        assert_eq!(found, ["Sat 01-13 23:30", "Mon 01-15 23:30"], "23:30 is the day after there");
        let every = CronSchedule::parse("@every 1h", Tz::UTC).unwrap().with_days_off(off);
        assert_eq!(
            (every.days_off(), slots(&every, "2024-01-15T00:00:00Z", 1)),
            (None, vec!["Mon 01-15 01:00".to_owned()])
        );
        let yearly = DaysOff { yearly: vec![(12, 24)], ..DaysOff::default() };
        let daily = CronSchedule::parse("0 3 * * *", Tz::UTC).unwrap().with_days_off(yearly);
        assert_eq!(slots(&daily, "2024-12-23T12:00:00Z", 1), ["Wed 12-25 03:00"]);
        assert_eq!(daily.prev_before("2024-12-25T00:00:00Z".parse().unwrap()), "2024-12-23T03:00:00Z".parse().ok());
    }

    /// What happens to each slot, one by one.
    fn plainly(
        spec: &str,
        days: &DaysOff,
        zone: Tz,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
    ) -> BTreeSet<DateTime<Utc>> {
        let raw = CronSchedule::parse(spec, zone).unwrap();
        let far = TimeDelta::days(30);
        let all = std::iter::successors(raw.next_after(from - far), |slot| raw.next_after(*slot));
        let moved = all.take_while(|slot| *slot <= to + far).filter_map(|slot| {
            let mut wall = raw.local_time(slot);
            if !days.is_off(wall.date()) {
                return Some(slot);
            }
            let step = match days.rule {
                OffDayRule::Skip => return None,
                OffDayRule::Next => TimeDelta::days(1),
                OffDayRule::Previous => -TimeDelta::days(1),
            };
            while days.is_off(wall.date()) {
                wall += step;
            }
            Some(raw.instant_of(wall))
        });
        moved.filter(|slot| *slot > from && *slot <= to).collect()
    }

    proptest! {
        #[test]
        fn each_slot_is_where_its_rule_puts_it(
            rule in prop::sample::select(OffDayRule::ALL.to_vec()),
            zone in prop::sample::select(vec![Tz::UTC, Tz::Europe__Berlin, Tz::America__New_York]),
            spec in prop::sample::select(vec!["0 3 * * *", "30 */6 * * *", "15 2 * * sun", "0 0 1,15 * *", "45 23 * * mon,sat"]),
            offs in proptest::collection::btree_set(0..60_u64, 0..12),
            weekend in any::<bool>(),
            start in 0..340_i64,
        ) {
            let from = "2024-01-01T05:30:00Z".parse::<DateTime<Utc>>().unwrap() + TimeDelta::days(start);
            let to = from + TimeDelta::days(45);
            let day = |n: u64| from.date_naive() + chrono::Days::new(n);
            let weekdays = if weekend { vec![Weekday::Sat, Weekday::Sun] } else { Vec::new() };
            let days = DaysOff { dates: Arc::new(offs.into_iter().map(day).collect()), weekdays, rule, ..DaysOff::default() };
            let expected = plainly(spec, &days, zone, from, to);
            let schedule = CronSchedule::parse(spec, zone).unwrap().with_days_off(days);
            let found = std::iter::successors(schedule.next_after(from), |slot| schedule.next_after(*slot));
            let found: BTreeSet<_> = found.take_while(|slot| *slot <= to).collect();
            prop_assert_eq!(found, expected);
        }
    }
}
