use std::sync::Arc;

use chrono::TimeDelta;
use proptest::prelude::*;

use super::*;
use crate::decide::{WorkerOutcome, decide_result};
use crate::ids::fixed::FixedIds;
use crate::plan::{PlanLimits, PlannedOutcome, PlannedTask, SlotPlan};
use crate::schedule::NoFiles;
use crate::task::TaskResult;
use crate::workflow::WorkflowFile;

pub(super) fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

pub(super) fn workflows(zone: Tz, files: &[(&str, &str)]) -> Workflows {
    let parse = |(path, text): &(&str, &str)| Arc::new(WorkflowFile::parse(path, text, "", zone).unwrap());
    Workflows::new(files.iter().map(parse))
}

pub(super) fn phase(name: &str, keys: &str) -> String {
    format!("[[phase]]\ntask = \"{name}\"\n{keys}\n")
}

const HOURLY: &str = "rule = \"cron=5 * * * *&offset=-1h\"\ntemplate = \"?hour={yyyy}-{mm}-{dd}T{hh}\"";

/// A daily join of an hourly task.
pub(super) fn daily(zone: Tz, rule: &str) -> Workflows {
    let text = phase("x", HOURLY)
        + &phase(
            "sum",
            &format!("dependsOn = \"x\"\nrule = \"over=day{rule}\"\ntemplate = \"?day={{yyyy}}-{{mm}}-{{dd}}\""),
        );
    workflows(zone, &[("w.toml", &text)])
}

pub(super) fn join<'a>(workflows: &'a Workflows, task: &str) -> &'a Phase {
    workflows.phases().find(|phase| phase.is_join && phase.task_name() == task).unwrap()
}

pub(super) fn count_at(workflows: &Workflows, task: &str, hour: &str) -> (JoinPeriod, Arc<JoinCount>) {
    let phase = join(workflows, task);
    let over = phase.rule.join.over.unwrap_or(BatchStep::Hour);
    let period = JoinPeriod::of_hour(over, phase.join_zone(workflows), at(hour)).unwrap();
    (period, JoinCount::of_period(workflows, phase, &period))
}

/// What a complete task brings to the joins that wait for it.
pub(super) fn arrivals(workflows: &Workflows, (file, task): (&str, &str), hour: &str, info: &str) -> Vec<JoinArrival> {
    let (topic, job) = task.split_once(':').unwrap_or((task, ""));
    let base = NewTask::of_new_chain((topic, job), file, at(hour), &mut FixedIds::default());
    let meta = format!("workflow={file}&cron={}", cron_text(at(hour)));
    let done = NewTask { info: info.to_owned(), meta, ..base }.into_attempt();
    let outcome = WorkerOutcome {
        result: TaskResult::Complete,
        msg: String::new(),
        meta: "file=f".to_owned(),
        started: None,
        ended: None,
    };
    decide_result(workflows, &done, &outcome, at(hour), "host", &mut FixedIds::default()).arrivals
}

#[test]
fn a_day_waits_for_as_many_hours_as_it_has() {
    for (zone, hour, need, missing) in [
        (Tz::UTC, "2024-01-15T12:00:00Z", 24, "T00"),
        (Tz::Europe__Berlin, "2024-03-31T12:00:00Z", 23, "T23"),
        (Tz::Europe__Berlin, "2024-10-27T12:00:00Z", 25, "T22"),
    ] {
        let (_, count) = count_at(&daily(zone, ""), "sum", hour);
        let progress = count.progress([]);
        assert_eq!((progress.have, progress.need, progress.missing.len()), (0, need, need), "{zone} {hour}");
        assert_eq!(progress.missing[0], missing);
    }
}

#[test]
fn a_join_starts_with_its_last_hour_and_is_about_its_day() {
    let workflows = daily(Tz::Europe__Berlin, "");
    let mut there = BTreeSet::new();
    let hours = (0..24).map(|hour| at("2024-01-14T23:00:00Z") + TimeDelta::hours(hour));
    for (nth, hour) in hours.enumerate() {
        let [arrival] = &arrivals(&workflows, ("w.toml", "x"), &hour.to_rfc3339(), "")[..] else { panic!("one join") };
        there.extend(arrival.slots.clone());
        let progress = arrival.count.progress(there.iter().map(String::as_str));
        assert_eq!((progress.have, progress.is_complete()), (nth + 1, nth == 23), "{hour}");
        if nth == 21 {
            assert_eq!(progress.to_words(), "22 of 24: waits for T21, T22");
        }
        let arrived = there.iter().map(|slot| (slot.clone(), String::new())).collect();
        let [task] = &arrival.count.start_tasks(&arrival.start, arrived).unwrap()[..] else { panic!("one task") };
        assert_eq!((task.topic.as_str(), task.info.as_str()), ("sum", "?day=2024-01-15"));
        assert_eq!(task.meta, "workflow=w.toml&cron=2024-01-15T00");
    }
    // The next day is another period.
    let next = &arrivals(&workflows, ("w.toml", "x"), "2024-01-15T23:00:00Z", "")[0];
    let (period, _) = count_at(&workflows, "sum", "2024-01-15T12:00:00Z");
    assert_eq!(next.key.period, period.number + 1);
}

#[test]
fn without_over_the_hour_is_the_period() {
    let text = phase("a", "rule = \"cron=0 3 * * *\"")
        + &phase("c", "dependsOn = [\"a\", \"etl/ref.toml#b:x\"]\ntemplate = \"{meta:a.file},{meta:files}\"");
    let workflows =
        workflows(Tz::UTC, &[("w.toml", &text), ("etl/ref.toml", &phase("b:x", "rule = \"cron=0 3 * * *\""))]);
    let [first] = &arrivals(&workflows, ("w.toml", "a"), "2024-01-15T03:00:00Z", "")[..] else { panic!("one join") };
    let progress = first.count.progress(first.slots.iter().map(String::as_str));
    assert_eq!(progress.to_words(), "1 of 2: waits for b:x");
    let [second] = &arrivals(&workflows, ("etl/ref.toml", "b:x"), "2024-01-15T03:00:00Z", "")[..] else {
        panic!("one")
    };
    assert_eq!(first.key, second.key);
    assert_eq!(second.key.workflow, "w.toml");
    let all: Vec<_> = first.slots.iter().chain(&second.slots).map(|slot| (slot.clone(), "file=f".to_owned())).collect();
    assert!(second.count.progress(all.iter().map(|(slot, _)| slot.as_str())).is_complete());
    let task = second.count.start_tasks(&second.start, all).unwrap().remove(0);
    assert_eq!((task.info.as_str(), task.workflow.as_str()), ("f,f,f", "w.toml"));
    assert_eq!(task.meta, "workflow=w.toml&cron=2024-01-15T03");
    assert!(arrivals(&workflows, ("etl/ref.toml", "b:y"), "2024-01-15T03:00:00Z", "").is_empty(), "another job");
    assert!(arrivals(&workflows, ("w.toml", "b:x"), "2024-01-15T03:00:00Z", "").is_empty(), "another file");
}

#[test]
fn a_backload_by_day_counts_for_the_only_slot_of_its_day() {
    let text =
        phase("a", "rule = \"cron=0 3 * * *&offset=-24h\"") + &phase("m", "dependsOn = \"a\"\nrule = \"over=month\"");
    let workflows = workflows(Tz::America__New_York, &[("w.toml", &text)]);
    let slot = |hour| arrivals(&workflows, ("w.toml", "a"), hour, "")[0].slots.clone();
    assert_eq!(slot("2024-01-15T00:00:00Z"), slot("2024-01-15T08:00:00Z"));
    assert_ne!(slot("2024-01-15T00:00:00Z"), slot("2024-01-16T08:00:00Z"));
    let (_, count) = count_at(&workflows, "m", "2024-02-10T12:00:00Z");
    let progress = count.progress([]);
    assert_eq!((progress.need, progress.missing[28].as_str()), (29, "02-29"));
    assert!(progress.to_words().ends_with("02-10 and 19 more"), "{}", progress.to_words());
}

#[test]
fn each_row_and_each_slot_of_an_hour_is_waited_for() {
    let text = phase("rows", "rule = \"cron=0 3 * * *&meta=r:eu,us\"\ntemplate = \"{meta:r}\"")
        + &phase("child", "dependsOn = \"rows\"\nrule = \"meta=s:1,2,3\"\ntemplate = \"{meta:s}\"")
        + &phase("often", "rule = \"cron=*/15 3 * * *\"\ntemplate = \"{ts}\"")
        + &phase("batch", "rule = \"cron=0 4 * * *&for=-48h\"")
        + &phase("all", "dependsOn = [\"child\", \"often\", \"batch\"]\nrule = \"over=day\"");
    let workflows = workflows(Tz::UTC, &[("w.toml", &text)]);
    let (_, count) = count_at(&workflows, "all", "2024-01-15T12:00:00Z");
    assert_eq!(count.count_expected(), 2 * 3 + 4 + 1, "the days of the batch overlap, and count once");
    let slot = |info| arrivals(&workflows, ("w.toml", "child"), "2024-01-15T03:00:00Z", info)[0].slots.clone();
    assert_ne!(slot("1"), slot("2"));
    assert_eq!(slot("1"), slot("1"), "the same again is no other one");
    let keys = [slot("1"), slot("2"), slot("1")].concat();
    let progress = count.progress(keys[..2].iter().map(String::as_str));
    assert_eq!((progress.have, progress.missing[0].as_str()), (2, "child T03"));
}

#[test]
fn some_are_enough_where_the_rule_says_so() {
    for (rule, need) in [("&join=any", 1), ("&join=20", 20)] {
        let (_, count) = count_at(&daily(Tz::UTC, rule), "sum", "2024-01-15T12:00:00Z");
        assert_eq!(count.progress([]).need, need);
        let keys: Vec<_> = (0..need).map(|hour| format!("w.toml#x@2024-01-15T{hour:02}")).collect();
        assert!(count.progress(keys.iter().map(String::as_str)).is_complete());
        assert!(!count.progress(keys[1..].iter().map(String::as_str)).is_complete());
    }
}

#[test]
fn what_nobody_can_know_is_waited_for_in_vain() {
    for (parent, why) in [
        ("rule = \"files=/in/*.csv\"", "no schedule says when x starts"),
        ("rule = \"cron=@every 90m\"", "no schedule says when x starts"),
        ("", "no schedule says when x starts"),
        ("rule = \"cron=@daily&meta-file=rows.json\"", "how many rows the meta-file of x has isn't known"),
        ("rule = \"cron=* * * * * *\"", "x has more than 10000 slots in that time"),
    ] {
        let text = phase("x", parent) + &phase("sum", "dependsOn = \"x\"\nrule = \"over=day\"");
        let workflows = workflows(Tz::UTC, &[("w.toml", &text)]);
        let (_, count) = count_at(&workflows, "sum", "2024-01-15T12:00:00Z");
        assert!(count.impossible().unwrap().to_string().starts_with(why), "{parent}: {:?}", count.impossible());
        assert!(!count.progress(["w.toml#x@2024-01-15T00"]).is_complete());
    }
}

#[test]
fn a_join_of_joins_waits_for_their_periods() {
    let text = phase("x", HOURLY)
        + &phase("day", "dependsOn = \"x\"\nrule = \"over=day\"")
        + &phase("month", "dependsOn = \"day\"\nrule = \"over=month\"");
    let workflows = workflows(Tz::Europe__Berlin, &[("w.toml", &text)]);
    let (period, count) = count_at(&workflows, "month", "2024-02-10T12:00:00Z");
    assert_eq!((period.to_string().as_str(), count.count_expected()), ("2024-02", 29));
    let arrival = &arrivals(&workflows, ("w.toml", "day"), "2024-02-29T00:00:00Z", "")[0];
    assert_eq!((arrival.key.period, arrival.slots[0].as_str()), (period.number, "w.toml#day@2024-02-29T00"));
}

#[test]
fn what_waits_for_itself_over_files_never_starts() {
    let one = phase("a", "rule = \"cron=@daily\"") + &phase("b", "dependsOn = [\"a\", \"two.toml#c\"]");
    let two = phase("c", "dependsOn = \"one.toml#b\"") + &phase("d", "dependsOn = [\"one.toml#a\", \"c\"]");
    let workflows = workflows(Tz::UTC, &[("one.toml", &one), ("two.toml", &two)]);
    let circular: Vec<_> = workflows.circular_phases().map(Phase::task_name).collect();
    assert_eq!(circular, ["b", "c"]);
    let waiting = workflows.waiting_for("one.toml", "a", "");
    assert_eq!(waiting.iter().map(|(phase, _)| phase.task_name()).collect::<Vec<_>>(), ["d"]);
}

#[test]
fn a_rerun_alone_and_a_task_about_no_time_reach_no_join() {
    let workflows = daily(Tz::UTC, "&again=true");
    let complete = WorkerOutcome {
        result: TaskResult::Complete,
        msg: String::new(),
        meta: String::new(),
        started: None,
        ended: None,
    };
    let decide = |meta: &str| {
        let base = NewTask::of_new_chain(("x", ""), "w.toml", at("2024-01-15T03:00:00Z"), &mut FixedIds::default());
        let done = NewTask { meta: meta.to_owned(), ..base }.into_attempt();
        decide_result(&workflows, &done, &complete, at("2024-01-15T03:00:00Z"), "host", &mut FixedIds::default())
    };
    for (rerun, again) in
        [("", Some(true)), ("&rerun=manual", Some(true)), ("&rerun=failed", Some(false)), ("&rerun=alone", None)]
    {
        let decision = decide(&format!("workflow=w.toml&cron=2024-01-15T03{rerun}"));
        assert_eq!(decision.arrivals.first().map(|arrival| arrival.again), again, "{rerun}");
        assert!(decision.as_cancelled().arrivals.is_empty(), "nothing follows a cancelled task");
    }
    let decision = decide("workflow=w.toml");
    assert!(decision.arrivals.is_empty());
    assert!(
        decision.alerts[0].msg.starts_with("sum waits for this task, which is about no time"),
        "{:?}",
        decision.alerts
    );
}

#[test]
fn a_late_join_says_what_is_missing() {
    let workflows = daily(Tz::UTC, "&join_by=6h&join_by_then=alert");
    let keys = |until: &str| passed_joins(&workflows, at("2024-01-16T05:59:00Z"), at(until));
    assert_eq!(keys("2024-01-16T05:59:59Z"), []);
    let [key] = &keys("2024-01-16T06:00:00Z")[..] else { panic!("one join") };
    let late =
        late_join(&workflows, key, (at("2024-01-16T06:00:00Z"), "host"), &mut FixedIds::default(), &NoFiles).unwrap();
    assert_eq!((late.starts, late.starters.as_slice()), (false, &[("w.toml".to_owned(), "x".to_owned())][..]));
    let there: Vec<_> = (0..23).map(|hour| format!("w.toml#x@2024-01-15T{hour:02}")).collect();
    let alert = late.alert(&late.count.progress(there.iter().map(String::as_str)), at("2024-01-16T06:00:00Z"));
    let msg =
        "not complete by 2024-01-16 06:00:00 UTC (join_by=6h after the end of 2024-01-15): 23 of 24: waits for T23";
    assert_eq!((alert.msg.as_str(), alert.topic.as_str(), alert.workflow.as_str()), (msg, "sum", "w.toml"));
    let gone = JoinKey { over: BatchStep::Month, ..key.clone() };
    assert_eq!(
        late_join(&workflows, &gone, (at("2024-01-16T06:00:00Z"), ""), &mut FixedIds::default(), &NoFiles),
        None
    );
}

const LIMITS: PlanLimits = PlanLimits { tasks: 20, followers: 20, depth: 20 };

fn joins_in_plan(
    workflows: &Workflows,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
    task: &str,
) -> Vec<(DateTime<Utc>, String)> {
    fn walk(step: &PlannedTask, task: &str, found: &mut Vec<String>) {
        if step.task == task {
            found.push(step.info.clone());
        }
        step.children.iter().for_each(|child| walk(child, task, found));
    }
    let mut all = Vec::new();
    for planned in SlotPlan::new(workflows, &NoFiles, from, to, LIMITS) {
        let mut found = Vec::new();
        if let PlannedOutcome::Task(step) = &planned.what {
            walk(step, task, &mut found);
        }
        all.extend(found.into_iter().map(|info| (planned.at, info)));
    }
    all
}

#[test]
fn a_plan_shows_a_join_below_the_task_that_completes_it() {
    let workflows = daily(Tz::UTC, "");
    let found = joins_in_plan(&workflows, at("2024-01-15T00:00:00Z"), at("2024-01-17T00:00:00Z"), "sum");
    let expected = [("2024-01-15T00:05:00Z", "?day=2024-01-14"), ("2024-01-16T00:05:00Z", "?day=2024-01-15")];
    assert_eq!(found, expected.map(|(time, info)| (at(time), info.to_owned())));
}

proptest! {
    /// Whatever the schedules are, a plan starts each join once for each period, when its last slot is there.
    #[test]
    fn a_plan_starts_each_join_once_a_period(
        minute in 0..60,
        hours in prop::collection::btree_set(0..24_u32, 1..6),
        offset in -30..3_i64,
        zone in prop::sample::select(vec![Tz::UTC, Tz::Europe__Berlin, Tz::America__New_York]),
        start in 0..300_i64,
    ) {
        let list = hours.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
        let text = phase("x", &format!("rule = \"cron={minute} {list} * * *&offset={offset}h\"\ntemplate = \"{{ts}}\""))
            + &phase("sum", "dependsOn = \"x\"\nrule = \"over=day\"\ntemplate = \"{yyyy}-{mm}-{dd}\"");
        let workflows = workflows(zone, &[("w.toml", &text)]);
        let from = at("2024-01-01T00:00:00Z") + TimeDelta::days(start);
        let found = joins_in_plan(&workflows, from, from + TimeDelta::days(5), "sum");
        let mut infos: Vec<_> = found.iter().map(|(_, info)| info.clone()).collect();
        infos.dedup();
        prop_assert_eq!(infos.len(), found.len(), "once each");
        prop_assert!((4..=6).contains(&found.len()), "{:?}", found);
        for (when, _) in &found {
            let hour = cut_to_hour(*when + TimeDelta::hours(offset)).to_rfc3339();
            let (_, count) = count_at(&workflows, "sum", &hour);
            let last = count.slots.last().unwrap().key.clone();
            prop_assert!(last.ends_with(&cron_text(at(&hour))), "{} is the last of {:?}", hour, count.slots);
        }
    }
}

#[test]
fn a_join_waits_for_no_day_off() {
    let text = phase("x", "rule = \"cron=0 3 * * *&not_on=sat,sun,01-15&on=next\"")
        + &phase("week", "dependsOn = \"x\"\nrule = \"over=week\"");
    let workflows = workflows(Tz::UTC, &[("w.toml", &text)]);
    let (period, count) = count_at(&workflows, "week", "2024-01-17T03:00:00Z");
    assert_eq!((period.to_string().as_str(), count.count_expected()), ("2024-W03", 4));
    let progress = count.progress(["w.toml#x@2024-01-16T03", "w.toml#x@2024-01-17T03"]);
    assert_eq!(progress.to_words(), "2 of 4: waits for 01-18, 01-19");
}

#[test]
fn a_child_of_another_file_starts_each_time_and_belongs_to_its_own() {
    let child = phase("c", "dependsOn = \"w.toml#x:j\"\nrule = \"require={meta:file}\"\ntemplate = \"{meta:file}\"");
    let workflows = workflows(Tz::UTC, &[("other.toml", &child), ("w.toml", &phase("x:j", HOURLY))]);
    let decide = |workflow: &str, left: &str| {
        let base = NewTask::of_new_chain(("x", "j"), workflow, at("2024-01-15T03:00:00Z"), &mut FixedIds::default());
        let outcome = WorkerOutcome {
            result: TaskResult::Complete,
            msg: String::new(),
            meta: left.to_owned(),
            started: None,
            ended: None,
        };
        decide_result(
            &workflows,
            &base.into_attempt(),
            &outcome,
            at("2024-01-15T03:00:00Z"),
            "h",
            &mut FixedIds::default(),
        )
    };
    let [started] = &decide("w.toml", "file=f").children[..] else { panic!("one child") };
    assert_eq!((started.topic.as_str(), started.workflow.as_str(), started.info.as_str()), ("c", "other.toml", "f"));
    assert_eq!(started.meta, "workflow=other.toml");
    assert!(decide("w.toml", "").children.is_empty(), "its parent left no file");
    assert!(decide("other.toml", "file=f").children.is_empty(), "that is another task");
    assert!(decide("w.toml", "file=f").arrivals.is_empty(), "it is no join");
}

#[test]
fn a_parent_counts_only_with_what_is_required() {
    let text = phase("x", HOURLY) + &phase("sum", "dependsOn = \"x\"\nrule = \"over=day&require={meta:file}\"");
    let with = workflows(Tz::UTC, &[("w.toml", &text)]);
    assert_eq!(arrivals(&with, ("w.toml", "x"), "2024-01-15T03:00:00Z", "").len(), 1);
    let without = workflows(Tz::UTC, &[("w.toml", &text.replace("{meta:file}", "{meta:rows}"))]);
    assert!(arrivals(&without, ("w.toml", "x"), "2024-01-15T03:00:00Z", "").is_empty());
}

#[test]
fn what_a_join_waits_for_is_counted_once_for_all_tasks_of_its_period() {
    let text = phase("x", HOURLY)
        + &phase("sum", "dependsOn = \"x\"\nrule = \"over=day\"")
        + &phase("any", "dependsOn = \"x\"\nrule = \"over=day&join=any\"");
    let workflows = workflows(Tz::UTC, &[("w.toml", &text)]);
    let count = |task: &str, hour: u32| count_at(&workflows, task, &format!("2024-01-15T{hour:02}:00:00Z")).1;
    assert!(Arc::ptr_eq(&count("sum", 3), &count("sum", 23)));
    assert_eq!((count("any", 3).progress([]).need, count("sum", 3).progress([]).need), (1, 24));
    let copy = workflows.clone();
    assert!(copy == workflows && !Arc::ptr_eq(&count("sum", 3), &count_at(&copy, "sum", "2024-01-15T03:00:00Z").1));
    // Of many periods the first are forgotten.
    let (first, sum) = (count("sum", 3), join(&workflows, "sum"));
    let later = |number: i64| JoinCount::of_period(&workflows, sum, &sum.join_period(&workflows, number).unwrap());
    let day = 738_900;
    (day..day + 9_000).for_each(|number| assert_eq!(later(number).count_expected(), 24));
    assert!(*first == *count("sum", 3) && !Arc::ptr_eq(&first, &count("sum", 3)));
}

#[test]
fn joins_to_which_many_ways_lead_are_counted_once() {
    // Each waits for the two before it, so over 10,000 ways lead from the first to the last; and no slot bounds the look.
    for cron in ["0 0 1 1 *", "0 3 * * *"] {
        let mut text = phase("t:0", &format!("rule = \"cron={cron}\"")) + &phase("t:1", "dependsOn = \"t:0\"");
        for n in 2..20 {
            text += &phase(
                &format!("t:{n}"),
                &format!("dependsOn = [\"t:{}\", \"t:{}\"]\nrule = \"over=day\"", n - 1, n - 2),
            );
        }
        let workflows = workflows(Tz::UTC, &[("w.toml", &text)]);
        let (_, count) = count_at(&workflows, "t:19", "2024-01-15T00:00:00Z");
        assert_eq!(count.count_expected(), if cron.starts_with("0 3") { 2 } else { 0 });
    }
}
