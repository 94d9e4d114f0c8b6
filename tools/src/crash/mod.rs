//! The service killed by SIGKILL at random moments under load, started again, and held against what its clients were
//! answered: nothing acknowledged is lost, and nothing is done twice.

mod load;
mod oracle;

use std::io::Write as _;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::task::{JoinSet, LocalSet};

pub(crate) use self::load::{Shared, create, work};
pub(crate) use self::oracle::Oracle;
use self::oracle::{Task, Violations};
use crate::client::Client;
use crate::server::{Process, flowlord, run_flowlord};

/// A phase that starts every second.
const TICK: &str = "tick";

/// What follows from what, once it is complete.
const CHILDREN: [(&str, &str); 2] = [("first", "second"), ("second", "third")];

/// Retries of a task that fails.
const RETRIES: u32 = 3;

/// Phases for tasks that clients create, with what follows, and one for cron.
pub(crate) const WORKFLOW: &str = r#"
[[phase]]
task = "tick"
rule = "cron=* * * * * *"
template = "{ts}"

[[phase]]
task = "first"
rule = "cron=0 0 1 1 *&retry_delay=1s"
retry = 3

[[phase]]
task = "second"
dependsOn = "first"
template = "after {meta:workflow}"

[[phase]]
task = "third"
dependsOn = "second"
template = "after {meta:workflow}"
"#;

/// Kills on one database; then another one is begun.
const ROUNDS_ON_ONE: usize = 20;

/// Clients of each kind.
const CREATORS: usize = 2;
const WORKERS: u64 = 4;

/// The longest that a round lets the service live.
const LIFE_MILLIS: u64 = 600;

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Report {
    rounds: usize,
    created: usize,
    finished: usize,
    ticks: usize,
    violations: Violations,
}

/// Kills it so many times and prints what was found; any violation is an error.
pub(crate) async fn run(rounds: usize, seed: u64) -> anyhow::Result<Report> {
    let mut report = Report::default();
    let mut rng = StdRng::seed_from_u64(seed);
    let local = LocalSet::new();
    while report.rounds < rounds {
        let left = ROUNDS_ON_ONE.min(rounds - report.rounds);
        local.run_until(one_database(left, &mut rng, &mut report)).await?;
        report.print(seed)?;
        ensure!(report.violations.all().next().is_none(), "violations: {:#?}", report.violations);
    }
    Ok(report)
}

impl Report {
    fn print(&self, seed: u64) -> anyhow::Result<()> {
        let Self { rounds, created, finished, ticks, violations } = self;
        writeln!(
            std::io::stdout(),
            "seed {seed}: {rounds} kills; acknowledged: {created} tasks, {finished} results; {ticks} slots; \
             lost {}, finished twice {}, children doubled {}, slots doubled {}, other {}",
            violations.lost.len(),
            violations.finished_twice.len(),
            violations.children_doubled.len(),
            violations.slots_doubled.len(),
            violations.other.len(),
        )?;
        Ok(())
    }
}

/// A fresh database, killed under load again and again.
async fn one_database(rounds: usize, rng: &mut StdRng, report: &mut Report) -> anyhow::Result<()> {
    let place = tempfile::tempdir()?;
    let workflows = place.path().join("workflows");
    std::fs::create_dir(&workflows)?;
    std::fs::write(workflows.join("crash.toml"), WORKFLOW)?;
    let place = Place { data: place.path().join("data"), workflows, binary: flowlord()?, _folder: place };
    let clients = Shared::default();
    let mut ticks = 0;
    for _ in 0..rounds {
        round(&place, &clients, rng).await?;
        report.rounds += 1;
        ticks = place.check(&clients).await?;
    }
    let clients = Rc::try_unwrap(clients).ok().context("a client is left")?.into_inner();
    let (created, finished) = clients.oracle.acknowledged();
    report.created += created;
    report.finished += finished;
    report.ticks += ticks;
    report.violations.add(clients.oracle.violations);
    // Reads the whole file through.
    run_flowlord(&place.binary, &["snapshot", "--data"], &place.data).await?;
    Ok(())
}

struct Place {
    data: PathBuf,
    workflows: PathBuf,
    binary: PathBuf,
    _folder: tempfile::TempDir,
}

/// One life of the service: load until it is killed.
async fn round(place: &Place, clients: &Shared, rng: &mut StdRng) -> anyhow::Result<()> {
    let life = Duration::from_millis(rng.random_range(0..LIFE_MILLIS));
    let mut process = Process::spawn(&place.binary, &place.workflows, &place.data)?;
    if rng.random_ratio(1, 8) {
        // While it starts.
        tokio::time::sleep(life / 6).await;
        return process.kill().await;
    }
    let address = process.ready().await?;
    let mut all = JoinSet::new();
    for _ in 0..CREATORS {
        all.spawn_local(create(address.clone(), Rc::clone(clients)));
    }
    for _ in 0..WORKERS {
        all.spawn_local(work(address.clone(), Rc::clone(clients), rng.random()));
    }
    tokio::time::sleep(life / 2).await;
    match rng.random_range(0..4) {
        0 => drop(all.spawn_local(snapshot(address))),
        1 => process.terminate()?,
        _ => {}
    }
    tokio::time::sleep(life / 2).await;
    process.kill().await?;
    while let Some(ended) = all.join_next().await {
        let Err(err) = ended? else { continue };
        // A client ends with the connection, and with nothing else.
        ensure!(err.downcast_ref::<std::io::Error>().is_some() || crate::client::was_cut(&err), "{err:#}");
    }
    Ok(())
}

/// A copy that is being made when the service is killed.
async fn snapshot(address: String) -> anyhow::Result<()> {
    let mut client = Client::connect(&address).await?;
    client.exchange("POST", "/api/v1/snapshots", "", "{}").await?;
    Ok(())
}

impl Place {
    /// Starts the service and holds what it lists against what was acknowledged. Answers how many slots started.
    async fn check(&self, clients: &Shared) -> anyhow::Result<usize> {
        let mut process = Process::spawn(&self.binary, &self.workflows, &self.data)?;
        let address = process.ready().await.context("it does not start after a kill")?;
        let tasks = all_tasks(&address).await?;
        process.kill().await?;
        clients.borrow_mut().oracle.check(&tasks);
        Ok(tasks.iter().filter(|task| task.topic == TICK).count())
    }
}

#[derive(serde::Deserialize)]
struct Page {
    items: Vec<Task>,
    next: Option<String>,
}

/// Every task that a service lists.
pub(crate) async fn all_tasks(address: &str) -> anyhow::Result<Vec<Task>> {
    let mut client = Client::connect(address).await?;
    let mut all = Vec::new();
    let mut cursor = String::new();
    loop {
        let path = format!("/api/v1/tasks?order=asc&limit=1000{cursor}");
        let page: Page = serde_json::from_slice(client.get(&path).await?)?;
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
        let report = runtime.block_on(run(10, 1)).unwrap();
        assert_eq!(report.rounds, 10);
        assert!(report.created > 0 && report.finished > 0 && report.ticks > 0, "there was load: {report:?}");
    }
}
