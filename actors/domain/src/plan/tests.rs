use std::sync::Arc;

use chrono_tz::Tz;
use proptest::prelude::*;

use super::*;
use crate::schedule::NoFiles;
use crate::template::MetaRow;
use crate::workflow::WorkflowFile;

const LIMITS: PlanLimits = PlanLimits { tasks: 100, followers: 100, depth: 10 };

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn workflows(text: &str) -> Workflows {
    Workflows::new([Arc::new(WorkflowFile::parse("w.toml", text, "", Tz::UTC).unwrap())])
}

fn lines(step: &PlannedTask, depth: usize, out: &mut Vec<String>) {
    let needs = if step.needs.is_empty() { String::new() } else { format!(" if {}", step.needs.join(",")) };
    let problem = step.problem.as_ref().map(|problem| format!(" ! {problem}")).unwrap_or_default();
    let expects = if step.expects.is_empty() { String::new() } else { format!(" expects {}", step.expects.join(",")) };
    let cut = if step.cut { " ..." } else { "" };
    out.push(format!("{}{} {}{needs}{expects}{problem}{cut}", "  ".repeat(depth), step.task, step.info));
    step.children.iter().for_each(|child| lines(child, depth + 1, out));
}

fn plan(text: &str, from: &str, until: &str, limits: PlanLimits, files: &dyn RowSource) -> Vec<String> {
    let workflows = workflows(text);
    let mut out = Vec::new();
    for planned in SlotPlan::new(&workflows, files, at(from), at(until), limits) {
        out.push(planned.at.format("%dT%H:%M:%S").to_string());
        match &planned.what {
            PlannedOutcome::Task(step) => lines(step, 0, &mut out),
            PlannedOutcome::More(left) => out.push(format!("{left} more")),
            PlannedOutcome::Problem(problem) => out.push(format!("! {problem}")),
        }
    }
    out
}

fn day(text: &str) -> Vec<String> {
    plan(text, "2024-01-15T00:00:00Z", "2024-01-16T00:00:00Z", LIMITS, &NoFiles)
}

#[test]
fn a_chain_is_followed_and_what_a_worker_would_say_stays_open() {
    let text = "[[phase]]\ntask = \"extract:orders\"\nrule = \"cron=5 12 * * *&offset=-1h\"\ntemplate = \"?h={dd}T{hh}&{uuid}@{host}\"\n\
                [[phase]]\ntask = \"load\"\ndependsOn = \"extract\"\nrule = \"require={meta:file}\"\ntemplate = \"{meta:file}?h={dd}T{hh}\"\n\
                [[phase]]\ntask = \"all\"\ndependsOn = \"load\"\nrule = \"meta=r:eu,us\"\ntemplate = \"{meta:r}-{meta:cron}\"\n";
    assert_eq!(
        day(text),
        [
            "15T12:05:00",
            "extract:orders ?h=15T11&00000000@{host}",
            "  load {meta:file}?h=15T11 if file",
            "    all eu-2024-01-15T11",
            "    all us-2024-01-15T11",
        ]
    );
}

#[test]
fn slots_of_one_instant_come_by_name_and_a_batch_as_far_as_the_limit_goes() {
    let text = "[[phase]]\ntask = \"b\"\nrule = \"cron=@daily\"\n\
                [[phase]]\ntask = \"a\"\nrule = \"cron=@daily&for=-5h&by=hour\"\ntemplate = \"{hh}\"\n";
    let limits = PlanLimits { tasks: 2, ..LIMITS };
    let planned = plan(text, "2024-01-15T00:00:00Z", "2024-01-16T00:00:00Z", limits, &NoFiles);
    let midnight = "15T00:00:00";
    assert_eq!(planned, [midnight, "a 00", midnight, "a 23", midnight, "4 more", midnight, "b "]);
}

#[test]
fn what_can_t_start_says_why() {
    let text = "[[phase]]\ntask = \"a\"\nrule = \"cron=0 1 * * *&offset=x\"\n[[phase]]\ntask = \"b\"\nrule = \"cron=0 2 * * *\"\n\
                [[phase]]\ntask = \"c\"\ndependsOn = \"b\"\nrule = \"meta-file=rows.json\"\n";
    let planned = day(text);
    assert_eq!(planned[1], "! offset: `x` is not a duration: write it like 250ms, 90s, 1h30m or -4h");
    assert!(planned[4].starts_with("  c  ! c was not created: meta-file `rows.json`: "), "{planned:?}");
    let rows = |_: &str| Ok(vec![MetaRow::default(), MetaRow::default()]);
    let with_rows = plan(text, "2024-01-15T02:00:00Z", "2024-01-15T03:00:00Z", LIMITS, &rows);
    assert_eq!(with_rows[2..], ["  c ", "  c "]);
}

#[test]
fn rows_without_a_key_of_the_template_start_nothing() {
    let text = "[[phase]]\ntask = \"a\"\nrule = \"cron=0 1 * * *&meta-file=f.csv\"\ntemplate = \"{meta:k}\"\n";
    let rows = |_: &str| Ok(vec![MetaRow([("K".to_owned(), "1".to_owned())].into())]);
    let planned = plan(text, "2024-01-15T01:00:00Z", "2024-01-15T02:00:00Z", LIMITS, &rows);
    assert!(planned[1].starts_with("! meta-file `f.csv`: no row has `k`"), "{planned:?}");
}

#[test]
fn a_chain_is_followed_only_so_far() {
    let chain = |n: usize| format!("[[phase]]\ntask = \"t:{n}\"\ndependsOn = \"t:{}\"\nrule = \"meta=k:1,2\"\n", n - 1);
    let text =
        "[[phase]]\ntask = \"t:0\"\nrule = \"cron=0 1 * * *\"\n".to_owned() + &(1..50).map(chain).collect::<String>();
    let planned = |limits| plan(&text, "2024-01-15T00:00:00Z", "2024-01-16T00:00:00Z", limits, &NoFiles);
    let by_depth = planned(PlanLimits { depth: 2, ..LIMITS });
    assert_eq!(by_depth.len(), 8, "{by_depth:?}");
    assert_eq!(by_depth[3], "    t:2  ...");
    let by_number = planned(PlanLimits { depth: 100, followers: 60, ..LIMITS });
    assert_eq!(by_number.len(), 62);
    assert!(by_number.iter().any(|line| line.ends_with(" ...")));
}

#[test]
fn a_year_of_seconds_is_not_kept_in_memory() {
    let workflows = workflows("[[phase]]\ntask = \"a\"\nrule = \"cron=@every 1s\"\n");
    let mut plan = SlotPlan::new(&workflows, &NoFiles, at("2024-01-01T00:00:00Z"), at("2025-01-01T00:00:00Z"), LIMITS);
    assert_eq!(plan.nth(9_999).unwrap().at, at("2024-01-01T02:46:40Z"));
    assert_eq!(plan.due.len(), 1);
}

proptest! {
    /// The slots of a plan are those of each schedule, in order.
    #[test]
    fn slots_are_those_of_the_schedules(
        specs in prop::collection::vec("([0-5]?[0-9]|\\*/7|0) ([0-9]|1[0-9]|\\*/3|\\*) (\\*|1|15) (\\*|3|11) (\\*|mon-fri)", 1..5),
        from in 1_300_000_000_i64..1_800_000_000, hours in 1_i64..100, zone in 0..3_usize,
    ) {
        let zone = ["UTC", "Europe/Berlin", "America/Sao_Paulo"][zone];
        let phase = |(n, spec): (usize, &String)| format!("[[phase]]\ntask = \"t:{n}\"\nrule = \"cron=CRON_TZ={zone} {spec}\"\n");
        let workflows = workflows(&specs.iter().enumerate().map(phase).collect::<String>());
        let from = DateTime::from_timestamp(from, 0).unwrap();
        let until = from + TimeDelta::hours(hours);
        let planned: Vec<_> = SlotPlan::new(&workflows, &NoFiles, from, until, LIMITS)
            .map(|planned| (planned.at, planned.phase.task_name()))
            .collect();
        let mut expected = Vec::new();
        for phase in workflows.phases() {
            let schedule = phase.rule.schedule.as_ref().unwrap();
            let first = schedule.next_after(from - TimeDelta::seconds(1));
            let slots = std::iter::successors(first, |slot| schedule.next_after(*slot));
            expected.extend(slots.take_while(|slot| *slot < until).map(|slot| (slot, phase.task_name())));
        }
        expected.sort();
        prop_assert_eq!(planned, expected);
    }
}

#[test]
fn what_is_expected_of_a_task_is_told_and_keeps_nothing_back() {
    let text = "[[phase]]\ntask = \"a\"\nrule = \"cron=@daily&min_run=3m&expect=rows>0\"\n\
                [[phase]]\ntask = \"b\"\ndependsOn = \"a\"\nrule = \"expect=rows:0.5x..2x\"\n";
    assert_eq!(day(text), ["15T00:00:00", "a  expects min_run=3m,rows>0", "  b  expects rows:0.5x..2x"]);
}

#[test]
fn a_phase_written_twice_starts_once_and_a_join_waits_for_it_once() {
    let six = "[[phase]]\ntask = \"x\"\nrule = \"cron=0 6,18 * * *\"\ntemplate = \"{hh}\"\n";
    let sum = |rule: &str| {
        format!("[[phase]]\ntask = \"sum\"\ndependsOn = \"x\"\nrule = \"{rule}\"\ntemplate = \"{{dd}}\"\n")
    };
    let planned = day(&(six.repeat(2) + &sum("over=day")));
    assert_eq!(planned, ["15T06:00:00", "x 06", "15T18:00:00", "x 18", "  sum 15"]);
    let again = day(&(six.to_owned() + &sum("over=day&join=any&again=true")));
    assert_eq!(
        again,
        ["15T06:00:00", "x 06", "  sum 15", "15T18:00:00", "x 18", "  sum 15"],
        "each time one completes"
    );
}

/// A phase with its keys.
fn phase(name: &str, keys: &str) -> String {
    format!("[[phase]]\ntask = \"{name}\"\n{keys}\n")
}

/// The times and infos of the joins called `sum` in a plan.
fn sums(text: &str, from: &str, until: &str, limits: PlanLimits) -> Vec<String> {
    let (mut time, mut found) = (String::new(), Vec::new());
    for line in plan(text, from, until, limits, &NoFiles) {
        match line.trim_start().strip_prefix("sum ") {
            Some(info) => found.push(format!("{time} {info}")),
            None if line.contains(':') => time = line,
            None => {}
        }
    }
    found
}

#[test]
fn tasks_beyond_the_limit_count_for_joins() {
    let text = phase("a", "rule = \"cron=0 1 * * *&for=2h&by=hour\"\ntemplate = \"{hh}\"")
        + &phase("b", "rule = \"cron=0 2 * * *\"")
        + &phase("sum", "dependsOn = [\"a\", \"b\"]\nrule = \"over=day\"\ntemplate = \"{dd}\"");
    let shown = |tasks| {
        let limits = PlanLimits { tasks, ..LIMITS };
        sums(&text, "2024-01-15T00:00:00Z", "2024-01-16T00:00:00Z", limits)
    };
    assert_eq!(shown(100), ["15T02:00:00 15"]);
    assert_eq!(shown(1), ["15T02:00:00 15"], "two tasks of `a` aren't shown");
}

#[test]
fn a_phase_with_jitter_starts_later_and_is_about_its_slot() {
    let text = phase("a", "rule = \"cron=0 0 * * *&jitter=1d\"\ntemplate = \"{dd}T{hh}\"");
    let workflows = workflows(&text);
    let file = &workflows.files()[0];
    let shift = file.start_shift(&file.phases[0]);
    assert!(shift > TimeDelta::hours(1), "else the times below say nothing: {shift}");
    let (from, until) = (at("2024-01-15T00:00:00Z"), at("2024-01-18T00:00:00Z"));
    let planned: Vec<_> = SlotPlan::new(&workflows, &NoFiles, from, until, LIMITS).collect();
    let starts: Vec<_> = planned.iter().map(|slot| slot.at - shift).collect();
    assert_eq!(starts, ["2024-01-15T00:00:00Z", "2024-01-16T00:00:00Z", "2024-01-17T00:00:00Z"].map(at));
    let infos = planned.iter().map(|slot| match &slot.what {
        PlannedOutcome::Task(task) => task.info.as_str(),
        other => panic!("{other:?}"),
    });
    assert_eq!(infos.collect::<Vec<_>>(), ["15T00", "16T00", "17T00"]);
}

#[test]
fn a_join_has_what_started_before_the_plan() {
    for (over, from, until, info) in [
        ("day", "2024-01-15T12:00:00Z", "2024-01-15T23:30:00Z", "15T23:00:00 2024-01-15"),
        ("week", "2024-01-21T23:00:00Z", "2024-01-21T23:30:00Z", "21T23:00:00 2024-01-15"),
        ("month", "2024-01-31T23:00:00Z", "2024-01-31T23:30:00Z", "31T23:00:00 2024-01-01"),
    ] {
        let text = phase("x", "rule = \"cron=0 * * * *\"\ntemplate = \"{hh}\"")
            + &phase(
                "sum",
                &format!("dependsOn = \"x\"\nrule = \"over={over}\"\ntemplate = \"{{yyyy}}-{{mm}}-{{dd}}\""),
            );
        assert_eq!(sums(&text, from, until, LIMITS), [info], "{over}");
        assert!(sums(&text, "2024-01-15T00:00:00Z", "2024-01-15T20:00:00Z", LIMITS).is_empty(), "{over}: not yet");
    }
}

#[test]
fn a_plan_looks_back_as_far_as_tasks_are_about_later_times() {
    for rule in ["cron=0 1 * * *&offset=240h", "cron=0 1 5 * *&for=288h&by=day"] {
        let text = phase("early", &format!("rule = \"{rule}\"\ntemplate = \"{{dd}}\""))
            + &phase("x", "rule = \"cron=0 3 15 * *\"")
            + &phase("sum", "dependsOn = [\"early\", \"x\"]\nrule = \"over=day\"\ntemplate = \"{dd}\"");
        assert_eq!(sums(&text, "2024-01-15T02:00:00Z", "2024-01-15T04:00:00Z", LIMITS), ["15T03:00:00 15"], "{rule}");
    }
}

#[test]
fn a_join_starts_again_in_a_plan_only_where_its_rule_says_so() {
    for (again, times) in [("", 1), ("&again=true", 3), ("&again=false", 1)] {
        let text = phase("x", "rule = \"cron=0 1-3 * * *\"")
            + &phase("sum", &format!("dependsOn = \"x\"\nrule = \"over=day&join=1{again}\"\ntemplate = \"{{dd}}\""));
        let found = sums(&text, "2024-01-15T00:00:00Z", "2024-01-16T00:00:00Z", LIMITS);
        assert_eq!(found.len(), times, "{again}: {found:?}");
    }
}

#[test]
fn an_interval_begins_with_the_plan_also_beside_joins() {
    let text = phase("often", "rule = \"cron=@every 90m\"")
        + &phase("x", "rule = \"cron=0 1 * * *\"")
        + &phase("sum", "dependsOn = \"x\"\nrule = \"over=month\"");
    let planned = plan(&text, "2024-01-15T00:10:00Z", "2024-01-15T03:30:00Z", LIMITS, &NoFiles);
    let times: Vec<_> = planned.chunks(2).filter(|line| line[1] == "often ").map(|line| line[0].as_str()).collect();
    let workflows = workflows(&text);
    let first = workflows.phases().next().and_then(|phase| phase.rule.schedule.as_ref()).unwrap();
    let first = first.first_from(at("2024-01-15T00:10:00Z")).unwrap();
    let expected: Vec<_> =
        [0, 1].map(|n| (first + TimeDelta::minutes(90 * n)).format("%dT%H:%M:%S").to_string()).to_vec();
    assert_eq!(times, expected);
}

#[test]
fn what_a_join_can_not_start_is_said_below_the_task_that_completes_it() {
    let text = phase("x", "rule = \"cron=0 1 * * *\"")
        + &phase("sum", "dependsOn = \"x\"\nrule = \"over=day&meta-file=rows.csv\"\ntemplate = \"{meta:k}\"");
    let planned = day(&text);
    assert!(planned[2].starts_with("  sum  ! meta-file `rows.csv`: "), "{planned:?}");
}

#[test]
fn what_follows_a_join_is_cut_by_the_limits_of_the_plan() {
    let text = phase("x", "rule = \"cron=0 1 * * *\"")
        + &phase("sum", "dependsOn = \"x\"\nrule = \"over=day&meta=k:1,2,3\"\ntemplate = \"{meta:k}\"")
        + &phase("after", "dependsOn = \"sum\"");
    let shown = |followers, depth| {
        let limits = PlanLimits { followers, depth, ..LIMITS };
        plan(&text, "2024-01-15T00:00:00Z", "2024-01-16T00:00:00Z", limits, &NoFiles)[1..].to_vec()
    };
    assert_eq!(shown(6, 2), ["x ", "  sum 1", "    after ", "  sum 2", "    after ", "  sum 3", "    after "]);
    assert_eq!(shown(5, 2), ["x ", "  sum 1", "    after ", "  sum 2", "    after ", "  sum 3 ..."]);
    assert_eq!(shown(2, 2), ["x  ...", "  sum 1", "    after "]);
    assert_eq!(shown(6, 1), ["x ", "  sum 1 ...", "  sum 2 ...", "  sum 3 ..."]);
    assert_eq!(shown(6, 0), ["x  ..."]);
}

#[test]
fn a_planned_task_has_the_meta_that_its_worker_would_get() {
    let text = phase("a", "rule = \"cron=0 5 * * *&offset=-2h&meta=r:eu,us\"\ntemplate = \"{meta:r}\"")
        + &phase("b", "dependsOn = \"a\"\ntemplate = \"{meta:r}\"");
    let workflows = workflows(&text);
    let (from, until) = (at("2024-01-15T00:00:00Z"), at("2024-01-16T00:00:00Z"));
    let metas = SlotPlan::new(&workflows, &NoFiles, from, until, LIMITS).map(|planned| match planned.what {
        PlannedOutcome::Task(step) => {
            [step.meta.clone(), step.children[0].meta.clone()].map(|meta| Query::parse(&meta).unwrap())
        }
        other => panic!("{other:?}"),
    });
    for ([own, child], row) in metas.zip(["eu", "us"]) {
        for meta in [&own, &child] {
            assert_eq!(meta.first_value("workflow"), Some("w.toml"));
            assert_eq!(meta.first_value("cron"), Some("2024-01-15T03"), "the hour that it is about");
        }
        assert_eq!(own.first_value("r"), Some(row), "what tells its tasks apart");
    }
}
