//! What looking costs: each list and page over histories of several sizes, alone and with many clients, while results
//! come in; and what it costs those who work.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

use chrono::NaiveDate;
use tokio::task::{JoinSet, LocalSet};

use crate::client::Client;
use crate::generate::{self, History};
use crate::load::{Part, percentiles, workers_of};
use crate::server::{Process, flowlord, until_ready};

/// Results a second that come in meanwhile.
const RESULTS: u32 = 1_000;

/// They come in so many at once.
const AT_ONCE: u32 = 50;

/// Workers that work as fast as they can, for what looking costs them.
const WORKERS: usize = 32;

/// How often they work alone and beside those who look.
const TURNS: u32 = 3;

/// What is measured.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Attempts of each history.
    pub(crate) sizes: Vec<u64>,
    /// Where the histories are, or are to be made.
    pub(crate) folder: PathBuf,
    /// Clients at the same time.
    pub(crate) clients: Vec<usize>,
    /// For each path and number of clients.
    pub(crate) duration: Duration,
    /// Only paths with this in their name.
    pub(crate) only: String,
    /// The last day of the histories.
    pub(crate) until: NaiveDate,
}

/// What is looked at, on the busiest day.
fn paths(day: NaiveDate) -> Vec<(&'static str, String)> {
    let tasks = |query: &str| format!("/api/v1/tasks?date={day}{query}");
    vec![
        ("tasks", tasks("")),
        ("tasks, of a type", tasks("&type=extract")),
        ("tasks, failed", tasks("&result=error,alert")),
        ("tasks, running", "/api/v1/tasks?result=running".to_owned()),
        ("tasks, searched", tasks("&q=nowhere-to-be-found")),
        ("tasks, sorted by run", tasks("&sort=run")),
        ("tasks, sorted by info", tasks("&sort=info")),
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
pub(crate) async fn run(plan: &Plan) -> anyhow::Result<()> {
    let mut out = std::io::stdout();
    let day = plan.until.pred_opt().unwrap_or(plan.until);
    let paths: Vec<_> = paths(day).into_iter().filter(|(name, _)| name.contains(&plan.only)).collect();
    let mut sizes = Vec::new();
    for attempts in &plan.sizes {
        let data = history(plan, *attempts)?;
        let workflows = plan.folder.join("workflows");
        std::fs::create_dir_all(&workflows)?;
        std::fs::write(
            workflows.join("load.toml"),
            "[[phase]]\ntask = \"load\"\nrule = \"cron=0 0 1 1 *\"\n",
        )?;
        let begun = Instant::now();
        let mut process = Process::spawn(&flowlord()?, &workflows, &data)?;
        let address = process.ready().await?;
        until_ready(&address).await?;
        let ready = begun.elapsed().as_secs_f64();
        writeln!(out, "{attempts} attempts, {} on {day}: ready after {ready:.2} s", attempts / 10)?;
        let mut of_size = Vec::new();
        for (name, path) in &paths {
            let mut line = format!("  {name:<24}");
            for clients in &plan.clients {
                let looked = look(&address, path, *clients, plan.duration, Some(RESULTS)).await?;
                line += &format!(
                    "  {clients:>3} clients: p50 {:>7.1} ms, p99 {:>7.1} ms",
                    looked.p50, looked.p99
                );
                of_size.push(looked);
            }
            writeln!(out, "{line}")?;
        }
        sizes.push(of_size);
        slowed(&address, &format!("/web/task?date={day}"), plan.duration).await?;
        process.terminate()?;
        process.ended().await?;
    }
    compare(plan, &paths, &sizes)
}

/// How many times as long the largest history takes as the smallest.
fn compare(plan: &Plan, paths: &[(&str, String)], sizes: &[Vec<Looked>]) -> anyhow::Result<()> {
    let (Some(small), Some(large), Some(least), Some(most)) =
        (sizes.first(), sizes.last(), plan.sizes.first(), plan.sizes.last())
    else {
        return Ok(());
    };
    let mut out = std::io::stdout();
    writeln!(out, "{most} attempts against {least}:")?;
    let clients = plan.clients.len();
    for ((name, _), (small, large)) in paths.iter().zip(small.chunks(clients).zip(large.chunks(clients))) {
        let mut line = format!("  {name:<24}");
        for (clients, (small, large)) in plan.clients.iter().zip(small.iter().zip(large)) {
            line += &format!(
                "  {clients:>3} clients: p50 {:>7.2}   , p99 {:>7.2}   ",
                large.p50 / small.p50,
                large.p99 / small.p99
            );
        }
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

/// The folder of a history, made where it isn't there.
fn history(plan: &Plan, attempts: u64) -> anyhow::Result<PathBuf> {
    let data = plan.folder.join(format!("{attempts}"));
    if !data.join("flowlord.db").is_file() {
        let history = History { attempts, busiest: attempts / 10, days: 90, until: plan.until, seed: 1 };
        make(&history, &data)?;
    }
    Ok(data)
}

fn make(history: &History, data: &Path) -> anyhow::Result<()> {
    let begun = Instant::now();
    generate::run(history, data)?;
    writeln!(
        std::io::stdout(),
        "made {} attempts in {:.0} s",
        history.attempts,
        begun.elapsed().as_secs_f64()
    )?;
    Ok(())
}

/// How long looking took.
struct Looked {
    /// How often.
    count: usize,
    p50: f64,
    p99: f64,
}

/// Looks at a path with many clients, each as often as it is answered, while results come in.
async fn look(
    address: &str,
    path: &str,
    clients: usize,
    duration: Duration,
    results: Option<u32>,
) -> anyhow::Result<Looked> {
    let (address, path): (Rc<str>, Rc<str>) = (address.into(), path.into());
    let mut times = LocalSet::new()
        .run_until(async move {
            let until = Instant::now() + duration;
            let mut all = JoinSet::new();
            for _ in 0..clients {
                let (address, path) = (Rc::clone(&address), Rc::clone(&path));
                all.spawn_local(async move { one_client(&address, &path, until).await });
            }
            if let Some(rate) = results {
                let address = Rc::clone(&address);
                all.spawn_local(async move { come_in(&address, rate, until).await.map(|()| Vec::new()) });
            }
            let mut times = Vec::new();
            while let Some(client) = all.join_next().await {
                times.extend(client??);
            }
            anyhow::Ok(times)
        })
        .await?;
    let (p50, p99) = percentiles(&mut times);
    Ok(Looked { count: times.len(), p50, p99 })
}

async fn one_client(address: &str, path: &str, until: Instant) -> anyhow::Result<Vec<f64>> {
    let mut client = Client::connect(address).await?;
    let mut times = Vec::new();
    while Instant::now() < until {
        let begun = Instant::now();
        client.get(path).await?;
        times.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    Ok(times)
}

/// Tasks are created, leased and ended, at a steady rate.
async fn come_in(address: &str, rate: u32, until: Instant) -> anyhow::Result<()> {
    let mut client = Client::connect(address).await?;
    let mut tick = tokio::time::interval(Duration::from_secs(1) * AT_ONCE / rate);
    let task = r#"{"type":"load","job":"hour","info":"?date=2026-03-01T05","meta":"n=1"}"#;
    let tasks = format!("[{}]", vec![task; AT_ONCE as usize].join(","));
    let wanted = format!(r#"{{"topics":["load:hour"],"worker":"bench","max":{AT_ONCE},"wait":"1s"}}"#);
    while Instant::now() < until {
        tick.tick().await;
        client.post("/api/v1/tasks", &tasks).await?;
        let leased = String::from_utf8(client.post("/api/v1/lease", &wanted).await?.to_vec())?;
        let results: Vec<String> = leased
            .split("{\"lease\":\"")
            .skip(1)
            .filter_map(|rest| rest.split('"').next())
            .map(|lease| format!(r#"{{"lease":"{lease}","result":"complete"}}"#))
            .collect();
        client.post("/api/v1/results", &format!("[{}]", results.join(","))).await?;
    }
    Ok(())
}

/// What 32 clients that reload a page cost those who work: cycles a second with and without them, in turns.
async fn slowed(address: &str, path: &str, duration: Duration) -> anyhow::Result<()> {
    let (mut alone, mut looking, mut looks) = (0.0, 0.0, 0.0);
    for _ in 0..TURNS {
        alone += workers_of(address, WORKERS, duration, Part::Cycle).await?.rate / f64::from(TURNS);
        let (rate, times) = reload_while_working(address, path, duration).await?;
        looking += rate / f64::from(TURNS);
        looks += times / f64::from(TURNS);
    }
    writeln!(
        std::io::stdout(),
        "  {WORKERS} workers: {alone:.0} results/s alone, {looking:.0} while 32 clients reload {path} {looks:.0} times/s: {:.2}",
        looking / alone
    )?;
    Ok(())
}

/// Results a second, and how often the path was looked at.
async fn reload_while_working(address: &str, path: &str, duration: Duration) -> anyhow::Result<(f64, f64)> {
    // On a thread of their own, so that the clients don't share one with the workers.
    let (to, of) = (address.to_owned(), path.to_owned());
    let looking = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(look(&to, &of, 32, duration, None))
    });
    let rate = workers_of(address, WORKERS, duration, Part::Cycle).await?.rate;
    let looked = looking.join().map_err(|_| anyhow::anyhow!("the clients panicked"))??;
    Ok((rate, looked.count as f64 / duration.as_secs_f64()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_looked_at_is_of_the_busiest_day() {
        let day = NaiveDate::from_ymd_opt(2026, 3, 1).unwrap();
        let paths = paths(day);
        assert!(paths.iter().all(|(_, path)| path.starts_with('/')));
        assert!(paths.iter().filter(|(_, path)| path.contains("2026-03-01")).count() > 10);
    }
}
