//! Schedules: slots only move forward, and none is left out. The first byte is the zone, the next four the time.

#![no_main]

use chrono::{TimeDelta, Utc};
use chrono_tz::{America, Asia, Australia, Europe, Pacific, Tz};
use flowlord_domain::cron::CronSchedule;
use flowlord_fuzz::instant;
use libfuzzer_sys::fuzz_target;

const ZONES: [Tz; 8] = [
    Tz::UTC,
    Europe::Berlin,
    Europe::Dublin,
    America::New_York,
    America::Sao_Paulo,
    Asia::Kathmandu,
    Australia::Lord_Howe,
    Pacific::Apia,
];

fuzz_target!(|data: &[u8]| {
    let Some((head, spec)) = data.split_first_chunk::<5>() else { return };
    let Ok(spec) = std::str::from_utf8(spec) else { return };
    let [zone, time @ ..] = *head;
    let from = instant(time);
    let Ok(schedule) = CronSchedule::parse(spec, ZONES[usize::from(zone) % ZONES.len()]) else { return };
    let is_every = spec.contains("@every");
    let mut before = from;
    for _ in 0..6 {
        let Some(slot) = schedule.next_after(before) else { break };
        assert!(slot > before, "{spec} {before} {slot}");
        assert_eq!(slot.timestamp_subsec_nanos(), 0);
        if !is_every {
            nothing_between(&schedule, before, slot);
        }
        before = slot;
    }
    if let Some(last) = schedule.prev_before(from) {
        assert!(last < from, "{spec} {from} {last}");
        let next = schedule.next_after(last);
        assert!(is_every || next.is_none_or(|next| next >= from), "{spec} {from} {last} {next:?}");
    }
});

fn nothing_between(schedule: &CronSchedule, before: chrono::DateTime<Utc>, slot: chrono::DateTime<Utc>) {
    let span = slot - before;
    for part in 1..4 {
        let between = before + TimeDelta::seconds(span.num_seconds() * part / 4);
        if between < slot {
            assert_eq!(schedule.next_after(between), Some(slot), "from {between}, from {before}");
        }
    }
    assert_eq!(schedule.next_after(slot - TimeDelta::nanoseconds(1)), Some(slot));
}
