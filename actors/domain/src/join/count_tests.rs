//! What a join waits for, how it counts what is there, and what it says of that.

use chrono::TimeDelta;
use chrono_tz::Tz;
use proptest::prelude::*;

use super::cache::PeriodCache;
use super::tests::{arrivals, at, count_at, daily, join, phase, workflows};
use super::*;
use crate::ids::fixed::FixedIds;
use crate::plan::{PlanLimits, PlannedOutcome, SlotPlan};
use crate::query::Query;
use crate::schedule::NoFiles;

const DAY: &str = "2024-01-15T12:00:00Z";

/// What the phase `sum` waits for on a day; phases are given by their names and keys.
fn count_of(phases: &[(&str, &str)]) -> Arc<JoinCount> {
    let text: String = phases.iter().map(|(name, keys)| phase(name, keys)).collect();
    count_at(&workflows(Tz::UTC, &[("w.toml", &text)]), "sum", DAY).1
}

fn sum_over(over: &'static str, parents: &str) -> String {
    format!("dependsOn = [{parents}]\nrule = \"over={over}\"")
}

#[test]
fn a_progress_says_what_is_there_and_what_is_missing() {
    let names = |count: usize| (0..count).map(|hour| format!("T{hour:02}")).collect::<Vec<_>>();
    for (have, need, missing, words) in [
        (0, 2, names(2), "0 of 2: waits for T00, T01"),
        (1, 2, names(1), "1 of 2: waits for T00"),
        (1, 2, Vec::new(), "1 of 2"),
        (2, 2, Vec::new(), "2 of 2"),
        (2, 1, names(3), "2 of 1"),
        (3, 0, Vec::new(), "3 are there"),
        (3, 0, names(1), "3 are there: waits for T00"),
        (0, 10, names(10), "0 of 10: waits for T00, T01, T02, T03, T04, T05, T06, T07, T08, T09"),
        (0, 11, names(11), "0 of 11: waits for T00, T01, T02, T03, T04, T05, T06, T07, T08, T09 and 1 more"),
    ] {
        assert_eq!(JoinProgress { have, need, missing }.to_words(), words);
    }
}

#[test]
fn a_progress_is_complete_with_all_that_it_needs_and_never_without_a_number() {
    let is_complete = |have, need| JoinProgress { have, need, missing: Vec::new() }.is_complete();
    assert!(is_complete(2, 2) && is_complete(3, 2));
    assert!(!is_complete(1, 2) && !is_complete(0, 0) && !is_complete(5, 0));
}

#[test]
fn a_period_counts_as_scheduled_only_where_every_parent_is_known_and_one_has_slots() {
    let cases = [
        (("rule = \"cron=0 3 * * *\"", "rule = \"cron=0 3 1 * *\""), true),
        (("rule = \"cron=0 3 1 * *\"", "rule = \"cron=0 4 2 * *\""), false),
        (("rule = \"cron=0 3 * * *\"", "rule = \"files=/in/*.csv\""), false),
        (("rule = \"cron=0 3 1 * *\"", "rule = \"files=/in/*.csv\""), false),
    ];
    for ((a, b), is_scheduled) in cases {
        let count = count_of(&[("a", a), ("b", b), ("sum", &sum_over("day", "\"a\", \"b\""))]);
        assert_eq!(count.is_scheduled(), is_scheduled, "{a} {b}");
    }
}

#[test]
fn hours_are_shared_only_by_several_tasks_of_one_parent() {
    for (a, b, is_shared) in [
        ("cron=*/15 3 * * *", "cron=0 4 * * *", true),
        ("cron=0 3 * * *", "cron=0 3 * * *", false),
        ("cron=0 3,4 * * *", "cron=0 4 * * *&meta=r:eu,us", true),
    ] {
        let (a, b) = (format!("rule = \"{a}\""), format!("rule = \"{b}\"\ntemplate = \"{{meta:r}}\""));
        let count = count_of(&[("a", &a), ("b", &b), ("sum", &sum_over("day", "\"a\", \"b\""))]);
        assert_eq!(count.has_shared_hour(), is_shared, "{a} {b}");
    }
}

#[test]
fn with_one_parent_unknown_what_is_there_is_counted_and_never_enough() {
    let known = ("a", "rule = \"cron=0 3 * * *\"");
    let unknown = ("b", "rule = \"files=/in/*.csv\"");
    let count = count_of(&[known, unknown, ("sum", &sum_over("day", "\"a\", \"b\""))]);
    let there = ["w.toml#a@2024-01-15T03", "w.toml#b@2024-01-15T07"];
    let progress = count.progress(there);
    assert_eq!((progress.have, progress.need, progress.missing.len()), (2, 0, 0));
    assert!(!count.is_complete(there.into_iter()));
    assert_eq!(count.progress([]).missing, ["a T03"], "what is known is named");
}

#[test]
fn as_many_arrivals_as_are_needed_are_not_enough_where_they_are_others() {
    let count = count_of(&[("a", "rule = \"cron=0 3,4 * * *\""), ("sum", &sum_over("day", "\"a\""))]);
    let complete = |keys: &[&str]| count.is_complete(keys.iter().copied());
    assert!(complete(&["w.toml#a@2024-01-15T03", "w.toml#a@2024-01-15T04"]));
    assert!(!complete(&["w.toml#a@2024-01-15T03", "w.toml#a@2024-01-15T05"]));
    assert!(!complete(&["w.toml#a@2024-01-15T03", "w.toml#a@2024-01-15T03/00ff"]), "one slot twice");
    assert!(!complete(&["w.toml#a@2024-01-15T04"]));
}

#[test]
fn a_number_counts_whatever_arrived() {
    let count =
        count_of(&[("a", "rule = \"cron=0 3 * * *\""), ("sum", "dependsOn = [\"a\"]\nrule = \"over=day&join=2\"")]);
    let progress = count.progress(["w.toml#a@2024-01-15T03", "w.toml#gone@2024-01-15T09"]);
    assert_eq!((progress.have, progress.need, progress.is_complete()), (2, 2, true));
}

#[test]
fn lists_are_in_the_order_of_the_parents_and_then_of_time() {
    let text = phase("a", "rule = \"cron=0 3,4 * * *\"")
        + &phase("b", "rule = \"cron=0 2 * * *\"")
        + &phase("sum", "dependsOn = [\"b\", \"a\"]\nrule = \"over=day\"\ntemplate = \"{meta:files}\"");
    let workflows = workflows(Tz::UTC, &[("w.toml", &text)]);
    let arrival = &arrivals(&workflows, ("w.toml", "a"), "2024-01-15T03:00:00Z", "")[0];
    let arrived =
        [("a@2024-01-15T04", "a4"), ("new@2024-01-15T01", "n"), ("a@2024-01-15T03", "a3"), ("b@2024-01-15T02", "b2")];
    let arrived = arrived.map(|(slot, file)| (format!("w.toml#{slot}"), format!("file={file}"))).to_vec();
    let tasks = arrival.count.start_tasks(&arrival.start, arrived).unwrap();
    assert_eq!(tasks[0].info, "b2,a3,a4,n");
}

#[test]
fn missing_tasks_are_named_by_what_tells_them_apart() {
    for (over, hours, names) in [
        ("hour", "12", &["a"][..]),
        ("day", "3,14", &["T03", "T14"]),
        ("week", "3", &["01-15", "01-16", "01-17", "01-18", "01-19", "01-20", "01-21"]),
        ("week", "3,14", &["01-15T03", "01-15T14", "01-16T03"]),
        ("month", "3", &["01-01", "01-02"]),
    ] {
        let over = match over {
            "hour" => "dependsOn = [\"a\"]\nrule = \"join=1&over=hour\"".to_owned(),
            over => sum_over(over, "\"a\""),
        };
        let over: &str = &over;
        let count = count_of(&[("a", &format!("rule = \"cron=0 {hours} * * *\"")), ("sum", over)]);
        let missing = count.progress([]).missing;
        assert_eq!(missing[..names.len()], *names, "{over}");
    }
}

#[test]
fn a_parent_that_is_written_twice_is_waited_for_once() {
    let count = count_of(&[("a", "rule = \"cron=0 3 * * *\""), ("sum", &sum_over("day", "\"a\", \"a\""))]);
    assert_eq!(count.count_expected(), 1);
}

#[test]
fn only_tasks_that_share_a_slot_are_told_apart_by_their_info() {
    let text = phase("often", "rule = \"cron=0,30 3,4 * * *\"\ntemplate = \"{ts}\"")
        + &phase("once", "rule = \"cron=0 5 * * *\"\ntemplate = \"{ts}\"")
        + &phase("sum", &sum_over("day", "\"often\", \"once\""));
    let workflows = workflows(Tz::UTC, &[("w.toml", &text)]);
    let slots =
        |task: &str, hour: &str, info: &str| arrivals(&workflows, ("w.toml", task), hour, info)[0].slots.clone();
    assert_eq!(slots("once", "2024-01-15T05:00:00Z", "x"), ["w.toml#once@2024-01-15T05"]);
    let shared = slots("often", "2024-01-15T03:00:00Z", "x");
    let (slot, digest) = shared[0].split_once('/').unwrap();
    assert_eq!((slot, digest.len()), ("w.toml#often@2024-01-15T03", 16));
    assert_eq!(
        slots("often", "2024-01-15T07:00:00Z", "x"),
        ["w.toml#often@2024-01-15T07"],
        "an hour that no schedule has"
    );
}

#[test]
fn what_is_stored_of_a_task_stays_the_same_in_later_versions() {
    assert_eq!(slot_of("w.toml#a@2024-01-15T03/00ff"), "w.toml#a@2024-01-15T03");
    assert_eq!(slot_of("etl/w.toml#a@2024-01-15T03"), "etl/w.toml#a@2024-01-15T03", "a folder is no digest");
    assert_eq!(digest("often", "x"), 0xae2f_9472_0ed5_1b77);
    assert_ne!(digest("often", "x"), digest("often", "y"));
    assert_ne!(digest("ab", "c"), digest("a", "bc"), "where a name ends counts");
}

#[test]
fn a_joins_number_is_that_of_the_period_of_an_hour() {
    let workflows = daily(Tz::Europe__Berlin, "");
    let sum = join(&workflows, "sum");
    let number = |hour: &str| sum.join_number_at(&workflows, at(hour)).unwrap();
    let (period, _) = count_at(&workflows, "sum", DAY);
    assert_eq!(number(DAY), period.number);
    assert_eq!(number("2024-01-14T23:00:00Z"), period.number, "midnight in Berlin");
    assert_eq!(number("2024-01-14T22:00:00Z"), period.number - 1);
    assert_eq!(sum.join_period(&workflows, period.number), Some(period));
}

#[test]
fn what_starts_follows_the_task_that_has_another_id_by_now() {
    let mut arrival = arrivals(&daily(Tz::UTC, ""), ("w.toml", "x"), DAY, "").remove(0);
    arrival.rename_parent(Uid(7));
    assert_eq!(arrival.start.base().parent, Some(Uid(7)));
}

#[test]
fn an_arrival_is_late_after_the_end_of_its_period_if_the_rule_says_so() {
    let late_at = |rule: &str| arrivals(&daily(Tz::UTC, rule), ("w.toml", "x"), DAY, "")[0].late_at;
    assert_eq!(late_at("&join_by=6h"), Some(at("2024-01-16T06:00:00Z")));
    assert_eq!(late_at(""), None);
}

#[test]
fn a_join_of_an_hour_starts_in_hours_of_all_parents_or_of_any() {
    for (rule, hours) in [("", 2), ("rule = \"join=any\"", 6), ("rule = \"over=hour\"", 6), ("rule = \"join=2\"", 6)] {
        let both = format!("dependsOn = [\"a\", \"b\"]\n{rule}");
        let count = count_of(&[
            ("a", "rule = \"cron=0 1-4 * * *\""),
            ("b", "rule = \"cron=0 3-6 * * *\""),
            ("both", &both),
            ("sum", &sum_over("day", "\"both\"")),
        ]);
        assert_eq!(count.count_expected(), hours, "{rule}");
    }
}

#[test]
fn a_join_over_days_starts_on_days_of_any_parent() {
    let count = count_of(&[
        ("a", "rule = \"cron=0 1 * * mon\""),
        ("b", "rule = \"cron=0 1 * * tue\""),
        ("day", &sum_over("day", "\"a\", \"b\"")),
        ("sum", &sum_over("week", "\"day\"")),
    ]);
    assert_eq!(count.progress([]).missing, ["01-15", "01-16"]);
}

#[test]
fn slots_far_before_and_after_count_where_their_tasks_are_about_the_period() {
    for (rule, expected) in [
        ("cron=0 4 * * sat&for=72h&by=day", 1),
        ("cron=0 4 * * thu&for=-72h&by=day", 1),
        ("cron=0 4 * * sat&for=24h&by=day", 0),
        ("cron=0 4 * * thu&for=-48h&by=day", 0),
        ("cron=0 4 * * sat&offset=49h", 1),
        ("cron=0 4 * * thu&offset=-73h", 1),
        ("cron=0 4 * * sat&offset=24h&for=24h&by=day", 1),
    ] {
        let count = count_of(&[("a", &format!("rule = \"{rule}\"")), ("sum", &sum_over("day", "\"a\""))]);
        assert_eq!(count.count_expected(), expected, "{rule}");
    }
}

#[test]
fn days_of_a_join_begin_as_those_of_its_parents() {
    let zone_of = |keys: &[(&str, &str)]| {
        let text: String = keys.iter().map(|(name, keys)| phase(name, keys)).collect();
        let workflows = workflows(Tz::Europe__Berlin, &[("w.toml", &text)]);
        join(&workflows, "sum").join_zone(&workflows)
    };
    let sum = sum_over("day", "\"p\"");
    let tokyo = "rule = \"cron=CRON_TZ=Asia/Tokyo 0 3 * * *\"";
    assert_eq!(zone_of(&[("p", tokyo), ("sum", &sum)]), Tz::Asia__Tokyo);
    assert_eq!(zone_of(&[("a", tokyo), ("p", "dependsOn = \"a\""), ("sum", &sum)]), Tz::Asia__Tokyo);
    assert_eq!(zone_of(&[("a", tokyo), ("p", &sum_over("hour", "\"a\"")), ("sum", &sum)]), Tz::Asia__Tokyo);
    assert_eq!(zone_of(&[("a", tokyo), ("p", &sum_over("day", "\"a\"")), ("sum", &sum)]), Tz::UTC, "days are days");
    assert_eq!(zone_of(&[("p", ""), ("sum", &sum)]), Tz::Europe__Berlin, "that of the configuration");
}

#[test]
fn parents_never_meet_only_where_their_hours_are_known_and_differ() {
    let sample = at("2024-01-01T00:00:00Z")..at("2024-03-01T00:00:00Z");
    for (a, b, is_never) in [
        ("cron=0 3 * * *", "cron=0 4 * * *", true),
        ("cron=0 3 * * *", "cron=30 3 * * *", false),
        ("cron=0 3 * * *", "cron=0 4 * * *&offset=-1h", false),
        ("cron=0 3 * * *", "files=/in/*", false),
        ("cron=0 3 * * *", "cron=0 3 1 6 *", false),
    ] {
        let [a_keys, b_keys] = [a, b].map(|rule| format!("rule = \"{rule}\""));
        let text = phase("a", &a_keys) + &phase("b", &b_keys) + &phase("c", "dependsOn = [\"a\", \"b\"]");
        let workflows = workflows(Tz::UTC, &[("w.toml", &text)]);
        assert_eq!(never_meets(&workflows, join(&workflows, "c"), &sample), is_never, "{a} {b}");
    }
}

fn key_of(workflows: &Workflows, task: &str) -> JoinKey {
    let (period, _) = count_at(workflows, task, DAY);
    join(workflows, task).join_key(&period)
}

#[test]
fn a_key_names_a_join_only_by_its_task_and_its_period() {
    let workflows = daily(Tz::UTC, "&meta-file=rows.csv");
    let key = key_of(&workflows, "sum");
    let (period, progress) = join_progress(&workflows, &key, &["w.toml#x@2024-01-15T03".to_owned()]).unwrap();
    assert_eq!((period.to_string().as_str(), progress.have, progress.need), ("2024-01-15", 1, 24));
    assert_eq!(meta_file_of(&workflows, &key).as_deref(), Some("rows.csv"));
    for other in [
        JoinKey { task: "x".to_owned(), ..key.clone() },
        JoinKey { task: "gone".to_owned(), ..key.clone() },
        JoinKey { workflow: "gone.toml".to_owned(), ..key.clone() },
        JoinKey { over: BatchStep::Hour, ..key.clone() },
    ] {
        assert_eq!(join_progress(&workflows, &other, &[]), None, "{other:?}");
        assert_eq!(meta_file_of(&workflows, &other), None);
    }
}

#[test]
fn the_alert_of_a_late_join_names_its_job_and_its_time() {
    let text = phase("x", "rule = \"cron=0 3 * * *\"")
        + &phase("sum:day", "dependsOn = \"x\"\nrule = \"over=day&join_by=2h\"");
    let workflows = workflows(Tz::UTC, &[("w.toml", &text)]);
    let (key, now) = (key_of(&workflows, "sum:day"), at("2024-01-16T02:00:00Z"));
    let late = late_join(&workflows, &key, (now, "host"), &mut FixedIds::default(), &NoFiles).unwrap();
    assert!(late.starts, "with what is there, unless the rule says otherwise");
    assert_eq!(late.begins, at("2024-01-15T00:00:00Z"));
    let alert = late.alert(&late.count.progress([]), now);
    assert_eq!((alert.topic.as_str(), alert.job.as_str(), alert.at), ("sum", "day", now));
    assert_eq!(alert.task_time, Some(at("2024-01-15T00:00:00Z")));
}

#[test]
fn joins_pass_their_limit_once_each_and_only_with_something_to_wait_for() {
    let text = phase("x", "rule = \"cron=0 3 * * mon,tue\"")
        + &phase("late", "dependsOn = \"x\"\nrule = \"over=day&join_by=2h\"")
        + &phase("never", "dependsOn = \"x\"\nrule = \"over=day\"");
    let workflows = workflows(Tz::UTC, &[("w.toml", &text)]);
    let passed = |after: &str, until: &str| {
        let keys = passed_joins(&workflows, at(after), at(until)).into_iter();
        let periods =
            keys.map(|key| (key.task.clone(), join(&workflows, "late").join_period(&workflows, key.period).unwrap()));
        periods.map(|(task, period)| format!("{task} {period}")).collect::<Vec<_>>()
    };
    // Monday the 15th and Tuesday end at midnight, and are late two hours after it.
    assert_eq!(passed("2024-01-15T02:00:00Z", "2024-01-19T00:00:00Z"), ["late 2024-01-15", "late 2024-01-16"]);
    assert_eq!(passed("2024-01-16T01:59:59Z", "2024-01-16T02:00:00Z"), ["late 2024-01-15"]);
    assert!(passed("2024-01-16T02:00:00Z", "2024-01-17T01:59:59Z").is_empty());
}

fn file_key(number: i64) -> (String, (usize, usize), i64) {
    ("w.toml".to_owned(), (1, 1), number)
}

#[test]
fn what_was_read_of_schedules_is_kept_beside_each_other() {
    let cache = PeriodCache::default();
    assert_eq!([1, 2].map(|number| cache.find_or_read(file_key(number), || (number, 24))), [1, 2]);
    assert_eq!([1, 2].map(|number| cache.find_or_read(file_key(number), || (99, 24))), [1, 2], "nothing is read again");
    let elsewhere = ("w.toml".to_owned(), (2, 1), 1);
    assert_eq!(cache.find_or_read(elsewhere, || (3, 24)), 3, "another phase");
}

#[test]
fn periods_without_slots_take_room_too() {
    let cache = PeriodCache::default();
    (0..=200_000).for_each(|number| _ = cache.find_or_read(file_key(number), || (number, 0)));
    assert_eq!(cache.find_or_read(file_key(200_000), || (-1, 0)), 200_000);
    assert_eq!(cache.find_or_read(file_key(0), || (-1, 0)), -1, "forgotten");
}

/// The hours that the tasks of a plan are about, of one phase.
fn planned_hours(workflows: &Workflows, task: &str, from: DateTime<Utc>, until: DateTime<Utc>) -> Vec<DateTime<Utc>> {
    let limits = PlanLimits { tasks: 100, followers: 0, depth: 0 };
    let planned = SlotPlan::new(workflows, &NoFiles, from, until, limits);
    let tasks = planned.filter_map(|planned| match planned.what {
        PlannedOutcome::Task(step) if step.task == task => Some(step),
        PlannedOutcome::Task(_) => None,
        other => panic!("{other:?}"),
    });
    tasks
        .map(|step| at(&format!("{}:00:00Z", Query::parse(&step.meta).unwrap().first_value("cron").unwrap())))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// A join waits for as many tasks as a plan starts about the hours of its period, whatever the schedule is.
    #[test]
    fn what_is_waited_for_is_what_starts(
        hours in prop::collection::btree_set(0..24_u32, 1..5),
        minutes in prop::sample::select(vec!["0", "7,37", "*/15"]),
        offset in -50..50_i64,
        rows in 1..4_usize,
        days_off in prop::sample::select(vec!["", "&not_on=sat,sun", "&not_on=sat,sun,01-17&on=next", "&not_on=mon&on=previous"]),
        over in prop::sample::select(vec!["hour", "day", "week", "month"]),
        zone in prop::sample::select(vec![Tz::UTC, Tz::Europe__Berlin, Tz::America__New_York, Tz::Asia__Kolkata]),
        day in 0..360_i64,
    ) {
        let hours = hours.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
        let values = (0..rows).map(|row| row.to_string()).collect::<Vec<_>>().join(",");
        let rule = format!("cron={minutes} {hours} * * *&offset={offset}h&meta=r:{values}{days_off}");
        let text = phase("x", &format!("rule = \"{rule}\"\ntemplate = \"{{ts}}{{meta:r}}\""))
            + &phase("sum", &sum_over(over, "\"x\""));
        let workflows = workflows(zone, &[("w.toml", &text)]);
        let noon = at("2024-01-01T12:00:00Z") + TimeDelta::days(day);
        let (period, count) = count_at(&workflows, "sum", &noon.to_rfc3339());
        // A slot is at most two days and those off before or after the hour that its task is about.
        let reach = TimeDelta::days(9);
        let planned = planned_hours(&workflows, "x", period.begins - reach, period.ends + reach);
        let own = planned.iter().filter(|hour| join(&workflows, "sum").join_number_at(&workflows, **hour) == Some(period.number));
        let mut expected: BTreeMap<String, usize> = BTreeMap::new();
        own.for_each(|hour| *expected.entry(format!("w.toml#x@{}", cron_text(*hour))).or_default() += 1);
        let waited: BTreeMap<String, usize> = count.slots.iter().map(|slot| (slot.key.clone(), slot.count)).collect();
        prop_assert_eq!(waited, expected, "{} over {} in {}", rule, over, zone);
    }

    /// Whatever arrives in whatever order: it is complete once each slot has as many tasks as it is to have.
    #[test]
    fn a_join_is_complete_with_all_of_its_tasks_and_with_nothing_less(
        order in prop::collection::vec(any::<prop::sample::Index>(), 0..40),
        shared in 1..4_usize,
    ) {
        let text = phase("x", &format!("rule = \"cron=0 1,2,3 * * *&meta=r:{}\"\ntemplate = \"{{meta:r}}\"", &"1,2,3"[..2 * shared - 1]))
            + &phase("sum", &sum_over("day", "\"x\""));
        let workflows = workflows(Tz::UTC, &[("w.toml", &text)]);
        let (_, count) = count_at(&workflows, "sum", DAY);
        let slot = |hour: usize| format!("w.toml#x@2024-01-15T{hour:02}");
        let all: Vec<String> = (1..=3)
            .flat_map(|hour| (0..shared).map(move |n| (hour, n)))
            .map(|(hour, n)| if shared > 1 { format!("{}/{n:016x}", slot(hour)) } else { slot(hour) })
            .collect();
        prop_assert_eq!(count.count_expected(), all.len());
        let mut arrived: BTreeSet<&str> = BTreeSet::new();
        for index in order {
            arrived.insert(index.get::<String>(&all));
            let progress = count.progress(arrived.iter().copied());
            prop_assert_eq!((progress.have, progress.need), (arrived.len(), all.len()));
            prop_assert_eq!(count.is_complete(arrived.iter().copied()), arrived.len() == all.len());
            prop_assert_eq!(progress.missing.is_empty(), arrived.len() == all.len());
        }
    }
}
