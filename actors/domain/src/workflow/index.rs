//! All workflow files together, with what is asked for each result at hand.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::{Phase, TaskName, WorkflowFile};

/// Where a phase is: the number of its file, and its number in there.
type Place = (usize, usize);

/// The workflow files that count, by path.
#[derive(Debug, Clone, Default)]
pub struct Workflows {
    files: Vec<Arc<WorkflowFile>>,
    /// Phases by topic and job, in the order of files and phases.
    by_name: HashMap<TaskName, Vec<Place>>,
    /// Phases by file and the topic that they depend on.
    by_parent: HashMap<(usize, String), Vec<Place>>,
    /// Phases that their own descendants would start.
    cyclic: HashSet<Place>,
}

impl Workflows {
    /// Indexes files.
    #[must_use]
    pub fn new(files: impl IntoIterator<Item = Arc<WorkflowFile>>) -> Self {
        let by_path: BTreeMap<String, Arc<WorkflowFile>> =
            files.into_iter().map(|file| (file.path.clone(), file)).collect();
        let mut all = Self { files: by_path.into_values().collect(), ..Self::default() };
        for (number, file) in all.files.iter().enumerate() {
            for (at, phase) in file.phases.iter().enumerate() {
                all.by_name.entry(phase.task.clone()).or_default().push((number, at));
                if let Some(parent) = &phase.depends_on {
                    all.by_parent.entry((number, parent.topic.clone())).or_default().push((number, at));
                }
            }
        }
        for children in all.by_parent.values_mut() {
            // Children start in the order of their names.
            children.sort_by_cached_key(|place| {
                let phase = &all.files[place.0].phases[place.1];
                (phase.task.clone(), place.1)
            });
        }
        all.cyclic = all.find_cycles();
        all
    }

    /// The files, by path.
    #[must_use]
    pub fn files(&self) -> &[Arc<WorkflowFile>] {
        &self.files
    }

    /// A file by its path.
    #[must_use]
    pub fn file(&self, path: &str) -> Option<&Arc<WorkflowFile>> {
        self.number_of(path).map(|number| &self.files[number])
    }

    /// All phases, by file and as written.
    pub fn phases(&self) -> impl Iterator<Item = &Phase> {
        self.files.iter().flat_map(|file| &file.phases)
    }

    /// A phase by its file and `topic:job`; the first of several.
    #[must_use]
    pub fn phase(&self, workflow: &str, task: &str) -> Option<&Phase> {
        let number = self.number_of(workflow)?;
        let places = self.by_name.get(&TaskName::parse(task))?;
        places.iter().find(|place| place.0 == number).map(|place| self.at(*place))
    }

    /// The phase that a task belongs to: in its own workflow first, then in the others by path.
    #[must_use]
    pub fn phase_for(&self, workflow: &str, topic: &str, job: &str) -> Option<&Phase> {
        let name = TaskName { topic: topic.to_owned(), job: job.to_owned() };
        let places = self.by_name.get(&name)?;
        let own = self.number_of(workflow);
        let place = places.iter().find(|place| Some(place.0) == own).or_else(|| places.first())?;
        Some(self.at(*place))
    }

    /// The phases of a file that follow a task: those that name its topic alone, or its job as well.
    pub fn children<'a>(
        &'a self,
        workflow: &str,
        topic: &str,
        job: &'a str,
    ) -> impl Iterator<Item = &'a Phase> {
        let places =
            self.number_of(workflow).and_then(|number| self.by_parent.get(&(number, topic.to_owned())));
        places
            .into_iter()
            .flatten()
            .filter(|place| !self.cyclic.contains(place))
            .map(|place| self.at(*place))
            .filter(move |phase| {
                phase.depends_on.as_ref().is_some_and(|parent| parent.job.is_empty() || parent.job == job)
            })
    }

    /// Whether a phase would, through its descendants, start itself.
    #[must_use]
    pub fn is_cyclic(&self, phase: &Phase) -> bool {
        let number = self.number_of(&phase.workflow);
        self.cyclic.iter().any(|place| Some(place.0) == number && self.at(*place).line == phase.line)
    }

    fn at(&self, (file, phase): Place) -> &Phase {
        &self.files[file].phases[phase]
    }

    fn number_of(&self, path: &str) -> Option<usize> {
        self.files.binary_search_by(|file| file.path.as_str().cmp(path)).ok()
    }

    /// The phases that lie on a cycle: nothing but a cycle leads from a phase back to itself.
    fn find_cycles(&self) -> HashSet<Place> {
        let places = self.by_parent.values().flatten();
        places.filter(|place| self.leads_to_itself(**place)).copied().collect()
    }

    fn leads_to_itself(&self, start: Place) -> bool {
        let mut seen = HashSet::new();
        let mut next = vec![start];
        while let Some(place) = next.pop() {
            for child in self.follow(place) {
                if child == start {
                    return true;
                }
                if seen.insert(child) {
                    next.push(child);
                }
            }
        }
        false
    }

    fn follow(&self, place: Place) -> impl Iterator<Item = Place> {
        let phase = self.at(place);
        let key = (place.0, phase.task.topic.clone());
        self.by_parent.get(&key).into_iter().flatten().copied().filter(move |child| {
            let parent = self.at(*child).depends_on.as_ref();
            parent.is_some_and(|parent| parent.job.is_empty() || parent.job == phase.task.job)
        })
    }
}
