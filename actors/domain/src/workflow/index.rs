//! All workflow files together, with what is asked for each result at hand.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::followers::{FollowerIndex, PhasePlace, file_meant};
use super::{ParentName, Phase, TaskName, WorkflowFile};
use crate::join::JoinCache;

/// The workflow files that count, by path.
///
/// ```
/// use chrono_tz::Tz;
/// use flowlord_domain::workflow::{WorkflowFile, Workflows};
///
/// let text = r#"
/// [[phase]]
/// task = "load:orders"
/// rule = "cron=0 3 * * *&offset=-24h"
/// template = "s3://lake/orders/{yyyy}/{mm}/{dd}/"
///
/// [[phase]]
/// task = "report"
/// dependsOn = "load:orders"
/// "#;
/// let file = WorkflowFile::parse("orders.toml", text, "hash", Tz::UTC).expect("the file can be read");
/// assert_eq!(file.phases[0].to_words(), "every day at 03:00, for the day before");
/// let workflows = Workflows::new([file.into()]);
/// let children: Vec<_> = workflows.children_of("orders.toml", "load", "orders").map(|phase| phase.task_name()).collect();
/// assert_eq!(children, ["report"]);
///
/// let findings = WorkflowFile::parse("bad.toml", "[[phase]]\ntask = 5\n", "hash", Tz::UTC).unwrap_err();
/// assert_eq!(findings[0].to_string(), "bad.toml:2:8: `task` is a number: write a text in quotes");
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Workflows {
    files: Vec<Arc<WorkflowFile>>,
    /// The first phase of each topic and job, by path and as written.
    first_named: HashMap<String, HashMap<String, PhasePlace>>,
    /// Topics that a phase with a meta file follows.
    before_meta_files: HashSet<String>,
    followers: FollowerIndex,
    expect_anything: bool,
    join_cache: JoinCache,
}

impl Workflows {
    /// All files with what is looked up for each result; the last of several at one path counts.
    pub fn new(files: impl IntoIterator<Item = Arc<WorkflowFile>>) -> Self {
        let by_path: BTreeMap<String, Arc<WorkflowFile>> =
            files.into_iter().map(|file| (file.path.clone(), file)).collect();
        let files: Vec<Arc<WorkflowFile>> = by_path.into_values().collect();
        let mut first_named: HashMap<String, HashMap<String, PhasePlace>> = HashMap::new();
        let mut before_meta_files = HashSet::new();
        for (number, file) in files.iter().enumerate() {
            for (at, phase) in file.phases.iter().enumerate() {
                let jobs = first_named.entry(phase.task.topic.clone()).or_default();
                // the first one by path is the one that findings name
                jobs.entry(phase.task.job.clone()).or_insert((number, at));
                if phase.rule.meta_file.is_some() {
                    let parents = phase.depends_on.iter().chain(phase.parents.iter().map(|parent| &parent.task));
                    before_meta_files.extend(parents.map(|parent| parent.topic.clone()));
                }
            }
        }
        let followers = FollowerIndex::new(&files);
        let expect_anything =
            files.iter().flat_map(|file| &file.phases).any(|phase| phase.rule.expectations.need_results());
        let join_cache = JoinCache::default();
        Self { files, first_named, before_meta_files, followers, expect_anything, join_cache }
    }

    /// Whether a phase with a meta file follows tasks of this topic: most results need no other look.
    pub(crate) fn may_need_meta_files(&self, topic: &str) -> bool {
        self.before_meta_files.contains(topic)
    }

    /// Whether a phase expects anything of results: else they need no other look.
    pub(crate) fn expect_anything(&self) -> bool {
        self.expect_anything
    }

    pub(crate) fn join_cache(&self) -> &JoinCache {
        &self.join_cache
    }

    /// The files, by path.
    pub fn files(&self) -> &[Arc<WorkflowFile>] {
        &self.files
    }

    /// A file by its path.
    pub fn file_at(&self, path: &str) -> Option<&Arc<WorkflowFile>> {
        self.files.get(self.file_number(path)?)
    }

    /// All phases, by file and as written.
    pub fn phases(&self) -> impl Iterator<Item = &Phase> {
        self.files.iter().flat_map(|file| &file.phases)
    }

    /// A phase by its file and `topic:job`; the first of several.
    pub fn phase_named(&self, workflow: &str, task: &str) -> Option<&Phase> {
        let name = TaskName::parse(task);
        self.file_at(workflow)?.first_phase(&name.topic, &name.job)
    }

    /// The phase that a task belongs to: in its own workflow first, then in the others by path.
    pub fn phase_for(&self, workflow: &str, topic: &str, job: &str) -> Option<&Phase> {
        let own = self.file_at(workflow).and_then(|file| file.first_phase(topic, job));
        own.or_else(|| {
            let (file, phase) = self.first_named.get(topic)?.get(job)?;
            self.files.get(*file)?.phases.get(*phase)
        })
    }

    /// The phases of a file that follow a task, by name: those that name its topic alone, or its job as well. A
    /// phase that would lead back to the task isn't among them.
    pub fn children_of(&self, workflow: &str, topic: &str, job: &str) -> impl Iterator<Item = &Phase> + use<'_> {
        let file = self.file_at(workflow);
        let children = file.map(|file| file.graph.children_of(topic, job)).unwrap_or_default();
        children.into_iter().filter_map(move |index| file?.phases.get(index))
    }

    /// The phases that wait for a task as a join or from another file, each with the number of the parent that the task is.
    pub fn waiting_for(&self, workflow: &str, topic: &str, job: &str) -> Vec<(&Phase, usize)> {
        if !self.followers.has_topic(topic) {
            return Vec::new(); // most results need no other look
        }
        let Some(file) = self.file_number(workflow) else { return Vec::new() };
        let waiting = self.followers.waiting_for(file, topic, job);
        waiting.filter_map(|follower| Some((self.phase_at(follower.child)?, follower.nth))).collect()
    }

    /// The phases that follow a task in whatever file, each once.
    pub fn all_children_of(&self, workflow: &str, topic: &str, job: &str) -> Vec<&Phase> {
        let mut children: Vec<&Phase> = self.children_of(workflow, topic, job).collect();
        for (phase, _) in self.waiting_for(workflow, topic, job) {
            if !children.iter().any(|child| std::ptr::eq(*child, phase)) {
                children.push(phase);
            }
        }
        children
    }

    /// The file that a parent of a phase is in.
    pub fn file_of_parent(&self, phase: &Phase, parent: &ParentName) -> Option<&Arc<WorkflowFile>> {
        self.files.get(file_meant(&self.files, &phase.workflow, &parent.file)?)
    }

    /// The phases that a parent of a phase means.
    pub fn meant_by(&self, phase: &Phase, parent: &ParentName) -> Vec<&Phase> {
        let Some(file) = self.file_of_parent(phase, parent) else { return Vec::new() };
        file.graph.meant_by(&parent.task).into_iter().filter_map(|index| file.phases.get(index)).collect()
    }

    /// The phases that one follows, in whatever file.
    pub fn parents_of(&self, phase: &Phase) -> Vec<&Phase> {
        let own = self.file_at(&phase.workflow).map(|file| file.parents_of(phase)).unwrap_or_default();
        let others = phase.parents.iter().flat_map(|parent| self.meant_by(phase, parent));
        own.into_iter().chain(others).collect()
    }

    /// The phase, what it follows, and so on, each once; what is before one that doesn't go on is left out.
    pub(crate) fn phases_before<'a>(&'a self, phase: &'a Phase, goes_on: impl Fn(&Phase) -> bool) -> Vec<&'a Phase> {
        let mut all = vec![phase];
        let mut next = 0;
        while let Some(phase) = all.get(next).copied() {
            next += 1;
            let parents = if goes_on(phase) { self.parents_of(phase) } else { Vec::new() };
            for parent in parents {
                if !all.iter().any(|known| std::ptr::eq(*known, parent)) {
                    all.push(parent);
                }
            }
        }
        all
    }

    /// The phases that wait for what follows them, over files.
    pub fn circular_phases(&self) -> impl Iterator<Item = &Phase> {
        let files = self.files.iter().enumerate();
        let places = files.flat_map(|(number, file)| (0..file.phases.len()).map(move |at| (number, at)));
        places.filter(|place| self.followers.is_circular(*place)).filter_map(|place| self.phase_at(place))
    }

    fn phase_at(&self, (file, at): PhasePlace) -> Option<&Phase> {
        self.files.get(file)?.phases.get(at)
    }

    /// By the order of paths.
    fn file_number(&self, path: &str) -> Option<usize> {
        self.files.binary_search_by(|file| file.path.as_str().cmp(path)).ok()
    }
}
