//! What is wrong between the phases of one file.

use std::collections::HashMap;

use super::graph::PhaseGraph;
use super::{Finding, Phase, Severity, WorkflowFile};
use crate::finding::did_you_mean;

/// Marks phases on a circle, and lists circles, unknown parents and names that come twice.
pub(super) fn between_phases(phases: &mut [Phase], graph: &PhaseGraph) -> Vec<Finding> {
    let mut findings = Vec::new();
    let circles = words_of_circles(phases, graph);
    for (phase, circle) in phases.iter_mut().zip(circles) {
        if let Some(circle) = circle {
            phase.is_cyclic = true;
            let message =
                format!("{} depends on itself: {circle}: this cycle starts nothing, remove one dependsOn", phase.task);
            findings.push(Finding::new(&phase.workflow, phase.places.depends_on, Severity::Error, message.clone()));
            phase.problems.push(message);
        }
    }
    let phases = &*phases;
    let mut seen = HashMap::new();
    for (index, phase) in phases.iter().enumerate() {
        findings.extend(unknown_parent(phase, phases, graph));
        let same = *seen.entry(texts_of_phase(phase)).or_insert(index);
        findings.extend(match same == index {
            true => repeated_name(index, phases, graph),
            false => Some(same_as(phase, &phases[same])),
        });
    }
    findings
}

/// Deadlines of phases that neither cron nor a join nor another file starts: there is nothing from which to count.
pub(super) fn without_slots(file: &WorkflowFile) -> Vec<Finding> {
    let phases = file.phases.iter().enumerate();
    phases
        .filter(|(_, phase)| phase.rule.start_by.or(phase.rule.done_by).is_some())
        .filter(|(index, _)| {
            file.phases_before(*index).all(|(_, phase)| phase.rule.schedule.is_none() && phase.parents.is_empty())
        })
        .map(|(_, phase)| {
            let key = if phase.rule.start_by.is_some() { "start_by" } else { "done_by" };
            let message = format!(
                "{key} counts from the slots of cron, and none starts {}: remove it, or use max_run",
                phase.task
            );
            Finding::new(&phase.workflow, phase.places.task, Severity::Warning, message)
        })
        .collect()
}

/// All that is written in a phase.
fn texts_of_phase(phase: &Phase) -> [&str; 4] {
    [&phase.task_text, &phase.rule_text, &phase.depends_on_text, &phase.template]
}

fn same_as(phase: &Phase, first: &Phase) -> Finding {
    let message = format!("the same phase is on line {}: its tasks would start twice, remove one of them", first.line);
    Finding::new(&phase.workflow, phase.places.task, Severity::Warning, message)
}

/// A circle takes time to find: in large files only the first ones are named in full.
const MOST_NAMED: usize = 50;

/// More of them say no more.
const MOST_STEPS: usize = 8;

/// For each phase on a circle, the tasks of it.
fn words_of_circles(phases: &[Phase], graph: &PhaseGraph) -> Vec<Option<String>> {
    let mut left = MOST_NAMED;
    let circles = (0..phases.len()).map(|index| {
        if !graph.is_cyclic(index) {
            return None;
        }
        let path = if left > 0 { graph.circle_from(index, phases) } else { vec![index] };
        left = left.saturating_sub(1);
        let mut names: Vec<String> = path.iter().map(|index| phases[*index].task_name()).collect();
        if names.len() > MOST_STEPS {
            // The last name stays, which is the first again and so closes the circle.
            names.splice(MOST_STEPS - 2..names.len() - 1, ["...".to_owned()]);
        }
        Some(names.join(" -> "))
    });
    circles.collect()
}

/// Looking for a similar name takes time for each phase: in large files only the first ones are compared.
const MOST_COMPARED: usize = 500;

fn unknown_parent(phase: &Phase, phases: &[Phase], graph: &PhaseGraph) -> Option<Finding> {
    let parent = phase.depends_on.as_ref().filter(|parent| !graph.has_phase(parent))?;
    let names: Vec<String> = phases.iter().take(MOST_COMPARED).map(Phase::task_name).collect();
    let hint = did_you_mean(&parent.to_string(), names.iter().map(String::as_str));
    let remedy = if hint.is_empty() { ": a parent must be in the same file, write one of them" } else { &hint };
    let message = format!("parent task not found: {}{remedy}", phase.depends_on_text);
    Some(Finding::new(&phase.workflow, phase.places.depends_on, Severity::Error, message))
}

/// Several schedules of one task are fine; else only the first phase of a name is ever found.
fn repeated_name(index: usize, phases: &[Phase], graph: &PhaseGraph) -> Option<Finding> {
    let phase = &phases[index];
    let first = graph.phases_named(&phase.task.topic, &phase.task.job).first().map(|first| &phases[*first])?;
    let both_start = [first, phase].iter().all(|it| it.rule.cron.is_some() || it.rule.files.is_some());
    let same = (first.retry, first.rule.retry_delay, first.rule.no_alert, &first.rule.expectations)
        == (phase.retry, phase.rule.retry_delay, phase.rule.no_alert, &phase.rule.expectations);
    // Two schedules of one task are fine where they agree in what only the first one says.
    if std::ptr::eq(first, phase) || phase.task.topic.is_empty() || (both_start && same) {
        return None;
    }
    let message = format!(
        "{} is defined twice: for retries and alerts only the one on line {} is used, give this one another job",
        phase.task, first.line
    );
    Some(Finding::new(&phase.workflow, phase.places.task, Severity::Warning, message))
}
