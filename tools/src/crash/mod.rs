//! Kills the service by SIGKILL at random moments under load, restarts it, and compares its tasks with what its clients
//! were answered: nothing acknowledged is lost, and nothing is done twice.

mod capacity;
mod held;
mod joined;
mod load;
mod oracle;
mod workload;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::process::Command;
use tokio::task::{JoinSet, LocalSet};

use self::load::ClientState;
pub(crate) use self::load::{LeasesReply, SharedClients, TaskAnswer, create_tasks, finish_tasks};
use self::oracle::FoundViolations;
pub(crate) use self::oracle::{CrashOracle, ListedTask};
use self::workload::{LIMITS, TICK};
pub(crate) use self::workload::{WorkerKind, write_workflow};
use crate::client::{HttpClient, is_disconnect};
use crate::server::{ServiceProcess, find_flowlord, run_command};

// Then a new database: the check after each kill lists all tasks, which become many.
const ROUNDS_PER_DATABASE: usize = 20;

const CREATORS: usize = 2;
const WORKERS: [WorkerKind; 5] =
    [WorkerKind::Patient, WorkerKind::Limited, WorkerKind::Patient, WorkerKind::Limited, WorkerKind::Limited];

const MAX_LIFE_MILLIS: u64 = 600;

#[derive(Debug, Default)]
pub(crate) struct CrashReport {
    rounds: usize,
    created: usize,
    finished: usize,
    ticks: usize,
    joins: usize,
    daily_joins: usize,
    /// The most tasks of each limit that were in hand at once.
    most_at_once: [usize; LIMITS.len()],
    violations: FoundViolations,
}

/// Kills it this many times and prints what it found; any violation is an error.
pub(crate) async fn prove_crashes(rounds: usize, seed: u64) -> anyhow::Result<CrashReport> {
    let mut report = CrashReport::default();
    // One generator for all: a seed names the whole run, and a failure can be repeated by it.
    let mut rng = StdRng::seed_from_u64(seed);
    let local = LocalSet::new();
    while report.rounds < rounds {
        let left = ROUNDS_PER_DATABASE.min(rounds - report.rounds);
        local.run_until(crash_database(left, &mut rng, &mut report)).await?;
        report.print_line(seed)?;
        ensure!(report.violations.iter_all().next().is_none(), "violations: {:#?}", report.violations);
    }
    Ok(report)
}

impl CrashReport {
    fn add_clients(&mut self, mut clients: ClientState) {
        let (created, finished) = clients.oracle.count_acknowledged();
        self.created += created;
        self.finished += finished;
        clients.held.check_rate();
        for (most, new) in self.most_at_once.iter_mut().zip(clients.held.most_at_once()) {
            *most = new.max(*most);
        }
        self.violations.merge_from(clients.oracle.violations);
        self.violations.limits.extend(clients.held.violations);
    }

    fn print_line(&self, seed: u64) -> anyhow::Result<()> {
        let Self { rounds, created, finished, ticks, joins, daily_joins, most_at_once, violations } = self;
        writeln!(
            std::io::stdout(),
            "seed {seed}: {rounds} kills; acknowledged: {created} tasks, {finished} results; {ticks} slots, {joins} joins, \
             {daily_joins} of them over a day; at work at once {most_at_once:?} of {:?}; lost {}, finished twice {}, \
             children doubled {}, slots doubled {}, joins early {}, limits {}, other {}",
            LIMITS.map(|limit| limit.most),
            violations.lost.len(),
            violations.finished_twice.len(),
            violations.children_doubled.len(),
            violations.slots_doubled.len(),
            violations.joins_early.len(),
            violations.limits.len(),
            violations.other.len(),
        )?;
        Ok(())
    }
}

/// Kills a fresh database under load `rounds` times.
async fn crash_database(rounds: usize, rng: &mut StdRng, report: &mut CrashReport) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let site = CrashSite::new(folder.path())?;
    let clients = SharedClients::default();
    for _ in 0..rounds {
        site.run_round(&clients, rng).await?;
        report.rounds += 1;
        site.check_tasks(&clients).await?;
    }
    site.check_capacity(&clients, rng).await?;
    let tasks = site.check_tasks(&clients).await?;
    report.ticks += tasks.iter().filter(|task| task.topic == TICK).count();
    let (joins, daily) = joined::count_joins(&tasks);
    report.joins += joins;
    report.daily_joins += daily;
    let clients = Rc::try_unwrap(clients).ok().context("a client is left")?.into_inner();
    report.add_clients(clients);
    // Reads the whole file through.
    run_command(&site.binary, &["snapshot", "--data"], &site.data).await?;
    Ok(())
}

struct CrashSite {
    data: PathBuf,
    workflows: PathBuf,
    config: PathBuf,
    binary: PathBuf,
}

impl CrashSite {
    fn new(folder: &Path) -> anyhow::Result<Self> {
        let (workflows, config) = (folder.join("workflows"), folder.join("flowlord.toml"));
        write_workflow(&workflows, &config)?;
        Ok(Self { data: folder.join("data"), workflows, config, binary: find_flowlord()? })
    }

    fn spawn_service(&self) -> anyhow::Result<ServiceProcess> {
        let mut command = Command::new(&self.binary);
        command.env("FLOWLORD_CONFIG", &self.config);
        ServiceProcess::spawn_wrapped(command, &self.workflows, &self.data)
    }

    async fn run_round(&self, clients: &SharedClients, rng: &mut StdRng) -> anyhow::Result<()> {
        let life = Duration::from_millis(rng.random_range(0..MAX_LIFE_MILLIS));
        let mut process = self.spawn_service()?;
        // Some kills come while it starts: migration and recovery must survive them, too.
        if rng.random_ratio(1, 8) {
            tokio::time::sleep(life / 6).await;
            return process.kill_hard().await;
        }
        let address = process.read_address().await?;
        let mut all = JoinSet::new();
        for _ in 0..CREATORS {
            all.spawn_local(create_tasks(address.clone(), Rc::clone(clients)));
        }
        for kind in WORKERS {
            all.spawn_local(finish_tasks(address.clone(), Rc::clone(clients), rng.random(), kind));
        }
        // Its life has two halves, so that what is requested here is under way when it ends.
        tokio::time::sleep(life / 2).await;
        match rng.random_range(0..4) {
            // The kill then hits a copy that is being made.
            0 => drop(all.spawn_local(request_snapshot(address))),
            // Or the orderly stop.
            1 => process.request_stop()?,
            _ => {}
        }
        tokio::time::sleep(life / 2).await;
        process.kill_hard().await?;
        join_clients(all).await
    }

    /// Restarts the service and compares its tasks with what was acknowledged.
    async fn check_tasks(&self, clients: &SharedClients) -> anyhow::Result<Vec<ListedTask>> {
        let mut process = self.spawn_service()?;
        let address = process.read_address().await.context("it does not start after a kill")?;
        let tasks = list_tasks(&address).await?;
        process.kill_hard().await?;
        clients.borrow_mut().oracle.check_tasks(&tasks);
        Ok(tasks)
    }
}

/// Waits for clients whose service is gone.
async fn join_clients(mut clients: JoinSet<anyhow::Result<()>>) -> anyhow::Result<()> {
    while let Some(ended) = clients.join_next().await {
        let Err(err) = ended? else { continue };
        // A client ends with the connection, and with nothing else.
        ensure!(is_disconnect(&err), "{err:#}");
    }
    Ok(())
}

async fn request_snapshot(address: String) -> anyhow::Result<()> {
    let mut client = HttpClient::connect_to(&address).await?;
    client.send_request("POST", "/api/v1/snapshots", "", "{}").await?;
    Ok(())
}

#[derive(serde::Deserialize)]
struct ListedPage {
    items: Vec<ListedTask>,
    next: Option<String>,
}

pub(crate) async fn list_tasks(address: &str) -> anyhow::Result<Vec<ListedTask>> {
    let mut client = HttpClient::connect_to(address).await?;
    let mut all = Vec::new();
    let mut cursor = String::new();
    loop {
        let path = format!("/api/v1/tasks?order=asc&limit=1000{cursor}");
        let page: ListedPage = serde_json::from_slice(client.get_body(&path).await?)?;
        all.extend(page.items);
        match page.next {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return Ok(all),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The short run of every test run; `cargo run -p flowlord-bench -- crash` is the long one.
    #[test]
    fn killed_ten_times_it_loses_and_doubles_nothing() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        // On a busy machine no life may be long enough for a slot: then others are tried.
        let reports = (1..=5).map(|seed| runtime.block_on(prove_crashes(10, seed)).unwrap());
        let report = reports.inspect(|report| assert_eq!(report.rounds, 10)).find(|report| report.ticks > 0);
        let report = report.expect("a slot started");
        assert!(report.created > 0 && report.finished > 0, "there was load: {report:?}");
        assert!(report.daily_joins > 0, "a day was whole: {report:?}");
    }
}
