//! The load: workers that create, lease and finish as fast as they are answered, next to limits of the same machine.

use std::io::Write as _;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::task::{JoinSet, LocalSet};

use crate::client::HttpClient;
use crate::cycles::{DurableCycles, TASK, take_lease};
use crate::limits;
use crate::server::{self, BenchService, find_flowlord};
use crate::timing::{median_and_p99, median_of, milliseconds_since};

const HAND_OFFS: usize = 2_000;

#[derive(Debug, clap::Args)]
pub(crate) struct LoadPlan {
    #[command(flatten)]
    turns: LoadTurns,
    /// Tasks that a worker creates, leases and finishes at once, in arrays; with 1 each has requests of its own.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=100))]
    batch: u16,
    /// Another release build, for example of the release before, which takes turns with this one.
    #[arg(long)]
    before: Option<PathBuf>,
}

/// How parts take turns: other work of the machine hits all of them alike, and the median of the rounds counts.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct LoadTurns {
    /// Workers at the same time, one connection each.
    #[arg(long, default_value_t = 64)]
    pub(crate) workers: usize,
    /// Seconds per part.
    #[arg(long, default_value_t = 10)]
    pub(crate) seconds: u64,
    /// How often the parts take turns.
    #[arg(long, default_value_t = 3)]
    pub(crate) rounds: usize,
}

impl LoadTurns {
    pub(crate) async fn run_turn<K: LoadKind>(&self, address: &str, kind: K) -> anyhow::Result<LoadRate> {
        run_workers(address, self.workers, Duration::from_secs(self.seconds), kind).await
    }
}

/// Runs every part and prints one line each, then the ratios.
pub(crate) async fn measure_load(plan: &LoadPlan) -> anyhow::Result<()> {
    let mut out = std::io::stdout();
    let service = BenchService::start_empty(&find_flowlord()?).await?;
    writeln!(out, "ready after            {:>10.0} ms", service.ready_after.as_secs_f64() * 1e3)?;
    writeln!(out, "idle memory            {:>10.1} MB", service.memory_megabytes()?)?;
    let no_op = server::start_no_op()?;
    let (p50, p99) = time_hand_offs(&service.address).await?;
    writeln!(out, "hand-off p50 / p99     {p50:>10.2} / {p99:.2} ms")?;
    // After the hand-offs, which two services on one machine would slow.
    let before = match &plan.before {
        Some(binary) => Some(BenchService::start_empty(binary).await?),
        None => None,
    };
    let mut measured = Vec::new();
    for round in 1..=plan.turns.rounds {
        write!(out, "round {round}: ")?;
        measured.push(plan.measure_round(&no_op, &service, before.as_ref()).await?);
    }
    plan.print_ratios(&measured)?;
    writeln!(out, "memory after the load  {:>10.1} MB", service.memory_megabytes()?)?;
    if let Some(before) = before {
        let ratio = median_of(measured.iter().map(|round| round.cycles / round.cycles_before.unwrap_or(f64::NAN)))?;
        writeln!(out, "  cycles / cycles before      {ratio:.2}")?;
        writeln!(out, "memory after, before   {:>10.1} MB", before.memory_megabytes()?)?;
    }
    Ok(())
}

impl LoadPlan {
    async fn measure_round(
        &self,
        no_op: &str,
        service: &BenchService,
        before: Option<&BenchService>,
    ) -> anyhow::Result<LoadRound> {
        let mut out = std::io::stdout();
        let kind = DurableCycles { batch: self.batch.into() };
        let no_ops = self.turns.run_turn(no_op, NoOpPosts).await?.per_second;
        let cycles = self.turns.run_turn(&service.address, kind).await?;
        let inserts = limits::inserts_per_second(Duration::from_secs(self.turns.seconds) / 4)?;
        write!(
            out,
            "no-op posts {no_ops:>8.0}/s  cycles {:>7.0}/s (p99 of a cycle {:.1} ms)  bare inserts {inserts:>8.0}/s",
            cycles.per_second, cycles.p99_ms
        )?;
        let mut rates = LoadRound { no_ops, cycles: cycles.per_second, inserts, cycles_before: None };
        if let Some(before) = before {
            let cycles = self.turns.run_turn(&before.address, kind).await?;
            write!(out, "  before: cycles {:>7.0}/s (p99 {:.1} ms)", cycles.per_second, cycles.p99_ms)?;
            rates.cycles_before = Some(cycles.per_second);
        }
        writeln!(out)?;
        Ok(rates)
    }

    fn print_ratios(&self, measured: &[LoadRound]) -> anyhow::Result<()> {
        let mut out = std::io::stdout();
        let LoadTurns { workers, rounds, .. } = self.turns;
        let cycles = median_of(measured.iter().map(|round| round.cycles))?;
        write!(out, "median of {rounds} rounds, {workers} workers: {cycles:.0} cycles/s")?;
        match self.batch {
            1 => writeln!(out)?,
            batch => writeln!(out, ", a cycle being a task: {batch} are created, leased and finished by each request")?,
        }
        // A batch takes as many requests as a single cycle.
        let requests = 3.0 / f64::from(self.batch);
        let no_ops = median_of(measured.iter().map(|round| requests * round.cycles / round.no_ops))?;
        writeln!(out, "  requests / no-op posts      {no_ops:.2}")?;
        // A cycle is three transactions: create, lease and result.
        let inserts = median_of(measured.iter().map(|round| 3.0 * round.cycles / round.inserts))?;
        writeln!(out, "  3 x cycles / bare inserts   {inserts:.2}")?;
        Ok(())
    }
}

/// Rates of one round, per second: ratios are taken within a round, where the machine was alike.
struct LoadRound {
    no_ops: f64,
    cycles: f64,
    inserts: f64,
    cycles_before: Option<f64>,
}

/// What each client of a load repeats, on a connection of its own.
pub(crate) trait LoadKind: Copy + 'static {
    type Client;

    async fn connect_client(self, address: Rc<str>, worker: usize) -> anyhow::Result<Self::Client>;

    /// Returns how many cycles it completed.
    async fn repeat_once(self, client: &mut Self::Client) -> anyhow::Result<usize>;
}

#[derive(Debug, Clone, Copy)]
struct NoOpPosts;

impl LoadKind for NoOpPosts {
    type Client = HttpClient;

    async fn connect_client(self, address: Rc<str>, _worker: usize) -> anyhow::Result<HttpClient> {
        HttpClient::connect_to(&address).await
    }

    async fn repeat_once(self, client: &mut HttpClient) -> anyhow::Result<usize> {
        client.post_json("/noop", TASK).await?;
        Ok(1)
    }
}

pub(crate) struct LoadRate {
    pub(crate) per_second: f64,
    pub(crate) p99_ms: f64,
}

pub(crate) async fn run_workers<K: LoadKind>(
    address: &str,
    workers: usize,
    duration: Duration,
    kind: K,
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

/// Milliseconds of each cycle until a time.
async fn run_worker<K: LoadKind>(address: Rc<str>, worker: usize, until: Instant, kind: K) -> anyhow::Result<Vec<f64>> {
    let mut client = kind.connect_client(address, worker).await?;
    let mut times_ms = Vec::new();
    while Instant::now() < until {
        let begun = Instant::now();
        let cycles = kind.repeat_once(&mut client).await?;
        // Each task of a batch waited for the whole batch.
        times_ms.extend(std::iter::repeat_n(milliseconds_since(begun), cycles));
    }
    Ok(times_ms)
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
