//! Simulated power cuts: strace records every write, flush and answer of a service under load; at many moments of the
//! recording the disk is built as a power cut could leave it; the program starts on each disk, and must have everything
//! that it had acknowledged by then.

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

use self::disk::{SimulatedDisk, UnflushedWrites};
use self::facts::AcknowledgedFact;
use self::trace::TraceEvent;
use crate::client::HttpClient;
use crate::crash::{self, CrashOracle, SharedClients, WorkerKind};
use crate::server::{ServiceProcess, find_flowlord};

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct PowerCutPlan {
    /// Disks.
    #[arg(long, default_value_t = 200)]
    images: usize,
    /// Decides the moments, and what is left of what wasn't flushed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Acknowledgements to record.
    #[arg(long, default_value_t = 3_000)]
    answers: usize,
    /// Bytes that each task carries, so that the write-ahead log comes around within the recording.
    #[arg(long, default_value_t = 8_000)]
    padding: usize,
    /// Whether the disk reports flushes that it doesn't make: the proof of the proof.
    #[arg(skip)]
    lies: bool,
}

#[derive(Debug, Default)]
pub(crate) struct PowerCutReport {
    images: usize,
    facts: usize,
    checkpoints: usize,
    pub(crate) violations: Vec<String>,
}

pub(crate) async fn prove_power_cuts(plan: &PowerCutPlan) -> anyhow::Result<PowerCutReport> {
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("data");
    let workflows = folder.path().join("workflows");
    crash::write_workflow(&workflows, &folder.path().join("flowlord.toml"))?;
    let log = folder.path().join("calls.log");
    LocalSet::new().run_until(record_calls(plan, &log, &workflows, &data)).await?;
    let events = trace::parse_log(&std::fs::read_to_string(&log)?)?;
    let facts = facts::collect_facts(&events)?;
    let checkpoints = count_checkpoints(&events, &data);
    writeln!(std::io::stdout(), "recorded {} events, {} acknowledgements", events.len(), facts.len())?;
    let report = PowerCutReport { checkpoints, ..PowerCutReport::default() };
    let mut cutter = PowerCutter { plan, data, workflows, facts, report };
    cutter.cut_all(&events).await?;
    let report = cutter.report;
    writeln!(
        std::io::stdout(),
        "seed {}: {} images of {} flushes of the database file opened clean; {} acknowledgements compared with them; \
         violations: {}",
        plan.seed,
        report.images,
        report.checkpoints,
        report.facts,
        report.violations.len()
    )?;
    Ok(report)
}

fn count_checkpoints(events: &[TraceEvent], data: &Path) -> usize {
    let database = data.join(flowlord_db::DATABASE);
    events
        .iter()
        .filter(|event| matches!(event, TraceEvent::SyncBegins { path, .. } if Path::new(path) == database))
        .count()
}

/// Records a service under load, from its start to its orderly stop.
async fn record_calls(plan: &PowerCutPlan, log: &Path, workflows: &Path, data: &Path) -> anyhow::Result<()> {
    let mut command = Command::new("strace");
    // -D: the service is our child, so that SIGTERM reaches it.
    command.args(["-D", "-f", "-y", "-xx", "-s", "4000000", "-e"]).arg(format!("trace={}", trace::CALLS));
    command.args(["-e", "signal=none", "-o"]).arg(log).arg(find_flowlord()?);
    command.env("FLOWLORD_CONFIG", workflows.with_file_name("flowlord.toml"));
    let mut process =
        ServiceProcess::spawn_wrapped(command, workflows, data).context("strace is missing: install it first")?;
    let address = process.read_address().await?;
    let clients = SharedClients::default();
    clients.borrow_mut().padding = plan.padding;
    let mut all = JoinSet::new();
    for (seed, kind) in [(0, WorkerKind::Patient), (1, WorkerKind::Limited)] {
        all.spawn_local(crash::create_tasks(address.clone(), Rc::clone(&clients)));
        all.spawn_local(crash::finish_tasks(address.clone(), Rc::clone(&clients), seed, kind));
    }
    wait_for_answers(&clients, plan.answers / 2).await?;
    HttpClient::connect_to(&address).await?.post_json("/api/v1/snapshots", "{}").await?;
    wait_for_answers(&clients, plan.answers).await?;
    process.request_stop()?;
    let status = process.wait_for_exit().await?;
    ensure!(status.success(), "the recorded service ended with {status}");
    all.shutdown().await;
    wait_for_log(log).await
}

async fn wait_for_answers(clients: &SharedClients, answers: usize) -> anyhow::Result<()> {
    for _ in 0..60_000 {
        let (created, finished) = clients.borrow().oracle.count_acknowledged();
        if created + finished >= answers {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    bail!("the load makes no progress")
}

/// Waits until strace has written the exit of the first process.
async fn wait_for_log(log: &Path) -> anyhow::Result<()> {
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

struct PowerCutter<'a> {
    plan: &'a PowerCutPlan,
    data: PathBuf,
    workflows: PathBuf,
    facts: Vec<(usize, AcknowledgedFact)>,
    report: PowerCutReport,
}

impl PowerCutter<'_> {
    fn choose_moments(&self, events: usize, rng: &mut StdRng) -> anyhow::Result<Vec<usize>> {
        let first = self.facts.first().context("nothing was acknowledged")?.0;
        let mut moments: Vec<usize> = (0..self.plan.images)
            .map(|image| match image % 2 {
                // Right after an answer: nothing that was just acknowledged may be lost.
                0 => self.facts[rng.random_range(0..self.facts.len())].0 + 1,
                _ => rng.random_range(first + 1..=events),
            })
            .collect();
        // The disk is built once, event by event, and cut on the way.
        moments.sort_unstable();
        Ok(moments)
    }

    async fn cut_all(&mut self, events: &[TraceEvent]) -> anyhow::Result<()> {
        let mut rng = StdRng::seed_from_u64(self.plan.seed);
        let moments = self.choose_moments(events.len(), &mut rng)?;
        let mut disk = SimulatedDisk::new_empty(self.plan.lies);
        let mut done = 0;
        for (number, moment) in moments.into_iter().enumerate() {
            events[done..moment].iter().for_each(|event| disk.apply_event(event));
            done = moment;
            let unflushed = UnflushedWrites::ALL[number % UnflushedWrites::ALL.len()];
            self.cut_after(moment, &disk, unflushed, &mut rng)
                .await
                .with_context(|| format!("event {moment}, {unflushed:?}"))?;
        }
        Ok(())
    }

    async fn cut_after(
        &mut self,
        moment: usize,
        disk: &SimulatedDisk,
        unflushed: UnflushedWrites,
        rng: &mut StdRng,
    ) -> anyhow::Result<()> {
        let image = tempfile::tempdir()?;
        let folder = self.data.to_str().context("a path that is text")?;
        for (path, content) in disk.cut_power(folder, unflushed, rng) {
            let to = image.path().join(Path::new(&path).strip_prefix(&self.data)?);
            std::fs::create_dir_all(to.parent().context("a folder")?)?;
            // It is mapped memory, whose writes no system call shows: SQLite must not trust it after a crash.
            let is_shared_memory = path.ends_with("-shm");
            std::fs::write(to, if is_shared_memory { disk::random_bytes(rng) } else { content })?;
        }
        let known: Vec<_> =
            self.facts.iter().filter(|(event, _)| *event < moment).map(|(_, fact)| fact.clone()).collect();
        self.check_image(image.path(), &known).await?;
        self.report.images += 1;
        self.report.facts += known.len();
        Ok(())
    }

    /// Starts the service on the disk, compares its tasks with what was acknowledged, and reads the whole database.
    async fn check_image(&mut self, data: &Path, known: &[AcknowledgedFact]) -> anyhow::Result<()> {
        let mut process = ServiceProcess::spawn_service(&find_flowlord()?, &self.workflows, data)?;
        let address = process.read_address().await.context("it doesn't start")?;
        let tasks = crash::list_tasks(&address).await?;
        process.kill_hard().await?;
        // The whole file, page by page: a list reads only what it needs.
        flowlord_db::check_snapshot(&data.join(flowlord_db::DATABASE))?;
        let mut oracle = CrashOracle::default();
        for fact in known {
            match fact {
                AcknowledgedFact::Created { uid, info } => oracle.record_task(uid, info),
                // As a duplicate, which contradicts no other one: a client may have sent it twice.
                AcknowledgedFact::Finished { uid, result, msg } => {
                    oracle.record_result(uid, result, msg, true);
                }
                AcknowledgedFact::Snapshot { path } => {
                    let copy = data.join(Path::new(path).strip_prefix(&self.data)?);
                    self.report.violations.extend(flowlord_db::check_snapshot(&copy).err().map(|err| err.to_string()));
                }
            }
        }
        oracle.check_tasks(&tasks);
        self.report.violations.extend(oracle.violations.iter_all().cloned());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prove(plan: &PowerCutPlan) -> PowerCutReport {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(prove_power_cuts(plan)).unwrap()
    }

    /// The short run of every test run; `cargo run -p flowlord-bench -- power-cut` is the long one.
    #[test]
    fn every_image_of_a_cut_holds_what_was_acknowledged_and_a_disk_that_lies_is_caught() {
        if !flowlord_testkit::can_run(&["strace"]) {
            return;
        }
        let plan = PowerCutPlan { images: 10, seed: 1, answers: 40, padding: 0, lies: false };
        let report = prove(&plan);
        assert_eq!((report.images, &report.violations), (10, &Vec::new()));
        assert!(report.facts > 40 && report.checkpoints > 0, "{report:?}");
        let lying = prove(&PowerCutPlan { images: 2, lies: true, ..plan });
        assert!(!lying.violations.is_empty(), "what was flushed and isn't there is found");
    }
}
