//! What a slot starts, here and there, and how clocks move it.

use chrono::{DateTime, LocalResult, Offset as _, TimeDelta, TimeZone as _, Utc};
use chrono_tz::Tz;
use flowlord_domain::NewTask;
use flowlord_domain::query::Query;
use flowlord_domain::schedule::{CreateError, StartingSlot};
use flowlord_domain::task_time::cron_hour;
use flowlord_domain::workflow::Phase;

use super::compare::{ANY_HOST, Replay, WildIds};

/// What a slot starts: here, and as the Go program writes it where that is another text.
pub(super) struct ExpectedTask {
    pub(super) here: NewTask,
    pub(super) there: Option<NewTask>,
}

pub(super) fn cron_of(task: &NewTask) -> Option<DateTime<Utc>> {
    Query::parse_lenient(&task.meta).first_value("cron").and_then(cron_hour)
}

/// What a slot of a phase starts. The Go program writes local times, as if they were UTC.
pub(super) fn expected_tasks(
    replay: &Replay<'_>,
    phase: &Phase,
    slot: DateTime<Utc>,
) -> Result<Vec<ExpectedTask>, CreateError> {
    let starting = StartingSlot::new(phase, slot, replay.files)?;
    // The offset is added to it again; one beyond the end of time counts as none, there too.
    let about = slot.checked_add_signed(phase.rule.offset).unwrap_or(slot);
    let ahead = about.with_timezone(&replay.zone).naive_local() - about.naive_utc();
    // In UTC both programs write the same text: a second one would only be compared twice.
    let local = if ahead.is_zero() { None } else { StartingSlot::new(phase, slot + ahead, replay.files).ok() };
    let nth = |n: usize| {
        Some(ExpectedTask {
            here: starting.nth_task(n, ANY_HOST, &mut WildIds, slot)?,
            there: local.as_ref().and_then(|local| local.nth_task(n, ANY_HOST, &mut WildIds, slot)),
        })
    };
    Ok((0..starting.count()).filter_map(nth).collect())
}

/// The zone of a schedule: its own, or the one of the Go program.
fn zone_of(phase: &Phase, zone: Tz) -> Tz {
    let cron = phase.rule.cron.as_deref().unwrap_or_default();
    let named = cron.split_once("TZ=").and_then(|(_, rest)| rest.split(' ').next()?.parse().ok());
    named.unwrap_or(zone)
}

/// Whether its hours are fixed: a step or a `*` follows real time through a clock change, there and here.
pub(super) fn has_fixed_hour(phase: &Phase) -> bool {
    let cron = phase.rule.cron.as_deref().unwrap_or_default();
    let fields: Vec<&str> = cron.split_whitespace().filter(|field| !field.contains("TZ=")).collect();
    match fields.as_slice() {
        // All other names, like `@daily`, stand for a fixed hour.
        [name] => *name != "@hourly",
        [_, hour, _, _, _] | [_, _, hour, _, _, _] => !hour.contains(['*', '/', '?']),
        _ => false,
    }
}

/// Whether the clock that a schedule follows is changed at an instant.
pub(super) fn is_clock_change(phase: &Phase, zone: Tz, at: DateTime<Utc>) -> bool {
    let zone = zone_of(phase, zone);
    let offset = |at: DateTime<Utc>| zone.offset_from_utc_datetime(&at.naive_utc()).fix();
    // A slot within a gap starts at the end of the gap, which is the instant of the change.
    offset(at) != offset(at - TimeDelta::seconds(1))
}

/// Whether the wall clock shows a time again that it has shown before.
pub(super) fn is_second_time(zone: Tz, at: DateTime<Utc>) -> bool {
    let wall = at.with_timezone(&zone).naive_local();
    matches!(zone.from_local_datetime(&wall), LocalResult::Ambiguous(_, second) if second == at)
}
