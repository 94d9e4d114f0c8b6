//! The partner of the examples, who can't be reached for a while and then again: what people see go wrong, and mend.

use chrono::{DateTime, TimeDelta, Utc};
use flowlord_kernel::{Clock as _, SystemClock};

/// How long it is there between two outages: longer than an incident takes to end, so that the next one is another.
const UP: TimeDelta = TimeDelta::minutes(3);

#[derive(Debug, Clone, Copy)]
pub(super) struct Partner {
    begun: DateTime<Utc>,
    outage: TimeDelta,
}

impl Partner {
    /// Begins with an outage of this length; without any for zero.
    pub(super) fn new(outage: TimeDelta) -> Self {
        Self { begun: SystemClock.now(), outage }
    }

    /// When it is back; none while it is there.
    pub(super) fn back_at(&self) -> Option<DateTime<Utc>> {
        self.back_after(SystemClock.now())
    }

    fn back_after(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let cycle = (self.outage + UP).num_milliseconds();
        let since = TimeDelta::milliseconds((now - self.begun).num_milliseconds().rem_euclid(cycle));
        (since < self.outage).then(|| now - since + self.outage)
    }

    /// What people should know, when the demo begins.
    pub(super) fn story(&self) -> Option<String> {
        let [outage, up] = [self.outage, UP].map(flowlord_domain::duration::print_duration);
        (!self.outage.is_zero()).then(|| {
            format!(
                "  partner.example is down for {outage}, then up for {up}, and so on: see its tasks fail, read their\n  \
                 logs, acknowledge the incident, and rerun what failed once it is up"
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_away_at_first_then_back_and_away_again() {
        let begun = DateTime::UNIX_EPOCH;
        let at = |seconds| begun + TimeDelta::seconds(seconds);
        let partner = Partner { begun, outage: TimeDelta::seconds(60) };
        for (now, back) in [(0, Some(60)), (59, Some(60)), (60, None), (239, None), (240, Some(300)), (-1, None)] {
            assert_eq!(partner.back_after(at(now)), back.map(at), "{now}");
        }
        assert!(partner.story().unwrap().contains("down for 1m, then up for 3m"));
        let reliable = Partner { begun, outage: TimeDelta::zero() };
        assert_eq!((reliable.back_after(at(0)), reliable.story()), (None, None));
    }
}
