//! Periods: the hour, day, week or month of which a join collects the tasks.

use std::fmt;

use chrono::{DateTime, Datelike as _, NaiveDate, NaiveTime, TimeDelta, Utc};
use chrono_tz::Tz;

use crate::cron::{first_instant, offset_from_utc};
use crate::rule::BatchStep;

const HOUR_SECONDS: i64 = 3_600;

/// An hour, day, week or month.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JoinPeriod {
    /// How long it is.
    pub over: BatchStep,
    /// Which one it is: the next one has the next number.
    pub number: i64,
    /// The time that tasks of the whole period are about: what the wall clock shows at its beginning, written as UTC,
    /// so that templates and backloads name the day that people mean.
    pub about: DateTime<Utc>,
    /// When it begins.
    pub begins: DateTime<Utc>,
    /// When it ends.
    pub ends: DateTime<Utc>,
}

impl JoinPeriod {
    /// The period that an hour belongs to; none out of all bounds.
    pub fn of_hour(over: BatchStep, zone: Tz, hour: DateTime<Utc>) -> Option<Self> {
        Self::numbered(over, zone, Self::number_of_hour(over, zone, hour)?)
    }

    /// The number of the period that an hour belongs to.
    pub(super) fn number_of_hour(over: BatchStep, zone: Tz, hour: DateTime<Utc>) -> Option<i64> {
        match over {
            BatchStep::Hour => Some(hour.timestamp().div_euclid(HOUR_SECONDS)),
            _ => Some(number_of_date(over, local_date(zone, hour)?)),
        }
    }

    /// The period of that number; none out of all bounds.
    pub fn numbered(over: BatchStep, zone: Tz, number: i64) -> Option<Self> {
        if over == BatchStep::Hour {
            let about = DateTime::from_timestamp(number.checked_mul(HOUR_SECONDS)?, 0)?;
            let ends = about.checked_add_signed(TimeDelta::hours(1))?;
            return Some(Self { over, number, about, begins: about, ends });
        }
        let [first, next] = [number, number + 1].map(|number| first_date(over, number));
        let (first, next) = (first?.and_time(NaiveTime::MIN), next?.and_time(NaiveTime::MIN));
        // A date that its place skipped begins where UTC has it.
        let [begins, ends] = [first, next].map(|at| first_instant(zone, at).unwrap_or_else(|| at.and_utc()));
        Some(Self { over, number, about: first.and_utc(), begins, ends })
    }

    /// The number of the first period whose tasks are about this time or a later one.
    pub(super) fn first_number_from(over: BatchStep, about: DateTime<Utc>) -> i64 {
        match over {
            BatchStep::Hour => (about.timestamp() - 1).div_euclid(HOUR_SECONDS) + 1,
            _ => {
                let number = number_of_date(over, about.date_naive());
                let is_later =
                    first_date(over, number).is_some_and(|date| date.and_time(NaiveTime::MIN).and_utc() < about);
                number + i64::from(is_later)
            }
        }
    }
}

/// `2024-01-15T07`, `2024-01-15`, `2024-W03`, `2024-01`.
impl fmt::Display for JoinPeriod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let form = match self.over {
            BatchStep::Hour => "%Y-%m-%dT%H",
            BatchStep::Day => "%Y-%m-%d",
            BatchStep::Week => "%G-W%V",
            BatchStep::Month => "%Y-%m",
        };
        write!(f, "{}", self.about.format(form))
    }
}

/// The date of an hour of UTC by the wall clock. Zones differ by half hours: the local hour counts that begins in it.
fn local_date(zone: Tz, hour: DateTime<Utc>) -> Option<NaiveDate> {
    let offset = offset_from_utc(zone, hour);
    let rest = TimeDelta::seconds((-offset.num_seconds()).rem_euclid(HOUR_SECONDS));
    Some(hour.naive_utc().checked_add_signed(offset)?.checked_add_signed(rest)?.date())
}

fn number_of_date(over: BatchStep, date: NaiveDate) -> i64 {
    match over {
        BatchStep::Month => i64::from(date.year()) * 12 + i64::from(date.month0()),
        // The first day of the first year was a Monday.
        BatchStep::Week => i64::from(date.num_days_from_ce() - 1).div_euclid(7),
        BatchStep::Day | BatchStep::Hour => i64::from(date.num_days_from_ce()),
    }
}

fn first_date(over: BatchStep, number: i64) -> Option<NaiveDate> {
    match over {
        BatchStep::Month => {
            let (year, month) = (number.div_euclid(12), number.rem_euclid(12));
            NaiveDate::from_ymd_opt(year.try_into().ok()?, u32::try_from(month).ok()? + 1, 1)
        }
        BatchStep::Week => NaiveDate::from_num_days_from_ce_opt((number.checked_mul(7)? + 1).try_into().ok()?),
        BatchStep::Day | BatchStep::Hour => NaiveDate::from_num_days_from_ce_opt(number.try_into().ok()?),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn period(over: BatchStep, zone: Tz, hour: &str) -> JoinPeriod {
        JoinPeriod::of_hour(over, zone, hour.parse().unwrap()).unwrap()
    }

    #[test]
    fn a_period_has_the_hours_of_its_place() {
        let berlin = Tz::Europe__Berlin;
        for (over, zone, hour, name, begins, ends) in [
            (BatchStep::Hour, berlin, "2024-01-15T07:00:00Z", "2024-01-15T07", "2024-01-15T07:00", "2024-01-15T08:00"),
            (BatchStep::Day, Tz::UTC, "2024-01-15T23:00:00Z", "2024-01-15", "2024-01-15T00:00", "2024-01-16T00:00"),
            (BatchStep::Day, berlin, "2024-01-14T23:00:00Z", "2024-01-15", "2024-01-14T23:00", "2024-01-15T23:00"),
            (BatchStep::Day, berlin, "2024-03-31T10:00:00Z", "2024-03-31", "2024-03-30T23:00", "2024-03-31T22:00"),
            (BatchStep::Week, Tz::UTC, "2024-01-01T00:00:00Z", "2024-W01", "2024-01-01T00:00", "2024-01-08T00:00"),
            (BatchStep::Week, Tz::UTC, "2023-12-31T23:00:00Z", "2023-W52", "2023-12-25T00:00", "2024-01-01T00:00"),
            (BatchStep::Month, berlin, "2024-01-31T23:00:00Z", "2024-02", "2024-01-31T23:00", "2024-02-29T23:00"),
        ] {
            let period = period(over, zone, hour);
            let minute = |at: DateTime<Utc>| at.format("%Y-%m-%dT%H:%M").to_string();
            let told = (period.to_string(), minute(period.begins), minute(period.ends));
            assert_eq!(told, (name.to_owned(), begins.to_owned(), ends.to_owned()), "{hour}");
        }
        let day = period(BatchStep::Day, berlin, "2024-01-14T23:00:00Z");
        assert_eq!(day.about.to_rfc3339(), "2024-01-15T00:00:00+00:00", "a template names the day that people mean");
    }

    #[test]
    fn in_a_zone_of_half_hours_an_hour_belongs_to_the_local_one_that_begins_in_it() {
        let india = Tz::Asia__Kolkata;
        // Midnight there is 18:30, and tasks have only the hour.
        assert_eq!(period(BatchStep::Day, india, "2024-01-14T18:00:00Z").to_string(), "2024-01-15");
        assert_eq!(period(BatchStep::Day, india, "2024-01-14T17:00:00Z").to_string(), "2024-01-14");
    }

    proptest! {
        #[test]
        fn periods_follow_each_other_without_a_gap(
            over in 0..4_usize,
            zone in prop::sample::select(vec![Tz::UTC, Tz::Europe__Berlin, Tz::America__New_York, Tz::Asia__Kolkata]),
            hour in 0..500_000_i64,
        ) {
            let over = BatchStep::ALL[over];
            let hour = DateTime::from_timestamp(hour * HOUR_SECONDS, 0).unwrap();
            let period = JoinPeriod::of_hour(over, zone, hour).unwrap();
            let next = JoinPeriod::numbered(over, zone, period.number + 1).unwrap();
            prop_assert_eq!(period.ends, next.begins);
            prop_assert!(period.about < next.about);
            // An hour of UTC may begin before the local one that it stands for.
            prop_assert!(period.begins < hour + TimeDelta::hours(1) && hour < period.ends);
            prop_assert_eq!(JoinPeriod::first_number_from(over, period.about), period.number);
            prop_assert_eq!(JoinPeriod::first_number_from(over, period.about + TimeDelta::seconds(1)), period.number + 1);
        }
    }
}
