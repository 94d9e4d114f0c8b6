//! How many tasks a second `flowlord bridge` publishes, and how many results it takes, with nsqd in this process.

use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::ensure;
use clap::Args;
use flowlord_testkit::FakeNsqd;
use serde_json::{Value, json};
use tokio::process::Command;
use tokio::time::sleep;

use crate::client::HttpClient;
use crate::server::{BenchService, ServiceProcess, find_flowlord};

/// As many tasks are created by a request.
const CREATED_AT_ONCE: usize = 1_000;

const PATIENCE: Duration = Duration::from_secs(300);

#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct BridgePlan {
    /// Tasks of each measurement.
    #[arg(long, default_value_t = 20_000)]
    tasks: usize,
    #[arg(long, default_value_t = 3)]
    rounds: usize,
}

struct BridgeBench {
    service: BenchService,
    nsqd: FakeNsqd,
    folder: tempfile::TempDir,
}

pub(crate) async fn measure_bridge(plan: &BridgePlan) -> anyhow::Result<()> {
    let binary = find_flowlord()?;
    let mut out = std::io::stdout();
    writeln!(out, "{:>12} {:>12} {:>12}", "published/s", "results/s", "both ways/s")?;
    for _ in 0..plan.rounds {
        let bench = BridgeBench::start(&binary).await?;
        let [published, results, both] = bench.measure(&binary, plan.tasks).await?;
        writeln!(out, "{published:>12.0} {results:>12.0} {both:>12.0}")?;
    }
    Ok(())
}

impl BridgeBench {
    async fn start(binary: &Path) -> anyhow::Result<Self> {
        let service = BenchService::start_empty(binary).await?;
        Ok(Self { service, nsqd: FakeNsqd::start(), folder: tempfile::tempdir()? })
    }

    /// Tasks published, results taken, and both at the same time, each by the second.
    async fn measure(&self, binary: &Path, tasks: usize) -> anyhow::Result<[f64; 3]> {
        self.create(tasks).await?;
        let bridge = self.start_bridge(binary)?;
        // The clock starts with the first task: the start of the process isn't measured.
        self.wait_until(|published, _| published > 0).await?;
        let begun = Instant::now();
        self.wait_until(|published, _| published >= tasks).await?;
        let published = rate(tasks, begun);

        // The results are made before the clock starts, so that only the bridge is measured.
        let done: Vec<_> = std::iter::from_fn(|| self.nsqd.take("load")).map(|task| finish_task(&task)).collect();
        ensure!(done.len() == tasks, "{} tasks are in NSQ", done.len());
        let begun = Instant::now();
        done.into_iter().for_each(|done| self.nsqd.publish("done", done));
        self.wait_until(|_, finished| finished >= tasks).await?;
        let results = rate(tasks, begun);

        let begun = Instant::now();
        let work = self.wait_until(|_, finished| {
            while let Some(task) = self.nsqd.take("load") {
                self.nsqd.publish("done", finish_task(&task));
            }
            finished >= 2 * tasks
        });
        tokio::try_join!(self.create(tasks), work)?;
        // The bridge has no state on disk, so an orderly end would only take time.
        bridge.kill_hard().await?;
        Ok([published, results, rate(tasks, begun)])
    }

    fn start_bridge(&self, binary: &Path) -> anyhow::Result<ServiceProcess> {
        let config = self.folder.path().join("bridge.toml");
        let (server, nsqd) = (&self.service.address, self.nsqd.address());
        // Room for all tasks, so that publishing never waits for results.
        let text =
            format!("server = \"http://{server}\"\nnsqd = [\"{nsqd}\"]\ntopics = [\"load\"]\nin_flight = 100000\n");
        std::fs::write(&config, text)?;
        let mut command = Command::new(binary);
        command.args(["bridge", "--config"]).arg(&config);
        ServiceProcess::spawn_command(command)
    }

    async fn create(&self, tasks: usize) -> anyhow::Result<()> {
        let mut client = HttpClient::connect_to(&self.service.address).await?;
        for created in (0..tasks).step_by(CREATED_AT_ONCE) {
            let task = json!({"type": "load", "job": "orders", "info": "?day=2026-03-02", "meta": "file=f"});
            let body = Value::from(vec![task; CREATED_AT_ONCE.min(tasks - created)]);
            client.post_json("/api/v1/tasks", &body.to_string()).await?;
        }
        Ok(())
    }

    /// Until it holds of the numbers of messages published by the bridge and finished by it.
    async fn wait_until(&self, mut holds: impl FnMut(usize, usize) -> bool) -> anyhow::Result<()> {
        let begun = Instant::now();
        loop {
            let counts = self.nsqd.counts();
            if holds(usize::try_from(counts.published)?, usize::try_from(counts.finished)?) {
                return Ok(());
            }
            ensure!(begun.elapsed() < PATIENCE, "the bridge stands still: {counts:?}");
            sleep(Duration::from_millis(1)).await;
        }
    }
}

/// What a worker makes of a task.
fn finish_task(task: &[u8]) -> Vec<u8> {
    let mut done: Value = serde_json::from_slice(task).unwrap_or_default();
    done["result"] = "complete".into();
    // Workers on NSQ may drop fields that they don't know, and this one is such a field.
    done["uid"] = Value::Null;
    done.to_string().into_bytes()
}

#[expect(clippy::cast_precision_loss, reason = "a figure to print")]
fn rate(tasks: usize, begun: Instant) -> f64 {
    tasks as f64 / begun.elapsed().as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_three_are_measured() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let rates = runtime.block_on(async {
            let binary = find_flowlord().unwrap();
            BridgeBench::start(&binary).await.unwrap().measure(&binary, 50).await.unwrap()
        });
        assert!(rates.iter().all(|rate| *rate > 0.0), "{rates:?}");
    }
}
