//! The fields of a cron expression as sets of bits.

use chrono::{Datelike, Days, NaiveDate, NaiveDateTime, NaiveTime, Timelike};

use super::CronError;

const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// What each field allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CronFields {
    pub(super) second: u64,
    pub(super) minute: u64,
    pub(super) hour: u64,
    pub(super) day: DaySet,
    pub(super) month: u64,
    pub(super) weekday: DaySet,
    /// The hour field has `*` or a step: every hour counts that really passes.
    pub(super) follows_real_time: bool,
}

/// A field of days; `any` when it was written as `*` or `?`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DaySet {
    pub(super) bits: u64,
    pub(super) any: bool,
}

struct FieldBounds {
    what: &'static str,
    min: u32,
    max: u32,
    names: &'static [&'static str],
}

const SECOND: FieldBounds = FieldBounds { what: "second", min: 0, max: 59, names: &[] };
const MINUTE: FieldBounds = FieldBounds { what: "minute", min: 0, max: 59, names: &[] };
const HOUR: FieldBounds = FieldBounds { what: "hour", min: 0, max: 23, names: &[] };
const DAY: FieldBounds = FieldBounds { what: "day of month", min: 1, max: 31, names: &[] };
const MONTH: FieldBounds = FieldBounds { what: "month", min: 1, max: 12, names: &MONTHS };
const WEEKDAY: FieldBounds = FieldBounds { what: "day of week", min: 0, max: 6, names: &DAYS };

impl CronFields {
    pub(super) fn parse(spec: &str) -> Result<Self, CronError> {
        let parts: Vec<&str> = spec.split_whitespace().collect();
        // Without a field for seconds a slot is at the full minute.
        let (second, parts) = match parts.as_slice() {
            [second, rest @ ..] if rest.len() == 5 => (*second, rest),
            rest if rest.len() == 5 => ("0", rest),
            rest => {
                return Err(CronError::new(format!(
                    "expected 5 to 6 fields, found {}: write minute, hour, day of month, month, day of week",
                    rest.len()
                )));
            }
        };
        Ok(Self {
            second: SECOND.parse_set(second)?.bits,
            minute: MINUTE.parse_set(parts[0])?.bits,
            hour: HOUR.parse_set(parts[1])?.bits,
            day: DAY.parse_set(parts[2])?,
            month: MONTH.parse_set(parts[3])?.bits,
            weekday: WEEKDAY.parse_set(parts[4])?,
            // People who name hours mean the clock on the wall, all others the time that passes.
            follows_real_time: parts[1].contains(['*', '?', '/']),
        })
    }

    /// The first fitting time of a wall clock, at or after `from`.
    pub(super) fn next_wall(&self, from: NaiveDateTime, last_year: i32) -> Option<NaiveDateTime> {
        let mut date = from.date();
        let mut earliest = from.time();
        while date.year() <= last_year {
            if !has_bit(self.month, date.month()) {
                date = first_of_next_month(date)?;
            } else if let Some(time) = self.fits_date(date).then(|| self.next_time(earliest)).flatten() {
                return Some(date.and_time(time));
            } else {
                date = date.checked_add_days(Days::new(1))?;
            }
            earliest = NaiveTime::MIN; // only the first day begins within itself
        }
        None
    }

    fn fits_date(&self, date: NaiveDate) -> bool {
        let day = has_bit(self.day.bits, date.day());
        let weekday = has_bit(self.weekday.bits, date.weekday().num_days_from_sunday());
        // As in every cron: `0 0 13 * 5` is each 13th and each Friday, while a star restricts nothing.
        if self.day.any || self.weekday.any { day && weekday } else { day || weekday }
    }

    fn next_time(&self, from: NaiveTime) -> Option<NaiveTime> {
        let (hour, minute, second) = (from.hour(), from.minute(), from.second());
        if has_bit(self.hour, hour) {
            let this_minute = has_bit(self.minute, minute).then(|| first_bit(self.second, second)).flatten();
            if let Some(second) = this_minute {
                return NaiveTime::from_hms_opt(hour, minute, second);
            }
            if let Some(minute) = first_bit(self.minute, minute + 1) {
                return NaiveTime::from_hms_opt(hour, minute, first_bit(self.second, 0)?);
            }
        }
        let hour = first_bit(self.hour, hour + 1)?;
        NaiveTime::from_hms_opt(hour, first_bit(self.minute, 0)?, first_bit(self.second, 0)?)
    }
}

impl FieldBounds {
    fn parse_set(&self, field: &str) -> Result<DaySet, CronError> {
        let mut set = DaySet { bits: 0, any: false };
        // robfig/cron passes over empty parts, so files with `1,,5` work.
        for part in field.split(',').filter(|part| !part.is_empty()) {
            let (bits, any) = self.parse_range(part)?;
            set.bits |= bits;
            set.any |= any;
        }
        Ok(set)
    }

    /// `a`, `a-b`, `*`, `?`, each with `/step`.
    fn parse_range(&self, text: &str) -> Result<(u64, bool), CronError> {
        let (range, step_text) = match text.split_once('/') {
            Some((_, step)) if step.contains('/') => return Err(self.part_error(text, "has two slashes")),
            Some((range, step)) => (range, Some(step)),
            None => (text, None),
        };
        let step = match step_text {
            Some(step) => self.parse_number(step, text)?,
            None => 1,
        };
        if step == 0 {
            return Err(self.part_error(text, "steps by 0: a step is at least 1"));
        }
        let (low, high) = range.split_once('-').unwrap_or((range, ""));
        if low == "*" || low == "?" {
            // With a step it restricts, as in the reference, although it has a star.
            return Ok((stepped_bits(self.min, self.max, step), step == 1));
        }
        let start = self.parse_value(low, text)?;
        let end = match (range.contains('-'), step_text) {
            (true, _) if high.contains('-') => return Err(self.part_error(text, "has two hyphens")),
            (true, _) => self.parse_value(high, text)?,
            (false, Some(_)) => self.max, // `5/10` steps to the end of the field
            (false, None) => start,
        };
        if start < self.min || end > self.max || start > end {
            let limits = format!("is out of range: {} to {}, low before high", self.min, self.max);
            return Err(self.part_error(text, &limits));
        }
        Ok((stepped_bits(start, end, step), false))
    }

    fn parse_value(&self, text: &str, part: &str) -> Result<u32, CronError> {
        let name = self.names.iter().position(|name| name.eq_ignore_ascii_case(text));
        match name.and_then(|index| u32::try_from(index).ok()) {
            Some(index) => Ok(index + self.min),
            None => self.parse_number(text, part),
        }
    }

    fn parse_number(&self, text: &str, part: &str) -> Result<u32, CronError> {
        text.parse().map_err(|_| self.part_error(part, &format!("has `{text}`, which is not a number")))
    }

    fn part_error(&self, part: &str, problem: &str) -> CronError {
        CronError::new(format!("{} `{part}` {problem}", self.what))
    }
}

fn stepped_bits(start: u32, end: u32, step: u32) -> u64 {
    let step = usize::try_from(step).unwrap_or(usize::MAX); // a step beyond the field leaves its first value
    (start..=end).step_by(step).fold(0, |bits, n| bits | 1 << n)
}

fn has_bit(bits: u64, n: u32) -> bool {
    bits & (1 << n) != 0
}

/// The lowest member at or above `from`.
fn first_bit(bits: u64, from: u32) -> Option<u32> {
    let rest = bits.checked_shr(from)?;
    (rest != 0).then(|| from + rest.trailing_zeros())
}

fn first_of_next_month(date: NaiveDate) -> Option<NaiveDate> {
    match date.month() {
        12 => NaiveDate::from_ymd_opt(date.year() + 1, 1, 1),
        month => NaiveDate::from_ymd_opt(date.year(), month + 1, 1),
    }
}
