//! What starts when, as `/info` tells it.

use std::sync::Arc;

use chrono::TimeDelta;
use chrono_tz::Tz;
use flowlord_domain::workflow::{Phase, WorkflowFile, Workflows};
use flowlord_web::kept::info::{Service, info as write};
use serde_json::{Value, json};

use crate::case::{Case, Verdict, at};
use crate::departures::{self, Departure};

const NOW: &str = "2024-01-15T10:17:23Z";

pub(crate) fn info(case: &Case<'_>) -> Verdict {
    let files = case.input["files"].as_object().expect("files");
    let mut loaded = Vec::new();
    for (path, text) in files {
        match WorkflowFile::parse(path, text.as_str().expect("a text"), "", Tz::UTC) {
            Ok(file) => loaded.push(Arc::new(file)),
            Err(findings) => return Verdict::holds(case.error.is_some(), findings),
        }
    }
    let workflows = Workflows::new(loaded);
    let now = at(NOW);
    let service = Service {
        version: "1",
        up: TimeDelta::seconds(5),
        next_look: now + TimeDelta::minutes(15),
        last_look: now,
    };
    let mut got: Value = serde_json::from_str(&write(&service, &workflows, next)).expect("JSON");
    mask(&mut got);
    let mut expected = case.expected.clone();
    sort_schedules(&mut expected);
    sort_schedules(&mut got);
    if case.error.is_none() && expected == got {
        return Verdict::Same;
    }
    departures(case, &workflows, &expected, &got)
}

/// The next slot, by the phase's own schedule; nothing has run.
fn next(phase: &Phase) -> flowlord_web::kept::info::Runs {
    let spec = phase.rule.cron.as_deref().unwrap_or_default();
    let schedule = flowlord_domain::cron::Schedule::parse(spec, Tz::UTC).ok();
    (schedule.and_then(|schedule| schedule.next_after(at(NOW))), None)
}

/// Hides what each run of the reference tells differently, where it is of the right form.
fn mask(info: &mut Value) {
    for name in ["version", "runtime", "next_cache", "last_cache"] {
        assert!(info[name].is_string(), "no {name}: {info}");
        info[name] = json!("<MASKED>");
    }
    for entry in entries(info) {
        if let Some(next) = entry.get_mut("Next") {
            assert!(at(next.as_str().expect("a text")) > at(NOW), "{next}");
            *next = json!("<TIME>");
        }
    }
}

fn entries(info: &mut Value) -> impl Iterator<Item = &mut Value> {
    let files = info["workflow"].as_object_mut().into_iter().flatten();
    files.flat_map(|(_, entries)| entries.as_object_mut().into_iter().flatten()).map(|(_, entry)| entry)
}

/// The reference writes the schedules of a task in the order in which they are due next.
fn sort_schedules(info: &mut Value) {
    for entry in entries(info) {
        if let Some(Value::Array(schedules)) = entry.get_mut("Schedule") {
            schedules.sort_by_key(ToString::to_string);
        }
    }
}

fn departures(case: &Case<'_>, workflows: &Workflows, expected: &Value, got: &Value) -> Verdict {
    let entry = |phase: &Phase| got["workflow"][&phase.workflow][phase.name()].clone();
    let warns = |phase: &&Phase| entry(phase)["warning"].as_str().is_some_and(|warning| !warning.is_empty());
    let told = |rule: Departure, phases: Vec<&Phase>| {
        Verdict::departs(rule, &phases.len(), &phases.iter().filter(|phase| warns(phase)).count())
    };
    let cyclic: Vec<&Phase> = workflows.phases().filter(|phase| phase.cyclic).collect();
    if !cyclic.is_empty() {
        return told(departures::CIRCLE, cyclic);
    }
    let ill: Vec<&Phase> = workflows.phases().filter(|phase| !phase.problems.is_empty()).collect();
    if case.error.is_some() {
        return if ill.is_empty() {
            Verdict::Wrong(got.to_string())
        } else {
            told(departures::BAD_PHASE, ill)
        };
    }
    // What we tell beyond the reference is taken away; the rest must be the same.
    let (mut rest, mut rule) = (got.clone(), None);
    for phase in workflows.phases().filter(|phase| phase.rule.cron.is_some() && phase.rule.has_rows()) {
        let entry = rest["workflow"][&phase.workflow][phase.name()].as_object_mut().expect("an entry");
        let schedules = entry.remove("Schedule");
        if schedules.is_some_and(|schedules| schedules.as_array().is_some_and(|all| all.len() > 1)) {
            return Verdict::of(expected, got);
        }
        let times = [entry.remove("Next"), entry.remove("Prev")];
        if times.iter().any(Option::is_none) {
            return Verdict::Wrong(got.to_string());
        }
        rule = Some(departures::ROW_TIMES);
    }
    let listening: Vec<&Phase> = workflows.phases().filter(|phase| phase.rule.files.is_some()).collect();
    for phase in &listening {
        let all = &mut rest["workflow"][&phase.workflow][phase.name()]["Schedule"];
        let same = |other: &&&Phase| (&other.workflow, &other.task) == (&phase.workflow, &phase.task);
        let patterns: Vec<_> = listening.iter().filter(same).map(|phase| phase.rule.files.clone()).collect();
        if patterns.len() > 1 {
            // The reference keeps the last one.
            *all = json!([patterns.last()]);
            rule = Some(departures::ALL_PATTERNS);
        }
    }
    if *expected == rest
        && let Some(rule) = rule
    {
        return Verdict::Departs(rule);
    }
    if workflows.phases().any(|phase| has_tree(workflows, phase)) {
        return tree(workflows, got);
    }
    Verdict::of(expected, got)
}

fn has_tree(workflows: &Workflows, phase: &Phase) -> bool {
    let children = workflows.children(&phase.workflow, &phase.task.topic, &phase.task.job).count();
    children > 1 || (children > 0 && !phase.task.job.is_empty())
}

/// Each line of children is a path of the file, to its end, and each phase is in one or has an entry.
fn tree(workflows: &Workflows, got: &Value) -> Verdict {
    let mut told: Vec<(String, String)> = Vec::new();
    for file in workflows.files() {
        for (name, entry) in got["workflow"][&file.path].as_object().into_iter().flatten() {
            told.push((file.path.clone(), name.clone()));
            for path in entry["Child"].as_array().into_iter().flatten().filter_map(Value::as_str) {
                let mut parent = name.clone();
                for step in path.split(" ➞ ") {
                    if !children(workflows, &file.path, &parent).contains(&step.to_owned()) {
                        return Verdict::Wrong(format!("{step} doesn't follow {parent}: {got}"));
                    }
                    told.push((file.path.clone(), step.to_owned()));
                    parent = step.to_owned();
                }
                if !children(workflows, &file.path, &parent).is_empty() {
                    return Verdict::Wrong(format!("{path} goes on: {got}"));
                }
            }
        }
    }
    let untold = workflows.phases().filter(|phase| !told.contains(&(phase.workflow.clone(), phase.name())));
    Verdict::departs(departures::TREE, &Vec::<String>::new(), &untold.map(Phase::name).collect())
}

fn children(workflows: &Workflows, file: &str, name: &str) -> Vec<String> {
    let name = flowlord_domain::workflow::TaskName::parse(name);
    workflows.children(file, &name.topic, &name.job).map(Phase::name).collect()
}
