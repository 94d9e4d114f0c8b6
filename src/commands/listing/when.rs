//! Times and durations, as short as they can be.

use chrono::{DateTime, Local, TimeDelta, Utc};
use flowlord_domain::duration::print_duration;
use flowlord_kernel::{Clock as _, SystemClock};

/// How times are written: in the zone of this machine, today's without their day.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TimeFormat {
    now: DateTime<Utc>,
}

impl TimeFormat {
    pub(crate) fn of_now() -> Self {
        Self { now: SystemClock.now() }
    }

    pub(crate) fn time(self, at: DateTime<Utc>) -> String {
        let (at, now) = (at.with_timezone(&Local), self.now.with_timezone(&Local));
        let is_today = at.date_naive() == now.date_naive();
        at.format(if is_today { "%H:%M:%S" } else { "%Y-%m-%d %H:%M" }).to_string()
    }

    /// Empty for none.
    pub(crate) fn time_or_none(self, at: Option<DateTime<Utc>>) -> String {
        at.map(|at| self.time(at)).unwrap_or_default()
    }

    /// From one to the other, or until now; empty for what has no beginning.
    pub(crate) fn span(self, from: Option<DateTime<Utc>>, to: Option<DateTime<Utc>>) -> String {
        let Some(from) = from else { return String::new() };
        let span = to.unwrap_or(self.now) - from;
        // Fractions count for short ones only.
        let span = if span < TimeDelta::seconds(10) { span } else { TimeDelta::seconds(span.num_seconds()) };
        print_duration(span.max(TimeDelta::zero()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_today_are_short() {
        let now: DateTime<Utc> = "2026-03-02T12:00:00Z".parse().unwrap();
        let times = TimeFormat { now };
        let local = |at: DateTime<Utc>, format: &str| at.with_timezone(&Local).format(format).to_string();
        assert_eq!(times.time(now), local(now, "%H:%M:%S"));
        let before = now - TimeDelta::days(2);
        assert_eq!(times.time_or_none(Some(before)), local(before, "%Y-%m-%d %H:%M"));
        assert_eq!(times.time_or_none(None), "");
    }

    #[test]
    fn fractions_of_long_spans_are_left_out() {
        let now: DateTime<Utc> = "2026-03-02T12:00:00Z".parse().unwrap();
        let times = TimeFormat { now };
        for (millis, text) in [(250, "250ms"), (1_500, "1.5s"), (75_400, "1m15s"), (-5, "0s")] {
            let from = now - TimeDelta::milliseconds(millis);
            assert_eq!(times.span(Some(from), None), text);
            assert_eq!(times.span(Some(from - TimeDelta::days(1)), Some(now - TimeDelta::days(1))), text);
        }
        assert_eq!(times.span(None, Some(now)), "");
    }
}
