//! What starts when, as `/info` tells it.

use std::sync::Arc;

use chrono::TimeDelta;
use chrono_tz::Tz;
use flowlord_domain::workflow::{Finding, Phase, WorkflowFile, Workflows};
use flowlord_web_compat::info::{ServiceInfo, info as write};
use serde_json::{Value, json};

use crate::case::{Case, Verdict, at};
use crate::departures::{self, Departure};
use crate::masks::is_like;
use crate::spelling;

const NOW: &str = "2024-01-15T10:17:23Z";

pub(crate) fn info(case: &Case<'_>) -> Verdict {
    let read = |plain: bool| {
        let files = case.input["files"].as_object().into_iter().flatten();
        let files = files.map(|(path, text)| parse(path, text.as_str().expect("a text"), plain));
        files.collect::<Result<Vec<_>, _>>().map(Workflows::new)
    };
    let workflows = match read(false) {
        Ok(workflows) => workflows,
        Err(findings) => return Verdict::holds(case.error.is_some(), findings),
    };
    let got = told(&workflows);
    let mut expected = case.expected.clone();
    sort_schedules(&mut expected);
    if case.error.is_none() && is_like(&expected, &got) {
        return Verdict::Same;
    }
    let texts = case.input["files"].as_object().into_iter().flatten().filter_map(|(_, text)| text.as_str());
    let spelled = texts.filter_map(spelling::of_file).next().or_else(|| spelling::of_phases(workflows.phases()));
    match (spelled, read(true)) {
        (Some(rule), Ok(plain)) => Verdict::departs(rule, &told(&plain), &got),
        _ => departures(case, &workflows, &expected, &got),
    }
}

/// A file; `plain` as the reference would read it like we do.
fn parse(path: &str, text: &str, plain: bool) -> Result<Arc<WorkflowFile>, Vec<Finding>> {
    let file = WorkflowFile::parse(path, text, "", Tz::UTC)?;
    let file =
        if plain { WorkflowFile::parse(path, &spelling::plain_file(text, &file.phases), "", Tz::UTC)? } else { file };
    Ok(Arc::new(file))
}

/// What `/info` tells, with its masks.
fn told(workflows: &Workflows) -> Value {
    let now = at(NOW);
    let service = ServiceInfo {
        version: "1",
        up: TimeDelta::seconds(5),
        next_look: now + TimeDelta::minutes(15),
        last_look: now,
    };
    let mut told: Value = serde_json::from_str(&write(&service, workflows, next)).expect("JSON");
    mask(&mut told);
    sort_schedules(&mut told);
    told
}

/// The next slot, by the phase's own schedule; nothing has run.
fn next(phase: &Phase) -> flowlord_web_compat::info::Runs {
    let spec = phase.rule.cron.as_deref().unwrap_or_default();
    let schedule = flowlord_domain::cron::CronSchedule::parse(spec, Tz::UTC).ok();
    (schedule.and_then(|schedule| schedule.next_after(at(NOW))), None)
}

/// Hides what each run of the reference tells differently, where it is of the right form.
fn mask(info: &mut Value) {
    for name in ["version", "runtime", "next_cache", "last_cache"] {
        assert!(info[name].is_string(), "no {name}: {info}");
        info[name] = json!("<MASKED>");
    }
    for entry in entries(info) {
        // A schedule that never fires has Go's zero time.
        if let Some(next) = entry.get_mut("Next").filter(|next| at(next.as_str().unwrap_or(NOW)) > at(NOW)) {
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
    let entry = |phase: &Phase| got["workflow"][&phase.workflow][phase.task_name()].clone();
    let warns = |phase: &&Phase| entry(phase)["warning"].as_str().is_some_and(|warning| !warning.is_empty());
    let warned = |rule: Departure, phases: Vec<&Phase>| {
        Verdict::departs(rule, &phases.len(), &phases.iter().filter(|phase| warns(phase)).count())
    };
    let cyclic: Vec<&Phase> = workflows.phases().filter(|phase| phase.is_cyclic).collect();
    if !cyclic.is_empty() {
        return warned(departures::CIRCLE, cyclic);
    }
    let ill: Vec<&Phase> = workflows.phases().filter(|phase| !phase.problems.is_empty()).collect();
    if case.error.is_some() {
        return if ill.is_empty() { Verdict::Wrong(got.to_string()) } else { warned(departures::BAD_PHASE, ill) };
    }
    // What is told otherwise by a rule is taken away; the rest must be the same.
    let (mut wanted, mut rest, mut rule) = (expected.clone(), got.clone(), None);
    for file in workflows.files() {
        for phase in &file.phases {
            let of_name: Vec<&Phase> = file.phases.iter().filter(|other| other.task == phase.task).collect();
            let place = |told: &mut Value| told["workflow"][&file.path][phase.task_name()].take();
            if expected["workflow"][&file.path][phase.task_name()] == rest["workflow"][&file.path][phase.task_name()] {
                continue;
            }
            let (mut theirs, mut ours) = (place(&mut wanted), place(&mut rest));
            match judge(&of_name, &mut theirs, &mut ours) {
                Verdict::Departs(by) => rule = Some(by),
                Verdict::Same => {}
                wrong @ Verdict::Wrong(_) => return wrong,
            }
            wanted["workflow"][&file.path][phase.task_name()] = theirs;
            rest["workflow"][&file.path][phase.task_name()] = ours;
        }
    }
    if is_like(&wanted, &rest)
        && let Some(rule) = rule
    {
        return Verdict::Departs(rule);
    }
    if workflows.phases().any(|phase| has_tree(workflows, phase)) {
        return tree(workflows, got);
    }
    Verdict::like(&wanted, &rest)
}

/// Takes out of an entry what the phases of its name have told otherwise, and says by which rule.
fn judge(phases: &[&Phase], theirs: &mut Value, ours: &mut Value) -> Verdict {
    let mut verdict = Verdict::Same;
    let times = ["Next", "Prev", "Schedule"];
    let is_ill = phases.iter().any(|phase| !phase.problems.is_empty());
    if is_ill && theirs["warning"] != ours["warning"] {
        if ours["warning"].as_str().is_none_or(str::is_empty) {
            return Verdict::Wrong(format!("no warning: {ours}"));
        }
        verdict = Verdict::Departs(departures::BAD_PHASE);
        remove(&["Next", "Prev", "Schedule", "warning"], theirs, ours);
    }
    let crons = phases.iter().filter(|phase| phase.rule.cron.is_some());
    let schedules: Vec<String> = ours["Schedule"].as_array().into_iter().flatten().map(Value::to_string).collect();
    let has = |text: &str| schedules.iter().any(|schedule| schedule.contains(text));
    let patterns: Vec<&str> = phases.iter().filter_map(|phase| phase.rule.files.as_deref()).collect();
    let all = phases.iter().filter_map(|phase| phase.rule.cron.as_deref()).chain(patterns.iter().copied());
    let tells_all = all.clone().all(has);
    if !patterns.is_empty() && all.count() > 1 && times.iter().any(|key| theirs[*key] != ours[*key]) {
        // The reference keeps one pattern.
        let kept = theirs["Schedule"][0].as_str().unwrap_or_default();
        if !tells_all || !patterns.contains(&kept) {
            return Verdict::Wrong(format!("not all of {schedules:?}: {ours}"));
        }
        verdict = Verdict::Departs(departures::ALL_PATTERNS);
        remove(&times, theirs, ours);
    } else if crons.clone().any(|phase| phase.rule.is_batch()) && times.iter().any(|key| theirs[*key] != ours[*key]) {
        if !tells_all || ours["Next"].is_null() || ours["Prev"].is_null() {
            return Verdict::Wrong(format!("no times: {ours}"));
        }
        verdict = Verdict::Departs(departures::ROW_TIMES);
        remove(&times, theirs, ours);
    }
    verdict
}

fn remove(keys: &[&str], theirs: &mut Value, ours: &mut Value) {
    for entry in [theirs, ours] {
        keys.iter().for_each(|key| drop(entry.as_object_mut().and_then(|entry| entry.remove(*key))));
    }
}

fn has_tree(workflows: &Workflows, phase: &Phase) -> bool {
    let children = workflows.children_of(&phase.workflow, &phase.task.topic, &phase.task.job).count();
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
    let untold = workflows.phases().filter(|phase| !told.contains(&(phase.workflow.clone(), phase.task_name())));
    Verdict::departs(departures::TREE, &Vec::<String>::new(), &untold.map(Phase::task_name).collect())
}

fn children(workflows: &Workflows, file: &str, name: &str) -> Vec<String> {
    let name = flowlord_domain::workflow::TaskName::parse(name);
    workflows.children_of(file, &name.topic, &name.job).map(Phase::task_name).collect()
}
