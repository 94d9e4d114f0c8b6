use chrono_tz::{America, Europe};
use proptest::prelude::*;

use super::*;

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn slots(spec: &str, zone: Tz, from: &str, count: usize) -> Vec<String> {
    let schedule = CronSchedule::parse(spec, zone).unwrap();
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
        CronSchedule::parse(spec, Tz::UTC).unwrap().prev_before(at(at_text)).map(|slot| slot.to_rfc3339())
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
    let schedule = CronSchedule::parse("* 2/9 25 10 *", Europe::Berlin).unwrap();
    assert_eq!(schedule.next_after(at("2098-11-22T07:43:28Z")), Some(at("2099-10-25T00:00:00Z")));
}

#[test]
fn a_problem_names_the_field_and_the_remedy() {
    let error = |spec: &str| CronSchedule::parse(spec, Tz::UTC).unwrap_err().to_string();
    assert_eq!(error("* 24 * * *"), "hour `24` is out of range: 0 to 23, low before high");
    assert_eq!(error("* * * FOO *"), "month `FOO` has `FOO`, which is not a number");
    assert!(error("CRON_TZ=UTC").contains("write the schedule after it"));
}

const ZONES: [Tz; 5] = [Tz::UTC, Europe::Berlin, America::New_York, Tz::Australia__Lord_Howe, Tz::Pacific__Apia];

#[test]
fn the_next_slot_of_each_form() {
    for (spec, slot) in [
        ("*/20 * * * *", "2024-01-15T10:40:00"),
        ("5/25 * * * *", "2024-01-15T10:55:00"),
        ("0 9-17/4 * * *", "2024-01-15T13:00:00"),
        ("30 10 * * *", "2024-01-16T10:30:00"),
        ("31,15 10,9 * * *", "2024-01-15T10:31:00"),
        ("15 30 10 * * *", "2024-01-16T10:30:15"),
        ("50 30 10 * * *", "2024-01-15T10:30:50"),
        ("0,50 * * * * *", "2024-01-15T10:30:50"),
        ("5 31 * * * *", "2024-01-15T10:31:05"),
        ("0 0 13 * *", "2024-02-13T00:00:00"),
        ("0 0 * * fri", "2024-01-19T00:00:00"),
        ("0 0 13 * 5", "2024-01-19T00:00:00"),
        ("0 0 16 * 5", "2024-01-16T00:00:00"),
        ("0 0 */2 * mon", "2024-01-17T00:00:00"),
        ("0 0 */1 * fri", "2024-01-19T00:00:00"),
        ("0 0 ? * 2", "2024-01-16T00:00:00"),
        ("0 0 31 * *", "2024-01-31T00:00:00"),
        ("0 0 1 jan *", "2025-01-01T00:00:00"),
        ("0 0 1 Feb-APR *", "2024-02-01T00:00:00"),
        ("0 0 29 2 *", "2024-02-29T00:00:00"),
        ("59 23 31 12 *", "2024-12-31T23:59:00"),
        ("0 0 * * 0,6", "2024-01-20T00:00:00"),
        ("@every 90s", "2024-01-15T10:32:15"),
        ("@every 1500ms", "2024-01-15T10:30:46"),
        ("@every 100ms", "2024-01-15T10:30:46"),
        ("@hourly", "2024-01-15T11:00:00"),
        ("@daily", "2024-01-16T00:00:00"),
        ("@midnight", "2024-01-16T00:00:00"),
        ("@weekly", "2024-01-21T00:00:00"),
        ("@monthly", "2024-02-01T00:00:00"),
        ("@yearly", "2025-01-01T00:00:00"),
        ("@annually", "2025-01-01T00:00:00"),
        ("TZ= 0 12 * * *", "2024-01-15T12:00:00"),
        ("TZ=Local 0 12 * * *", "2024-01-15T11:00:00"),
        ("CRON_TZ=America/New_York  0 12 * * *", "2024-01-15T17:00:00"),
    ] {
        let schedule = CronSchedule::parse(spec, Europe::Berlin).unwrap();
        // Those without a zone of their own count in UTC here.
        let schedule = if spec.contains("TZ=") { schedule } else { CronSchedule::parse(spec, Tz::UTC).unwrap() };
        let next = schedule.next_after(at("2024-01-15T10:30:45.5Z"));
        assert_eq!(next.map(|slot| slot.format("%Y-%m-%dT%H:%M:%S").to_string()).as_deref(), Some(slot), "{spec}");
    }
}

#[test]
fn a_slot_may_be_the_instant_from_which_it_is_looked_for() {
    let first =
        |spec: &str| CronSchedule::parse(spec, Tz::UTC).unwrap().first_from(at("2024-01-15T10:30:00Z")).unwrap();
    assert_eq!(first("30 10 * * *"), at("2024-01-15T10:30:00Z"));
    assert_eq!(first("31 10 * * *"), at("2024-01-15T10:31:00Z"));
    assert_eq!(first("@every 5m"), at("2024-01-15T10:35:00Z"));
    let before = |spec: &str| CronSchedule::parse(spec, Tz::UTC).unwrap().prev_before(at("2024-01-15T10:30:00Z"));
    assert_eq!(before("@every 5m"), Some(at("2024-01-15T10:25:00Z")));
    assert_eq!(before("30 10 * * *"), Some(at("2024-01-14T10:30:00Z")));
    assert_eq!(before("59 29 10 * * *"), Some(at("2024-01-15T10:29:59Z")));
    assert_eq!(before("0 0 1 3 *"), Some(at("2023-03-01T00:00:00Z")));
}

#[test]
fn what_a_field_cannot_be_says_so() {
    for (spec, says) in [
        ("", "the schedule is empty"),
        ("* * * *", "expected 5 to 6 fields, found 4"),
        ("* * * * * * *", "expected 5 to 6 fields, found 7"),
        ("1/2/3 * * * *", "minute `1/2/3` has two slashes"),
        ("1-2-3 * * * *", "minute `1-2-3` has two hyphens"),
        ("*/0 * * * *", "minute `*/0` steps by 0"),
        ("*/x * * * *", "minute `*/x` has `x`"),
        ("1-x * * * *", "minute `1-x` has `x`"),
        ("60 * * * *", "minute `60` is out of range: 0 to 59"),
        ("60 0 * * * *", "second `60` is out of range: 0 to 59"),
        ("5-3 * * * *", "minute `5-3` is out of range"),
        ("50-60 * * * *", "minute `50-60` is out of range"),
        ("* * 0 * *", "day of month `0` is out of range: 1 to 31"),
        ("* * 32 * *", "day of month `32` is out of range"),
        ("* * * 13 *", "month `13` is out of range: 1 to 12"),
        ("* * * * 7", "day of week `7` is out of range: 0 to 6"),
        ("* * * * -1", "day of week `-1` has ``"),
        ("@never", "`@never` is unknown: use @yearly"),
        ("@every soon", "@every: `soon` is not a duration"),
        ("TZ=Nowhere 0 0 * * *", "`Nowhere` is not a time zone"),
    ] {
        let error = CronSchedule::parse(spec, Tz::UTC).unwrap_err().to_string();
        assert!(error.starts_with(says), "{spec}: {error}");
    }
}

proptest! {
    #[test]
    fn slots_only_move_forward(
        spec in "([0-5]?[0-9]|\\*|\\*/7) ([0-9]|1[0-9]|\\*|\\*/3|1-3) (\\*|1|15|31) (\\*|3|11) (\\*|0|mon-fri)",
        seconds in 1_300_000_000_i64..1_800_000_000,
        zone in 0..ZONES.len(),
    ) {
        let schedule = CronSchedule::parse(&spec, ZONES[zone]).unwrap();
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
        let _ = CronSchedule::parse(&spec, Tz::UTC);
    }
}
