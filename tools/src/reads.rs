//! The cost of reading: each list and page over histories of several sizes, alone and with many clients, while results
//! arrive; and how much these requests slow the workers.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

use chrono::NaiveDate;
use tokio::task::{JoinSet, LocalSet};

use crate::client::HttpClient;
use crate::current_day;
use crate::cycles::DurableCycles;
use crate::generate::{self, HistoryPlan};
use crate::load::{LoadKind as _, join_times, run_workers};
use crate::server::{ServiceProcess, find_flowlord, wait_until_ready};
use crate::timing::{median_and_p99, milliseconds_since};

const RESULTS_PER_SECOND: u32 = 1_000;

const RESULTS_PER_BATCH: u32 = 50;

/// Workers at full speed, which the readers slow.
const WORKERS: usize = 32;

const READERS: usize = 32;

const TURNS: u32 = 3;

#[derive(Debug, clap::Args)]
pub(crate) struct ReadsPlan {
    /// Attempts of each history, a tenth of them on one day.
    #[arg(long, value_delimiter = ',', default_value = "10000,1000000,10000000")]
    attempts: Vec<u64>,
    /// The folder of the histories; those that are there are used as they are.
    #[arg(long)]
    folder: PathBuf,
    /// Clients at the same time.
    #[arg(long, value_delimiter = ',', default_value = "1,32")]
    clients: Vec<usize>,
    /// Seconds of each part.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Only paths with this in their name: `searched`, `page:`.
    #[arg(long, default_value = "")]
    only: String,
    /// The last day of the histories, `2026-03-01`; today when not given.
    #[arg(long)]
    until: Option<NaiveDate>,
}

/// What is read, on the busiest day: names and paths.
fn paths_of(day: NaiveDate) -> Vec<(&'static str, String)> {
    let tasks = format!("/api/v1/tasks?date={day}");
    vec![
        ("tasks", tasks.clone()),
        ("tasks, of a type", tasks.clone() + "&type=extract"),
        ("tasks, failed", tasks.clone() + "&result=error,alert"),
        ("tasks, running", "/api/v1/tasks?result=running".to_owned()),
        ("tasks, searched", tasks.clone() + "&q=nowhere-to-be-found"),
        ("tasks, sorted by run", tasks.clone() + "&sort=run"),
        ("tasks, sorted by info", tasks + "&sort=info"),
        ("tasks, of all days", "/api/v1/tasks?order=asc".to_owned()),
        ("alerts", format!("/api/v1/alerts?date={day}")),
        ("stats", format!("/api/v1/stats?date={day}")),
        ("workflows", "/api/v1/workflows".to_owned()),
        ("files", format!("/api/v1/files?date={day}")),
        ("page: start", format!("/?date={day}")),
        ("page: tasks", format!("/web/task?date={day}")),
        ("page: alerts", format!("/web/alert?date={day}")),
        ("page: files", format!("/web/files?date={day}")),
        ("page: workflow", "/web/workflow".to_owned()),
        ("page: backload", "/web/backload".to_owned()),
        ("page: about", "/web/about".to_owned()),
    ]
}

/// Runs every size, and prints a line for each path.
pub(crate) async fn measure_reads(plan: &ReadsPlan) -> anyhow::Result<()> {
    let until = plan.until.unwrap_or_else(current_day);
    // The last but one is the busiest: see `HistoryPlan`.
    let day = until.pred_opt().unwrap_or(until);
    let paths: Vec<_> = paths_of(day).into_iter().filter(|(name, _)| name.contains(&plan.only)).collect();
    let mut sizes = Vec::new();
    for attempts in &plan.attempts {
        sizes.push(plan.measure_size(*attempts, until, day, &paths).await?);
    }
    plan.compare_sizes(&paths, &sizes)
}

impl ReadsPlan {
    async fn measure_size(
        &self,
        attempts: u64,
        until: NaiveDate,
        day: NaiveDate,
        paths: &[(&str, String)],
    ) -> anyhow::Result<Vec<ReadTimes>> {
        let mut out = std::io::stdout();
        let data = self.find_history(attempts, until)?;
        let workflows = self.folder.join("workflows");
        std::fs::create_dir_all(&workflows)?;
        let phase = "[[phase]]\ntask = \"load\"\nrule = \"cron=0 0 1 1 *\"\n";
        std::fs::write(workflows.join("load.toml"), phase)?;
        let begun = Instant::now();
        let mut process = ServiceProcess::spawn_service(&find_flowlord()?, &workflows, &data)?;
        let address = process.read_address().await?;
        wait_until_ready(&address).await?;
        let ready = begun.elapsed().as_secs_f64();
        writeln!(out, "{attempts} attempts, {} on {day}: ready after {ready:.2} s", attempts / 10)?;
        let mut all = Vec::new();
        for (name, path) in paths {
            let mut line = format!("  {name:<24}");
            for clients in &self.clients {
                let times = read_path(&address, path, *clients, self.duration(), Some(RESULTS_PER_SECOND)).await?;
                write!(line, "  {clients:>3} clients: p50 {:>7.1} ms, p99 {:>7.1} ms", times.p50_ms, times.p99_ms)?;
                all.push(times);
            }
            writeln!(out, "{line}")?;
        }
        measure_slowdown(&address, &format!("/web/task?date={day}"), self.duration()).await?;
        process.request_stop()?;
        process.wait_for_exit().await?;
        Ok(all)
    }

    fn duration(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }

    /// The folder of a history, which is generated unless it is there.
    fn find_history(&self, attempts: u64, until: NaiveDate) -> anyhow::Result<PathBuf> {
        let data = self.folder.join(format!("{attempts}"));
        if !data.join(flowlord_db::DATABASE).is_file() {
            let begun = Instant::now();
            generate::write_history(&HistoryPlan::of_size(attempts, until), &data)?;
            let seconds = begun.elapsed().as_secs_f64();
            writeln!(std::io::stdout(), "made {attempts} attempts in {seconds:.0} s")?;
        }
        Ok(data)
    }

    /// How many times as long the largest history takes as the smallest.
    fn compare_sizes(&self, paths: &[(&str, String)], sizes: &[Vec<ReadTimes>]) -> anyhow::Result<()> {
        let (Some(small), Some(large), Some(least), Some(most)) =
            (sizes.first(), sizes.last(), self.attempts.first(), self.attempts.last())
        else {
            return Ok(());
        };
        let mut out = std::io::stdout();
        writeln!(out, "{most} attempts against {least}:")?;
        let clients = self.clients.len();
        for ((name, _), (small, large)) in paths.iter().zip(small.chunks(clients).zip(large.chunks(clients))) {
            let mut line = format!("  {name:<24}");
            for (clients, (small, large)) in self.clients.iter().zip(small.iter().zip(large)) {
                let (p50, p99) = (large.p50_ms / small.p50_ms, large.p99_ms / small.p99_ms);
                write!(line, "  {clients:>3} clients: p50 {p50:>7.2}   , p99 {p99:>7.2}   ")?;
            }
            writeln!(out, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

struct ReadTimes {
    count: usize,
    p50_ms: f64,
    p99_ms: f64,
}

/// Reads a path with many clients, each again as soon as it is answered, while results arrive.
async fn read_path(
    address: &str,
    path: &str,
    clients: usize,
    duration: Duration,
    results_per_second: Option<u32>,
) -> anyhow::Result<ReadTimes> {
    let (address, path): (Rc<str>, Rc<str>) = (address.into(), path.into());
    let until = Instant::now() + duration;
    let local = LocalSet::new();
    let mut all = JoinSet::new();
    for _ in 0..clients {
        all.spawn_local_on(repeat_read(Rc::clone(&address), Rc::clone(&path), until), &local);
    }
    if let Some(rate) = results_per_second {
        all.spawn_local_on(post_results(address, rate, until), &local);
    }
    let mut times_ms = local.run_until(join_times(all)).await?;
    let (p50_ms, p99_ms) = median_and_p99(&mut times_ms);
    Ok(ReadTimes { count: times_ms.len(), p50_ms, p99_ms })
}

async fn repeat_read(address: Rc<str>, path: Rc<str>, until: Instant) -> anyhow::Result<Vec<f64>> {
    let mut client = HttpClient::connect_to(&address).await?;
    let mut times_ms = Vec::new();
    while Instant::now() < until {
        let begun = Instant::now();
        client.get_body(&path).await?;
        times_ms.push(milliseconds_since(begun));
    }
    Ok(times_ms)
}

/// Creates, leases and finishes tasks at a steady rate, and times none of it.
async fn post_results(address: Rc<str>, rate: u32, until: Instant) -> anyhow::Result<Vec<f64>> {
    // In batches, so that this one client takes little of the processors that are measured.
    let mut tick = tokio::time::interval(Duration::from_secs(1) * RESULTS_PER_BATCH / rate);
    let cycles = DurableCycles { batch: RESULTS_PER_BATCH as usize };
    let mut client = cycles.connect_client(address, 0).await?;
    while Instant::now() < until {
        tick.tick().await;
        cycles.repeat_once(&mut client).await?;
    }
    Ok(Vec::new())
}

/// How much clients that reload a page slow the workers: cycles a second with and without them, in turns.
async fn measure_slowdown(address: &str, path: &str, duration: Duration) -> anyhow::Result<()> {
    let (mut alone, mut beside, mut reads) = (0.0, 0.0, 0.0);
    for _ in 0..TURNS {
        alone += run_workers(address, WORKERS, duration, DurableCycles { batch: 1 }).await?.per_second;
        let (results, pages) = work_beside_readers(address, path, duration).await?;
        beside += results;
        reads += pages;
    }
    let turns = f64::from(TURNS);
    writeln!(
        std::io::stdout(),
        "  {WORKERS} workers: {:.0} results/s alone, {:.0} while {READERS} clients reload {path} {:.0} times/s: {:.2}",
        alone / turns,
        beside / turns,
        reads / turns,
        beside / alone
    )?;
    Ok(())
}

async fn work_beside_readers(address: &str, path: &str, duration: Duration) -> anyhow::Result<(f64, f64)> {
    // On a thread of their own, so that the readers don't share one with the workers.
    let (reader_address, path) = (address.to_owned(), path.to_owned());
    let readers = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(read_path(&reader_address, &path, READERS, duration, None))
    });
    let results = run_workers(address, WORKERS, duration, DurableCycles { batch: 1 }).await?.per_second;
    let times = readers.join().map_err(|_| anyhow::anyhow!("the readers panicked"))??;
    #[expect(clippy::cast_precision_loss, reason = "a figure to print")]
    Ok((results, times.count as f64 / duration.as_secs_f64()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_of_the_busiest_day() {
        let day = NaiveDate::from_ymd_opt(2026, 3, 1).unwrap();
        let paths = paths_of(day);
        assert!(paths.iter().all(|(_, path)| path.starts_with('/')));
        assert!(paths.iter().filter(|(_, path)| path.contains("2026-03-01")).count() > 10);
    }
}
