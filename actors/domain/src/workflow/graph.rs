//! Which phases of one file follow which, and where that goes in circles.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet, VecDeque};

use super::{Phase, TaskName};

/// Lookups within one file, made once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct PhaseGraph {
    /// Phases by topic and job, as written.
    named: HashMap<String, HashMap<String, NamedPhases>>,
    /// Phases by the topic that they follow.
    followers: HashMap<String, TopicFollowers>,
    /// The place of each phase in the order of names.
    rank: Vec<usize>,
    /// For each phase, whether what it follows follows it.
    cyclic: Vec<bool>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct NamedPhases {
    node: usize,
    phases: Vec<usize>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct TopicFollowers {
    /// The node that stands for any job of the topic.
    node: usize,
    of_any_job: Vec<usize>,
    by_job: HashMap<String, Vec<usize>>,
    /// The circle of a job's node, where it is on one with followers of the topic.
    circles: HashMap<String, Vec<usize>>,
}

impl PhaseGraph {
    pub(super) fn new(phases: &[Phase]) -> Self {
        let mut graph = Self { rank: ranks_by_name(phases), ..Self::default() };
        let mut count = 0;
        for (index, phase) in phases.iter().enumerate() {
            let jobs = graph.named.entry(phase.task.topic.clone()).or_default();
            let named = jobs
                .entry(phase.task.job.clone())
                .or_insert_with(|| NamedPhases { node: take_node(&mut count), phases: vec![] });
            named.phases.push(index);
            if let Some(parent) = &phase.depends_on {
                let followers = graph.followers.entry(parent.topic.clone());
                let followers = followers
                    .or_insert_with(|| TopicFollowers { node: take_node(&mut count), ..TopicFollowers::default() });
                match parent.job.as_str() {
                    "" => followers.of_any_job.push(index),
                    job => followers.by_job.entry(job.to_owned()).or_default().push(index),
                }
            }
        }
        graph.find_circles(phases, count);
        graph
    }

    /// The phases of that name.
    pub(super) fn phases_named(&self, topic: &str, job: &str) -> &[usize] {
        self.named.get(topic).and_then(|jobs| jobs.get(job)).map_or(&[], |named| &named.phases)
    }

    /// The phases that follow a task, by name; those that would lead back to it are left out.
    pub(super) fn children_of(&self, topic: &str, job: &str) -> Vec<usize> {
        let Some(followers) = self.followers.get(topic) else { return Vec::new() };
        let of_job = followers.by_job.get(job).into_iter().flatten();
        let circle = followers.circles.get(job);
        let mut children: Vec<usize> = followers.of_any_job.iter().chain(of_job).copied().collect();
        children.retain(|index| circle.is_none_or(|circle| circle.binary_search(index).is_err()));
        // By name, so that the same result starts the same tasks in the same order.
        children.sort_unstable_by_key(|index| self.rank[*index]);
        children
    }

    /// Whether there is a phase that `name` means: of that job, or of any when it names none.
    pub(super) fn has_phase(&self, name: &TaskName) -> bool {
        self.named.get(&name.topic).is_some_and(|jobs| name.job.is_empty() || jobs.contains_key(&name.job))
    }

    /// Whether what a phase follows follows the phase.
    pub(super) fn is_cyclic(&self, index: usize) -> bool {
        self.cyclic.get(index).copied().unwrap_or_default()
    }

    /// The way from a phase on a circle back to it: each starts the next.
    pub(super) fn circle_from(&self, start: usize, phases: &[Phase]) -> Vec<usize> {
        let mut came_from: HashMap<usize, usize> = HashMap::new();
        let mut seen: HashSet<&TaskName> = HashSet::new();
        let mut queue = VecDeque::from([start]);
        while let Some(index) = queue.pop_front() {
            let Some(parent) = phases[index].depends_on.as_ref().filter(|parent| seen.insert(*parent)) else {
                continue;
            };
            let parents = self.meant_by(parent);
            if parents.iter().any(|parent| phases[*parent].task == phases[start].task) {
                let back = std::iter::successors(Some(index), |index| came_from.get(index).copied());
                return std::iter::once(start).chain(back).collect();
            }
            for parent in parents {
                if let Entry::Vacant(entry) = came_from.entry(parent) {
                    entry.insert(index);
                    queue.push_back(parent);
                }
            }
        }
        // It leads to a circle, and isn't on it.
        vec![start]
    }

    /// The phases that a `dependsOn` means, as written.
    pub(super) fn meant_by(&self, name: &TaskName) -> Vec<usize> {
        if !name.job.is_empty() {
            return self.phases_named(&name.topic, &name.job).to_vec();
        }
        let jobs = self.named.get(&name.topic).into_iter().flatten();
        let mut meant: Vec<usize> = jobs.flat_map(|(_, named)| named.phases.iter().copied()).collect();
        meant.sort_unstable(); // a map has no order, and what people read must have one
        meant
    }

    fn find_circles(&mut self, phases: &[Phase], count: usize) {
        // A node per topic stands between its jobs and those that follow any of them: else a file with many of both
        // would have an edge for each pair.
        let mut edges = vec![Vec::new(); count];
        for (topic, followers) in &self.followers {
            let jobs = self.named.get(topic);
            for (job, parent) in jobs.into_iter().flatten() {
                edges[parent.node].push(followers.node);
                let of_job = followers.by_job.get(job).into_iter().flatten();
                edges[parent.node].extend(of_job.filter_map(|index| self.node_of(&phases[*index])));
            }
            edges[followers.node].extend(followers.of_any_job.iter().filter_map(|i| self.node_of(&phases[*i])));
        }
        let circle = strong_components(&edges);
        self.cyclic = phases.iter().map(|phase| self.follows_itself(phase, &circle)).collect();
        self.note_circles(phases, &circle);
    }

    fn follows_itself(&self, phase: &Phase, circle: &[usize]) -> bool {
        let source = phase.depends_on.as_ref().and_then(|parent| match parent.job.as_str() {
            "" => self.followers.get(&parent.topic).map(|followers| followers.node),
            job => self.named.get(&parent.topic)?.get(job).map(|named| named.node),
        });
        let own = self.node_of(phase);
        source.zip(own).is_some_and(|(source, own)| circle[source] == circle[own])
    }

    /// For each job of a topic: which of its followers lead back to it.
    fn note_circles(&mut self, phases: &[Phase], circle: &[usize]) {
        let mut noted: Vec<(String, String, Vec<usize>)> = Vec::new();
        for (topic, jobs) in &self.named {
            let Some(followers) = self.followers.get(topic) else { continue };
            for (job, parent) in jobs {
                let all = followers.of_any_job.iter().chain(followers.by_job.get(job).into_iter().flatten());
                let mut back: Vec<usize> = all.copied().filter(|index| self.cyclic[*index]).collect();
                back.retain(|index| {
                    self.node_of(&phases[*index]).is_some_and(|node| circle[node] == circle[parent.node])
                });
                back.sort_unstable();
                if !back.is_empty() {
                    noted.push((topic.clone(), job.clone(), back));
                }
            }
        }
        for (topic, job, back) in noted {
            if let Some(followers) = self.followers.get_mut(&topic) {
                followers.circles.insert(job, back);
            }
        }
    }

    fn node_of(&self, phase: &Phase) -> Option<usize> {
        Some(self.named.get(&phase.task.topic)?.get(&phase.task.job)?.node)
    }
}

/// The next free number of a node; `count` is how many are taken.
fn take_node(count: &mut usize) -> usize {
    *count += 1;
    *count - 1
}

fn ranks_by_name(phases: &[Phase]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..phases.len()).collect();
    order.sort_by_cached_key(|index| (phases[*index].task.to_string(), *index));
    let mut ranks = vec![0; phases.len()];
    for (rank, index) in order.into_iter().enumerate() {
        ranks[index] = rank;
    }
    ranks
}

/// The strongly connected component of each node (Kosaraju, without recursion).
pub(super) fn strong_components(edges: &[Vec<usize>]) -> Vec<usize> {
    let mut backwards = vec![Vec::new(); edges.len()];
    for (from, targets) in edges.iter().enumerate() {
        for target in targets {
            backwards[*target].push(from);
        }
    }
    let mut component = vec![usize::MAX; edges.len()];
    for root in finish_order(edges).into_iter().rev() {
        let mut stack = vec![root];
        while let Some(node) = stack.pop() {
            if component[node] == usize::MAX {
                component[node] = root;
                stack.extend(&backwards[node]);
            }
        }
    }
    component
}

/// The nodes in the order in which a search in depth leaves them.
fn finish_order(edges: &[Vec<usize>]) -> Vec<usize> {
    let mut order = Vec::with_capacity(edges.len());
    let mut seen = vec![false; edges.len()];
    for root in 0..edges.len() {
        let mut stack = Vec::new();
        if !std::mem::replace(&mut seen[root], true) {
            stack.push((root, 0));
        }
        while let Some((node, next)) = stack.pop() {
            match edges[node].get(next) {
                Some(target) => {
                    stack.push((node, next + 1));
                    if !std::mem::replace(&mut seen[*target], true) {
                        stack.push((*target, 0));
                    }
                }
                None => order.push(node),
            }
        }
    }
    order
}
