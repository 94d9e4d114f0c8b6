//! `flowlord demo`: the service on the example workflows, with workers that use the public REST API.

use std::cell::RefCell;
use std::collections::HashSet;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use anyhow::Context as _;
use flowlord::config::LoadedConfig;
use flowlord::running::Running;
use flowlord_storage::StorageLocation;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::args::ConfigFlags;
use super::out;
use super::run::{HangupAction, run_until_asked};
use super::work::client::{ApiClient, ApiRefusal, GrantedTask, TaskOutcome, WantedTasks};
use super::work::hold::hold_task;

const EXAMPLES: &str = "\
Examples:
  flowlord demo
  flowlord demo --listen 127.0.0.1:9090 --notify-url http://127.0.0.1:9000/hook";

/// Run the service on example workflows, with example workers and a fresh data folder
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    config: ConfigFlags,
}

/// The example workflows, as people find them in `examples/workflows`.
const WORKFLOWS: [(&str, &str); 3] = [
    ("orders.toml", include_str!("../../examples/workflows/orders.toml")),
    ("nightly.toml", include_str!("../../examples/workflows/nightly.toml")),
    ("partner.toml", include_str!("../../examples/workflows/partner.toml")),
];

// Their schedules, and those of the demo: nobody watches for an hour.
const HURRY: [(&str, &str); 4] = [
    ("cron=5 * * * *&", "cron=*/5 * * * * *&"),
    ("cron=30 2 * * *&", "cron=*/15 * * * * *&"),
    ("cron=*/10 * * * *&", "cron=*/3 * * * * *&"),
    ("retry_delay=30s", "retry_delay=700ms"),
];

/// A demo's summaries come soon; the configuration may say otherwise.
const DEFAULTS: [(&str, &str); 1] = [("notify.min_frequency", "2s")];

// The first line that people see is the address, then tasks go by.
pub(super) const USUAL_LOG: &str = "warn,flowlord::commands=info";

const TOPICS: [&str; 6] = ["extract", "load", "aggregate", "publish", "report", "partner"];
const WORKERS: usize = 3;
const LEASE: &str = "10s";

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let mut loaded = args.config.load(&DEFAULTS)?;
    let folder = tempfile::Builder::new().prefix("flowlord-demo-").tempdir()?;
    let workflows = folder.path().join("workflows");
    loaded.config.workflow = StorageLocation::Local(workflows.clone());
    loaded.config.data = folder.path().join("data");
    loaded.config.listen = free_address(&loaded);
    write_workflows(&workflows).context("the example workflows can't be written")?;
    actix_rt::System::new().block_on(run_until_asked(&loaded.config, HangupAction::Stops, |app| {
        print_address(&app.url(), folder.path())?;
        start_workers(&Running::of(&loaded.config.data)?)
    }))
}

fn free_address(loaded: &LoadedConfig) -> SocketAddr {
    let listen = loaded.config.listen;
    // The usual port may be taken: a demo then listens on another, unless it was told where.
    if loaded.is_set("listen") || TcpListener::bind(listen).is_ok() {
        return listen;
    }
    SocketAddr::new(listen.ip(), 0)
}

fn write_workflows(folder: &Path) -> std::io::Result<()> {
    std::fs::create_dir(folder)?;
    for (name, text) in WORKFLOWS {
        std::fs::write(folder.join(name), hurried_text(text))?;
    }
    Ok(())
}

fn hurried_text(text: &str) -> String {
    HURRY.iter().fold(text.to_owned(), |text, (slow, fast)| text.replace(slow, fast))
}

fn print_address(url: &str, folder: &Path) -> std::io::Result<()> {
    out::line(&format!("flowlord demo: the dashboard is at {url}"))?;
    out::line(&format!("  tasks       curl {url}/api/v1/tasks"))?;
    out::line(&format!("  workflows   {}", folder.join("workflows").display()))?;
    out::line("  Ctrl-C stops it and removes its data")
}

/// Workers that run until they are dropped.
fn start_workers(running: &Running) -> anyhow::Result<JoinSet<()>> {
    let client = ApiClient::of_running(running)?;
    let hopeless = Rc::new(RefCell::new(HopelessChains::default()));
    let mut workers = JoinSet::new();
    for number in 1..=WORKERS {
        let wanted = WantedTasks {
            topics: TOPICS.map(str::to_owned).to_vec(),
            worker: format!("demo-{number}"),
            lease: LEASE.to_owned(),
        };
        workers.spawn_local(run_worker(client.clone(), wanted, Rc::clone(&hopeless)));
    }
    Ok(workers)
}

async fn run_worker(client: ApiClient, wanted: WantedTasks, hopeless: Rc<RefCell<HopelessChains>>) {
    loop {
        match client.lease(&wanted).await {
            Ok(Some(granted)) => {
                let work = pretend_work(&client, &granted, &hopeless);
                hold_task(&client, &granted, LEASE, work).await;
            }
            Ok(None) => {}
            Err(ApiRefusal::Lost(detail) | ApiRefusal::Never(detail) | ApiRefusal::Later { detail, .. }) => {
                log::warn!("event=demo_worker_waits detail={detail:?}");
                sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

/// Which chains of the partner's tasks never succeed: every other one, from the first.
#[derive(Debug, Default)]
struct HopelessChains {
    seen: usize,
    chains: HashSet<String>,
}

impl HopelessChains {
    fn includes(&mut self, chain: &str, attempt: u32) -> bool {
        if attempt == 1 {
            if self.seen.is_multiple_of(2) {
                self.chains.insert(chain.to_owned());
            }
            self.seen += 1;
        }
        self.chains.contains(chain)
    }
}

async fn pretend_work(client: &ApiClient, granted: &GrantedTask, hopeless: &RefCell<HopelessChains>) -> TaskOutcome {
    sleep(Duration::from_millis(rand::random_range(100..300))).await;
    let rows = rand::random_range(500..5_000);
    match granted.text("type") {
        "extract" => {
            // A worker may tell how far it is; the lease counts anew with it.
            let _ = client.heartbeat(&granted.lease, LEASE, Some(0.5)).await;
            sleep(Duration::from_millis(200)).await;
            let meta = format!("file=s3://demo/{}/{}.json.gz&rows={rows}", granted.text("job"), granted.text("uid"));
            TaskOutcome { meta, ..TaskOutcome::new("complete", format!("{rows} rows extracted")) }
        }
        "partner" if hopeless.borrow_mut().includes(granted.text("id"), granted.attempt) => {
            TaskOutcome::new("error", "partner.example: connection refused")
        }
        "partner" if granted.attempt == 1 => TaskOutcome::new("error", "partner.example: timed out"),
        _ => TaskOutcome::new("complete", format!("{rows} rows")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_schedule_of_the_examples_is_hurried() {
        for (slow, _) in HURRY {
            assert!(WORKFLOWS.iter().any(|(_, text)| text.contains(slow)), "{slow}");
        }
        for (name, text) in WORKFLOWS {
            let slow = hurried_text(text).replace("* * * * *", "").contains("cron=5 ");
            assert!(!slow && hurried_text(text) != text, "{name}");
        }
    }

    #[test]
    fn every_topic_of_the_examples_has_a_worker() {
        for (name, text) in WORKFLOWS {
            let tasks = text.lines().filter_map(|line| line.strip_prefix("task"));
            for task in tasks {
                let topic = task.trim_start_matches([' ', '=', '"']).split([':', '"']).next().unwrap();
                assert!(TOPICS.contains(&topic), "{name}: {topic}");
            }
        }
    }

    #[test]
    fn every_other_chain_fails_for_good() {
        let mut hopeless = HopelessChains::default();
        let answers = ["a", "b", "a", "c"].map(|chain| hopeless.includes(chain, if chain == "a" { 1 } else { 2 }));
        assert_eq!(answers, [true, false, true, false]);
    }
}
