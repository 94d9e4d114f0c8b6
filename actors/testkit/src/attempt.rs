//! A task as tests begin from.

use flowlord_domain::{Attempt, NewTask, TaskLane, TaskState, Uid};

/// A task that a worker has for the first time, of no workflow; the rest is nothing.
#[must_use]
pub fn leased(uid: Uid, topic: &str) -> Attempt {
    let task = NewTask {
        uid,
        topic: topic.to_owned(),
        job: String::new(),
        id: "chain".to_owned(),
        info: String::new(),
        meta: String::new(),
        workflow: String::new(),
        parent: None,
        retry: 0,
        not_before: None,
        lane: TaskLane::Live,
    };
    Attempt { state: TaskState::Leased, delivery: 1, ..task.into_attempt() }
}
