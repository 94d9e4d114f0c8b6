//! A task as tests begin from.

use flowlord_domain::{Attempt, CutTexts, Lane, TaskState, Uid};

/// A task that a worker has for the first time, of no workflow; the rest is nothing.
#[must_use]
pub fn leased(uid: Uid, topic: &str) -> Attempt {
    Attempt {
        uid,
        topic: topic.to_owned(),
        job: String::new(),
        id: "chain".to_owned(),
        info: String::new(),
        meta: String::new(),
        workflow: String::new(),
        parent: None,
        retry: 0,
        lane: Lane::Live,
        state: TaskState::Leased,
        delivery: 1,
        not_before: None,
        worker: String::new(),
        cancelled: false,
        lease_expires: None,
        progress: None,
        result: None,
        msg: String::new(),
        started: None,
        ended: None,
        cut: CutTexts::default(),
    }
}
