//! Phases that wait for tasks of other files, or for several: which task each of them waits for.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::graph::strong_components;
use super::{Phase, TaskName, WorkflowFile};

/// Where a phase is: the number of its file, and its number in there.
pub(super) type PhasePlace = (usize, usize);

/// Lookups between files, made once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct FollowerIndex {
    /// By the topic that they wait for.
    by_topic: HashMap<String, Vec<Follower>>,
    /// Those that wait for what follows them: nothing starts these.
    circles: HashSet<PhasePlace>,
}

/// A phase, and one of the tasks that it waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Follower {
    /// The number of the file that the task is of.
    pub(super) file: usize,
    /// The job; empty for any.
    pub(super) job: String,
    /// The phase that waits.
    pub(super) child: PhasePlace,
    /// Which of its parents the task is.
    pub(super) nth: usize,
}

impl FollowerIndex {
    pub(super) fn new(files: &[Arc<WorkflowFile>]) -> Self {
        let mut index = Self::default();
        for (number, file) in files.iter().enumerate() {
            let mut joins = HashSet::new();
            for (at, phase) in file.phases.iter().enumerate().filter(|(_, phase)| !phase.parents.is_empty()) {
                // Two joins of one name would share their periods.
                if !phase.is_join || (is_readable(phase) && joins.insert(&phase.task)) {
                    index.add(files, phase, (number, at));
                }
            }
        }
        if !index.by_topic.is_empty() {
            index.leave_out_circles(files);
        }
        index
    }

    fn add(&mut self, files: &[Arc<WorkflowFile>], phase: &Phase, child: PhasePlace) {
        for (nth, parent) in phase.parents.iter().enumerate() {
            let Some(file) = file_meant(files, &phase.workflow, &parent.file) else { continue };
            let follower = Follower { file, job: parent.task.job.clone(), child, nth };
            self.by_topic.entry(parent.task.topic.clone()).or_default().push(follower);
        }
    }

    /// The phases that wait for a task of the file of that number, each with what it takes the task for.
    pub(super) fn waiting_for<'a, 'j>(
        &'a self,
        file: usize,
        topic: &str,
        job: &'j str,
    ) -> impl Iterator<Item = &'a Follower> + use<'a, 'j> {
        let of_topic = self.by_topic.get(topic).into_iter().flatten();
        of_topic.filter(move |follower| follower.file == file && (follower.job.is_empty() || follower.job == job))
    }

    pub(super) fn has_topic(&self, topic: &str) -> bool {
        self.by_topic.contains_key(topic)
    }

    pub(super) fn is_circular(&self, place: PhasePlace) -> bool {
        self.circles.contains(&place)
    }

    fn leave_out_circles(&mut self, files: &[Arc<WorkflowFile>]) {
        let mut graph = NameGraph::default();
        for (number, file) in files.iter().enumerate() {
            for phase in &file.phases {
                graph.node_of(number, &phase.task);
                if let Some(parent) = &phase.depends_on {
                    graph.add_edge((number, parent), (number, &phase.task));
                }
            }
        }
        for (topic, followers) in &self.by_topic {
            for follower in followers {
                let (number, at) = follower.child;
                let parent = TaskName { topic: topic.clone(), job: follower.job.clone() };
                graph.add_edge((follower.file, &parent), (number, &files[number].phases[at].task));
            }
        }
        let component = strong_components(&graph.edges);
        for (topic, followers) in &mut self.by_topic {
            followers.retain(|follower| {
                let (number, at) = follower.child;
                let parent = TaskName { topic: topic.clone(), job: follower.job.clone() };
                let ends =
                    [graph.source_of(follower.file, &parent), graph.node_of(number, &files[number].phases[at].task)];
                let goes_round = component[ends[0]] == component[ends[1]];
                if goes_round {
                    self.circles.insert(follower.child);
                }
                !goes_round
            });
        }
        let circles = &self.circles;
        // A join that waits for itself never has all that it waits for.
        self.by_topic.values_mut().for_each(|all| all.retain(|follower| !circles.contains(&follower.child)));
    }
}

/// Whether it is clear when the join starts.
fn is_readable(phase: &Phase) -> bool {
    phase.rule.find_blocker(&["", "join", "over"]).is_none()
}

/// The number of the file that a phase of `own` means: its path in the workflow folder, or one below a folder that `own`
/// is in.
pub(super) fn file_meant(files: &[Arc<WorkflowFile>], own: &str, written: &str) -> Option<usize> {
    let number_of = |path: &str| files.binary_search_by(|file| file.path.as_str().cmp(path)).ok();
    number_of(written).or_else(|| {
        let mut folders = own.rmatch_indices('/').map(|(at, _)| &own[..=at]);
        folders.find_map(|folder| number_of(&format!("{folder}{written}")))
    })
}

/// Names of all files, and which lead to which. One node of a topic stands for any job of it.
#[derive(Default)]
struct NameGraph {
    nodes: HashMap<(usize, TaskName, bool), usize>,
    edges: Vec<Vec<usize>>,
}

impl NameGraph {
    fn number(&mut self, file: usize, name: TaskName, is_any: bool) -> usize {
        let next = self.edges.len();
        let node = *self.nodes.entry((file, name, is_any)).or_insert(next);
        if node == next {
            self.edges.push(Vec::new());
        }
        node
    }

    /// The node of a task, which leads to that of any job of its topic.
    fn node_of(&mut self, file: usize, task: &TaskName) -> usize {
        let is_new = !self.nodes.contains_key(&(file, task.clone(), false));
        let node = self.number(file, task.clone(), false);
        if is_new {
            let any = self.number(file, TaskName { topic: task.topic.clone(), job: String::new() }, true);
            self.edges[node].push(any);
        }
        node
    }

    fn source_of(&mut self, file: usize, parent: &TaskName) -> usize {
        match parent.job.is_empty() {
            true => self.number(file, parent.clone(), true),
            false => self.node_of(file, parent),
        }
    }

    fn add_edge(&mut self, (from, parent): (usize, &TaskName), (to, child): (usize, &TaskName)) {
        let (source, target) = (self.source_of(from, parent), self.node_of(to, child));
        self.edges[source].push(target);
    }
}
