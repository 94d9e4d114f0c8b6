//! Times and lengths of time, as people read them.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use flowlord_domain::duration;

/// A time: its text is UTC, its `exact` lets a script show it in the viewer's zone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ShownTime {
    pub(crate) text: String,
    pub(crate) exact: String,
    /// How the script writes it: `clock`, `time`, `minute` or `full`.
    pub(crate) form: &'static str,
}

impl ShownTime {
    /// `12:00:05`, where the day is known.
    pub(crate) fn time_of_day(at: DateTime<Utc>) -> Self {
        Self { text: at.format("%H:%M:%S").to_string(), exact: exact(at), form: "time" }
    }

    pub(crate) fn date_and_time(at: DateTime<Utc>) -> Self {
        Self { text: at.format("%Y-%m-%d %H:%M").to_string(), exact: exact(at), form: "minute" }
    }

    /// `12:00` today, else with the day.
    pub(crate) fn near(at: DateTime<Utc>, now: DateTime<Utc>) -> Self {
        if at.date_naive() != now.date_naive() {
            return Self::date_and_time(at);
        }
        Self { text: at.format("%H:%M").to_string(), exact: exact(at), form: "clock" }
    }

    pub(crate) fn full(at: DateTime<Utc>) -> Self {
        Self { text: at.format("%Y-%m-%d %H:%M:%S").to_string(), exact: exact(at), form: "full" }
    }
}

fn exact(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// A length of time with no more digits than people read.
pub(crate) fn span(span: TimeDelta) -> String {
    // Workers tell times by their own clocks, which may be behind.
    let span = span.max(TimeDelta::zero());
    // Milliseconds tell short tasks apart; of longer ones they are noise.
    let rounded = if span < TimeDelta::seconds(10) {
        TimeDelta::milliseconds(span.num_milliseconds())
    } else {
        TimeDelta::seconds(span.num_seconds())
    };
    duration::print_duration(rounded)
}

/// The same in seconds.
pub(crate) fn seconds(seconds: f64) -> String {
    #[expect(clippy::cast_possible_truncation, reason = "an average run time fits")]
    let millis = (seconds * 1e3) as i64;
    span(TimeDelta::milliseconds(millis))
}

/// A long time, in its two largest units.
pub(crate) fn long(time: TimeDelta) -> String {
    let minutes = time.num_minutes().max(0);
    match (minutes / 1_440, minutes / 60 % 24, minutes % 60) {
        (0, 0, 0) => format!("{} s", time.num_seconds().max(0)),
        (0, 0, minutes) => format!("{minutes} min"),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_has_milliseconds_only_while_it_is_short() {
        let texts = [-5, 0, 120, 9_999, 10_000, 10_999, 61_500].map(|millis| span(TimeDelta::milliseconds(millis)));
        assert_eq!(texts, ["0s", "0s", "120ms", "9.99s", "10s", "10s", "1m1s"]);
        assert_eq!([0.0, 1.2504, 75.9].map(seconds), ["0s", "1.25s", "1m15s"]);
    }

    #[test]
    fn a_long_time_has_its_two_largest_units() {
        let texts = [-60, 0, 59, 60, 3_599, 3_600, 86_399, 86_400, 90_061].map(|s| long(TimeDelta::seconds(s)));
        let expected = ["0 s", "0 s", "59 s", "1 min", "59 min", "1 h 0 min", "23 h 59 min", "1 d 0 h", "1 d 1 h"];
        assert_eq!(texts, expected);
    }

    #[test]
    fn a_time_is_shown_as_precisely_as_its_place_needs() {
        let at: DateTime<Utc> = "2026-03-02T12:00:05.9Z".parse().unwrap();
        let near = [at, at + TimeDelta::days(1)].map(|now| ShownTime::near(at, now).text);
        assert_eq!(near, ["12:00", "2026-03-02 12:00"]);
        let shown = [ShownTime::time_of_day(at), ShownTime::date_and_time(at), ShownTime::full(at)];
        let texts = shown.each_ref().map(|time| (time.text.as_str(), time.form));
        assert_eq!(texts, [("12:00:05", "time"), ("2026-03-02 12:00", "minute"), ("2026-03-02 12:00:05", "full")]);
        assert!(shown.iter().all(|time| time.exact == "2026-03-02T12:00:05Z"), "what scripts read is the same");
    }
}
