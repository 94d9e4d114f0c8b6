//! `flowlord work`: a worker that runs a command for each task.

mod answer;
pub(super) mod backoff;
pub(super) mod client;
mod command;
mod fit;
pub(crate) mod guard;
pub(super) mod hold;
mod lines;
mod output;
mod slot;
mod splitter;
mod stdio;
pub(super) mod task_log;
mod template;
#[cfg(test)]
mod tests;
mod worker;

use std::process::ExitCode;
use std::rc::Rc;

use anyhow::Context as _;
use flowlord_domain::duration;
use tokio::sync::watch;
use tokio::task::{JoinSet, LocalSet};

use super::UsageError;
use super::signals::SignalListener;
use client::{ApiClient, WantedTasks};
use slot::{StopMode, run_worker_slot};
use worker::{CommandWorker, WorkMode};

const EXAMPLES: &str = "\
Examples:
  flowlord work --topic load:hourly -- ./load.sh '{info}'
  flowlord work --topic load --slots 4 --lease 5m -- python3 load.py '{job}' '{meta:file}'
  flowlord work --stdio --topic sql-load --slots 4 -- sql-load -c /etc/sql-load.toml

The command gets the task as JSON on its stdin, and in its environment as FLOWLORD_TYPE,
_JOB, _INFO, _META, _META_<KEY>, _ID, _UID, _CREATED, _ATTEMPT, _LEASE and _WORKER. Variables that are too
long are left out, and FLOWLORD_TRUNCATED names them; an argument that is too long makes the task an alert.
  exit 0     complete          exit 76    warn: neither retry nor alert
  exit 75    alert, at once    other      error: retried, then an alert
The last line of its stderr, as a terminal would show it, is the message. When the last line of its stdout has the form
`meta key=value&...`, those keys are merged into the task's meta.

What the command writes goes to this worker's stdout and stderr, and while it runs to the service, whose page of the
task shows it: --no-log sends nothing.

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
    /// Run workers of the Go program: each slot's command stays, gets its tasks as lines on its stdin, and answers with
    /// done tasks on its stdout
    #[arg(long, conflicts_with = "hand_over")]
    stdio: bool,
    /// The command passes the task on: on exit 0 its result comes from elsewhere, within 24h
    #[arg(long)]
    hand_over: bool,
    /// Send nothing of what commands write to the service
    #[arg(long)]
    no_log: bool,
    /// End after one task, or when none comes within 30s
    #[arg(long, conflicts_with = "slots")]
    once: bool,
    /// The name under which the service knows this worker [default: HOST-PID]
    #[arg(long)]
    worker: Option<String>,
    /// The command; {info}, {job}, {type}, {id}, {uid} and {meta:KEY} are replaced
    #[arg(last = true, required = true, value_name = "CMD")]
    command: Vec<String>,
}

fn parse_lease(text: &str) -> Result<String, String> {
    let lease = duration::parse_duration(text).map_err(|err| err.to_string())?;
    let within = (5..=24 * 3600).contains(&lease.num_seconds());
    within.then(|| text.to_owned()).ok_or_else(|| "write 5s to 24h".to_owned())
}

pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let worker = args.worker.unwrap_or_else(default_name);
    let mode = match (args.stdio, args.hand_over) {
        (true, _) => WorkMode::Stdio,
        (_, true) => WorkMode::HandOver,
        _ => WorkMode::Command,
    };
    if let (WorkMode::Stdio, Some(word)) = (mode, args.command.iter().find(|word| template::has_token(word))) {
        let detail = "with --stdio the command starts before it has a task: it reads the task from its stdin";
        return Err(UsageError(anyhow::anyhow!("`{word}`: {detail}")).into());
    }
    let worker = Rc::new(CommandWorker {
        client: ApiClient::new(&args.server, args.token)?,
        wanted: WantedTasks { topics: args.topics, worker, lease: args.lease },
        command: args.command,
        mode,
        sends_logs: !args.no_log,
        is_once: args.once,
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let code = runtime.block_on(LocalSet::new().run_until(run_slots(worker, args.slots)));
    // Reads of a command's output that something left behind keeps open would hold up the end.
    runtime.shutdown_background();
    code
}

/// The host as the system names it, and the process.
fn default_name() -> String {
    let host = host_name();
    format!("{}-{}", if host.is_empty() { "worker" } else { &host }, std::process::id())
}

/// The host as the system names it; empty where it has no name.
pub(super) fn host_name() -> String {
    std::fs::read_to_string("/etc/hostname").unwrap_or_default().trim().to_owned()
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
