//! Whether each join started once for each period, and not before its parents were complete.

use std::collections::{HashMap, HashSet};

use super::oracle::ListedTask;
use super::workload::{DAY_BYTES, JOINS, WatchedJoin};

/// What is wrong with the joins of a list of all tasks.
#[derive(Debug, Default)]
pub(super) struct JoinFaults {
    pub(super) missing: Vec<String>,
    pub(super) early: Vec<String>,
    pub(super) doubled: Vec<String>,
}

pub(super) fn check_joins(tasks: &[ListedTask]) -> JoinFaults {
    let mut faults = JoinFaults::default();
    for join in JOINS {
        join.check_periods(tasks, &mut faults);
    }
    faults
}

/// How many joins of a list started: all of them, and those over a day.
pub(super) fn count_joins(tasks: &[ListedTask]) -> (usize, usize) {
    let started = |join: &WatchedJoin| tasks.iter().filter(|task| join.has_started(task)).count();
    let daily = JOINS.iter().filter(|join| join.period_bytes == DAY_BYTES);
    (JOINS.iter().map(started).sum(), daily.map(started).sum())
}

impl WatchedJoin {
    fn check_periods(&self, tasks: &[ListedTask], faults: &mut JoinFaults) {
        let arrived = self.arrived_by_period(tasks);
        let mut starts: HashMap<&str, usize> = HashMap::new();
        for task in tasks.iter().filter(|task| self.has_started(task)) {
            *starts.entry(self.period_of(task)).or_default() += 1;
        }
        // Of a parent that was created twice for an hour one counts, as for the join.
        let count = |period: &str| arrived.get(period).map_or(0, HashSet::len);
        for (period, started) in &starts {
            if *started > 1 {
                faults.doubled.push(format!("{} of {period} started {started} times", self.task));
            }
            if count(period) < self.need {
                let there = count(period);
                faults.early.push(format!("{} of {period} started after {there} of {}", self.task, self.need));
            }
        }
        let is_due = |period: &&&str| count(period) >= self.need && !starts.contains_key(**period);
        faults.missing.extend(arrived.keys().filter(is_due).map(|period| format!("{} of {period}", self.task)));
    }

    /// Whether a task is this join; one that a client created is about no time.
    fn has_started(&self, task: &ListedTask) -> bool {
        task.topic == self.task && task.attempt == 1 && !task.hour().is_empty()
    }

    /// The parents that are complete, each with its hour.
    fn arrived_by_period<'a>(&self, tasks: &'a [ListedTask]) -> HashMap<&'a str, HashSet<(&'a str, &'a str)>> {
        let mut arrived: HashMap<_, HashSet<_>> = HashMap::new();
        let is_complete = |task: &&ListedTask| task.state == "done" && task.result == "complete";
        for task in tasks.iter().filter(is_complete).filter(|task| self.parents.contains(&&*task.topic)) {
            arrived.entry(self.period_of(task)).or_default().insert((task.topic.as_str(), task.hour()));
        }
        arrived
    }

    fn period_of<'a>(&self, task: &'a ListedTask) -> &'a str {
        task.hour().get(..self.period_bytes).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(topic: &str, hour: u32, result: &str) -> ListedTask {
        let state = if result.is_empty() { "ready" } else { "done" };
        let meta = format!("workflow=crash.toml&cron=2000-01-01T{hour:02}&padding=");
        let task = serde_json::json!({
            "uid": "1", "type": topic, "id": "c", "info": "", "attempt": 1, "state": state, "result": result, "meta": meta,
        });
        serde_json::from_value(task).unwrap()
    }

    fn complete(topic: &str, hour: u32) -> ListedTask {
        task(topic, hour, "complete")
    }

    fn counts(tasks: &[ListedTask]) -> (usize, usize, usize) {
        let JoinFaults { missing, early, doubled } = check_joins(tasks);
        (missing.len(), early.len(), doubled.len())
    }

    #[test]
    fn a_join_is_there_once_as_soon_as_its_parents_are_complete() {
        let mut tasks = vec![complete("left", 1), complete("left", 1), task("right", 1, "error"), complete("right", 2)];
        tasks.extend([task("either", 1, ""), task("either", 2, "")]);
        assert_eq!((counts(&tasks), count_joins(&tasks)), ((0, 0, 0), (2, 0)));
        tasks.push(complete("right", 1));
        assert_eq!(counts(&tasks), (2, 0, 0), "both and two");
        tasks.extend([task("both", 1, ""), task("two", 1, "")]);
        assert_eq!(counts(&tasks), (0, 0, 0));
        tasks.extend([task("both", 1, ""), task("both", 2, "")]);
        assert_eq!(counts(&tasks), (0, 1, 1));
    }

    #[test]
    fn a_day_waits_for_all_of_its_hours() {
        let mut tasks: Vec<_> = (0..24).flat_map(|hour| [complete("left", hour), task("either", hour, "")]).collect();
        assert_eq!(counts(&tasks), (1, 0, 0));
        tasks.push(task("day", 0, ""));
        assert_eq!((counts(&tasks), count_joins(&tasks)), ((0, 0, 0), (25, 1)));
        tasks[0].result = "error".to_owned();
        assert_eq!(counts(&tasks), (0, 2, 0), "either of the hour as well");
    }
}
