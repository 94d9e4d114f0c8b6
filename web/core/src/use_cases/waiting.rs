//! Why tasks wait.

use std::collections::{BTreeSet, HashMap};

use flowlord_domain::summary::line_key;
use flowlord_domain::waiting::{PhasePause, QueueWorkers, WaitingCause, explain_waiting};
use flowlord_domain::{Attempt, TaskState};
use flowlord_messages::leases::{ReadLastAsked, ReadWorkerLeases};
use flowlord_messages::schedule::ReadPaused;

use crate::context::WebContext;
use crate::use_cases::pauses::read_pausers;

type QueueName = (String, String);

/// Why each of these tasks waits; none for those that don't. What can't be read, as on a node that doesn't lead, only makes
/// the sentence say less.
pub async fn explain_tasks(context: &WebContext, tasks: &[Attempt]) -> Vec<Option<WaitingCause>> {
    let now = context.deps.kit.now();
    let (workers, pauses) = tokio::join!(read_workers(context, tasks), read_pauses(context, tasks));
    let explain = |task: &Attempt| {
        let workers = workers.get(&(task.topic.clone(), task.job.clone()));
        let phase = |name: String| pauses.get(&(task.workflow.clone(), name));
        // A task with a job may be of a phase that names only the topic.
        let paused = phase(line_key(&task.topic, &task.job)).or_else(|| phase(task.topic.clone()));
        explain_waiting(task, workers, paused, now)
    };
    tasks.iter().map(explain).collect()
}

async fn read_workers(context: &WebContext, tasks: &[Attempt]) -> HashMap<QueueName, QueueWorkers> {
    let ready = tasks.iter().filter(|task| task.state == TaskState::Ready);
    let queues: BTreeSet<QueueName> = ready.map(|task| (task.topic.clone(), task.job.clone())).collect();
    // Workers depend on the dispatch actor, so it is only asked where the answer is used.
    if queues.is_empty() {
        return HashMap::new();
    }
    let queues: Vec<_> = queues.into_iter().collect();
    let (last, leases) = tokio::join!(
        context.deps.dispatch.call(ReadLastAsked { queues: queues.clone() }),
        context.deps.view_reader.call(ReadWorkerLeases),
    );
    let (Ok(last), Ok(leases)) = (last, leases) else { return HashMap::new() };
    let mut workers: HashMap<_, _> = queues
        .into_iter()
        .zip(last.asked.into_iter().zip(last.blocks))
        .map(|(queue, (asked, block))| (queue, QueueWorkers { known_since: last.known_since, asked, leased: 0, block }))
        .collect();
    for held in leases {
        if let Some(workers) = workers.get_mut(&(held.topic, held.job)) {
            workers.leased += held.leased;
        }
    }
    workers
}

/// Since when each phase is paused and by whom, by workflow and name.
async fn read_pauses(context: &WebContext, tasks: &[Attempt]) -> HashMap<QueueName, PhasePause> {
    // Only a pause delays without a time: for other tasks there is nothing to read.
    if !tasks.iter().any(|task| task.state == TaskState::Delayed && task.not_before.is_none()) {
        return HashMap::new();
    }
    let mut paused = context.deps.view_reader.call(ReadPaused).await.unwrap_or_default();
    paused.retain(|phase| tasks.iter().any(|task| task.workflow == phase.workflow));
    read_pausers(context, paused).await
}
