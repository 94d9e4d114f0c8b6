//! What a snapshot of a large database costs those who work meanwhile: the time of a result with one being taken and
//! without, in turns of one run; and whether each snapshot holds what was acknowledged before it began.

use std::cell::{Cell, RefCell};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use rusqlite::{Connection, OpenFlags};
use tokio::task::{JoinSet, LocalSet};

use crate::client::{Client, between};
use crate::generate::{self, History};
use crate::load::percentiles;
use crate::server::{Process, flowlord};

/// What to measure.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// The history to copy.
    pub(crate) history: History,
    /// Where it is, or is to be made.
    pub(crate) data: Option<PathBuf>,
    /// Results a second.
    pub(crate) rate: u32,
    /// How long a part without a snapshot takes.
    pub(crate) quiet: Duration,
    /// How often the parts take turns.
    pub(crate) rounds: usize,
}

/// Connections of workers.
const WORKERS: u32 = 16;

/// What is going on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Part {
    #[default]
    Quiet,
    Copying,
    /// The copy is read through, which isn't measured.
    Checking,
}

/// The times of results, milliseconds, in the part that is on.
#[derive(Debug, Default)]
struct Times {
    part: Cell<Part>,
    quiet: RefCell<Vec<f64>>,
    during: RefCell<Vec<f64>>,
    /// Attempts whose results were acknowledged, as numbers.
    finished: RefCell<Vec<i64>>,
    done: Cell<bool>,
}

/// Prints the times of both parts and their ratio.
pub(crate) async fn run(plan: &Plan) -> anyhow::Result<()> {
    let place = tempfile::tempdir()?;
    let data = plan.data.clone().unwrap_or_else(|| place.path().join("data"));
    if !data.join(flowlord_db::DATABASE).exists() {
        generate::run(&plan.history, &data)?;
    }
    let workflows = place.path().join("workflows");
    std::fs::create_dir(&workflows)?;
    std::fs::write(workflows.join("w.toml"), "[[phase]]\ntask = \"work\"\nrule = \"cron=0 0 1 1 *\"\n")?;
    let mut process = Process::spawn(&flowlord()?, &workflows, &data)?;
    let address = process.ready().await?;
    LocalSet::new().run_until(measure(plan, &address, &data)).await?;
    process.kill().await
}

async fn measure(plan: &Plan, address: &str, data: &Path) -> anyhow::Result<()> {
    let mut out = std::io::stdout();
    let bytes = data.join(flowlord_db::DATABASE).metadata()?.len();
    writeln!(
        out,
        "database of {} MB, {} results a second over {WORKERS} connections",
        bytes / 1_000_000,
        plan.rate
    )?;
    let times = Rc::new(Times::default());
    let mut workers = JoinSet::new();
    for worker in 0..WORKERS {
        workers.spawn_local(work(address.to_owned(), Rc::clone(&times), worker, plan.rate));
    }
    for round in 1..=plan.rounds {
        tokio::time::sleep(plan.quiet).await;
        // Not before: a connection that says nothing is closed.
        let mut client = Client::connect(address).await?;
        let before = times.finished.borrow().clone();
        let begun = Instant::now();
        times.part.set(Part::Copying);
        let answer = client.post("/api/v1/snapshots", "{}").await?;
        times.part.set(Part::Checking);
        let took = begun.elapsed();
        let location = PathBuf::from(between(answer, "\"location\":\"").context("no location")?);
        let (snapshot, finished) = (location.clone(), before.len());
        let missing = tokio::task::spawn_blocking(move || missing(&snapshot, &before)).await??;
        ensure!(missing == 0, "{missing} of {finished} results acknowledged before are not in it");
        writeln!(
            out,
            "snapshot {round}: {:.1} s; opens clean and holds all {finished} results acknowledged before it",
            took.as_secs_f64()
        )?;
        std::fs::remove_file(&location)?;
        times.part.set(Part::Quiet);
    }
    times.done.set(true);
    while let Some(worker) = workers.join_next().await {
        worker??;
    }
    let (quiet, during) =
        (percentiles(&mut times.quiet.borrow_mut()), percentiles(&mut times.during.borrow_mut()));
    let counts = (times.quiet.borrow().len(), times.during.borrow().len());
    writeln!(
        out,
        "result without a snapshot: p50 {:.2} ms, p99 {:.2} ms ({} results)",
        quiet.0, quiet.1, counts.0
    )?;
    writeln!(
        out,
        "result during a snapshot:  p50 {:.2} ms, p99 {:.2} ms ({} results)",
        during.0, during.1, counts.1
    )?;
    writeln!(out, "p99 during / without: {:.2}", during.1 / quiet.1)?;
    Ok(())
}

/// Creates, leases and finishes at a steady pace, and notes how long each result took.
async fn work(address: String, times: Rc<Times>, worker: u32, rate: u32) -> anyhow::Result<()> {
    let mut client = Client::connect(&address).await?;
    let pause = Duration::from_secs(1) * WORKERS / rate;
    let mut next = tokio::time::Instant::now() + pause * worker / WORKERS;
    while !times.done.get() {
        tokio::time::sleep_until(next).await;
        next += pause;
        client.post("/api/v1/tasks", r#"{"type":"work","info":"?date=2026-03-01T05","meta":"n=1"}"#).await?;
        let wanted = r#"{"topics":["work"],"worker":"w","max":1,"wait":"5s"}"#;
        let answer = client.post("/api/v1/lease", wanted).await?;
        let Some(lease) = between(answer, "\"lease\":\"").map(str::to_owned) else { continue };
        let part = times.part.get();
        let begun = Instant::now();
        client
            .post(&format!("/api/v1/lease/{lease}/result"), r#"{"result":"complete","meta":"rows=10"}"#)
            .await?;
        let took = begun.elapsed().as_secs_f64() * 1e3;
        // One that begins or ends with a snapshot belongs to neither part.
        match part {
            _ if part != times.part.get() => {}
            Part::Quiet => times.quiet.borrow_mut().push(took),
            Part::Copying => times.during.borrow_mut().push(took),
            Part::Checking => {}
        }
        let uid = lease.split('-').next().context("a lease")?;
        times.finished.borrow_mut().push(i64::from_str_radix(uid, 16)?);
    }
    Ok(())
}

/// How many of these attempts aren't done in a snapshot, which is read through first.
fn missing(snapshot: &Path, finished: &[i64]) -> anyhow::Result<usize> {
    flowlord_db::check(snapshot)?;
    let connection = Connection::open_with_flags(snapshot, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let mut done = connection.prepare("SELECT 1 FROM task WHERE uid = ?1 AND state = 3")?;
    let mut missing = 0;
    for uid in finished {
        missing += usize::from(!done.exists([uid])?);
    }
    Ok(missing)
}
