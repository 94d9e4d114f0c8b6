//! One chunk of tasks: made, filtered where only some tasks are wanted, stored.

use flowlord_domain::NewTask;
use flowlord_domain::backload::{BackloadPlan, TaskSelection};
use flowlord_kernel::Result;
use flowlord_messages::backloads::{BackloadFailure, CheckBackload, StoreBackloadChunk};

use flowlord_messages::deps::WorkflowDeps;

// Small enough that the tasks of the day needn't wait long for the end of the command.
const TASKS_PER_CHUNK: usize = 500;

/// Nothing is added to a queue that has this many backloaded tasks ready: neither it nor the disk grows faster than
/// the workers are.
pub(crate) const MAX_READY_TASKS: usize = 10_000;

#[derive(Debug)]
pub(crate) enum ChunkOutcome {
    Stored(StoredChunk),
    /// Its queue is full for now.
    NoRoom,
}

#[derive(Debug)]
pub(crate) struct StoredChunk {
    pub(crate) tasks: Vec<NewTask>,
    pub(crate) failed: Vec<BackloadFailure>,
    pub(crate) skipped: usize,
    pub(crate) next: usize,
}

/// Stores the chunk of a plan that begins with the task number `from`.
pub(crate) async fn store_chunk(
    deps: &WorkflowDeps,
    host: &str,
    plan: &BackloadPlan,
    id: i64,
    from: usize,
    is_awaited: bool,
) -> Result<ChunkOutcome> {
    let now = deps.kit.now();
    let most = plan.order().creation_rate().map_or(TASKS_PER_CHUNK, |rate| rate.tasks.min(TASKS_PER_CHUNK));
    let chunk = plan.make_chunk(from, most, now, host, &mut deps.kit.ids());
    let mut tasks: Vec<NewTask> = chunk.tasks.into_iter().map(|(_, task)| task).collect();
    let unmade = chunk.unmade.into_iter();
    let failed: Vec<_> =
        unmade.map(|(index, unmade)| BackloadFailure { index, time: unmade.time, why: unmade.why }).collect();
    let next = chunk.next;
    let order = plan.order();
    let mut skipped = 0;
    // Somebody who waits gets all tasks at once, whatever the queue holds: theirs are few.
    if order.only != TaskSelection::All || !is_awaited {
        let checked = deps.reader.call(chunk_check(plan, &tasks)).await?;
        if !is_awaited && checked.ready >= MAX_READY_TASKS {
            return Ok(ChunkOutcome::NoRoom);
        }
        let all = tasks.len();
        let mut wanted = checked.wanted.into_iter();
        tasks.retain(|_| wanted.next().unwrap_or(true));
        skipped = all - tasks.len();
    }
    let store = StoreBackloadChunk { now, id, from, next, tasks: tasks.clone(), skipped, failed: failed.clone() };
    // The writer gives each the next free uid; those who wait are told these.
    let uids = deps.writer.call(store).await?;
    for (task, uid) in tasks.iter_mut().zip(uids) {
        task.uid = uid;
    }
    Ok(ChunkOutcome::Stored(StoredChunk { tasks, failed, skipped, next }))
}

fn chunk_check(plan: &BackloadPlan, tasks: &[NewTask]) -> CheckBackload {
    let order = plan.order();
    // All are wanted: only the queue counts.
    let named = if order.only == TaskSelection::All { &[] } else { tasks };
    CheckBackload {
        topic: order.topic.clone(),
        job: order.job.clone(),
        only: order.only,
        tasks: named.iter().map(|task| (task.info.clone(), task.meta.clone())).collect(),
        count_to: MAX_READY_TASKS,
    }
}
