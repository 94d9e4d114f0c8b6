//! Workflow files as JSON.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use flowlord_domain::join::JoinProgress;
use flowlord_domain::workflow::{Finding, Phase, WorkflowFile};
use flowlord_messages::schedule::PhaseTimes;
use flowlord_messages::workflows::LoadedWorkflows;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa::openapi::schema::ObjectBuilder;

use crate::limits;
use crate::use_cases::workflows::ShownJoin;

pub type PhaseRuns = (Option<DateTime<Utc>>, Option<DateTime<Utc>>);

#[derive(Debug)]
pub struct NextPhaseTimes {
    pub scheduled: Vec<PhaseTimes>,
    /// The last slot that was started, by file and task, from the database.
    pub last: HashMap<(String, String), DateTime<Utc>>,
    /// The last slot that nobody was there for, where none was started after it.
    pub missed: HashMap<(String, String), DateTime<Utc>>,
    /// Since when phases are paused, by file and task.
    pub paused: HashMap<(String, String), DateTime<Utc>>,
}

impl NextPhaseTimes {
    pub fn runs(&self, phase: &Phase) -> PhaseRuns {
        let Some(cron) = &phase.rule.cron else { return (None, None) };
        let name = phase.task_name();
        let times = self
            .scheduled
            .iter()
            .find(|times| times.workflow == phase.workflow && times.task == name && times.cron == *cron);
        // The scheduler knows only what it started itself; the database knows it from before a restart, too.
        let previous =
            times.and_then(|times| times.previous).or_else(|| self.last.get(&(phase.workflow.clone(), name)).copied());
        (times.and_then(|times| times.next), previous)
    }
}

/// A phase.
#[derive(Debug, Serialize, ToSchema)]
pub struct PhaseView<'a> {
    /// Its topic, or topic and job, like `load:hourly`.
    task: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    depends_on: &'a str,
    rule: &'a str,
    retry: u32,
    template: &'a str,
    /// Whom to ask about it.
    #[serde(skip_serializing_if = "str::is_empty")]
    owner: &'a str,
    /// Where it is written what to do when it fails.
    #[serde(skip_serializing_if = "str::is_empty")]
    runbook: &'a str,
    /// What it is for.
    #[serde(skip_serializing_if = "str::is_empty")]
    doc: &'a str,
    line: usize,
    /// `ok`, `paused`, or what keeps it from starting.
    status: String,
    paused: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = limits::time)]
    paused_since: Option<DateTime<Utc>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = limits::time)]
    next: Option<DateTime<Utc>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = limits::time)]
    previous: Option<DateTime<Utc>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = limits::time)]
    missed: Option<DateTime<Utc>>,
    children: Vec<String>,
}

/// A file.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Workflow)]
pub struct FileView<'a> {
    pub file: &'a str,
    #[schema(schema_with = status_names)]
    status: &'static str,
    #[schema(inline)]
    phases: Vec<PhaseView<'a>>,
    /// What its author should know.
    #[schema(value_type = Vec<FindingDoc>)]
    findings: Vec<&'a Finding>,
    /// What waits for more tasks; only where one file is read, and has any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(inline)]
    joins: Vec<JoinView>,
}

/// How many of the tasks that are missing are named.
const MOST_MISSING: usize = 100;

/// A phase that waits for more tasks of a period.
#[derive(Debug, Serialize, ToSchema)]
pub struct JoinView {
    task: String,
    /// The hour, day, week or month: `2024-01-15T07`, `2024-01-15`, `2024-W03`, `2024-01`.
    period: String,
    have: usize,
    /// How many it takes; 0 when that isn't known.
    need: usize,
    /// Those that aren't there; of more than 100 the first ones.
    missing: Vec<String>,
}

impl JoinView {
    fn new((task, period, progress): ShownJoin) -> Self {
        let JoinProgress { have, need, mut missing } = progress;
        missing.truncate(MOST_MISSING);
        Self { task, period: period.to_string(), have, need, missing }
    }
}

impl FileView<'_> {
    /// The same with the joins of the file that wait.
    #[must_use]
    pub fn with_joins(mut self, joins: Vec<ShownJoin>) -> Self {
        self.joins = joins.into_iter().map(JoinView::new).collect();
        self
    }
}

/// One thing that is wrong in a workflow file.
#[derive(ToSchema)]
#[schema(as = Finding)]
#[expect(dead_code, reason = "the document of what the domain writes; the domain knows no OpenAPI")]
pub struct FindingDoc {
    file: String,
    /// From 1.
    line: usize,
    /// In characters, from 1.
    column: usize,
    #[schema(schema_with = severity_names)]
    severity: String,
    /// What is wrong, and what to do about it.
    message: String,
}

fn severity_names() -> ObjectBuilder {
    limits::one_of(["error", "warning"])
}

fn status_names() -> ObjectBuilder {
    limits::one_of(["ok", "broken"]).description(Some("broken when the file as it is now doesn't load"))
}

/// A file that was loaded; when it broke since, its last good version.
pub fn file_view<'a>(current: &'a LoadedWorkflows, file: &'a WorkflowFile, times: &NextPhaseTimes) -> FileView<'a> {
    let broken: Vec<_> = current.broken.iter().filter(|finding| finding.file == file.path).collect();
    let status = if broken.is_empty() { "ok" } else { "broken" };
    let phases = file.phases.iter().map(|phase| phase_view(current, phase, times)).collect();
    let findings = broken.into_iter().chain(&file.findings).collect();
    FileView { file: &file.path, status, phases, findings, joins: Vec::new() }
}

/// Files of which no version ever loaded.
pub fn broken_views(current: &LoadedWorkflows) -> Vec<FileView<'_>> {
    let mut views: Vec<FileView<'_>> = Vec::new();
    for finding in current.broken.iter().filter(|finding| current.workflows.file_at(&finding.file).is_none()) {
        match views.iter_mut().find(|view| view.file == finding.file) {
            Some(view) => view.findings.push(finding),
            None => views.push(FileView {
                file: &finding.file,
                status: "broken",
                phases: Vec::new(),
                findings: vec![finding],
                joins: Vec::new(),
            }),
        }
    }
    views
}

fn phase_view<'a>(current: &LoadedWorkflows, phase: &'a Phase, times: &NextPhaseTimes) -> PhaseView<'a> {
    let (next, previous) = times.runs(phase);
    let key = (phase.workflow.clone(), phase.task_name());
    let paused = times.paused.get(&key).copied();
    // A phase that is no longer started by time misses nothing.
    let missed = times.missed.get(&key).copied().filter(|_| phase.rule.cron.is_some());
    let children = current.workflows.all_children_of(&phase.workflow, &phase.task.topic, &phase.task.job);
    PhaseView {
        task: phase.task_name(),
        depends_on: &phase.depends_on_text,
        rule: &phase.rule_text,
        retry: phase.retry,
        template: &phase.template,
        owner: &phase.contact.owner,
        runbook: &phase.contact.runbook,
        doc: &phase.contact.doc,
        line: phase.line,
        status: phase_status(phase, paused.is_some()),
        paused: paused.is_some(),
        paused_since: paused,
        next,
        previous,
        missed,
        children: children.into_iter().map(Phase::task_name).collect(),
    }
}

fn phase_status(phase: &Phase, is_paused: bool) -> String {
    let problems = phase.problems_text();
    match (problems.is_empty(), is_paused) {
        (true, false) => "ok".to_owned(),
        (true, true) => "paused".to_owned(),
        (false, _) => problems,
    }
}
