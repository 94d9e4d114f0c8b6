//! What the last task that ended had waited for: each task after the one that started it.

use std::collections::HashMap;

use flowlord_domain::TaskState;

use crate::prelude::*;
use crate::when::span;

pub(super) struct PathStep {
    pub(super) uid: Uid,
    pub(super) name: String,
    pub(super) times: String,
}

impl PathStep {
    pub(super) fn new(task: &Attempt) -> Self {
        let created = task.uid.created_at();
        let queued = task.not_before.map_or(created, |at| at.max(created));
        let length = |from: Option<DateTime<Utc>>, to: Option<DateTime<Utc>>| Some(span(to? - from?));
        let queue = length(Some(queued), task.started).map(|span| format!("queue time {span}"));
        let run = length(task.started, task.ended).map(|span| format!("run time {span}"));
        Self {
            uid: task.uid,
            name: line_key(&task.topic, &task.job),
            times: queue.into_iter().chain(run).collect::<Vec<_>>().join(", "),
        }
    }
}

/// The first first; nothing where the last one had no parent.
pub(super) fn path_to_last_end(tasks: &[Attempt]) -> Vec<&Attempt> {
    let by_uid: HashMap<Uid, &Attempt> = tasks.iter().map(|task| (task.uid, task)).collect();
    let done = tasks.iter().filter(|task| task.state == TaskState::Done);
    let mut path: Vec<&Attempt> = done.max_by_key(|task| (task.ended, task.uid)).into_iter().collect();
    // A parent is older than its child: the walk ends.
    while let Some(parent) = path.last().and_then(|task| task.parent).and_then(|uid| by_uid.get(&uid)) {
        if path.last().is_some_and(|child| parent.uid >= child.uid) {
            break;
        }
        path.push(parent);
    }
    path.reverse();
    if path.len() > 1 { path } else { Vec::new() }
}

#[cfg(test)]
mod tests {
    use flowlord_testkit::sample::{finished, noon};

    use super::*;

    #[test]
    fn the_path_goes_from_the_first_parent_to_the_last_end() {
        let ended = |minute| Some(noon() + TimeDelta::minutes(minute));
        let of = |n: i64, parent: Option<i64>, end| Attempt {
            parent: parent.map(|n| finished(n).uid),
            ended: ended(end),
            ..finished(n)
        };
        let tasks = [of(1, None, 1), of(2, Some(1), 5), of(3, Some(1), 4), of(4, Some(9), 3)];
        let told: Vec<Uid> = path_to_last_end(&tasks).iter().map(|task| task.uid).collect();
        assert_eq!(told, [tasks[0].uid, tasks[1].uid]);
        assert!(path_to_last_end(&tasks[3..]).is_empty(), "its parent isn't of the day");
        assert_eq!(PathStep::new(&tasks[1]).times, "queue time 1.99s, run time 4m58s");
    }
}
