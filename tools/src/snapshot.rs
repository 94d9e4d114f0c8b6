//! How much a snapshot of a large database slows the workers: the time of a result with a snapshot being taken and
//! without, in turns of one run; and whether each snapshot holds what was acknowledged before it began.

use std::cell::{Cell, RefCell};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use rusqlite::{Connection, OpenFlags};
use tokio::task::{JoinSet, LocalSet};

use crate::client::{HttpClient, find_lease, text_after};
use crate::current_day;
use crate::generate::{self, HistoryPlan};
use crate::server::{ServiceProcess, find_flowlord};
use crate::timing::{median_and_p99, milliseconds_since};

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct SnapshotPlan {
    /// Attempts of the history that is copied: a gigabyte.
    #[arg(long, default_value_t = 2_200_000)]
    attempts: u64,
    /// A folder with a database of `generate`, or for it; a temporary one when not given.
    #[arg(long)]
    data: Option<PathBuf>,
    /// Results a second.
    #[arg(long, default_value_t = 200)]
    rate: u32,
    /// Seconds of a part without a snapshot.
    #[arg(long, default_value_t = 15)]
    seconds: u64,
    /// How often the parts take turns.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
}

const WORKERS: u32 = 16;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum SnapshotPhase {
    #[default]
    Quiet,
    Copying,
    /// The copy is read through, which isn't measured.
    Checking,
}

#[derive(Debug, Default)]
struct ResultTimes {
    phase: Cell<SnapshotPhase>,
    quiet_ms: RefCell<Vec<f64>>,
    copying_ms: RefCell<Vec<f64>>,
    finished: RefCell<Vec<i64>>,
    is_over: Cell<bool>,
}

pub(crate) async fn measure_snapshots(plan: &SnapshotPlan) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let data = plan.data.clone().unwrap_or_else(|| folder.path().join("data"));
    if !data.join(flowlord_db::DATABASE).exists() {
        generate::write_history(&HistoryPlan::of_size(plan.attempts, current_day()), &data)?;
    }
    let workflows = folder.path().join("workflows");
    std::fs::create_dir(&workflows)?;
    std::fs::write(workflows.join("w.toml"), "[[phase]]\ntask = \"work\"\nrule = \"cron=0 0 1 1 *\"\n")?;
    let mut process = ServiceProcess::spawn_service(&find_flowlord()?, &workflows, &data)?;
    let address = process.read_address().await?;
    LocalSet::new().run_until(measure_service(plan, &address, &data)).await?;
    // Not an orderly stop, which would take a snapshot of its own.
    process.kill_hard().await
}

async fn measure_service(plan: &SnapshotPlan, address: &str, data: &Path) -> anyhow::Result<()> {
    let bytes = data.join(flowlord_db::DATABASE).metadata()?.len();
    writeln!(
        std::io::stdout(),
        "database of {} MB, {} results a second over {WORKERS} connections",
        bytes / 1_000_000,
        plan.rate
    )?;
    let times = Rc::new(ResultTimes::default());
    let mut workers = JoinSet::new();
    for worker in 0..WORKERS {
        workers.spawn_local(work_steadily(address.to_owned(), Rc::clone(&times), worker, plan.rate));
    }
    for round in 1..=plan.rounds {
        tokio::time::sleep(Duration::from_secs(plan.seconds)).await;
        take_snapshot(address, &times, round).await?;
    }
    times.is_over.set(true);
    while let Some(worker) = workers.join_next().await {
        worker??;
    }
    times.print_ratio()
}

async fn take_snapshot(address: &str, times: &ResultTimes, round: usize) -> anyhow::Result<()> {
    // Connected only now: a connection that says nothing is closed.
    let mut client = HttpClient::connect_to(address).await?;
    // Taken before the request: later results may be in the snapshot or not.
    let before = times.finished.borrow().clone();
    let finished = before.len();
    let begun = Instant::now();
    times.phase.set(SnapshotPhase::Copying);
    let answer = client.post_json("/api/v1/snapshots", "{}").await?;
    times.phase.set(SnapshotPhase::Checking);
    let seconds = begun.elapsed().as_secs_f64();
    let location = PathBuf::from(text_after(answer, "\"location\":\"").context("no location")?);
    let snapshot = location.clone();
    let missing = tokio::task::spawn_blocking(move || count_missing(&snapshot, &before)).await??;
    ensure!(missing == 0, "{missing} of {finished} results acknowledged before are not in it");
    writeln!(
        std::io::stdout(),
        "snapshot {round}: {seconds:.1} s; opens clean and holds all {finished} results acknowledged before it",
    )?;
    std::fs::remove_file(&location)?;
    times.phase.set(SnapshotPhase::Quiet);
    Ok(())
}

impl ResultTimes {
    fn print_ratio(&self) -> anyhow::Result<()> {
        let mut out = std::io::stdout();
        let (mut quiet, mut copying) = (self.quiet_ms.borrow_mut(), self.copying_ms.borrow_mut());
        let (quiet_p50, quiet_p99) = median_and_p99(&mut quiet);
        let (p50, p99) = median_and_p99(&mut copying);
        writeln!(
            out,
            "result without a snapshot: p50 {quiet_p50:.2} ms, p99 {quiet_p99:.2} ms ({} results)",
            quiet.len()
        )?;
        writeln!(out, "result during a snapshot:  p50 {p50:.2} ms, p99 {p99:.2} ms ({} results)", copying.len())?;
        writeln!(out, "p99 during / without: {:.2}", p99 / quiet_p99)?;
        Ok(())
    }
}

/// Creates, leases and finishes at a steady pace, and notes how long each result took.
async fn work_steadily(address: String, times: Rc<ResultTimes>, worker: u32, rate: u32) -> anyhow::Result<()> {
    let mut client = HttpClient::connect_to(&address).await?;
    // By the clock, not after each answer: a slow service must not lower the load that it is measured by.
    let pause = Duration::from_secs(1) * WORKERS / rate;
    let mut next = tokio::time::Instant::now() + pause * worker / WORKERS;
    while !times.is_over.get() {
        tokio::time::sleep_until(next).await;
        next += pause;
        let task = r#"{"type":"work","info":"?date=2026-03-01T05","meta":"n=1"}"#;
        client.post_json("/api/v1/tasks", task).await?;
        let wanted = r#"{"topics":["work"],"worker":"w","max":1,"wait":"5s"}"#;
        let answer = client.post_json("/api/v1/lease", wanted).await?;
        let Some(lease) = find_lease(answer).map(str::to_owned) else { continue };
        let phase = times.phase.get();
        let begun = Instant::now();
        client.post_json(&format!("/api/v1/lease/{lease}/result"), r#"{"result":"complete","meta":"rows=10"}"#).await?;
        let time_ms = milliseconds_since(begun);
        // One that begins or ends with a snapshot belongs to neither part.
        match phase {
            _ if phase != times.phase.get() => {}
            SnapshotPhase::Quiet => times.quiet_ms.borrow_mut().push(time_ms),
            SnapshotPhase::Copying => times.copying_ms.borrow_mut().push(time_ms),
            SnapshotPhase::Checking => {}
        }
        let uid = lease.split('-').next().context("a lease")?;
        times.finished.borrow_mut().push(i64::from_str_radix(uid, 16)?);
    }
    Ok(())
}

/// How many of these attempts aren't done in a snapshot, which is read through first.
fn count_missing(snapshot: &Path, finished: &[i64]) -> anyhow::Result<usize> {
    flowlord_db::check_snapshot(snapshot)?;
    let connection = Connection::open_with_flags(snapshot, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let mut done = connection.prepare("SELECT 1 FROM task WHERE uid = ?1 AND state = 3")?;
    let mut missing = 0;
    for uid in finished {
        missing += usize::from(!done.exists([uid])?);
    }
    Ok(missing)
}
