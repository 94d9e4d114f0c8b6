//! One chunk: made, looked up where only some tasks are wanted, stored.

use chrono::{DateTime, Utc};
use flowlord_domain::NewTask;
use flowlord_domain::backload::{Only, Plan};
use flowlord_kernel::Result;
use flowlord_messages::backload::{CheckBackload, Failure, StoreBackloadChunk};

use crate::Deps;

/// How many tasks are stored in one command, so that those of the day needn't wait long for its end.
const CHUNK: usize = 500;

/// Nothing is added to a queue that has so many backloaded tasks ready: neither it nor the disk grows faster than
/// the workers are.
pub(crate) const MAX_READY: usize = 10_000;

/// What became of a chunk.
#[derive(Debug)]
pub(crate) enum Step {
    /// It is stored.
    Stored(Stored),
    /// Its queue is full for now.
    NoRoom,
}

/// What was stored.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) tasks: Vec<NewTask>,
    pub(crate) failed: Vec<Failure>,
    pub(crate) skipped: usize,
    pub(crate) next: usize,
}

/// Stores the chunk of a plan that begins with the task number `from`.
pub(crate) async fn step(
    deps: &Deps,
    host: &str,
    plan: &Plan,
    id: i64,
    from: usize,
    waited_for: bool,
) -> Result<Step> {
    let now = deps.clock.now();
    let Made { mut tasks, failed, next } = make(deps, host, plan, from, now);
    let order = plan.order();
    let mut skipped = 0;
    if order.only != Only::All || !waited_for {
        let checked = deps.check.call(check(plan, &tasks)).await?;
        if !waited_for && checked.ready >= MAX_READY {
            return Ok(Step::NoRoom);
        }
        let all = tasks.len();
        let mut wanted = checked.wanted.into_iter();
        tasks.retain(|_| wanted.next().unwrap_or(true));
        skipped = all - tasks.len();
    }
    let store =
        StoreBackloadChunk { now, id, from, next, tasks: tasks.clone(), skipped, failed: failed.clone() };
    let uids = deps.store.call(store).await?;
    for (task, uid) in tasks.iter_mut().zip(uids) {
        task.uid = uid;
    }
    Ok(Step::Stored(Stored { tasks, failed, skipped, next }))
}

struct Made {
    tasks: Vec<NewTask>,
    failed: Vec<Failure>,
    next: usize,
}

fn make(deps: &Deps, host: &str, plan: &Plan, from: usize, now: DateTime<Utc>) -> Made {
    let chunk = plan.chunk(from, CHUNK, now, host, &mut deps.mint.clone());
    let failed =
        chunk.unmade.into_iter().map(|(index, unmade)| Failure { index, time: unmade.time, why: unmade.why });
    Made {
        failed: failed.collect(),
        tasks: chunk.tasks.into_iter().map(|(_, task)| task).collect(),
        next: chunk.next,
    }
}

fn check(plan: &Plan, tasks: &[NewTask]) -> CheckBackload {
    let order = plan.order();
    // All are wanted: only the queue is looked at.
    let named = if order.only == Only::All { &[] } else { tasks };
    CheckBackload {
        topic: order.topic.clone(),
        job: order.job.clone(),
        only: order.only,
        tasks: named.iter().map(|task| (task.info.clone(), task.meta.clone())).collect(),
        count_to: MAX_READY,
    }
}
