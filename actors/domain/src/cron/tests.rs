use chrono_tz::{America, Europe};
use proptest::prelude::*;

use super::*;

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn slots(spec: &str, zone: Tz, from: &str, count: usize) -> Vec<String> {
    let schedule = Schedule::parse(spec, zone).unwrap();
    let slots = std::iter::successors(schedule.next_after(at(from)), |slot| schedule.next_after(*slot));
    slots.take(count).map(|slot| slot.format("%dT%H:%M").to_string()).collect()
}

#[test]
fn a_skipped_time_starts_at_the_end_of_the_gap() {
    let berlin = slots("30 2 * * *", Europe::Berlin, "2021-03-27T12:00:00Z", 2);
    assert_eq!(berlin, ["28T01:00", "29T00:30"]);
    // All that the gap skips starts once.
    let every_minute = slots("*/10 2 * * *", Europe::Berlin, "2021-03-27T12:00:00Z", 2);
    assert_eq!(every_minute, ["28T01:00", "29T00:00"]);
    let sao_paulo = slots("0 0 * * *", America::Sao_Paulo, "2018-11-03T12:00:00Z", 2);
    assert_eq!(sao_paulo, ["04T03:00", "05T02:00"]);
}

#[test]
fn a_repeated_time_starts_the_first_time() {
    let berlin = slots("30 2 * * *", Europe::Berlin, "2021-10-30T12:00:00Z", 2);
    assert_eq!(berlin, ["31T00:30", "01T01:30"]);
    let from_within = slots("*/30 2 * * *", Europe::Berlin, "2021-10-31T01:10:00Z", 1);
    assert_eq!(from_within, ["01T01:00"]);
}

#[test]
fn an_hour_with_a_star_or_a_step_follows_real_time() {
    let hourly = slots("0 * * * *", Europe::Berlin, "2021-10-30T23:30:00Z", 4);
    assert_eq!(hourly, ["31T00:00", "31T01:00", "31T02:00", "31T03:00"]);
    let spring = slots("30 */2 * * *", Europe::Berlin, "2021-03-27T22:00:00Z", 3);
    assert_eq!(spring, ["27T23:30", "28T02:30", "28T04:30"]);
}

#[test]
fn the_last_slot_before_an_instant() {
    let before = |spec: &str, at_text: &str| {
        Schedule::parse(spec, Tz::UTC).unwrap().prev_before(at(at_text)).map(|slot| slot.to_rfc3339())
    };
    assert_eq!(before("0 0 * * *", "2021-03-04T00:00:00Z").unwrap(), "2021-03-03T00:00:00+00:00");
    assert_eq!(before("* * * * * *", "2021-03-04T00:00:00Z").unwrap(), "2021-03-03T23:59:59+00:00");
    assert_eq!(before("0 0 29 2 *", "2021-03-04T00:00:00Z").unwrap(), "2020-02-29T00:00:00+00:00");
    // Millions of slots in a month that is long over.
    assert_eq!(before("* * * * 2 *", "2021-12-04T00:00:00Z").unwrap(), "2021-02-28T23:59:59+00:00");
    assert_eq!(before("* * * * 2 *", "2021-02-01T00:00:01Z").unwrap(), "2021-02-01T00:00:00+00:00");
    assert_eq!(before("0 0 31 2 *", "2021-03-04T00:00:00Z"), None);
}

/// Found by the fuzzer: the clock goes there and back between the winter before and the slot.
#[test]
fn a_slot_in_the_hour_that_repeats_is_found_from_the_winter_before() {
    let schedule = Schedule::parse("* 2/9 25 10 *", Europe::Berlin).unwrap();
    assert_eq!(schedule.next_after(at("2098-11-22T07:43:28Z")), Some(at("2099-10-25T00:00:00Z")));
}

#[test]
fn a_problem_names_the_field_and_the_remedy() {
    let error = |spec: &str| Schedule::parse(spec, Tz::UTC).unwrap_err().to_string();
    assert_eq!(error("* 24 * * *"), "hour `24` is out of range: 0 to 23, low before high");
    assert_eq!(error("* * * FOO *"), "month `FOO` holds `FOO`, which is no number");
    assert!(error("CRON_TZ=UTC").contains("write the schedule after it"));
}

const ZONES: [Tz; 5] =
    [Tz::UTC, Europe::Berlin, America::New_York, Tz::Australia__Lord_Howe, Tz::Pacific__Apia];

proptest! {
    #[test]
    fn slots_only_move_forward(
        spec in "([0-5]?[0-9]|\\*|\\*/7) ([0-9]|1[0-9]|\\*|\\*/3|1-3) (\\*|1|15|31) (\\*|3|11) (\\*|0|mon-fri)",
        seconds in 1_300_000_000_i64..1_800_000_000,
        zone in 0..ZONES.len(),
    ) {
        let schedule = Schedule::parse(&spec, ZONES[zone]).unwrap();
        let from = DateTime::from_timestamp(seconds, 5).unwrap();
        if let Some(slot) = schedule.next_after(from) {
            prop_assert!(slot > from);
            prop_assert_eq!(schedule.next_after(slot - TimeDelta::seconds(1)), Some(slot));
            let next = schedule.next_after(slot);
            prop_assert!(next.is_none_or(|next| next > slot));
        }
    }

    #[test]
    fn any_text_is_judged(spec in ".{0,40}") {
        let _ = Schedule::parse(&spec, Tz::UTC);
    }
}
