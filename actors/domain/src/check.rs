//! All that can be said about a set of workflow files before they run.

mod joins;

use std::collections::BTreeMap;

use crate::finding::{Finding, Severity};
use crate::workflow::{Phase, Workflows};

/// The findings of all files by place, with what shows only between files.
pub fn check_workflows(workflows: &Workflows) -> Vec<Finding> {
    let mut findings: Vec<Finding> = workflows.files().iter().flat_map(|file| file.findings.iter().cloned()).collect();
    let mut first: BTreeMap<String, &Phase> = BTreeMap::new();
    for phase in workflows.phases().filter(|phase| !phase.task.topic.is_empty()) {
        // Files come by path: the phase of the first one is the one that results are taken for.
        let known = *first.entry(phase.task_name()).or_insert(phase);
        if known.workflow != phase.workflow {
            findings.push(also_elsewhere(phase, known));
        }
    }
    findings.extend(joins::join_findings(workflows));
    findings.sort();
    findings.dedup();
    findings
}

/// Whether any of them is an error.
pub fn has_errors(findings: &[Finding]) -> bool {
    findings.iter().any(|finding| finding.severity == Severity::Error)
}

fn also_elsewhere(phase: &Phase, known: &Phase) -> Finding {
    let message = format!(
        "{} is also in {}: tasks that name no workflow belong to that one; give it another job, or send its tasks \
         with workflow={} in their meta",
        phase.task, known.workflow, phase.workflow
    );
    Finding::new(&phase.workflow, phase.name_place(), Severity::Warning, message)
}

#[cfg(test)]
mod tests;
