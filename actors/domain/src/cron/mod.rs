//! When something starts: cron in the dialect of robfig/cron v3, with daylight saving as people expect it.

mod days_off;
mod fields;
mod steps;
pub(crate) mod words;
mod zone;

use chrono::{DateTime, Datelike, TimeDelta, Timelike, Utc};
use chrono_tz::Tz;

use crate::duration;
pub use days_off::{DaysOff, OffDayRule};
use fields::CronFields;
pub(crate) use zone::{first_instant, offset_from_utc};

/// Slots further away than this don't come: 29 February is at most eight years off.
const YEARS_AHEAD: i32 = 8;

/// As long, in days.
const YEARS_BACK: i64 = YEARS_AHEAD as i64 * 366;

/// A text that is no schedule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct CronError(String);

impl CronError {
    fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

/// When something starts.
///
/// ```
/// use chrono_tz::Tz;
/// use flowlord_domain::cron::CronSchedule;
///
/// let schedule = CronSchedule::parse("CRON_TZ=Europe/Berlin 30 2 * * *", Tz::UTC)?;
/// assert_eq!(schedule.to_words(), "every day at 02:30, Europe/Berlin time");
/// // In the night in which 02:30 is skipped, the slot is at the end of the gap.
/// let slot = schedule.next_after("2021-03-27T12:00:00Z".parse().unwrap());
/// assert_eq!(slot, "2021-03-28T01:00:00Z".parse().ok());
/// assert_eq!(
///     CronSchedule::parse("* 24 * * *", Tz::UTC).unwrap_err().to_string(),
///     "hour `24` is out of range: 0 to 23, low before high"
/// );
/// # Ok::<(), flowlord_domain::cron::CronError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CronSchedule {
    zone: Tz,
    kind: ScheduleKind,
    days: Option<DaysOff>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum ScheduleKind {
    Every(TimeDelta),
    CronFields(CronFields),
}

impl CronSchedule {
    /// Reads a schedule. `zone` counts unless the text names one (`CRON_TZ=Europe/Berlin 0 3 * * *`).
    pub fn parse(spec: &str, zone: Tz) -> Result<Self, CronError> {
        if spec.is_empty() {
            return Err(CronError::new("the schedule is empty: write five fields, like `0 3 * * *`"));
        }
        let (zone, spec) = split_zone(spec, zone)?;
        let kind = match spec.strip_prefix('@') {
            Some(name) => parse_descriptor(name)?,
            None => ScheduleKind::CronFields(CronFields::parse(spec)?),
        };
        Ok(Self { zone, kind, days: None })
    }

    /// Where its fields count.
    pub fn zone(&self) -> Tz {
        self.zone
    }

    /// Whether its slots count from when it began: nobody else can tell which they are.
    pub fn is_interval(&self) -> bool {
        matches!(self.kind, ScheduleKind::Every(_))
    }

    /// The first slot after `after`; none when there is none within some years.
    pub fn next_after(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match &self.days {
            Some(days) => self.next_working(days, after),
            None => self.next_unfiltered(after),
        }
    }

    /// The first slot after `after`, also on days off.
    fn next_unfiltered(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match &self.kind {
            ScheduleKind::Every(step) => {
                let whole = after.with_nanosecond(0)?; // slots are whole seconds, whenever the service began
                whole.checked_add_signed(*step)
            }
            ScheduleKind::CronFields(fields) if fields.follows_real_time => self.next_in_real_time(fields, after),
            ScheduleKind::CronFields(fields) => self.next_by_wall_clock(fields, after),
        }
    }

    /// The first slot at or after `from`. An `@every` has begun at `from`.
    pub fn first_from(&self, from: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match self.kind {
            ScheduleKind::Every(_) => self.next_after(from),
            ScheduleKind::CronFields(_) => self.next_after(from.checked_sub_signed(TimeDelta::nanoseconds(1))?),
        }
    }

    /// The last slot before `before`, looked for within some years.
    pub fn prev_before(&self, before: DateTime<Utc>) -> Option<DateTime<Utc>> {
        if let ScheduleKind::Every(step) = &self.kind {
            // It has no slots of its own: they follow from when it began.
            return before.checked_sub_signed(*step);
        }
        let mut last = self.next_after(before.checked_sub_signed(TimeDelta::days(YEARS_BACK))?)?;
        let mut none_after = before;
        if last >= before {
            return None;
        }
        // Going through the slots one by one would take a second where there are millions.
        while none_after - last > TimeDelta::seconds(1) {
            let middle = last + (none_after - last) / 2;
            match self.next_after(middle).filter(|slot| *slot < before) {
                Some(slot) => last = slot,
                None => none_after = middle,
            }
        }
        self.next_after(last).filter(|slot| *slot < before).or(Some(last))
    }

    /// The instant from which on the wall clock shows a fitting time. A local time that is skipped moves to the
    /// end of the gap, a repeated one counts the first time.
    fn next_by_wall_clock(&self, fields: &CronFields, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let mut wall = after.with_timezone(&self.zone).naive_local().with_nanosecond(0)?;
        let last_year = wall.year() + YEARS_AHEAD;
        loop {
            wall = fields.next_wall(wall, last_year)?;
            match first_instant(self.zone, wall) {
                Some(instant) if instant > after => return Some(instant),
                // A repeated or skipped time was over already: the next one that fits.
                _ => wall = wall.checked_add_signed(TimeDelta::seconds(1))?,
            }
        }
    }

    /// The first instant at which the wall clock shows a fitting time, repeated times included.
    fn next_in_real_time(&self, fields: &CronFields, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let mut from = after.with_nanosecond(0)?.checked_add_signed(TimeDelta::seconds(1))?;
        let last_year = from.year() + YEARS_AHEAD;
        loop {
            let offset = offset_from_utc(self.zone, from);
            let wall = fields.next_wall(from.naive_utc().checked_add_signed(offset)?, last_year)?;
            let candidate = wall.checked_sub_signed(offset)?.and_utc();
            match zone::first_change(self.zone, from, candidate) {
                None => return Some(candidate),
                // Nothing fits before the clock is changed; from there on the wall shows other times.
                Some(change) => from = change,
            }
        }
    }
}

fn split_zone(spec: &str, zone: Tz) -> Result<(Tz, &str), CronError> {
    // robfig/cron takes both names, and panics where no schedule follows.
    let Some(rest) = spec.strip_prefix("CRON_TZ=").or_else(|| spec.strip_prefix("TZ=")) else {
        return Ok((zone, spec));
    };
    let Some((name, rest)) = rest.split_once(' ') else {
        return Err(CronError::new(format!(
            "`{spec}` names a time zone only: write the schedule after it, like `CRON_TZ=UTC 0 3 * * *`"
        )));
    };
    let zone = match name {
        "" => Tz::UTC,   // as Go reads an empty name
        "Local" => zone, // where the service counts, not where its machine stands
        name => name
            .parse()
            .map_err(|_| CronError::new(format!("`{name}` is not a time zone: write it like Europe/Berlin")))?,
    };
    Ok((zone, rest.trim()))
}

fn parse_descriptor(name: &str) -> Result<ScheduleKind, CronError> {
    let spec = match name {
        "yearly" | "annually" => "0 0 1 1 *",
        "monthly" => "0 0 1 * *",
        "weekly" => "0 0 * * 0",
        "daily" | "midnight" => "0 0 * * *",
        "hourly" => "0 * * * *",
        name => return parse_every(name),
    };
    CronFields::parse(spec).map(ScheduleKind::CronFields)
}

fn parse_every(name: &str) -> Result<ScheduleKind, CronError> {
    let Some(text) = name.strip_prefix("every ") else {
        return Err(CronError::new(format!(
            "`@{name}` is unknown: use @yearly, @monthly, @weekly, @daily, @hourly or `@every 5m`"
        )));
    };
    let step = duration::parse_go(text).map_err(|e| CronError::new(format!("@every: {e}")))?;
    // The reference knows no slots within a second.
    Ok(ScheduleKind::Every(TimeDelta::seconds(step.num_seconds().max(1))))
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod zone_tests;
