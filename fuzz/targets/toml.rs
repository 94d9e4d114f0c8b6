//! Workflow files: whatever is read can be judged, written and read again, and what it starts comes to an end.

#![no_main]

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta};
use chrono_tz::Tz;
use flowlord_domain::check::check_workflows;
use flowlord_domain::plan::{PlanLimits, PlannedOutcome, PlannedTask, SlotPlan};
use flowlord_domain::schedule::NoFiles;
use flowlord_domain::workflow::{Finding, Phase, WorkflowFile, Workflows};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    match WorkflowFile::parse("w.toml", text, "hash", Tz::UTC) {
        Err(findings) => {
            assert!(!findings.is_empty(), "refused without a word");
            findings.iter().for_each(|finding| is_in(text, finding));
        }
        Ok(file) => read(text, file),
    }
});

fn is_in(text: &str, finding: &Finding) {
    let line = text.split('\n').nth(finding.line - 1).unwrap_or_else(|| panic!("no such line: {finding}"));
    assert!(finding.column <= line.chars().count() + 1, "no such column: {finding}");
    assert!((1..=finding.column).contains(&1) && !finding.message.is_empty(), "{finding}");
}

fn read(text: &str, file: WorkflowFile) {
    let again = WorkflowFile::parse("w.toml", &written(&file), "hash", Tz::UTC).expect("what was written reads");
    assert!(file.phases.iter().map(parts).eq(again.phases.iter().map(parts)), "{file:?} {again:?}");
    let workflows = Workflows::new([Arc::new(file)]);
    check_workflows(&workflows).iter().for_each(|finding| is_in(text, finding));
    for phase in workflows.phases() {
        comes_to_an_end(&workflows, phase);
    }
    plan(&workflows);
}

fn parts(phase: &Phase) -> impl PartialEq + use<> {
    let texts = [&phase.task_text, &phase.rule_text, &phase.depends_on_text, &phase.template].map(Clone::clone);
    (texts, phase.task.clone(), phase.rule.clone(), phase.retry, phase.problems.clone())
}

fn written(file: &WorkflowFile) -> String {
    let quoted = |text: &str| serde_json::to_string(text).unwrap_or_default().replace('\u{7f}', "\\u007f");
    let phase = |phase: &Phase| {
        format!(
            "[[phase]]\ntask = {}\nrule = {}\ndependsOn = {}\ntemplate = {}\nretry = {}\n",
            quoted(&phase.task_text),
            quoted(&phase.rule_text),
            quoted(&phase.depends_on_text),
            quoted(&phase.template),
            phase.retry
        )
    };
    file.phases.iter().map(phase).collect()
}

fn comes_to_an_end(workflows: &Workflows, start: &Phase) {
    let mut level = BTreeSet::from([start.task.clone()]);
    for _ in workflows.phases() {
        let children = level.iter().flat_map(|task| workflows.children_of("w.toml", &task.topic, &task.job));
        level = children.map(|child| child.task.clone()).collect();
    }
    assert!(level.is_empty(), "{start:?} goes round");
}

/// What would start in a day comes in the order of time, within the limits.
fn plan(workflows: &Workflows) {
    let from = DateTime::from_timestamp(1_700_000_000, 0).unwrap_or_default();
    let limits = PlanLimits { tasks: 5, followers: 20, depth: 6 };
    let mut last = from;
    for planned in SlotPlan::new(workflows, &NoFiles, from, from + TimeDelta::days(1), limits).take(50) {
        assert!(planned.at >= last, "{planned:?}");
        last = planned.at;
        match planned.what {
            PlannedOutcome::Task(step) => {
                assert!(planned.phase.rule.first_blocker().is_none() && step.task == planned.phase.task_name());
                assert!(followers(&step, 0) <= limits.followers, "{step:?}");
            }
            PlannedOutcome::More(left) => assert!(left > 0),
            PlannedOutcome::Problem(problem) => assert!(!problem.is_empty()),
        }
    }
}

fn followers(step: &PlannedTask, depth: usize) -> usize {
    assert!(depth <= 7);
    let created = step.children.iter().filter(|child| child.problem.is_none());
    created.map(|child| 1 + followers(child, depth + 1)).sum()
}
