//! The load: workers that create, lease and finish as fast as they are answered. A cycle is three requests, each
//! acknowledged after its fsync.

use std::io::Write as _;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::task::{JoinSet, LocalSet};

use crate::client::{HttpClient, find_lease};
use crate::limits;
use crate::server::{self, BenchService, find_flowlord};
use crate::timing::{median_and_p99, milliseconds_since};

const HAND_OFFS: usize = 2_000;

/// Runs every part and prints one line each, then the ratios. Another build `before` takes turns with this one.
pub(crate) async fn measure_load(
    workers: usize,
    duration: Duration,
    rounds: usize,
    before: Option<&Path>,
) -> anyhow::Result<()> {
    let mut out = std::io::stdout();
    let service = BenchService::start_empty(&find_flowlord()?).await?;
    writeln!(out, "ready after            {:>10.0} ms", service.ready_after.as_secs_f64() * 1e3)?;
    writeln!(out, "idle memory            {:>10.1} MB", service.memory_megabytes()?)?;
    let no_op = server::start_no_op()?;
    let (p50, p99) = time_hand_offs(&service.address).await?;
    writeln!(out, "hand-off p50 / p99     {p50:>10.2} / {p99:.2} ms")?;
    let before = match before {
        Some(binary) => Some(BenchService::start_empty(binary).await?),
        None => None,
    };
    // In turns, and the median in the end: other work of the machine hits all parts alike.
    let mut measured = Vec::new();
    for round in 1..=rounds {
        let no_ops = run_workers(&no_op, workers, duration, LoadKind::NoOp).await?;
        let cycles = run_workers(&service.address, workers, duration, LoadKind::Cycle).await?;
        let inserts = limits::inserts_per_second(duration / 4)?;
        write!(
            out,
            "round {round}: no-op posts {:>8.0}/s  cycles {:>7.0}/s (p99 of a cycle {:.1} ms)  bare inserts {inserts:>8.0}/s",
            no_ops.per_second, cycles.per_second, cycles.p99_ms
        )?;
        let mut rates =
            LoadRound { no_ops: no_ops.per_second, cycles: cycles.per_second, inserts, cycles_before: None };
        if let Some(before) = &before {
            let cycles = run_workers(&before.address, workers, duration, LoadKind::Cycle).await?;
            write!(out, "  before: cycles {:>7.0}/s (p99 {:.1} ms)", cycles.per_second, cycles.p99_ms)?;
            rates.cycles_before = Some(cycles.per_second);
        }
        writeln!(out)?;
        measured.push(rates);
    }
    writeln!(
        out,
        "median of {rounds} rounds, {workers} workers: {:.0} cycles/s",
        median_of(&measured, |round| round.cycles)?
    )?;
    writeln!(
        out,
        "  3 x cycles / no-op posts    {:.2}",
        median_of(&measured, |round| 3.0 * round.cycles / round.no_ops)?
    )?;
    writeln!(
        out,
        "  3 x cycles / bare inserts   {:.2}",
        median_of(&measured, |round| 3.0 * round.cycles / round.inserts)?
    )?;
    writeln!(out, "memory after the load  {:>10.1} MB", service.memory_megabytes()?)?;
    if let Some(before) = before {
        let ratio = median_of(&measured, |round| round.cycles / round.cycles_before.unwrap_or(f64::NAN))?;
        writeln!(out, "  cycles / cycles before      {ratio:.2}")?;
        writeln!(out, "memory after, before   {:>10.1} MB", before.memory_megabytes()?)?;
    }
    Ok(())
}

/// Rates of one round, per second.
struct LoadRound {
    no_ops: f64,
    cycles: f64,
    inserts: f64,
    cycles_before: Option<f64>,
}

/// The median of a figure that each round has: ratios are taken within a round, where the machine was alike.
fn median_of(rounds: &[LoadRound], figure: impl Fn(&LoadRound) -> f64) -> anyhow::Result<f64> {
    let mut figures: Vec<f64> = rounds.iter().map(figure).collect();
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().context("no rounds")
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum LoadKind {
    NoOp,
    Cycle,
}

pub(crate) struct LoadRate {
    pub(crate) per_second: f64,
    p99_ms: f64,
}

pub(crate) async fn run_workers(
    address: &str,
    workers: usize,
    duration: Duration,
    kind: LoadKind,
) -> anyhow::Result<LoadRate> {
    let until = Instant::now() + duration;
    let address: Rc<str> = address.into();
    let mut all = JoinSet::new();
    let local = LocalSet::new();
    for worker in 0..workers {
        all.spawn_local_on(run_worker(Rc::clone(&address), worker, until, kind), &local);
    }
    let mut times_ms = local.run_until(join_times(all)).await?;
    #[expect(clippy::cast_precision_loss, reason = "a figure to print")]
    let per_second = times_ms.len() as f64 / duration.as_secs_f64();
    Ok(LoadRate { per_second, p99_ms: median_and_p99(&mut times_ms).1 })
}

pub(crate) async fn join_times(mut clients: JoinSet<anyhow::Result<Vec<f64>>>) -> anyhow::Result<Vec<f64>> {
    let mut times_ms = Vec::new();
    while let Some(client) = clients.join_next().await {
        times_ms.extend(client??);
    }
    Ok(times_ms)
}

async fn run_worker(address: Rc<str>, worker: usize, until: Instant, kind: LoadKind) -> anyhow::Result<Vec<f64>> {
    let mut client = HttpClient::connect_to(&address).await?;
    let mut times_ms = Vec::new();
    while Instant::now() < until {
        let begun = Instant::now();
        match kind {
            LoadKind::NoOp => drop(client.post_json("/noop", TASK).await?),
            LoadKind::Cycle => run_cycle(&mut client, worker).await?,
        }
        times_ms.push(milliseconds_since(begun));
    }
    Ok(times_ms)
}

const TASK: &str = r#"{"type":"load","job":"hour","info":"?date=2026-03-01T05","meta":"source=load&n=1"}"#;

async fn run_cycle(client: &mut HttpClient, worker: usize) -> anyhow::Result<()> {
    client.post_json("/api/v1/tasks", TASK).await?;
    let wanted = format!(r#"{{"topics":["load:hour"],"worker":"w{worker}","max":1,"wait":"10s"}}"#);
    let lease = take_lease(client, &wanted).await?;
    client.post_json(&format!("/api/v1/lease/{lease}/result"), r#"{"result":"complete","meta":"rows=10"}"#).await?;
    Ok(())
}

async fn take_lease(client: &mut HttpClient, wanted: &str) -> anyhow::Result<String> {
    let body = client.post_json("/api/v1/lease", wanted).await?;
    find_lease(body).map(str::to_owned).with_context(|| String::from_utf8_lossy(body).into_owned())
}

/// Milliseconds from sending a task to a waiting worker having it, which takes two commits.
async fn time_hand_offs(address: &str) -> anyhow::Result<(f64, f64)> {
    let mut creator = HttpClient::connect_to(address).await?;
    let mut worker = HttpClient::connect_to(address).await?;
    let mut times_ms = Vec::with_capacity(HAND_OFFS);
    for _ in 0..HAND_OFFS {
        let leasing = async {
            let wanted = r#"{"topics":["load"],"worker":"waits","wait":"30s"}"#;
            take_lease(&mut worker, wanted).await.map(|lease| (lease, Instant::now()))
        };
        let creating = async {
            // Long enough that the worker waits already.
            tokio::time::sleep(Duration::from_millis(2)).await;
            let begun = Instant::now();
            creator.post_json("/api/v1/tasks", TASK).await?;
            anyhow::Ok(begun)
        };
        let ((lease, leased), begun) = tokio::try_join!(leasing, creating)?;
        times_ms.push((leased - begun).as_secs_f64() * 1e3);
        worker.post_json(&format!("/api/v1/lease/{lease}/result"), r#"{"result":"complete"}"#).await?;
    }
    Ok(median_and_p99(&mut times_ms))
}
