//! Tasks as the tests of the web's crates show them: attempts of one task, all on one day.

use chrono::{DateTime, TimeDelta, Utc};
use flowlord_domain::{Attempt, NewTask, TaskLane, TaskResult, TaskState, Uid};

#[must_use]
pub fn noon() -> DateTime<Utc> {
    "2026-03-02T12:00:00Z".parse().expect("a time")
}

/// An attempt that is ready, created `n` microseconds after noon.
#[must_use]
pub fn attempt(n: i64) -> Attempt {
    let task = NewTask {
        uid: Uid(noon().timestamp_micros() + n),
        topic: "load".to_owned(),
        job: "daily".to_owned(),
        id: "chain-1".to_owned(),
        info: "?date=2026-03-02".to_owned(),
        meta: "workflow=main.toml".to_owned(),
        workflow: "main.toml".to_owned(),
        parent: None,
        retry: 0,
        not_before: None,
        lane: TaskLane::Live,
    };
    task.into_attempt()
}

#[must_use]
pub fn leased(n: i64) -> Attempt {
    Attempt {
        state: TaskState::Leased,
        delivery: 1,
        worker: "w1".to_owned(),
        lease_expires: Some(noon() + TimeDelta::seconds(60)),
        progress: Some(0.25),
        msg: "a quarter".to_owned(),
        started: Some(noon()),
        ..attempt(n)
    }
}

#[must_use]
pub fn finished(n: i64) -> Attempt {
    Attempt {
        state: TaskState::Done,
        result: Some(TaskResult::Error),
        retry: 1,
        parent: Some(Uid(noon().timestamp_micros())),
        delivery: 2,
        worker: "w1".to_owned(),
        msg: "no disk".to_owned(),
        started: Some(noon() + TimeDelta::seconds(2)),
        ended: Some(noon() + TimeDelta::seconds(5)),
        ..attempt(n)
    }
}
