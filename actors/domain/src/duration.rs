//! Durations as Go writes them (`1h30m`, `250ms`, `-4h`), and days in configuration (`90d`).

use std::fmt::Write;

use chrono::TimeDelta;

const NANO: i128 = 1;
const MICRO: i128 = 1_000 * NANO;
const MILLI: i128 = 1_000 * MICRO;
const SECOND: i128 = 1_000 * MILLI;
const MINUTE: i128 = 60 * SECOND;
const HOUR: i128 = 60 * MINUTE;
const DAY: i128 = 24 * HOUR;
const YEAR: i128 = 365 * DAY;

/// A text that is no duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a duration: write it like {example}")]
pub struct DurationError {
    text: String,
    example: &'static str,
}

/// Reads a duration of a configuration: Go's units and `d` for days.
pub fn parse_duration(text: &str) -> Result<TimeDelta, DurationError> {
    read_parts(text, true).ok_or_else(|| DurationError { text: text.to_owned(), example: "250ms, 90s, 5m, 4h or 90d" })
}

/// Reads a duration exactly as Go does.
pub fn parse_go(text: &str) -> Result<TimeDelta, DurationError> {
    read_parts(text, false).ok_or_else(|| DurationError { text: text.to_owned(), example: "250ms, 90s, 1h30m or -4h" })
}

/// Reads a duration of a rule: as Go does, and a bare number as nanoseconds, which is what the reference made
/// of it.
pub fn parse_rule(text: &str) -> Result<TimeDelta, DurationError> {
    match text.parse::<i64>() {
        Ok(nanos) => Ok(TimeDelta::nanoseconds(nanos)),
        Err(_) => parse_go(text),
    }
}

/// Writes a duration as Go does: `1h30m0s`.
pub fn print_go_duration(duration: TimeDelta) -> String {
    let nanos = total_nanos(duration);
    let (sign, rest) = if nanos < 0 { ("-", -nanos) } else { ("", nanos) };
    if rest < SECOND {
        return format!("{sign}{}", below_a_second(rest));
    }
    let mut text = String::from(sign);
    if rest >= HOUR {
        let _ = write!(text, "{}h", rest / HOUR);
    }
    if rest >= MINUTE {
        let _ = write!(text, "{}m", rest % HOUR / MINUTE);
    }
    let _ = write!(text, "{}s", decimal_text(rest % MINUTE, SECOND));
    text
}

/// A duration in seconds, to the nearest one.
pub fn whole_seconds(duration: TimeDelta) -> i64 {
    // The longest there is can't be rounded up.
    duration.checked_add(&TimeDelta::milliseconds(500)).unwrap_or(duration).num_seconds()
}

/// Writes a duration as a clock shows it, `01:08:00`, to the nearest second; none below zero.
pub fn print_clock(duration: TimeDelta) -> String {
    let seconds = whole_seconds(duration.max(TimeDelta::zero()));
    format!("{:02}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60)
}

/// Writes a duration for people: no zero parts, days and years of 365 days, two decimals.
pub fn print_duration(duration: TimeDelta) -> String {
    let nanos = total_nanos(duration);
    let (sign, mut rest) = if nanos < 0 { ("-", -nanos) } else { ("", nanos) };
    if rest < SECOND {
        return format!("{sign}{}", two_decimals(&below_a_second(rest)));
    }
    let mut text = String::from(sign);
    for (size, unit) in [(YEAR, 'y'), (DAY, 'd'), (HOUR, 'h'), (MINUTE, 'm')] {
        if rest >= size {
            let _ = write!(text, "{}{unit}", rest / size);
        }
        rest %= size;
    }
    if rest > 0 {
        text.push_str(&two_decimals(&format!("{}s", decimal_text(rest, SECOND))));
    }
    text
}

fn total_nanos(duration: TimeDelta) -> i128 {
    i128::from(duration.num_seconds()) * SECOND + i128::from(duration.subsec_nanos())
}

fn below_a_second(nanos: i128) -> String {
    match nanos {
        0 => "0s".to_owned(),
        n if n < MICRO => format!("{n}ns"),
        n if n < MILLI => format!("{}µs", decimal_text(n, MICRO)),
        n => format!("{}ms", decimal_text(n, MILLI)),
    }
}

/// `value / unit` exactly, without zeros at the end.
fn decimal_text(value: i128, unit: i128) -> String {
    let (whole, fraction) = (value / unit, value % unit);
    if fraction == 0 {
        return whole.to_string();
    }
    let width = unit.to_string().len() - 1;
    let fraction = format!("{fraction:0width$}");
    format!("{whole}.{}", fraction.trim_end_matches('0'))
}

fn two_decimals(text: &str) -> String {
    let Some((whole, rest)) = text.split_once('.') else { return text.to_owned() };
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    let kept = rest[..digits.min(2)].trim_end_matches('0');
    let point = if kept.is_empty() { "" } else { "." };
    format!("{whole}{point}{kept}{}", &rest[digits..])
}

fn read_parts(text: &str, days: bool) -> Option<TimeDelta> {
    let (negative, mut rest) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    if rest == "0" {
        return Some(TimeDelta::zero());
    }
    if rest.is_empty() {
        return None;
    }
    let mut total = 0_i128;
    while !rest.is_empty() {
        let (part, after) = read_part(rest, days)?;
        total += part;
        rest = after;
        // Go's durations are 64 bits of nanoseconds.
        if total > i128::from(i64::MAX) + i128::from(negative) {
            return None;
        }
    }
    let total = if negative { -total } else { total };
    i64::try_from(total).ok().map(TimeDelta::nanoseconds)
}

/// One number with its unit, and what follows.
fn read_part(text: &str, days: bool) -> Option<(i128, &str)> {
    let (whole, rest) = split_digits(text);
    let (fraction, rest) = match rest.strip_prefix('.') {
        Some(rest) => split_digits(rest),
        None => ("", rest),
    };
    // More digits than 64 bits have.
    if whole.is_empty() && fraction.is_empty() || whole.len() > 19 {
        return None;
    }
    let end = rest.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(rest.len());
    let unit = nanos_of_unit(&rest[..end], days)?;
    let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    // More digits than these are below a nanosecond of the largest unit.
    let fraction = &fraction[..fraction.len().min(15)];
    let scale = 10_i128.pow(u32::try_from(fraction.len()).ok()?);
    let fraction: i128 = if fraction.is_empty() { 0 } else { fraction.parse().ok()? };
    Some((whole * unit + fraction * unit / scale, &rest[end..]))
}

fn split_digits(text: &str) -> (&str, &str) {
    text.split_at(text.bytes().take_while(u8::is_ascii_digit).count())
}

fn nanos_of_unit(name: &str, days: bool) -> Option<i128> {
    Some(match name {
        "ns" => NANO,
        // The micro sign and the Greek letter look alike, and Go takes both.
        "us" | "µs" | "μs" => MICRO,
        "ms" => MILLI,
        "s" => SECOND,
        "m" => MINUTE,
        "h" => HOUR,
        "d" if days => DAY,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn go_s_forms_are_read() {
        let cases = [
            ("1h30m", 5_400_000_000_000),
            ("250ms", 250_000_000),
            ("-4h", -14_400_000_000_000),
            (".5s", 500_000_000),
            ("1.s", 1_000_000_000),
            ("+1.5h", 5_400_000_000_000),
            ("0", 0),
            ("1h1ns", 3_600_000_000_001),
        ];
        for (text, nanos) in cases {
            assert_eq!(parse_go(text), Ok(TimeDelta::nanoseconds(nanos)), "{text}");
        }
        for text in ["", "-", "1", "h", ".s", "1h 2m", "1d", "3000000h", "99999999999999999999h", "1x", "--1s"] {
            assert!(parse_go(text).is_err(), "{text}");
        }
    }

    #[test]
    fn days_are_for_configuration() {
        assert_eq!(parse_duration("90d"), Ok(TimeDelta::days(90)));
        assert_eq!(parse_duration("1d12h"), Ok(TimeDelta::hours(36)));
        assert_eq!(parse_rule("24"), Ok(TimeDelta::nanoseconds(24)));
    }

    #[test]
    fn clocks_show_the_nearest_second_and_nothing_below_zero() {
        for (millis, shown) in [
            (0, "00:00:00"),
            (499, "00:00:00"),
            (1_550, "00:00:02"),
            (4_080_000, "01:08:00"),
            (1_036_800_000, "288:00:00"),
            (-600_000, "00:00:00"),
        ] {
            assert_eq!(print_clock(TimeDelta::milliseconds(millis)), shown, "{millis}");
        }
        assert_eq!(print_clock(TimeDelta::MAX), "2562047788015:12:55");
    }

    #[test]
    fn durations_are_written_for_go_and_for_people() {
        for (nanos, go, people) in [
            (0, "0s", "0s"),
            (1, "1ns", "1ns"),
            (999, "999ns", "999ns"),
            (1_000, "1µs", "1µs"),
            (1_500, "1.5µs", "1.5µs"),
            (1_234_567, "1.234567ms", "1.23ms"),
            (999_999_999, "999.999999ms", "999.99ms"),
            (1_000_000_000, "1s", "1s"),
            (1_999_000_000, "1.999s", "1.99s"),
            (1_001_000_000, "1.001s", "1s"),
            (60_000_000_000, "1m0s", "1m"),
            (61_500_000_000, "1m1.5s", "1m1.5s"),
            (3_600_000_000_000, "1h0m0s", "1h"),
            (5_400_000_000_000, "1h30m0s", "1h30m"),
            (3_601_000_000_000, "1h0m1s", "1h1s"),
            (90_000_000_000_000, "25h0m0s", "1d1h"),
            (31_536_000_000_000_000, "8760h0m0s", "1y"),
            (-90_500_000_000, "-1m30.5s", "-1m30.5s"),
            (-250_000_000, "-250ms", "-250ms"),
        ] {
            let duration = TimeDelta::nanoseconds(nanos);
            assert_eq!(
                (print_go_duration(duration).as_str(), print_duration(duration).as_str()),
                (go, people),
                "{nanos}"
            );
        }
    }

    #[test]
    fn the_longest_duration_of_go_is_read_and_no_longer_one() {
        assert_eq!(parse_go("2562047h47m16.854775807s"), Ok(TimeDelta::nanoseconds(i64::MAX)));
        assert!(parse_go("2562047h47m16.854775808s").is_err());
        assert_eq!(parse_go("-2562047h47m16.854775808s"), Ok(TimeDelta::nanoseconds(i64::MIN)));
        assert!(parse_go("-2562047h47m16.854775809s").is_err());
        for (text, nanos) in [
            ("1us", 1_000),
            ("1µs", 1_000),
            ("1μs", 1_000),
            ("1.5ms", 1_500_000),
            ("0.000000001s", 1),
            ("2m", 120_000_000_000),
            ("0000000000000000001s", 1_000_000_000),
            ("1.0000000000000000009s", 1_000_000_000),
            ("-0", 0),
            ("+5s", 5_000_000_000),
        ] {
            assert_eq!(parse_go(text), Ok(TimeDelta::nanoseconds(nanos)), "{text}");
        }
        assert!(parse_go("00000000000000000001s").is_err(), "more digits than a number has");
        let told = [parse_duration("x").unwrap_err().to_string(), parse_go("x").unwrap_err().to_string()];
        assert!(told[0].ends_with("like 250ms, 90s, 5m, 4h or 90d") && told[1].ends_with("90s, 1h30m or -4h"));
    }

    #[test]
    fn seconds_are_rounded_to_the_nearest() {
        for (millis, seconds) in [(0, 0), (499, 0), (500, 1), (1_499, 1), (1_500, 2)] {
            assert_eq!(whole_seconds(TimeDelta::milliseconds(millis)), seconds, "{millis}");
        }
        assert_eq!(whole_seconds(TimeDelta::MAX), TimeDelta::MAX.num_seconds());
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(nanos: i64) {
            let duration = TimeDelta::nanoseconds(nanos);
            prop_assert_eq!(parse_go(&print_go_duration(duration)), Ok(duration));
        }

        #[test]
        fn any_text_is_judged(text in "[-+0-9.hmsnuµd ]{0,12}") {
            let _ = (parse_duration(&text), parse_go(&text), parse_rule(&text));
        }
    }
}
