//! Quiet hours: nobody is notified.

use std::fmt;

use chrono::{DateTime, Days, NaiveDateTime, NaiveTime, TimeDelta, TimeZone as _, Utc};
use chrono_tz::Tz;

use crate::cron::first_instant;

/// Hours of each day, by the wall clock of a zone, in which nobody is notified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuietHours {
    from: NaiveTime,
    to: NaiveTime,
    zone: Tz,
}

/// A text that names no hours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a range of hours: write it like 22:00-07:00")]
pub struct QuietHoursError(String);

impl QuietHours {
    /// Reads `22:00-07:00`.
    pub fn parse(text: &str, zone: Tz) -> Result<Self, QuietHoursError> {
        let read = text.split_once('-').and_then(|(from, to)| Some((read_hour(from)?, read_hour(to)?)));
        match read.filter(|(from, to)| from != to) {
            Some((from, to)) => Ok(Self { from, to, zone }),
            None => Err(QuietHoursError(text.to_owned())),
        }
    }

    /// When the quiet hours end that `now` lies in; none outside of them.
    pub fn end_of_hold(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let wall = self.wall_clock(now);
        let time = wall.time();
        let within = if self.from < self.to {
            (self.from..self.to).contains(&time)
        } else {
            time >= self.from || time < self.to
        };
        if !within {
            return None;
        }
        // Over midnight, and not there yet: it ends tomorrow.
        let days = u64::from(time >= self.to);
        let end = wall.date().checked_add_days(Days::new(days))?.and_time(self.to);
        // Where the clock is set back at the end, the first of two ends may be over already.
        first_instant(self.zone, end).map(|end| if end > now { end } else { now + TimeDelta::minutes(1) })
    }

    /// When the quiet hours begin that come next; within them, now.
    pub fn next_start(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        if self.end_of_hold(now).is_some() {
            return Some(now);
        }
        let wall = self.wall_clock(now);
        let days = u64::from(wall.time() >= self.from); // today's have begun already, and are over
        let begin = wall.date().checked_add_days(Days::new(days))?.and_time(self.from);
        first_instant(self.zone, begin).map(|begin| begin.max(now))
    }

    fn wall_clock(&self, now: DateTime<Utc>) -> NaiveDateTime {
        self.zone.from_utc_datetime(&now.naive_utc()).naive_local()
    }
}

fn read_hour(text: &str) -> Option<NaiveTime> {
    NaiveTime::parse_from_str(text.trim(), "%H:%M").ok()
}

impl fmt::Display for QuietHours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.from.format("%H:%M"), self.to.format("%H:%M"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hold(hours: &str, zone: Tz, now: &str) -> Option<String> {
        let hours = QuietHours::parse(hours, zone).unwrap();
        hours.end_of_hold(now.parse().unwrap()).map(|end| end.format("%m-%dT%H:%M").to_string())
    }

    #[test]
    fn they_end_by_the_clock_on_the_wall() {
        let berlin = Tz::Europe__Berlin;
        for (hours, zone, now, end) in [
            ("22:00-07:00", Tz::UTC, "2026-03-02T21:59:59Z", None),
            ("22:00-07:00", Tz::UTC, "2026-03-02T22:00:00Z", Some("03-03T07:00")),
            ("22:00-07:00", Tz::UTC, "2026-03-03T06:59:59Z", Some("03-03T07:00")),
            ("22:00-07:00", Tz::UTC, "2026-03-03T07:00:00Z", None),
            ("12:00-13:30", Tz::UTC, "2026-03-02T13:29:00Z", Some("03-02T13:30")),
            ("22:00-07:00", berlin, "2026-03-02T21:00:00Z", Some("03-03T06:00")),
            // The night in which the clock is set forward, back, and an end that is skipped.
            ("22:00-07:00", berlin, "2026-03-28T22:00:00Z", Some("03-29T05:00")),
            ("22:00-07:00", berlin, "2026-10-24T22:00:00Z", Some("10-25T06:00")),
            ("22:00-02:30", berlin, "2026-03-28T22:00:00Z", Some("03-29T01:00")),
            ("01:00-02:30", berlin, "2026-10-25T01:15:00Z", Some("10-25T01:16")),
        ] {
            assert_eq!(hold(hours, zone, now).as_deref(), end, "{hours} {zone} {now}");
        }
    }

    #[test]
    fn the_next_ones_begin_by_the_clock_on_the_wall() {
        let berlin = Tz::Europe__Berlin;
        for (hours, zone, now, begin) in [
            ("22:00-07:00", Tz::UTC, "2026-03-02T12:00:00Z", "03-02T22:00"),
            ("22:00-07:00", Tz::UTC, "2026-03-02T23:10:00Z", "03-02T23:10"),
            ("22:00-07:00", Tz::UTC, "2026-03-02T07:00:00Z", "03-02T22:00"),
            ("12:00-13:00", Tz::UTC, "2026-03-02T13:00:00Z", "03-03T12:00"),
            ("22:00-07:00", berlin, "2026-03-28T12:00:00Z", "03-28T21:00"),
            ("22:00-07:00", berlin, "2026-03-29T12:00:00Z", "03-29T20:00"),
        ] {
            let quiet = QuietHours::parse(hours, zone).unwrap();
            let next = quiet.next_start(now.parse().unwrap()).unwrap();
            assert_eq!(next.format("%m-%dT%H:%M").to_string(), begin, "{hours} {zone} {now}");
        }
    }

    #[test]
    fn what_are_no_hours_says_how_to_write_them() {
        for text in ["", "22:00", "22-07", "22:00-22:00", "25:00-07:00", "at night"] {
            let err = QuietHours::parse(text, Tz::UTC).unwrap_err();
            assert!(err.to_string().ends_with("like 22:00-07:00"), "{err}");
        }
        assert_eq!(QuietHours::parse(" 22:00 - 07:05", Tz::UTC).unwrap().to_string(), "22:00-07:05");
    }
}
