//! Tasks that are ready although no worker asks for them.

use chrono::{DateTime, TimeDelta, Utc};
use flowlord_domain::summary::line_key;
use flowlord_domain::waiting::QueueWorkers;
use flowlord_domain::workflow::Workflows;
use flowlord_domain::{AlertKind, NewAlert};
use flowlord_kernel::Result;
use flowlord_messages::clients::DispatchClient;
use flowlord_messages::deadlines::DeadlineBreach;
use flowlord_messages::deps::WorkflowDeps;
use flowlord_messages::leases::ReadLastAsked;
use flowlord_messages::stats::{QueueLoad, ReadBacklog};
use flowlord_messages::workflows::ReadLoadedWorkflows;

/// An alert for each topic and job with ready tasks for which no worker asked for so long. What can't be read now is looked
/// at again by the next check.
pub(crate) async fn find_missing_workers(
    deps: &WorkflowDeps,
    dispatch: &DispatchClient,
    patience: TimeDelta,
    now: DateTime<Utc>,
) -> Vec<DeadlineBreach> {
    if patience.is_zero() {
        return Vec::new();
    }
    find_unasked(deps, dispatch, patience, now).await.unwrap_or_else(|err| {
        log::warn!("event=workers_unread error={err:?}");
        Vec::new()
    })
}

async fn find_unasked(
    deps: &WorkflowDeps,
    dispatch: &DispatchClient,
    patience: TimeDelta,
    now: DateTime<Utc>,
) -> Result<Vec<DeadlineBreach>> {
    let mut queues = deps.reader.call(ReadBacklog).await?.queues;
    queues.retain(|queue| queue.oldest_ready.is_some_and(|since| now - since >= patience));
    if queues.is_empty() {
        return Ok(Vec::new());
    }
    let names = queues.iter().map(|queue| (queue.topic.clone(), queue.job.clone())).collect();
    let last = dispatch.call(ReadLastAsked { queues: names }).await?;
    let workflows = deps.library.call(ReadLoadedWorkflows).await?.workflows;
    let known_since = last.known_since;
    let judged = queues.iter().zip(last.asked).map(|(queue, asked)| {
        let workers = QueueWorkers { known_since, asked, leased: queue.leased, block: None };
        workers.missing_since(now, patience).map(|_| missing_workers(queue, &workers, &workflows, now))
    });
    Ok(judged.flatten().collect())
}

fn missing_workers(
    queue: &QueueLoad,
    workers: &QueueWorkers,
    workflows: &Workflows,
    now: DateTime<Utc>,
) -> DeadlineBreach {
    let name = line_key(&queue.topic, &queue.job);
    let ready = match queue.ready {
        1 => "a task is ready".to_owned(),
        ready => format!("{ready} tasks are ready"),
    };
    let msg = format!("{ready}, and {}", workers.words_of_missing(&name, now));
    let alert =
        NewAlert { job: queue.job.clone(), ..NewAlert::without_task(AlertKind::NoWorkers, &queue.topic, msg, now) };
    // The oldest one stays the oldest for as long as nobody takes it: so long it is the same trouble.
    let oldest = queue.oldest_ready.map_or(0, |since| since.timestamp_micros());
    DeadlineBreach { key: format!("no_workers/{name}/{oldest}"), alert: Some(alert.with_contact(workflows)) }
}
