//! What is wrong between the phases of one file.

use super::graph::Graph;
use super::{Finding, Phase, Severity};
use crate::finding::did_you_mean;

/// Marks phases on a circle, and lists circles, unknown parents and names that come twice.
pub(super) fn between_phases(phases: &mut [Phase], graph: &Graph) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, phase) in phases.iter_mut().enumerate() {
        phase.cyclic = graph.is_cyclic(index);
        if phase.cyclic {
            let message = format!(
                "{} depends on itself by way of {}: nothing on that circle starts it",
                phase.task, phase.depends_on_text
            );
            findings.push(finding(phase, phase.places.depends_on, Severity::Error, message.clone()));
            phase.problems.push(message);
        }
    }
    let phases = &*phases;
    for (index, phase) in phases.iter().enumerate() {
        findings.extend(unknown_parent(phase, phases, graph));
        findings.extend(repeated(index, phases, graph));
    }
    findings
}

fn finding(phase: &Phase, (line, column): (usize, usize), severity: Severity, message: String) -> Finding {
    Finding { file: phase.workflow.clone(), line, column, severity, message }
}

/// Looking for a similar name takes time for each phase: in large files only the first ones are looked at.
const MOST_COMPARED: usize = 500;

fn unknown_parent(phase: &Phase, phases: &[Phase], graph: &Graph) -> Option<Finding> {
    let parent = phase.depends_on.as_ref().filter(|parent| !graph.has(parent))?;
    let names: Vec<String> = phases.iter().take(MOST_COMPARED).map(Phase::name).collect();
    let hint = did_you_mean(&parent.to_string(), names.iter().map(String::as_str));
    let remedy = if hint.is_empty() { ": parents are looked for in the same file" } else { &hint };
    let message = format!("parent task not found: {}{remedy}", phase.depends_on_text);
    Some(finding(phase, phase.places.depends_on, Severity::Error, message))
}

/// Several schedules of one task are fine; else only the first phase of a name is ever found.
fn repeated(index: usize, phases: &[Phase], graph: &Graph) -> Option<Finding> {
    let phase = &phases[index];
    let first = graph.named(&phase.task.topic, &phase.task.job).first().map(|first| &phases[*first])?;
    let is_start = |phase: &Phase| phase.rule.cron.is_some() || phase.rule.files.is_some();
    let same = (first.retry, first.rule.retry_delay, first.rule.no_alert)
        == (phase.retry, phase.rule.retry_delay, phase.rule.no_alert);
    if std::ptr::eq(first, phase)
        || phase.task.topic.is_empty()
        || (is_start(first) && is_start(phase) && same)
    {
        return None;
    }
    let message = format!(
        "{} is there twice: for retries and alerts only the one in line {} counts",
        phase.task, first.line
    );
    Some(finding(phase, phase.places.task, Severity::Warning, message))
}
