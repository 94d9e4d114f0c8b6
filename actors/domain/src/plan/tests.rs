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
