//! Workflow files, and when their phases run.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use flowlord_domain::join::{JoinPeriod, JoinProgress, join_progress};
use flowlord_domain::workflow::{Finding, WorkflowFile, Workflows};
use flowlord_messages::joins::ReadWaitingJoins;
use flowlord_messages::schedule::{ReadLastSlots, ReadNextRuns, ReadPaused};
use flowlord_messages::workflows::{LoadedWorkflows, ReadLoadedWorkflows};

use crate::context::WebContext;
use crate::problem::Problem;
use crate::view::workflow::NextPhaseTimes;

const LOOK_BACK: TimeDelta = TimeDelta::days(7);

type TimeByPhase = HashMap<(String, String), DateTime<Utc>>;

pub async fn read_workflows(context: &WebContext) -> Result<(LoadedWorkflows, NextPhaseTimes), Problem> {
    let to = context.deps.kit.now();
    let from = to - LOOK_BACK;
    let (current, next_runs, slots, paused) = tokio::join!(
        context.deps.library.call(ReadLoadedWorkflows),
        context.deps.scheduler.call(ReadNextRuns),
        // `to` is left out: a slot of this very second counts, too.
        context.deps.view_reader.call(ReadLastSlots { from, to: to + TimeDelta::seconds(1) }),
        context.deps.view_reader.call(ReadPaused),
    );
    let (mut last, mut missed): (TimeByPhase, TimeByPhase) = (HashMap::new(), HashMap::new());
    for slot in slots? {
        let name = (slot.key.workflow, slot.key.task);
        // Another than the last that started: nobody was there for it.
        if slot.started != Some(slot.key.at) {
            missed.insert(name.clone(), slot.key.at);
        }
        last.extend(slot.started.map(|started| (name, started)));
    }
    let paused = paused?.into_iter().map(|phase| ((phase.workflow, phase.task), phase.since)).collect();
    Ok((current?, NextPhaseTimes { scheduled: next_runs?, last, missed, paused }))
}

/// Everything found in workflow files, each once, the worst first.
pub fn workflow_findings(current: &LoadedWorkflows) -> Vec<&Finding> {
    let loaded = current.workflows.files().iter().flat_map(|file| &file.findings);
    let mut findings: Vec<&Finding> = current.broken.iter().chain(loaded).collect();
    // A file that no longer loads may have one twice: in its content, and in its last good version.
    findings.sort();
    findings.dedup();
    // A stable sort: those of one severity stay in the order of files and lines.
    findings.sort_by_key(|finding| finding.severity);
    findings
}

/// How many waiting joins of a file are shown.
const MOST_JOINS: usize = 100;

/// A join that waits: its task, its period, and how far it is.
pub type ShownJoin = (String, JoinPeriod, JoinProgress);

/// The joins of a file that wait, those first where something arrived last.
pub async fn read_waiting_joins(
    context: &WebContext,
    workflows: &Workflows,
    file: &WorkflowFile,
) -> flowlord_kernel::Result<Vec<ShownJoin>> {
    if !file.phases.iter().any(|phase| phase.is_join) {
        return Ok(Vec::new());
    }
    let waiting = ReadWaitingJoins { workflow: file.path.clone(), limit: MOST_JOINS };
    let waiting = context.deps.view_reader.call(waiting).await?.into_iter();
    let shown = waiting.filter_map(|join| {
        let (period, progress) = join_progress(workflows, &join.key, &join.arrived)?;
        Some((join.key.task, period, progress))
    });
    Ok(shown.collect())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use flowlord_domain::workflow::Severity;
    use flowlord_testkit::sample::noon;

    use super::*;
    use crate::use_cases::attention::broken_files;

    fn finding(file: &str, line: usize, severity: Severity) -> Finding {
        Finding { file: file.to_owned(), line, column: 3, severity, message: "what to change".to_owned() }
    }

    #[test]
    fn findings_are_listed_once_and_errors_come_first() {
        let text = "[[phase]]\ntask = \"a\"\nrule = \"cron=0 0 * * *\"\n";
        let mut file = WorkflowFile::parse("a.toml", text, "", "UTC".parse().ok().unwrap()).unwrap();
        file.findings = vec![finding("a.toml", 1, Severity::Warning), finding("a.toml", 9, Severity::Error)];
        let broken = vec![
            finding("b.toml", 2, Severity::Error),
            finding("a.toml", 9, Severity::Error),
            finding("b.toml", 4, Severity::Error),
        ];
        let current = LoadedWorkflows {
            workflows: Arc::new(Workflows::new([Arc::new(file)])),
            scanned_at: noon(),
            next_scan: noon(),
            broken: Arc::new(broken),
        };
        let lines = |findings: Vec<&Finding>| -> Vec<String> {
            findings.iter().map(|finding| format!("{}:{}", finding.file, finding.line)).collect()
        };
        assert_eq!(lines(workflow_findings(&current)), ["a.toml:9", "b.toml:2", "b.toml:4", "a.toml:1"]);
        assert_eq!(lines(broken_files(&current)), ["a.toml:9", "b.toml:2"], "the first error of each file");
    }
}
