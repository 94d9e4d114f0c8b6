//! Between wall clocks and instants where clocks are changed.

use chrono::{DateTime, NaiveDateTime, Offset, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;

/// A gap this long is a move over the date line, not daylight saving: its times never were.
const DATE_LINE: TimeDelta = TimeDelta::hours(12);

/// How far local time is ahead of UTC at an instant.
pub(crate) fn offset_from_utc(zone: Tz, at: DateTime<Utc>) -> TimeDelta {
    let offset = zone.offset_from_utc_datetime(&at.naive_utc()).fix();
    TimeDelta::seconds(i64::from(offset.local_minus_utc()))
}

/// The first instant at which a wall clock shows `wall`, or the end of the gap that skips it.
pub(crate) fn first_instant(zone: Tz, wall: NaiveDateTime) -> Option<DateTime<Utc>> {
    match zone.from_local_datetime(&wall).earliest() {
        Some(instant) => Some(instant.with_timezone(&Utc)),
        None => end_of_gap(zone, wall),
    }
}

fn end_of_gap(zone: Tz, wall: NaiveDateTime) -> Option<DateTime<Utc>> {
    let before = offset_from_utc(zone, wall.checked_sub_signed(TimeDelta::days(2))?.and_utc());
    let after = offset_from_utc(zone, wall.checked_add_signed(TimeDelta::days(2))?.and_utc());
    // No gap lies here: the time was never skipped by daylight saving.
    if after <= before || after - before >= DATE_LINE {
        return None;
    }
    // Read with the offset that counts after the change, the time lies before it, and the other way round.
    let (low, high) = (wall.checked_sub_signed(after)?.and_utc(), wall.checked_sub_signed(before)?.and_utc());
    Some(change_between(zone, low, high))
}

/// The first change of the clock after `low`, up to `high`.
pub(super) fn first_change(zone: Tz, low: DateTime<Utc>, high: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let old = offset_from_utc(zone, low);
    let mut from = low;
    // Day by day: over a longer time the clock may have been changed there and back, within a day never.
    while from < high {
        let to = from.checked_add_signed(TimeDelta::days(1)).map_or(high, |day| day.min(high));
        if offset_from_utc(zone, to) != old {
            return Some(change_between(zone, from, to));
        }
        from = to;
    }
    None
}

/// The first instant after `low` with another offset than `low` has; `high` has another one.
pub(super) fn change_between(zone: Tz, mut low: DateTime<Utc>, mut high: DateTime<Utc>) -> DateTime<Utc> {
    let old = offset_from_utc(zone, low);
    while high - low > TimeDelta::seconds(1) {
        let middle = low + TimeDelta::seconds((high - low).num_seconds() / 2);
        if offset_from_utc(zone, middle) == old {
            low = middle;
        } else {
            high = middle;
        }
    }
    high
}
