//! How long a failed task waits for its next attempt.

use chrono::TimeDelta;

use crate::duration;

/// Longest wait: what a mistyped delay can cost.
const LONGEST: TimeDelta = TimeDelta::days(30);

/// The wait of a phase without `retry_delay`.
pub const DEFAULT_DELAY: TimeDelta = TimeDelta::seconds(1);

/// The rule key `retry_delay`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum RetryDelay {
    /// Not given: one second, without jitter.
    #[default]
    Default,
    /// `30s`: that, and up to 40 % more.
    Flat(TimeDelta),
    /// `exp:30s,max=1h`: doubles with each attempt, with full jitter.
    Exponential {
        /// The bound of the first wait.
        base: TimeDelta,
        /// The bound of all.
        max: TimeDelta,
    },
}

impl RetryDelay {
    /// Reads the value of the rule key.
    pub fn parse(text: &str) -> Result<Self, String> {
        let Some(rest) = text.strip_prefix("exp:") else { return parse_wait(text).map(Self::Flat) };
        let (base, max) = match rest.split_once(',') {
            None => (parse_wait(rest)?, LONGEST),
            Some((base, max)) => {
                let max = max.trim().strip_prefix("max=").ok_or_else(|| {
                    format!("retry_delay `{text}`: after the comma comes `max=`, like `exp:30s,max=1h`")
                })?;
                (parse_wait(base)?, parse_wait(max)?)
            }
        };
        if max < base {
            return Err(format!("retry_delay `{text}`: max is below the first delay; write a larger one"));
        }
        Ok(Self::Exponential { base, max })
    }

    /// The wait before retry number `retry` (1 for the first), with `random` as its jitter.
    pub fn delay_before(self, retry: u32, random: u64) -> TimeDelta {
        match self {
            Self::Default => DEFAULT_DELAY,
            // What failed together must not come back together: the reference system added up to 40 %, too.
            Self::Flat(base) => base + uniform_share(TimeDelta::milliseconds(base.num_milliseconds() * 2 / 5), random),
            Self::Exponential { base, max } => {
                // The 32nd doubling leaves no number.
                let factor = 1_i32.checked_shl(retry.saturating_sub(1)).filter(|factor| *factor > 0);
                let grown = factor.and_then(|factor| base.checked_mul(factor)).unwrap_or(max);
                // Anything from nothing to the whole of it: of all ways to spread retries this one spreads them most.
                uniform_share(grown.min(max), random)
            }
        }
    }
}

fn parse_wait(text: &str) -> Result<TimeDelta, String> {
    let text = text.trim();
    let wait = duration::parse_duration(text).map_err(|err| format!("retry_delay: {err}"))?;
    if wait < TimeDelta::milliseconds(1) || wait > LONGEST {
        return Err(format!("retry_delay `{text}` is out of range: write 1ms to 30d"));
    }
    Ok(wait)
}

/// A uniform share of `span`, both ends included.
fn uniform_share(span: TimeDelta, random: u64) -> TimeDelta {
    let millis = span.num_milliseconds().max(0).unsigned_abs();
    // The upper half of a product of 128 bits: a remainder would prefer short waits.
    let part = (u128::from(random) * (u128::from(millis) + 1)) >> 64;
    TimeDelta::milliseconds(i64::try_from(part).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_both_forms_and_says_what_is_wrong() {
        let seconds = TimeDelta::seconds;
        assert_eq!(RetryDelay::parse("30s"), Ok(RetryDelay::Flat(seconds(30))));
        let exponential = RetryDelay::Exponential { base: seconds(30), max: seconds(3600) };
        assert_eq!(RetryDelay::parse("exp:30s,max=1h"), Ok(exponential));
        assert_eq!(RetryDelay::parse("exp:30s"), Ok(RetryDelay::Exponential { base: seconds(30), max: LONGEST }));
        for bad in ["abc", "30", "-5s", "0s", "exp:", "exp:1m,1h", "exp:1h,max=1m", "400d"] {
            assert!(RetryDelay::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn waits_grow_with_the_retry_and_spread_with_the_jitter() {
        let seconds = TimeDelta::seconds;
        let exponential = RetryDelay::Exponential { base: seconds(10), max: seconds(60) };
        let flat = RetryDelay::Flat(seconds(10));
        for (delay, retry, least, most) in [
            (RetryDelay::Default, 1, 1_000, 1_000),
            (RetryDelay::Default, 9, 1_000, 1_000),
            (flat, 1, 10_000, 14_000),
            (flat, 9, 10_000, 14_000),
            (exponential, 0, 0, 10_000),
            (exponential, 1, 0, 10_000),
            (exponential, 2, 0, 20_000),
            (exponential, 3, 0, 40_000),
            (exponential, 4, 0, 60_000),
            (exponential, 32, 0, 60_000),
            (exponential, 33, 0, 60_000),
            (exponential, u32::MAX, 0, 60_000),
        ] {
            let waits =
                [0, u64::MAX / 2 + 1, u64::MAX].map(|random| delay.delay_before(retry, random).num_milliseconds());
            assert_eq!(waits, [least, i64::midpoint(least, most), most], "{delay:?} {retry}");
        }
    }

    #[test]
    fn a_wait_is_from_a_millisecond_to_thirty_days() {
        assert_eq!(RetryDelay::parse("1ms"), Ok(RetryDelay::Flat(TimeDelta::milliseconds(1))));
        assert_eq!(RetryDelay::parse(" 30d "), Ok(RetryDelay::Flat(TimeDelta::days(30))));
        for (text, says) in [
            ("999us", "is out of range: write 1ms to 30d"),
            ("721h", "is out of range"),
            ("exp:1m,1h", "after the comma comes `max=`"),
            ("exp:1h,max=1m", "max is below the first delay"),
            ("exp:1h,max=soon", "retry_delay: `soon` is not a duration"),
        ] {
            let told = RetryDelay::parse(text).unwrap_err();
            assert!(told.contains(says), "{text}: {told}");
        }
        let same = RetryDelay::Exponential { base: TimeDelta::hours(1), max: TimeDelta::hours(1) };
        assert_eq!(RetryDelay::parse("exp:1h, max=1h"), Ok(same));
    }

    proptest! {
        #[test]
        fn waits_stay_within_their_bounds(retry in 0_u32..5_000, random: u64, millis in 1_i64..2_592_000_000) {
            let base = TimeDelta::milliseconds(millis);
            let flat = RetryDelay::Flat(base).delay_before(retry, random);
            prop_assert!(flat >= base && flat.num_milliseconds() <= millis + millis * 2 / 5);
            let max = base.max(TimeDelta::hours(1));
            let grown = RetryDelay::Exponential { base, max }.delay_before(retry, random);
            prop_assert!(grown >= TimeDelta::zero() && grown <= max);
        }
    }
}
