//! What the clients know: the oracle that a restarted service is checked against.

use std::collections::{HashMap, HashSet};

use serde::Deserialize;

/// A task as the service lists it.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Task {
    pub(crate) uid: String,
    #[serde(rename = "type")]
    pub(crate) topic: String,
    pub(crate) id: String,
    pub(crate) info: String,
    pub(crate) attempt: u32,
    pub(crate) state: String,
    #[serde(default)]
    pub(crate) result: String,
    #[serde(default)]
    pub(crate) msg: String,
    #[serde(default)]
    pub(crate) parent: String,
}

/// A result that was acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Finished {
    result: &'static str,
    msg: String,
    /// Whether some answer said that it was new; the same sent twice at once may hear of the duplicate first.
    new: bool,
}

impl Finished {
    fn is(&self, task: &Task) -> bool {
        task.state == "done" && task.result == self.result && task.msg == self.msg
    }
}

/// What was acknowledged to the clients of one database.
#[derive(Debug, Default)]
pub(crate) struct Oracle {
    /// Uids with what they are to do.
    created: HashMap<String, String>,
    /// Uids with their results.
    finished: HashMap<String, Finished>,
    /// What can't be.
    pub(crate) violations: Violations,
}

/// What can't be, by kind.
#[derive(Debug, Default, Clone)]
pub(crate) struct Violations {
    pub(crate) lost: Vec<String>,
    pub(crate) finished_twice: Vec<String>,
    pub(crate) children_doubled: Vec<String>,
    pub(crate) slots_doubled: Vec<String>,
    pub(crate) other: Vec<String>,
}

impl Violations {
    pub(crate) fn add(&mut self, other: Self) {
        self.lost.extend(other.lost);
        self.finished_twice.extend(other.finished_twice);
        self.children_doubled.extend(other.children_doubled);
        self.slots_doubled.extend(other.slots_doubled);
        self.other.extend(other.other);
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &String> {
        let known =
            [&self.lost, &self.finished_twice, &self.children_doubled, &self.slots_doubled, &self.other];
        known.into_iter().flatten()
    }
}

impl Oracle {
    /// How many creations and results were acknowledged.
    pub(crate) fn acknowledged(&self) -> (usize, usize) {
        (self.created.len(), self.finished.len())
    }

    /// The service answered that it created this task.
    pub(crate) fn created(&mut self, uid: &str, info: &str) {
        let before = self.created.insert(uid.to_owned(), info.to_owned());
        if before.as_deref().is_some_and(|before| before != info) {
            self.violations.other.push(format!("{uid} is two tasks: {before:?} and {info}"));
        }
    }

    /// The service handed this task out.
    pub(crate) fn leased(&mut self, uid: &str) {
        if self.finished.contains_key(uid) {
            self.violations
                .finished_twice
                .push(format!("{uid} was handed out after its result was acknowledged"));
        }
    }

    /// The service took this result; `duplicate` when it says that it had it before.
    pub(crate) fn finished(&mut self, uid: &str, result: &'static str, msg: &str, duplicate: bool) {
        let known = self.finished.entry(uid.to_owned());
        let finished = known.or_insert_with(|| Finished { result, msg: msg.to_owned(), new: false });
        if (finished.new && !duplicate) || finished.result != result || finished.msg != msg {
            self.violations.finished_twice.push(format!("the result of {uid} was taken twice"));
        }
        finished.new |= !duplicate;
    }

    /// Holds what the service lists against what it acknowledged.
    pub(crate) fn check(&mut self, tasks: &[Task]) {
        let by_uid: HashMap<&str, &Task> = tasks.iter().map(|task| (task.uid.as_str(), task)).collect();
        if by_uid.len() != tasks.len() {
            self.violations.other.push("a list shows a task twice".to_owned());
        }
        for (uid, info) in &self.created {
            match by_uid.get(uid.as_str()) {
                Some(task) if task.info == *info => {}
                found => {
                    self.violations.lost.push(format!("{uid} ({info}) was acknowledged, there is {found:?}"));
                }
            }
        }
        for (uid, finished) in &self.finished {
            match by_uid.get(uid.as_str()) {
                Some(task) if finished.is(task) => {}
                found => {
                    self.violations
                        .lost
                        .push(format!("{finished:?} of {uid} was acknowledged, there is {found:?}"));
                }
            }
        }
        self.check_once(tasks);
    }

    /// What must be there at most once, and what follows from a result exactly once.
    fn check_once(&mut self, tasks: &[Task]) {
        let Violations { children_doubled, slots_doubled, lost, other, .. } = &mut self.violations;
        let mut infos = HashSet::new();
        let mut followers: HashMap<(&str, &str), usize> = HashMap::new();
        for task in tasks {
            let begins = task.parent.is_empty() && task.attempt == 1;
            if begins && !infos.insert((&task.topic, &task.info)) {
                let doubled = if task.topic == super::TICK { &mut *slots_doubled } else { &mut *other };
                doubled.push(format!("there are two {} {}", task.topic, task.info));
            }
            *followers.entry((&task.parent, &task.topic)).or_default() += usize::from(task.attempt == 1);
        }
        let attempts: HashSet<_> = tasks.iter().map(|task| (&task.id, &task.topic, task.attempt)).collect();
        for task in tasks.iter().filter(|task| task.state == "done") {
            let child = super::CHILDREN.iter().find(|(parent, _)| *parent == task.topic);
            if let Some((_, child)) = child.filter(|_| task.result == "complete") {
                match followers.get(&(task.uid.as_str(), *child)).copied().unwrap_or(0) {
                    1 => {}
                    0 => lost.push(format!("{} of {} is missing", child, task.uid)),
                    n => children_doubled.push(format!("{n} {child} follow from {}", task.uid)),
                }
            }
            if task.result == "error" && task.attempt <= super::RETRIES {
                let next = (&task.id, &task.topic, task.attempt + 1);
                if !attempts.contains(&next) {
                    lost.push(format!("the retry of {} is missing", task.uid));
                }
            }
        }
        if attempts.len() != tasks.len() {
            children_doubled.push(format!("{} attempts are there twice", tasks.len() - attempts.len()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(uid: &str, topic: &str, parent: &str) -> Task {
        Task {
            uid: uid.to_owned(),
            topic: topic.to_owned(),
            id: if parent.is_empty() { format!("chain of {uid}") } else { format!("chain of {parent}") },
            info: format!("info of {uid}"),
            attempt: 1,
            state: "ready".to_owned(),
            result: String::new(),
            msg: String::new(),
            parent: parent.to_owned(),
        }
    }

    fn done(task: Task, result: &str) -> Task {
        Task { state: "done".to_owned(), result: result.to_owned(), msg: "m".to_owned(), ..task }
    }

    fn oracle() -> Oracle {
        let mut oracle = Oracle::default();
        oracle.created("1", "info of 1");
        oracle.leased("1");
        oracle.finished("1", "complete", "m", false);
        oracle
    }

    fn well() -> Vec<Task> {
        vec![done(task("1", "first", ""), "complete"), task("2", "second", "1"), task("3", "tick", "")]
    }

    fn found(tasks: &[Task]) -> Violations {
        let mut oracle = oracle();
        oracle.check(tasks);
        oracle.violations
    }

    #[test]
    fn what_holds_is_no_violation() {
        assert_eq!(found(&well()).all().count(), 0, "{:?}", found(&well()));
        let mut oracle = oracle();
        oracle.finished("1", "complete", "m", true);
        oracle.finished("8", "complete", "m", true);
        oracle.finished("8", "complete", "m", false);
        assert_eq!(
            oracle.violations.all().count(),
            0,
            "the same again is a duplicate, whichever is heard first"
        );
    }

    #[test]
    fn each_violation_is_found() {
        assert_eq!(found(&well()[1..]).lost.len(), 2, "the task and its result");
        let other = vec![done(task("1", "first", ""), "error"), well().remove(1), well().remove(2)];
        assert!(found(&other).lost.len() >= 2, "another result, and no retry");
        let childless = [well().remove(0), well().remove(2)];
        assert_eq!(found(&childless).lost.len(), 1);
        let mut twins = well();
        twins.push(Task { id: "another chain".to_owned(), ..task("4", "second", "1") });
        assert_eq!(found(&twins).children_doubled.len(), 1);
        let mut slots = well();
        slots.push(Task { info: "info of 3".to_owned(), ..task("5", "tick", "") });
        assert_eq!(found(&slots).slots_doubled.len(), 1);
        let mut retries = well();
        retries.extend([task("6", "third", "x"), Task { uid: "7".to_owned(), ..task("6", "third", "x") }]);
        assert_eq!(found(&retries).children_doubled.len(), 1, "the same attempt of a chain");
        let mut again = oracle();
        again.leased("1");
        again.finished("1", "complete", "m", false);
        again.finished("1", "complete", "another", true);
        assert_eq!(again.violations.finished_twice.len(), 3);
    }
}
