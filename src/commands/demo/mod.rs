//! `flowlord demo`: the service on the example workflows, with workers that use the public REST API.

mod partner;
mod pretend;

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use chrono::TimeDelta;
use flowlord::config::{LoadedConfig, Secret};
use flowlord::running::Running;
use flowlord_domain::duration;
use flowlord_storage::StorageLocation;
use flowlord_web_core::demo_slack::DEMO_SLACK;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::args::ConfigFlags;
use super::out;
use super::run::{HangupAction, run_until_asked};
use super::work::client::{ApiClient, ApiRefusal, WantedTasks};
use super::work::hold::hold_task;
use super::work::task_log::TaskLog;

use self::partner::Partner;
use self::pretend::PretendedWork;

const EXAMPLES: &str = "\
Examples:
  flowlord demo
  flowlord demo --outage 20s --notify-min-frequency 1s
  flowlord demo --listen 127.0.0.1:9090 --notify-url http://127.0.0.1:9000/hook";

/// Run the service on example workflows, with example workers and a fresh data folder
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    config: ConfigFlags,
    /// How long partner.example is down at a time, like 20s or 2m; 0s for never
    #[arg(long, default_value = "1m", value_name = "DURATION", value_parser = parse_outage)]
    outage: TimeDelta,
}

/// The example workflows, as people find them in `examples/workflows`.
const WORKFLOWS: [(&str, &str); 3] = [
    ("orders.toml", include_str!("../../../examples/workflows/orders.toml")),
    ("nightly.toml", include_str!("../../../examples/workflows/nightly.toml")),
    ("partner.toml", include_str!("../../../examples/workflows/partner.toml")),
];

// Their schedules, and those of the demo: nobody watches for an hour.
const HURRY: [(&str, &str); 4] = [
    ("cron=5 * * * *&", "cron=*/5 * * * * *&"),
    ("cron=30 2 * * *&", "cron=*/15 * * * * *&"),
    ("cron=*/10 * * * *&", "cron=*/3 * * * * *&"),
    ("retry_delay=30s", "retry_delay=700ms"),
];

/// A demo's incidents are told soon, and end soon; the configuration may say otherwise.
const DEFAULTS: [(&str, &str); 2] = [("notify.min_frequency", "2s"), ("notify.max_frequency", "16s")];

const MAX_OUTAGE: TimeDelta = TimeDelta::hours(1);

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
    show_slack(&mut loaded);
    write_workflows(&workflows).context("the example workflows can't be written")?;
    let partner = Partner::new(args.outage);
    actix_rt::System::new().block_on(run_until_asked(&loaded.config, HangupAction::Stops, |app| {
        print_address(&app.url(), folder.path(), loaded.config.notify.is_simulated)?;
        partner.story().map_or(Ok(()), |story| out::line(&story))?;
        out::line("  Ctrl-C stops it and removes its data")?;
        start_workers(&Running::of(&loaded.config.data)?, partner)
    }))
}

fn parse_outage(text: &str) -> Result<TimeDelta, String> {
    let outage = duration::parse_duration(text).map_err(|err| err.to_string())?;
    if (TimeDelta::zero()..=MAX_OUTAGE).contains(&outage) { Ok(outage) } else { Err("write 0s to 1h".to_owned()) }
}

/// Notifications go to a page of the demo, unless they were told to go elsewhere.
fn show_slack(loaded: &mut LoadedConfig) {
    let config = &mut loaded.config;
    // Over HTTPS the notifier would have to trust a certificate that is for another name.
    if !config.notify.leads_somewhere() && config.tls.is_none() {
        let secret = || Secret::new(format!("xoxb-{:032x}", rand::random::<u128>()));
        config.notify.simulate_slack(secret(), secret());
    }
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

fn print_address(url: &str, folder: &Path, has_slack: bool) -> std::io::Result<()> {
    out::line(&format!("flowlord demo: the dashboard is at {url}"))?;
    if has_slack {
        out::line(&format!("  Slack       {url}{DEMO_SLACK} shows what people would see there"))?;
    }
    out::line(&format!("  tasks       curl {url}/api/v1/tasks"))?;
    out::line(&format!("  workflows   {}", folder.join("workflows").display()))
}

/// Workers that run until they are dropped.
fn start_workers(running: &Running, partner: Partner) -> anyhow::Result<JoinSet<()>> {
    let client = ApiClient::of_running(running)?;
    let mut workers = JoinSet::new();
    for number in 1..=WORKERS {
        let wanted = WantedTasks {
            topics: TOPICS.map(str::to_owned).to_vec(),
            worker: format!("demo-{number}"),
            lease: LEASE.to_owned(),
        };
        workers.spawn_local(run_worker(client.clone(), wanted, partner));
    }
    Ok(workers)
}

async fn run_worker(client: ApiClient, wanted: WantedTasks, partner: Partner) {
    let log = TaskLog::new(true);
    loop {
        match client.lease(&wanted).await {
            Ok(Some(granted)) => {
                let work = PretendedWork { client: &client, granted: &granted, lease: LEASE, log: &log, partner };
                let logged = log.send_while(&client, &granted.lease, work.run());
                hold_task(&client, &granted, LEASE, logged).await;
            }
            Ok(None) => {}
            Err(ApiRefusal::Lost(detail) | ApiRefusal::Never(detail) | ApiRefusal::Later { detail, .. }) => {
                log::warn!("event=demo_worker_waits detail={detail:?}");
                sleep(Duration::from_secs(1)).await;
            }
        }
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
}
