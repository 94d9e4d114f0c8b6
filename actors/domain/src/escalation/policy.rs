//! How often a route may be told.

use std::fmt;
use std::str::FromStr;

use chrono::TimeDelta;

use crate::duration::print_duration;

/// How often a route may be told: never more often than `min`, and while alerts come at least every `max`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EscalationPolicy {
    /// The shortest interval, and how often a quiet route is checked.
    pub min_interval: TimeDelta,
    /// The longest interval.
    pub max_interval: TimeDelta,
    /// How many times as long the interval gets with each summary.
    pub factor_up: IntervalFactor,
    /// How many times shorter it gets with each check without new alerts.
    pub factor_down: IntervalFactor,
    /// How many checks without new alerts, at the shortest interval, end an incident.
    pub quiet_checks: u32,
}

impl EscalationPolicy {
    /// Twice as long with each summary, half as long with each quiet check, over at the first one at the bottom.
    pub fn new(min_interval: TimeDelta, max_interval: TimeDelta) -> Self {
        Self {
            min_interval,
            max_interval,
            factor_up: IntervalFactor::TWO,
            factor_down: IntervalFactor::TWO,
            quiet_checks: 1,
        }
    }

    /// The bounds, made usable: an interval of nothing would never end, one upside down has no room.
    pub(super) fn usable_bounds(self) -> (TimeDelta, TimeDelta) {
        let min = whole_micros(self.min_interval).max(TimeDelta::milliseconds(1));
        (min, whole_micros(self.max_interval).max(min))
    }

    pub(super) fn clamp_interval(self, interval: TimeDelta) -> TimeDelta {
        let (min, max) = self.usable_bounds();
        whole_micros(interval).clamp(min, max)
    }

    pub(super) fn longer_interval(self, interval: TimeDelta) -> TimeDelta {
        self.clamp_interval(self.factor_up.times_interval(interval))
    }

    pub(super) fn shorter_interval(self, interval: TimeDelta) -> TimeDelta {
        self.clamp_interval(self.factor_down.part_of(interval))
    }
}

/// In words: `5m to 1h20m, ×2.0 up, ÷2.0 down, all clear after 1 quiet check`.
impl fmt::Display for EscalationPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (min, max) = self.usable_bounds();
        write!(
            f,
            "{} to {}, ×{} up, ÷{} down",
            print_duration(min),
            print_duration(max),
            self.factor_up,
            self.factor_down
        )?;
        let s = if self.quiet_checks == 1 { "" } else { "s" };
        write!(f, ", all clear after {} quiet check{s}", self.quiet_checks)
    }
}

impl Default for EscalationPolicy {
    /// What counts when nobody chose: every 5 minutes to every 80.
    fn default() -> Self {
        Self::new(TimeDelta::minutes(5), TimeDelta::minutes(80))
    }
}

/// A factor in thousandths, so that policies compare and intervals are exact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct IntervalFactor(u32);

impl IntervalFactor {
    /// Nothing changes.
    pub const ONE: Self = Self(1_000);
    /// The least that still leads somewhere.
    pub const LEAST_CHANGE: Self = Self(1_100);
    /// Double, or half: what counts where nobody chose.
    pub const TWO: Self = Self(2_000);
    /// The largest factor that can be set.
    pub const MOST: Self = Self(100_000);

    /// As a number to show.
    pub fn as_f64(self) -> f64 {
        f64::from(self.0) / 1_000.0
    }

    fn times_interval(self, interval: TimeDelta) -> TimeDelta {
        self.scale_interval(interval, i128::from(self.0), 1_000)
    }

    fn part_of(self, interval: TimeDelta) -> TimeDelta {
        // A factor of nothing would divide by it.
        self.scale_interval(interval, 1_000, i128::from(self.0.max(1)))
    }

    fn scale_interval(self, interval: TimeDelta, times: i128, parts: i128) -> TimeDelta {
        let micros = i128::from(interval.num_microseconds().unwrap_or(i64::MAX)) * times / parts;
        TimeDelta::microseconds(i64::try_from(micros).unwrap_or(i64::MAX))
    }
}

/// A text that is no factor.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a factor: write a number from 1.0 to 100.0 with up to three decimals, like 2.0")]
pub struct IntervalFactorError(String);

impl FromStr for IntervalFactor {
    type Err = IntervalFactorError;

    fn from_str(text: &str) -> Result<Self, IntervalFactorError> {
        read_thousandths(text)
            .map(Self)
            .filter(|factor| (Self::ONE..=Self::MOST).contains(factor))
            .ok_or_else(|| IntervalFactorError(text.to_owned()))
    }
}

fn read_thousandths(text: &str) -> Option<u32> {
    let (whole, rest) = text.split_once('.').unwrap_or((text, ""));
    // Parsing would also take a sign.
    if rest.len() > 3 || [whole, rest].iter().any(|part| !part.bytes().all(|byte| byte.is_ascii_digit())) {
        return None;
    }
    let whole: u32 = whole.parse().ok()?;
    whole.checked_mul(1_000)?.checked_add(format!("{rest:0<3}").parse().ok()?)
}

impl fmt::Display for IntervalFactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rest = format!("{:03}", self.0 % 1_000);
        let rest = rest.trim_end_matches('0');
        write!(f, "{}.{}", self.0 / 1_000, if rest.is_empty() { "0" } else { rest })
    }
}

/// What is stored are microseconds, so that a state read back equals the one written.
pub(super) fn whole_micros(interval: TimeDelta) -> TimeDelta {
    TimeDelta::microseconds(interval.num_microseconds().unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_is_told_in_words() {
        let policy =
            EscalationPolicy { quiet_checks: 2, factor_up: IntervalFactor(3_000), ..EscalationPolicy::default() };
        assert_eq!(policy.to_string(), "5m to 1h20m, ×3.0 up, ÷2.0 down, all clear after 2 quiet checks");
        assert!(EscalationPolicy::default().to_string().ends_with("all clear after 1 quiet check"));
    }

    #[test]
    fn factors_are_read_and_written() {
        for (text, written) in [("2", "2.0"), ("2.0", "2.0"), ("1.25", "1.25"), ("1.005", "1.005"), ("100", "100.0")] {
            assert_eq!(text.parse::<IntervalFactor>().unwrap().to_string(), written);
        }
        for text in ["", "0.5", "0", "-2", "100.001", "1.0005", "two", "1e3", ".5", "2.x", "99999999999"] {
            let err = text.parse::<IntervalFactor>().unwrap_err();
            assert!(err.to_string().contains("write a number from 1.0 to 100.0"), "{text}");
        }
    }

    #[test]
    fn a_factor_lengthens_and_shortens() {
        let factor: IntervalFactor = "1.5".parse().unwrap();
        assert_eq!(factor.times_interval(TimeDelta::minutes(10)), TimeDelta::minutes(15));
        assert_eq!(factor.part_of(TimeDelta::minutes(15)), TimeDelta::minutes(10));
        assert_eq!(IntervalFactor::MOST.times_interval(TimeDelta::MAX), TimeDelta::microseconds(i64::MAX));
    }

    #[test]
    fn a_factor_is_shown_as_a_number() {
        assert!(
            (IntervalFactor(2_500).as_f64() - 2.5).abs() < f64::EPSILON
                && (IntervalFactor::ONE.as_f64() - 1.0).abs() < f64::EPSILON
        );
    }

    #[test]
    fn a_factor_has_no_sign() {
        for text in ["+2", "2.+5", "-2", "2.-5", "2.", "."] {
            assert_eq!(text.parse::<IntervalFactor>().is_ok(), text == "2.", "{text}");
        }
    }
}
