//! What was acknowledged to the clients, which a restarted service is checked against.

use std::collections::{HashMap, HashSet};

use serde::Deserialize;

use super::joined::{JoinFaults, check_joins};
use super::workload::{CHILDREN, RETRIED, RETRIES, TICK};

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct ListedTask {
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
    #[serde(default)]
    meta: String,
}

impl ListedTask {
    /// The hour that it is about.
    pub(super) fn hour(&self) -> &str {
        let value = self.meta.split('&').find_map(|pair| pair.strip_prefix("cron="));
        value.unwrap_or_default()
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct AcknowledgedResult {
    result: &'static str,
    msg: String,
    /// Whether an answer said that it was new.
    is_new: bool,
}

impl AcknowledgedResult {
    fn is_stored_in(&self, task: &ListedTask) -> bool {
        task.state == "done" && task.result == self.result && task.msg == self.msg
    }
}

#[derive(Debug, Default)]
pub(crate) struct CrashOracle {
    created: HashMap<String, String>,
    finished: HashMap<String, AcknowledgedResult>,
    pub(crate) violations: FoundViolations,
}

#[derive(Debug, Default, Clone)]
pub(crate) struct FoundViolations {
    pub(crate) lost: Vec<String>,
    pub(crate) finished_twice: Vec<String>,
    pub(crate) children_doubled: Vec<String>,
    pub(crate) slots_doubled: Vec<String>,
    pub(crate) joins_early: Vec<String>,
    /// Limits that were exceeded, and places that weren't free again.
    pub(crate) limits: Vec<String>,
    pub(crate) other: Vec<String>,
}

impl FoundViolations {
    pub(crate) fn merge_from(&mut self, other: Self) {
        self.lost.extend(other.lost);
        self.finished_twice.extend(other.finished_twice);
        self.children_doubled.extend(other.children_doubled);
        self.slots_doubled.extend(other.slots_doubled);
        self.joins_early.extend(other.joins_early);
        self.limits.extend(other.limits);
        self.other.extend(other.other);
    }

    pub(crate) fn iter_all(&self) -> impl Iterator<Item = &String> {
        let Self { lost, finished_twice, children_doubled, slots_doubled, joins_early, limits, other } = self;
        let kinds = [lost, finished_twice, children_doubled, slots_doubled, joins_early, limits, other];
        kinds.into_iter().flatten()
    }
}

impl CrashOracle {
    pub(crate) fn count_acknowledged(&self) -> (usize, usize) {
        (self.created.len(), self.finished.len())
    }

    pub(crate) fn record_task(&mut self, uid: &str, info: &str) {
        let before = self.created.insert(uid.to_owned(), info.to_owned());
        if before.as_deref().is_some_and(|before| before != info) {
            self.violations.other.push(format!("{uid} is two tasks: {before:?} and {info}"));
        }
    }

    pub(crate) fn record_lease(&mut self, uid: &str) {
        if self.finished.contains_key(uid) {
            self.violations.finished_twice.push(format!("{uid} was leased after its result was acknowledged"));
        }
    }

    /// The service accepted this result, as a duplicate of one that it had.
    pub(crate) fn record_result(&mut self, uid: &str, result: &'static str, msg: &str, is_duplicate: bool) {
        let known = self.finished.entry(uid.to_owned());
        let finished = known.or_insert_with(|| AcknowledgedResult { result, msg: msg.to_owned(), is_new: false });
        // Of two sent at once, the duplicate may be answered first: only two that are new contradict.
        if (finished.is_new && !is_duplicate) || finished.result != result || finished.msg != msg {
            self.violations.finished_twice.push(format!("the result of {uid} was accepted twice"));
        }
        finished.is_new |= !is_duplicate;
    }

    pub(crate) fn check_tasks(&mut self, tasks: &[ListedTask]) {
        let by_uid: HashMap<&str, &ListedTask> = tasks.iter().map(|task| (task.uid.as_str(), task)).collect();
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
                Some(task) if finished.is_stored_in(task) => {}
                found => {
                    self.violations.lost.push(format!("{finished:?} of {uid} was acknowledged, there is {found:?}"));
                }
            }
        }
        self.check_once(tasks);
        let JoinFaults { missing, early, doubled } = check_joins(tasks);
        self.violations.lost.extend(missing);
        self.violations.joins_early.extend(early);
        self.violations.children_doubled.extend(doubled);
    }

    /// Slots and attempts exist at most once, children and retries of a result exactly once.
    fn check_once(&mut self, tasks: &[ListedTask]) {
        let FoundViolations { children_doubled, slots_doubled, lost, other, .. } = &mut self.violations;
        let mut infos = HashSet::new();
        let mut child_counts: HashMap<(&str, &str), usize> = HashMap::new();
        for task in tasks {
            // Clients number their tasks and slots have their time, so each info is there once.
            let is_root = task.parent.is_empty() && task.attempt == 1;
            if is_root && !infos.insert((&task.topic, &task.info)) {
                let doubled = if task.topic == TICK { &mut *slots_doubled } else { &mut *other };
                doubled.push(format!("there are two {} {}", task.topic, task.info));
            }
            *child_counts.entry((&task.parent, &task.topic)).or_default() += usize::from(task.attempt == 1);
        }
        let attempts: HashSet<_> = tasks.iter().map(|task| (&task.id, &task.topic, task.attempt)).collect();
        for task in tasks.iter().filter(|task| task.state == "done") {
            let child = CHILDREN.iter().find(|(parent, _)| *parent == task.topic);
            if let Some((_, child)) = child.filter(|_| task.result == "complete") {
                match child_counts.get(&(task.uid.as_str(), *child)).copied().unwrap_or(0) {
                    1 => {}
                    0 => lost.push(format!("{} of {} is missing", child, task.uid)),
                    n => children_doubled.push(format!("{n} {child} are children of {}", task.uid)),
                }
            }
            if task.result == "error" && task.attempt <= RETRIES && RETRIED.contains(&&*task.topic) {
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

    fn task(uid: &str, topic: &str, parent: &str) -> ListedTask {
        ListedTask {
            uid: uid.to_owned(),
            topic: topic.to_owned(),
            id: if parent.is_empty() { format!("chain of {uid}") } else { format!("chain of {parent}") },
            info: format!("info of {uid}"),
            attempt: 1,
            state: "ready".to_owned(),
            result: String::new(),
            msg: String::new(),
            parent: parent.to_owned(),
            meta: String::new(),
        }
    }

    fn done(task: ListedTask, result: &str) -> ListedTask {
        ListedTask { state: "done".to_owned(), result: result.to_owned(), msg: "m".to_owned(), ..task }
    }

    fn oracle() -> CrashOracle {
        let mut oracle = CrashOracle::default();
        oracle.record_task("1", "info of 1");
        oracle.record_lease("1");
        oracle.record_result("1", "complete", "m", false);
        oracle
    }

    fn well() -> Vec<ListedTask> {
        vec![done(task("1", "first", ""), "complete"), task("2", "second", "1"), task("3", "tick", "")]
    }

    fn found(tasks: &[ListedTask]) -> FoundViolations {
        let mut oracle = oracle();
        oracle.check_tasks(tasks);
        oracle.violations
    }

    #[test]
    fn what_holds_is_no_violation() {
        assert_eq!(found(&well()).iter_all().count(), 0, "{:?}", found(&well()));
        let mut oracle = oracle();
        oracle.record_result("1", "complete", "m", true);
        oracle.record_result("8", "complete", "m", true);
        oracle.record_result("8", "complete", "m", false);
        assert_eq!(
            oracle.violations.iter_all().count(),
            0,
            "the same again is a duplicate, whichever is answered first"
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
        twins.push(ListedTask { id: "another chain".to_owned(), ..task("4", "second", "1") });
        assert_eq!(found(&twins).children_doubled.len(), 1);
        let mut slots = well();
        slots.push(ListedTask { info: "info of 3".to_owned(), ..task("5", "tick", "") });
        assert_eq!(found(&slots).slots_doubled.len(), 1);
        let mut retries = well();
        retries.extend([task("6", "third", "x"), ListedTask { uid: "7".to_owned(), ..task("6", "third", "x") }]);
        assert_eq!(found(&retries).children_doubled.len(), 1, "the same attempt of a chain");
        let mut again = oracle();
        again.record_lease("1");
        again.record_result("1", "complete", "m", false);
        again.record_result("1", "complete", "another", true);
        assert_eq!(again.violations.finished_twice.len(), 3);
    }
}
