//! Power cuts, simulated from what the real program does: strace records every write, flush and answer of a service
//! under load; at many moments of the recording the disk is built as a power cut could leave it; on each the real
//! program is started, and must hold everything that it had acknowledged by then.

mod disk;
mod facts;
mod trace;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::process::Command;
use tokio::task::{JoinSet, LocalSet};

use self::disk::{Disk, Left};
use self::facts::Fact;
use self::trace::Event;
use crate::client::Client;
use crate::crash::{self, Oracle, Shared, WORKFLOW};
use crate::server::{Process, flowlord};

/// What to do.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// Disks to build and start from.
    pub(crate) images: usize,
    /// The moments, and what is left at each.
    pub(crate) seed: u64,
    /// Answers to wait for while recording.
    pub(crate) answers: usize,
    /// Bytes that each task carries, so that the write-ahead log comes around.
    pub(crate) padding: usize,
    /// As a disk that says that it flushed and doesn't.
    pub(crate) lies: bool,
}

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) images: usize,
    pub(crate) facts: usize,
    pub(crate) checkpoints: usize,
    pub(crate) violations: Vec<String>,
}

/// Records, cuts, and prints what was found.
pub(crate) async fn run(plan: &Plan) -> anyhow::Result<Report> {
    let place = tempfile::tempdir()?;
    let data = place.path().join("data");
    let workflows = place.path().join("workflows");
    std::fs::create_dir_all(&workflows)?;
    std::fs::write(workflows.join("crash.toml"), WORKFLOW)?;
    let log = place.path().join("calls.log");
    LocalSet::new().run_until(record(plan, &log, &workflows, &data)).await?;
    let events = trace::read(&std::fs::read_to_string(&log)?)?;
    let facts = facts::read(&events)?;
    let checkpoints = checkpoints(&events, &data);
    writeln!(std::io::stdout(), "recorded {} events, {} acknowledgements", events.len(), facts.len())?;
    let mut cutter =
        Cutter { plan, data, workflows, facts, report: Report { checkpoints, ..Report::default() } };
    cutter.cut_all(&events).await?;
    let report = cutter.report;
    writeln!(
        std::io::stdout(),
        "seed {}: {} images of {} flushes of the database file opened clean; {} acknowledgements held against them; \
         violations: {}",
        plan.seed,
        report.images,
        report.checkpoints,
        report.facts,
        report.violations.len()
    )?;
    Ok(report)
}

fn checkpoints(events: &[Event], data: &Path) -> usize {
    let database = data.join(flowlord_db::DATABASE);
    events
        .iter()
        .filter(|event| matches!(event, Event::SyncBegins { path, .. } if Path::new(path) == database))
        .count()
}

/// A service under load, recorded from its start to its clean stop.
async fn record(plan: &Plan, log: &Path, workflows: &Path, data: &Path) -> anyhow::Result<()> {
    let mut command = Command::new("strace");
    // -D: the service is our child, so that it can be asked to stop.
    command.args(["-D", "-f", "-y", "-xx", "-s", "4000000", "-e"]).arg(format!("trace={}", trace::CALLS));
    command.args(["-e", "signal=none", "-o"]).arg(log).arg(flowlord()?);
    command.args(["serve", "--listen", "127.0.0.1:0", "--workflow"]).arg(workflows).arg("--data").arg(data);
    let mut process = Process::of(command).context("strace is missing: install it first")?;
    let address = process.ready().await?;
    let clients = Shared::default();
    clients.borrow_mut().padding = plan.padding;
    let mut all = JoinSet::new();
    for seed in 0..2 {
        all.spawn_local(crash::create(address.clone(), Rc::clone(&clients)));
        all.spawn_local(crash::work(address.clone(), Rc::clone(&clients), seed));
    }
    until(&clients, plan.answers / 2).await?;
    Client::connect(&address).await?.post("/api/v1/snapshots", "{}").await?;
    until(&clients, plan.answers).await?;
    process.terminate()?;
    let ended = process.ended().await?;
    ensure!(ended.success(), "the recorded service ended with {ended}");
    all.shutdown().await;
    whole(log).await
}

/// Waits until so many answers came.
async fn until(clients: &Shared, answers: usize) -> anyhow::Result<()> {
    for _ in 0..60_000 {
        let (created, finished) = clients.borrow().oracle.acknowledged();
        if created + finished >= answers {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    bail!("the load doesn't get on")
}

/// Waits until strace has written all of it.
async fn whole(log: &Path) -> anyhow::Result<()> {
    for _ in 0..6_000 {
        let text = std::fs::read(log)?;
        let last = text.trim_ascii_end().rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
        let began = text.split(|byte| *byte == b' ').next().unwrap_or_default();
        if last.starts_with(began) && last.ends_with(b"+++") {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    bail!("strace doesn't end")
}

struct Cutter<'a> {
    plan: &'a Plan,
    data: PathBuf,
    workflows: PathBuf,
    facts: Vec<(usize, Fact)>,
    report: Report,
}

impl Cutter<'_> {
    /// Moments all over the recording, every other one right after an answer, when nothing may be lost that was just
    /// told.
    fn moments(&self, events: usize, rng: &mut StdRng) -> anyhow::Result<Vec<usize>> {
        let first = self.facts.first().context("nothing was acknowledged")?.0;
        let mut moments: Vec<usize> = (0..self.plan.images)
            .map(|image| match image % 2 {
                0 => self.facts[rng.random_range(0..self.facts.len())].0 + 1,
                _ => rng.random_range(first + 1..=events),
            })
            .collect();
        moments.sort_unstable();
        Ok(moments)
    }

    async fn cut_all(&mut self, events: &[Event]) -> anyhow::Result<()> {
        let mut rng = StdRng::seed_from_u64(self.plan.seed);
        let moments = self.moments(events.len(), &mut rng)?;
        let mut disk = Disk::new(self.plan.lies);
        let mut done = 0;
        for (number, moment) in moments.into_iter().enumerate() {
            events[done..moment].iter().for_each(|event| disk.apply(event));
            done = moment;
            let left = Left::ALL[number % Left::ALL.len()];
            self.cut(&disk, moment, left, &mut rng)
                .await
                .with_context(|| format!("event {moment}, {left:?}"))?;
        }
        Ok(())
    }

    /// The power is cut after this many events.
    async fn cut(&mut self, disk: &Disk, moment: usize, left: Left, rng: &mut StdRng) -> anyhow::Result<()> {
        let place = tempfile::tempdir()?;
        let folder = self.data.to_str().context("a path that is text")?;
        for (path, content) in disk.image(folder, left, rng) {
            let to = place.path().join(Path::new(&path).strip_prefix(&self.data)?);
            std::fs::create_dir_all(to.parent().context("a folder")?)?;
            let shared_memory = path.ends_with("-shm");
            std::fs::write(to, if shared_memory { disk::garbage(rng) } else { content })?;
        }
        let known: Vec<_> =
            self.facts.iter().filter(|(told, _)| *told < moment).map(|(_, fact)| fact.clone()).collect();
        self.check(place.path(), &known).await?;
        self.report.images += 1;
        self.report.facts += known.len();
        Ok(())
    }

    /// Starts the service on the disk, holds what it lists against what was acknowledged, and reads all of it through.
    async fn check(&mut self, data: &Path, known: &[Fact]) -> anyhow::Result<()> {
        let mut process = Process::spawn(&flowlord()?, &self.workflows, data)?;
        let address = process.ready().await.context("it doesn't start")?;
        let tasks = crash::all_tasks(&address).await?;
        process.kill().await?;
        flowlord_db::check(&data.join(flowlord_db::DATABASE))?;
        let mut oracle = Oracle::default();
        for fact in known {
            match fact {
                Fact::Created { uid, info } => oracle.created(uid, info),
                Fact::Finished { uid, result, msg } => oracle.finished(uid, result, msg, true),
                Fact::Snapshot { path } => {
                    let copy = data.join(Path::new(path).strip_prefix(&self.data)?);
                    self.report.violations.extend(flowlord_db::check(&copy).err().map(|err| err.to_string()));
                }
            }
        }
        oracle.check(&tasks);
        self.report.violations.extend(oracle.violations.all().cloned());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(plan: &Plan) -> Report {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(super::run(plan)).unwrap()
    }

    /// The short run of every test run; `cargo run -p flowlord-bench -- power-cut` is the long one.
    #[test]
    fn every_image_of_a_cut_holds_what_was_acknowledged_and_a_disk_that_lies_is_caught() {
        if !flowlord_testkit::can_run(&["strace"]) {
            return;
        }
        let plan = Plan { images: 10, seed: 1, answers: 40, padding: 0, lies: false };
        let report = run(&plan);
        assert_eq!((report.images, &report.violations), (10, &Vec::new()));
        assert!(report.facts > 40 && report.checkpoints > 0, "{report:?}");
        let lying = run(&Plan { images: 2, lies: true, ..plan });
        assert!(!lying.violations.is_empty(), "what was flushed and isn't there is found");
    }
}
