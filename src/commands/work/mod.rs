//! `flowlord work`: a worker that runs a command for each task.

mod backoff;
pub(super) mod client;
mod command;
mod fit;
pub(crate) mod guard;
pub(super) mod hold;
mod lines;
mod template;
#[cfg(test)]
mod tests;

use std::io;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use anyhow::Context as _;
use flowlord_domain::duration;
use tokio::sync::watch;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{sleep, timeout};

use super::signals::SignalListener;
use backoff::Backoff;
use client::{ApiClient, ApiRefusal, GrantedTask, TaskOutcome, WantedTasks};
use template::CommandTask;

const EXAMPLES: &str = "\
Examples:
  flowlord work --topic load:hourly -- ./load.sh '{info}'
  flowlord work --topic load --slots 4 --lease 5m -- python3 load.py '{job}' '{meta:file}'

The command gets the task as JSON on its stdin, and in its environment as FLOWLORD_TYPE,
_JOB, _INFO, _META, _META_<KEY>, _ID, _UID, _CREATED, _ATTEMPT, _LEASE and _WORKER. Variables that are too
long are left out, and FLOWLORD_TRUNCATED names them; an argument that is too long makes the task an alert.
  exit 0     complete          exit 76    warn: neither retry nor alert
  exit 75    alert, at once    other      error: retried, then an alert
The last line of its stderr, as a terminal would show it, is the message. When the last line of its stdout has the form
`meta key=value&...`, those keys are merged into the task's meta.

SIGTERM, SIGINT, SIGQUIT or SIGHUP: no new tasks, the running ones finish. A second signal kills and releases them.
However this worker ends, even by kill -9, its commands end with it.";

/// Run a command for each task of a topic
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The topic, or one job of it; may be repeated
    #[arg(long = "topic", value_name = "TOPIC[:JOB]", required = true)]
    topics: Vec<String>,
    /// The service
    #[arg(long, value_name = "URL", env = "FLOWLORD_SERVER", default_value = "http://127.0.0.1:8080")]
    server: String,
    /// A token, where the service wants one
    #[arg(long, env = "FLOWLORD_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// How many tasks at the same time
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1000))]
    slots: u16,
    /// How long the service waits for a sign of life, 5s to 24h
    #[arg(long, default_value = "60s", value_parser = parse_lease)]
    lease: String,
    /// The name under which the service knows this worker [default: HOST-PID]
    #[arg(long)]
    worker: Option<String>,
    /// The command; {info}, {job}, {type}, {id}, {uid} and {meta:KEY} are replaced
    #[arg(last = true, required = true, value_name = "CMD")]
    command: Vec<String>,
}

/// How long a worker that stops waits for the answer to a request for tasks: a task may be on its way.
const LAST_ANSWER: Duration = Duration::from_secs(1);

/// How long a task that is given back at the end may take to arrive there.
const LAST_WORD: Duration = Duration::from_secs(3);

fn parse_lease(text: &str) -> Result<String, String> {
    let lease = duration::parse_duration(text).map_err(|err| err.to_string())?;
    let within = (5..=24 * 3600).contains(&lease.num_seconds());
    within.then(|| text.to_owned()).ok_or_else(|| "write 5s to 24h".to_owned())
}

struct CommandWorker {
    client: ApiClient,
    wanted: WantedTasks,
    command: Vec<String>,
}

pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let worker = args.worker.unwrap_or_else(default_name);
    let worker = Rc::new(CommandWorker {
        client: ApiClient::new(&args.server, args.token)?,
        wanted: WantedTasks { topics: args.topics, worker, lease: args.lease },
        command: args.command,
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let code = runtime.block_on(LocalSet::new().run_until(run_slots(worker, args.slots)));
    // Reads of a command's output that something left behind keeps open would hold up the end.
    runtime.shutdown_background();
    code
}

/// The host as the system names it, and the process.
fn default_name() -> String {
    let host = std::fs::read_to_string("/etc/hostname").unwrap_or_default();
    let host = host.trim();
    format!("{}-{}", if host.is_empty() { "worker" } else { host }, std::process::id())
}

/// Runs all slots until a signal or an error; the first signal lets them finish, the second gives back what runs.
async fn run_slots(worker: Rc<CommandWorker>, slots: u16) -> anyhow::Result<ExitCode> {
    let mut signals = SignalListener::listen()?;
    let (stop, stopped) = watch::channel(StopMode::No);
    let mut running = JoinSet::new();
    for _ in 0..slots {
        running.spawn_local(run_worker_slot(Rc::clone(&worker), stopped.clone()));
    }
    log::info!("event=working topics={:?} slots={slots}", worker.wanted.topics.join(","));
    let mut code = ExitCode::SUCCESS;
    let mut failed = None;
    loop {
        tokio::select! {
            asked = signals.next() => {
                let again = *stop.borrow() != StopMode::No;
                // The loop goes on until all slots have ended: they finish their tasks, or give them back.
                log::info!("event=stopping signal={} at_once={again}", asked.name());
                stop.send_replace(if again { StopMode::AtOnce } else { StopMode::AfterTheTask });
                if again {
                    code = asked.exit_code();
                }
            }
            ended = running.join_next() => match ended {
                None => break,
                Some(ended) => if let Err(err) = ended.context("a slot failed").and_then(|done| done) {
                    // The others finish what they have.
                    stop.send_if_modified(|stop| { let go = *stop == StopMode::No; if go { *stop = StopMode::AfterTheTask } go });
                    failed = Some(err);
                },
            },
        }
    }
    failed.map_or(Ok(code), Err)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum StopMode {
    No,
    AfterTheTask,
    AtOnce,
}

async fn run_worker_slot(worker: Rc<CommandWorker>, mut stop: watch::Receiver<StopMode>) -> anyhow::Result<()> {
    let mut stopping = stop.clone();
    while let Some(granted) = next_task(&worker, &mut stopping).await? {
        tokio::select! {
            done = run_task(&worker, &granted) => done?,
            _ = stop.wait_for(|stop| *stop == StopMode::AtOnce) => {
                // A service that is away doesn't hold up the end: the lease runs out by itself.
                let _ = timeout(LAST_WORD, give_back(&worker, &granted, "0s")).await;
                return Ok(());
            }
        }
    }
    Ok(())
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

async fn run_task(worker: &CommandWorker, granted: &GrantedTask) -> anyhow::Result<()> {
    let view = CommandTask::new(granted);
    log::info!("event=task_started lease={} attempt={} task={:?}", granted.lease, granted.attempt, view.name());
    let mut cannot_start = None;
    let work = async {
        match command::run(&worker.command, &view, &worker.wanted.worker).await {
            Ok(outcome) => Some(outcome),
            Err(err) if worker.is_to_blame(&err) => {
                cannot_start = Some(err);
                None
            }
            Err(err) => Some(TaskOutcome::new("error", format!("the command can't be started: {err}"))),
        }
    };
    hold::hold_task(&worker.client, granted, &worker.wanted.lease, work).await;
    let Some(err) = cannot_start else { return Ok(()) };
    // Another worker may have the command.
    give_back(worker, granted, "10s").await;
    Err(err).with_context(|| format!("{} can't be started", worker.command[0]))
}

impl CommandWorker {
    /// Whether the command itself is wrong: no task should pay for that.
    fn is_to_blame(&self, err: &io::Error) -> bool {
        // A name with a task's values in it may be that task's fault.
        let fixed = !self.command[0].contains('{');
        fixed && matches!(err.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied)
    }
}

async fn give_back(worker: &CommandWorker, granted: &GrantedTask, delay: &str) {
    match worker.client.release(&granted.lease, delay).await {
        Ok(()) => log::info!("event=task_given_back lease={}", granted.lease),
        Err(err) => log::warn!("event=release_failed lease={} detail={:?}", granted.lease, err.to_string()),
    }
}
