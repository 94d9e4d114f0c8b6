//! `flowlord bridge`: workers on NSQ, served by a plain client of the REST API beside nsqd. The service knows no bus.

mod config;
mod consume;
mod files;
mod held;
mod nsq;
mod publish;
mod results;
mod summary;

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::{Notify, watch};
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{MissedTickBehavior, interval};

use super::UsageError;
use super::signals::SignalListener;
use super::work::client::ApiClient;
use super::work::host_name;
use config::BridgeConfig;
use consume::open_queue;
use held::{HeldLeases, TaskKey, extend_leases};
use summary::{BridgeCounts, add};

const EXAMPLES: &str = "\
Example:
  flowlord bridge --config bridge.toml

  # bridge.toml
  server  = \"http://127.0.0.1:8080\"
  nsqd    = [\"127.0.0.1:4150\"]
  lookupd = [\"127.0.0.1:4161\"]
  topics  = [\"sql-load\", \"bq-load\"]

Tasks of these topics are leased and published to NSQ, results are taken from its topic `done`, file events from `files`.
SIGTERM, SIGINT, SIGQUIT or SIGHUP: nothing new, what is in hand is finished. A second signal ends it at once, which
loses nothing.";

const CHANNEL_OF_DONE: &str = "flowlord";
const CHANNEL_OF_FILES: &str = "files-flowlord";

const SUMMARY_INTERVAL: Duration = Duration::from_secs(60);

/// Serve workers that listen on NSQ: publish tasks there, take results from there
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The file that names the service, nsqd and the topics
    #[arg(long, short, value_name = "FILE")]
    config: PathBuf,
    /// The service, if not the one in the file
    #[arg(long, value_name = "URL", env = "FLOWLORD_SERVER")]
    server: Option<String>,
    /// A token of the role worker, if not the one in the file
    #[arg(long, env = "FLOWLORD_TOKEN", hide_env_values = true)]
    token: Option<String>,
}

/// What all parts of a bridge share.
struct Bridge {
    config: BridgeConfig,
    client: ApiClient,
    worker: String,
    held: RefCell<HeldLeases>,
    counts: BridgeCounts,
    /// For each topic: tasks of it ended, so that others may be leased.
    ended: HashMap<String, Notify>,
    /// Whether the bridge is stopping.
    stop: watch::Receiver<bool>,
}

pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let config = BridgeConfig::load(&args.config, args.server, args.token).map_err(UsageError)?;
    let token = config.token.as_ref().map(|token| token.expose().to_owned());
    let client = ApiClient::new(&config.server, token).map_err(UsageError)?;
    let worker = config.worker.clone().unwrap_or_else(default_worker);
    let (stop, stopping) = watch::channel(false);
    let ended = config.topics.iter().map(|topic| (topic.clone(), Notify::new())).collect();
    let bridge = Rc::new(Bridge {
        config,
        client,
        worker,
        held: RefCell::default(),
        counts: BridgeCounts::default(),
        ended,
        stop: stopping,
    });
    // One thread is enough to wait for the network, and its parts share state without locks.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let code = runtime.block_on(LocalSet::new().run_until(run_bridge(bridge, stop)));
    // A name that is being resolved would hold up the end.
    runtime.shutdown_background();
    code
}

/// The same for each bridge of a host, also after a restart.
fn default_worker() -> String {
    format!("bridge-{}", host_name())
}

/// Runs until a signal or an error; the first signal lets what is in hand be finished, the second ends it.
async fn run_bridge(bridge: Rc<Bridge>, stop: watch::Sender<bool>) -> anyhow::Result<ExitCode> {
    let mut signals = SignalListener::listen()?;
    let parts = start_parts(&bridge)?;
    let (finish, finished) = watch::channel(false);
    let mut work =
        std::pin::pin!(async { tokio::join!(run_parts(parts, &stop, finish), extend_leases(&bridge, finished)).0 });
    let mut minutes = interval(SUMMARY_INTERVAL);
    // After a suspended machine wakes up, one summary is enough.
    minutes.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let done = loop {
        tokio::select! {
            done = &mut work => break done,
            _ = minutes.tick() => bridge.log_summary(),
            asked = signals.next() => {
                // The value before tells whether this is the second signal.
                let is_again = stop.send_replace(true);
                log::info!("event=stopping signal={} at_once={is_again}", asked.name());
                if is_again {
                    return Ok(asked.exit_code());
                }
            }
        }
    };
    bridge.log_summary();
    done.map(|()| ExitCode::SUCCESS)
}

/// Waits for all parts, and stops them when one fails.
async fn run_parts(
    mut parts: JoinSet<anyhow::Result<()>>,
    stop: &watch::Sender<bool>,
    finish: watch::Sender<bool>,
) -> anyhow::Result<()> {
    let mut failed = Ok(());
    while let Some(ended) = parts.join_next().await {
        // The other parts end in order, so that they answer messages and release tasks.
        if let Err(err) = ended.context("a part of the bridge failed").and_then(|done| done) {
            stop.send_replace(true);
            failed = Err(err);
        }
    }
    // Only now is the last task published.
    finish.send_replace(true);
    failed
}

fn start_parts(bridge: &Rc<Bridge>) -> anyhow::Result<JoinSet<anyhow::Result<()>>> {
    let mut parts = JoinSet::new();
    let config = &bridge.config;
    for (offset, topic) in config.topics.iter().enumerate() {
        // The offset lets each topic begin with another nsqd, which divides the load.
        parts.spawn_local(publish::publish_topic(Rc::clone(bridge), topic.clone(), offset));
    }
    if !config.done.is_empty() {
        let (queue, source) = open_queue(bridge, &config.done, CHANNEL_OF_DONE)?;
        parts.spawn_local(source);
        parts.spawn_local(results::relay_results(Rc::clone(bridge), queue));
    }
    if !config.files.is_empty() {
        let (queue, source) = open_queue(bridge, &config.files, CHANNEL_OF_FILES)?;
        parts.spawn_local(source);
        parts.spawn_local(files::relay_files(Rc::clone(bridge), queue));
    }
    let BridgeConfig { server, topics, done, files, .. } = config;
    log::info!("event=bridging server={server:?} topics={:?} done={done:?} files={files:?}", topics.join(","));
    Ok(parts)
}

impl Bridge {
    /// Gives a task back; the attempt isn't counted.
    async fn release(&self, lease: &str, delay: Duration) {
        match self.client.release(lease, &format!("{}s", delay.as_secs())).await {
            Ok(()) => add(&self.counts.released, 1),
            Err(err) => log::warn!("event=release_failed lease={lease} detail={:?}", err.to_string()),
        }
    }

    /// Forgets the leases of tasks that ended.
    fn forget_ended(&self, keys: impl Iterator<Item = TaskKey>) {
        let mut held = self.held.borrow_mut();
        for key in keys {
            held.remove(&key);
            // Results of topics that this bridge doesn't publish come here, too.
            if let Some(ended) = self.ended.get(&key.topic) {
                ended.notify_one();
            }
        }
    }

    fn log_summary(&self) {
        if let Some(summary) = self.counts.take_summary() {
            log::info!("event=bridged {summary} held={}", self.held.borrow().len());
        }
    }
}
