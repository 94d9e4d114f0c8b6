//! The load: workers that create, lease and finish as fast as they are answered.

use std::io::Write as _;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::task::{JoinSet, LocalSet};

use crate::client::{Client, between};
use crate::limits;
use crate::server::{self, Flowlord};

/// How many hand-offs to a waiting worker are timed.
const HAND_OFFS: usize = 2_000;

/// Runs every part and prints one line each, then the ratios.
pub(crate) async fn run(workers: usize, duration: Duration, rounds: usize) -> anyhow::Result<()> {
    let mut out = std::io::stdout();
    let flowlord = Flowlord::start().await?;
    writeln!(out, "ready after            {:>10.0} ms", flowlord.ready_after.as_secs_f64() * 1e3)?;
    writeln!(out, "idle memory            {:>10.1} MB", megabytes(flowlord.memory()?))?;
    let no_op = server::no_op()?;
    let hand_offs = hand_offs(&flowlord.address).await?;
    writeln!(out, "hand-off p50 / p99     {:>10.2} / {:.2} ms", hand_offs.0, hand_offs.1)?;
    let mut rates = Vec::new();
    for round in 1..=rounds {
        let no_ops = workers_of(&no_op, workers, duration, Part::NoOp).await?;
        let cycles = workers_of(&flowlord.address, workers, duration, Part::Cycle).await?;
        let inserts = limits::inserts(duration / 4)?;
        writeln!(
            out,
            "round {round}: no-op posts {:>8.0}/s  cycles {:>7.0}/s (p99 of a cycle {:.1} ms)  bare inserts {inserts:>8.0}/s",
            no_ops.rate, cycles.rate, cycles.p99
        )?;
        rates.push((no_ops.rate, cycles.rate, inserts));
    }
    rates.sort_by(|a, b| a.1.total_cmp(&b.1));
    let (no_ops, cycles, inserts) = *rates.get(rates.len() / 2).context("no rounds")?;
    writeln!(out, "median round: {cycles:.0} cycles/s with {workers} workers")?;
    writeln!(out, "  3 x cycles / no-op posts    {:.2}", 3.0 * cycles / no_ops)?;
    writeln!(out, "  3 x cycles / bare inserts   {:.2}", 3.0 * cycles / inserts)?;
    writeln!(out, "memory after the load  {:>10.1} MB", megabytes(flowlord.memory()?))?;
    Ok(())
}

#[derive(Debug, Clone, Copy)]
/// What a worker does again and again.
pub(crate) enum Part {
    NoOp,
    Cycle,
}

/// How often and how fast.
pub(crate) struct Rate {
    pub(crate) rate: f64,
    p99: f64,
}

pub(crate) async fn workers_of(
    address: &str,
    workers: usize,
    duration: Duration,
    part: Part,
) -> anyhow::Result<Rate> {
    let address: Rc<str> = address.into();
    let local = LocalSet::new();
    let (count, mut times) = local
        .run_until(async move {
            let until = Instant::now() + duration;
            let mut all = JoinSet::new();
            for worker in 0..workers {
                let address = Rc::clone(&address);
                all.spawn_local(async move { one_worker(&address, worker, until, part).await });
            }
            let mut times = Vec::new();
            while let Some(worker) = all.join_next().await {
                times.extend(worker??);
            }
            anyhow::Ok((times.len(), times))
        })
        .await?;
    #[expect(clippy::cast_precision_loss, reason = "a figure to print")]
    let rate = count as f64 / duration.as_secs_f64();
    Ok(Rate { rate, p99: percentiles(&mut times).1 })
}

async fn one_worker(address: &str, worker: usize, until: Instant, part: Part) -> anyhow::Result<Vec<f64>> {
    let mut client = Client::connect(address).await?;
    let mut times = Vec::new();
    while Instant::now() < until {
        let begun = Instant::now();
        match part {
            Part::NoOp => drop(client.post("/noop", TASK).await?),
            Part::Cycle => cycle(&mut client, worker).await?,
        }
        times.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    Ok(times)
}

const TASK: &str = r#"{"type":"load","job":"hour","info":"?date=2026-03-01T05","meta":"source=load&n=1"}"#;

async fn cycle(client: &mut Client, worker: usize) -> anyhow::Result<()> {
    client.post("/api/v1/tasks", TASK).await?;
    let wanted = format!(r#"{{"topics":["load:hour"],"worker":"w{worker}","max":1,"wait":"10s"}}"#);
    let lease = lease_of(client.post("/api/v1/lease", &wanted).await?)?;
    client
        .post(&format!("/api/v1/lease/{lease}/result"), r#"{"result":"complete","meta":"rows=10"}"#)
        .await?;
    Ok(())
}

fn lease_of(body: &[u8]) -> anyhow::Result<String> {
    between(body, "\"lease\":\"")
        .map(str::to_owned)
        .with_context(|| String::from_utf8_lossy(body).into_owned())
}

/// Milliseconds from sending a task to a waiting worker having it, which takes two commits.
async fn hand_offs(address: &str) -> anyhow::Result<(f64, f64)> {
    let mut creator = Client::connect(address).await?;
    let mut worker = Client::connect(address).await?;
    let mut times = Vec::with_capacity(HAND_OFFS);
    for _ in 0..HAND_OFFS {
        let wanted = r#"{"topics":["load"],"worker":"waits","wait":"30s"}"#;
        let leasing = async {
            lease_of(worker.post("/api/v1/lease", wanted).await?).map(|lease| (lease, Instant::now()))
        };
        let creating = async {
            // Long enough that the worker waits already.
            tokio::time::sleep(Duration::from_millis(2)).await;
            let begun = Instant::now();
            creator.post("/api/v1/tasks", TASK).await?;
            anyhow::Ok(begun)
        };
        let ((lease, had), begun) = tokio::try_join!(leasing, creating)?;
        times.push((had - begun).as_secs_f64() * 1e3);
        worker.post(&format!("/api/v1/lease/{lease}/result"), r#"{"result":"complete"}"#).await?;
    }
    Ok(percentiles(&mut times))
}

/// Median and 99th percentile.
pub(crate) fn percentiles(times: &mut [f64]) -> (f64, f64) {
    times.sort_by(f64::total_cmp);
    let at = |part: usize| times.get(times.len() * part / 100).copied().unwrap_or(f64::NAN);
    (at(50), at(99))
}

#[expect(clippy::cast_precision_loss, reason = "a figure to print")]
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
