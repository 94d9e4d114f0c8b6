//! Workflow files: phases, and which of them follows which.

mod check;
mod contact;
mod figures;
mod followers;
mod graph;
mod index;
mod lint;
mod parse;
mod words;

use std::fmt;

use chrono_tz::Tz;

pub use crate::finding::{Finding, Severity};
use crate::rule::Rule;
use crate::template::{meta_keys, meta_token_keys};

pub use contact::PhaseContact;
pub use index::Workflows;

/// A topic and a job: what a phase is called, and what it depends on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TaskName {
    /// The topic, `type` on the wire.
    pub topic: String,
    /// The job; empty for none.
    pub job: String,
}

impl TaskName {
    /// Reads `topic` or `topic:job`; what follows a second colon doesn't count.
    pub fn parse(text: &str) -> Self {
        let mut parts = text.split(':').map(str::to_owned);
        Self { topic: parts.next().unwrap_or_default(), job: parts.next().unwrap_or_default() }
    }
}

impl fmt::Display for TaskName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.topic)?;
        if self.job.is_empty() { Ok(()) } else { write!(f, ":{}", self.job) }
    }
}

/// A task that a phase waits for, in one of the files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParentName {
    /// The workflow file, as written; its own where none is.
    pub file: String,
    /// The task: of that job, or of any where it names none.
    pub task: TaskName,
    place: (usize, usize),
}

impl ParentName {
    /// Reads `topic`, `topic:job` or `FILE#topic:job`, written in the file `own`.
    fn parse(text: &str, own: &str, place: (usize, usize)) -> Self {
        let (file, task) = split_file(text).unwrap_or((own, text));
        Self { file: file.to_owned(), task: TaskName::parse(task), place }
    }

    /// Where it is written.
    pub fn place(&self) -> (usize, usize) {
        self.place
    }
}

/// The file and the task of `FILE#task`.
fn split_file(text: &str) -> Option<(&str, &str)> {
    text.split_once('#').filter(|(file, _)| file.to_ascii_lowercase().ends_with(".toml"))
}

/// A phase: what starts a task, and which.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Phase {
    /// The workflow file, relative to the workflow root.
    pub workflow: String,
    /// Its name; the job may come from the rule.
    pub task: TaskName,
    /// The name as written.
    pub task_text: String,
    /// The task of the same file that it follows; none for a join, and for a phase that starts by itself.
    pub depends_on: Option<TaskName>,
    /// What it waits for as a join, or in another file.
    pub parents: Vec<ParentName>,
    /// Whether it starts once a period, by all that it waits for.
    pub is_join: bool,
    /// What it follows, as written; empty for nothing.
    pub depends_on_text: String,
    /// What its rule says.
    pub rule: Rule,
    /// The rule as written.
    pub rule_text: String,
    /// How often a failed task is tried again.
    pub retry: u32,
    /// The template of the tasks' info.
    pub template: String,
    /// Whom to ask about it.
    pub contact: PhaseContact,
    /// Where it begins in its file.
    pub line: usize,
    /// Where it begins in its line.
    pub column: usize,
    /// What keeps it from starting; empty when it is well.
    pub problems: Vec<String>,
    /// What it follows follows it: nothing on that circle starts it.
    pub is_cyclic: bool,
    places: PhasePlaces,
}

/// Line and column of what findings point at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct PhasePlaces {
    task: (usize, usize),
    depends_on: (usize, usize),
    template: (usize, usize),
}

impl Phase {
    /// `topic` or `topic:job`.
    pub fn task_name(&self) -> String {
        self.task.to_string()
    }

    /// By what a scheduled phase that is written twice is one: its slots start once.
    pub(crate) fn slot_identity(&self) -> (&str, String, &str, &str) {
        (&self.workflow, self.task_name(), &self.rule_text, &self.template)
    }

    /// Whether other tasks start it.
    pub fn has_parent(&self) -> bool {
        self.depends_on.is_some() || !self.parents.is_empty()
    }

    /// The keys of the meta that its template names; those of a join may be of one parent.
    pub fn template_keys(&self) -> Vec<String> {
        if self.is_join { meta_token_keys(&self.template) } else { meta_keys(&self.template) }
    }

    /// Line and column of its name.
    pub fn name_place(&self) -> (usize, usize) {
        self.places.task
    }

    /// Line and column of its template.
    pub fn template_place(&self) -> (usize, usize) {
        self.places.template
    }

    /// The problems in one line; empty when it is well.
    pub fn problems_text(&self) -> String {
        self.problems.join("; ")
    }
}

/// A workflow file, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkflowFile {
    /// The path relative to the workflow root.
    pub path: String,
    /// The hash of its content.
    pub hash: String,
    /// Its phases, as written.
    pub phases: Vec<Phase>,
    /// What its author should know.
    pub findings: Vec<Finding>,
    graph: graph::PhaseGraph,
}

impl WorkflowFile {
    /// Reads a file. Cron expressions without a zone of their own are in `zone`.
    ///
    /// # Errors
    /// When the file can't be read at all; problems of single phases are in its findings.
    pub fn parse(path: &str, text: &str, hash: &str, zone: Tz) -> Result<Self, Vec<Finding>> {
        let (mut phases, mut findings) = parse::read_phases(path, text, zone)?;
        let graph = graph::PhaseGraph::new(&phases);
        findings.extend(check::between_phases(&mut phases, &graph));
        let mut file = Self { path: path.to_owned(), hash: hash.to_owned(), phases, findings, graph };
        let without_slots = check::without_slots(&file);
        file.findings.extend(without_slots);
        let unlike_children = figures::unlike_children(&file);
        file.findings.extend(unlike_children);
        file.findings.sort();
        Ok(file)
    }

    /// The first phase of that name.
    pub fn first_phase(&self, topic: &str, job: &str) -> Option<&Phase> {
        self.graph.phases_named(topic, job).first().and_then(|index| self.phases.get(*index))
    }

    /// The phases that one follows.
    pub fn parents_of(&self, phase: &Phase) -> Vec<&Phase> {
        let meant = phase.depends_on.iter().flat_map(|parent| self.graph.meant_by(parent));
        meant.filter_map(|index| self.phases.get(index)).collect()
    }

    /// The phase at this place, what it follows in the file, and so on.
    fn phases_before(&self, index: usize) -> impl Iterator<Item = (usize, &Phase)> {
        let mut seen = std::collections::BTreeSet::from([index]);
        let mut to_see = vec![index];
        std::iter::from_fn(move || {
            let index = to_see.pop()?;
            let phase = self.phases.get(index)?;
            let parents = phase.depends_on.iter().flat_map(|parent| self.graph.meant_by(parent));
            to_see.extend(parents.filter(|parent| seen.insert(*parent))); // circles end here
            Some((index, phase))
        })
    }
}

#[cfg(test)]
mod tests;
