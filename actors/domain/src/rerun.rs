//! A finished task, once more.

use chrono::{DateTime, Utc};

use crate::ids::Ids;
use crate::query::Query;
use crate::task::{Attempt, NewTask};

/// What the retries of the first time left in the meta.
const OF_RETRIES: [&str; 3] = ["retry", "retried", "delayed"];

/// The same task of the same chain, with all its retries before it; `rerun=manual` in its meta says why it is there.
#[must_use]
pub fn rerun(task: &Attempt, ids: &mut dyn Ids, now: DateTime<Utc>) -> NewTask {
    let mut meta = Query::lenient(&task.meta);
    for key in OF_RETRIES {
        meta.remove(key);
    }
    meta.set("rerun", "manual");
    NewTask {
        uid: ids.uid(now),
        topic: task.topic.clone(),
        job: task.job.clone(),
        id: task.id.clone(),
        info: task.info.clone(),
        meta: meta.sorted().encode(),
        workflow: task.workflow.clone(),
        parent: Some(task.uid),
        retry: 0,
        not_before: None,
        lane: task.lane,
    }
}
