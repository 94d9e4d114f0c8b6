//! A slot: leases a task, has it done, and asks for the next one.

use std::convert::Infallible;
use std::rc::Rc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::backoff::Backoff;
use super::client::{ApiRefusal, GrantedTask, TaskOutcome};
use super::command;
use super::hold::{extend_lease, keep_lease, post_result};
use super::stdio::StdioSlot;
use super::task_log::TaskLog;
use super::template::CommandTask;
use super::worker::{CommandWorker, WorkMode, give_back};

/// How long a worker that stops waits for the answer to a request for tasks: a task may be on its way.
const LAST_ANSWER: Duration = Duration::from_secs(1);

/// How long a task that is given back at the end may take to arrive there.
const LAST_WORD: Duration = Duration::from_secs(3);

/// The longest lease that there is: how long a result may take that comes from elsewhere.
const HANDED_OVER: &str = "24h";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StopMode {
    No,
    AfterTheTask,
    AtOnce,
}

pub(super) async fn run_worker_slot(
    worker: Rc<CommandWorker>,
    mut stop: watch::Receiver<StopMode>,
) -> anyhow::Result<()> {
    let mut stopping = stop.clone();
    let mut runner = TaskRunner::start(&worker).await?;
    loop {
        let granted = tokio::select! {
            granted = next_task(&worker, &mut stopping) => granted?,
            never = runner.drain() => match never {},
        };
        let Some(granted) = granted else { break };
        tokio::select! {
            done = runner.run_task(&granted) => done?,
            _ = stop.wait_for(|stop| *stop == StopMode::AtOnce) => {
                runner.stop().await;
                // A service that is away doesn't hold up the end: the lease runs out by itself.
                let _ = timeout(LAST_WORD, give_back(&worker, &granted, "0s")).await;
                return Ok(());
            }
        }
        if worker.is_once {
            break;
        }
    }
    runner.finish().await;
    Ok(())
}

/// Has the tasks of a slot done.
enum TaskRunner {
    /// By a command for each.
    Command(Rc<CommandWorker>, TaskLog),
    Stdio(Box<StdioSlot>),
}

impl TaskRunner {
    async fn start(worker: &Rc<CommandWorker>) -> anyhow::Result<Self> {
        Ok(match worker.mode {
            WorkMode::Stdio => Self::Stdio(Box::new(StdioSlot::start(worker).await?)),
            WorkMode::Command | WorkMode::HandOver => Self::Command(Rc::clone(worker), TaskLog::new(worker.sends_logs)),
        })
    }

    /// Takes care of what runs between two tasks.
    async fn drain(&mut self) -> Infallible {
        match self {
            Self::Command(..) => std::future::pending().await,
            Self::Stdio(slot) => slot.drain().await,
        }
    }

    /// Has a task done. Dropping the future ends a command.
    async fn run_task(&mut self, granted: &GrantedTask) -> anyhow::Result<()> {
        match self {
            Self::Command(worker, task_log) => run_command(worker, granted, task_log).await,
            Self::Stdio(slot) => slot.run_task(granted).await,
        }
    }

    /// Ends what goes on although [`run_task`](Self::run_task) was dropped.
    async fn stop(&mut self) {
        if let Self::Stdio(slot) = self {
            slot.stop().await;
        }
    }

    async fn finish(&mut self) {
        if let Self::Stdio(slot) = self {
            slot.finish().await;
        }
    }
}

/// The next task; none when the worker stops.
async fn next_task(
    worker: &CommandWorker,
    stop: &mut watch::Receiver<StopMode>,
) -> anyhow::Result<Option<GrantedTask>> {
    let mut backoff = Backoff::new();
    while *stop.borrow() == StopMode::No {
        let mut request = Box::pin(worker.client.lease(&worker.wanted));
        let answer = tokio::select! {
            // A stop comes first: a task that is there at the same moment is left to others.
            biased;
            _ = stop.wait_for(|stop| *stop != StopMode::No) => {
                give_back_late(worker, request).await;
                return Ok(None);
            }
            answer = &mut request => answer,
        };
        match answer {
            Ok(Some(granted)) => return Ok(Some(granted)),
            Ok(None) if worker.is_once => {
                log::info!("event=no_task topics={:?}", worker.wanted.topics.join(","));
                return Ok(None);
            }
            // The request waited for tasks already.
            Ok(None) => backoff = Backoff::new(),
            Err(ApiRefusal::Later { detail, after }) => {
                let wait = backoff.wait(after);
                log::warn!("event=service_away retry_in={wait:?} detail={detail:?}");
                tokio::select! {
                    _ = stop.wait_for(|stop| *stop != StopMode::No) => return Ok(None),
                    () = sleep(wait) => {}
                }
            }
            Err(err @ (ApiRefusal::Lost(_) | ApiRefusal::Never(_))) => {
                anyhow::bail!("the service refuses to lease tasks: {err}")
            }
        }
    }
    Ok(None)
}

/// Waits a little for the answer to a request for tasks, and gives back what comes: without that a task on its way
/// would wait until its lease expires.
async fn give_back_late(
    worker: &CommandWorker,
    request: impl Future<Output = Result<Option<GrantedTask>, ApiRefusal>>,
) {
    if let Ok(Ok(Some(granted))) = timeout(LAST_ANSWER, request).await {
        // A service that is away doesn't hold up the end: the lease runs out by itself.
        let _ = timeout(LAST_WORD, give_back(worker, &granted, "0s")).await;
    }
}

async fn run_command(worker: &CommandWorker, granted: &GrantedTask, task_log: &TaskLog) -> anyhow::Result<()> {
    let view = CommandTask::new(granted);
    log::info!("event=task_started lease={} attempt={} task={:?}", granted.lease, granted.attempt, view.name());
    let work = command::run(&worker.command, &view, &worker.wanted.worker, task_log);
    let work = task_log.send_while(&worker.client, &granted.lease, work);
    let outcome = match keep_lease(&worker.client, granted, &worker.wanted.lease, work).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(err)) if worker.is_to_blame(&err) => {
            // Another worker may have the command.
            give_back(worker, granted, "10s").await;
            return Err(err).with_context(|| format!("{} can't be started", worker.command[0]));
        }
        Ok(Err(err)) => TaskOutcome::new("error", format!("the command can't be started: {err}")),
        Err(end) => match end.outcome() {
            Some(outcome) => outcome,
            None => return Ok(()),
        },
    };
    if worker.mode == WorkMode::HandOver && outcome.result == "complete" {
        extend_lease(&worker.client, granted, HANDED_OVER).await;
    } else {
        post_result(&worker.client, granted, &outcome).await;
    }
    Ok(())
}
