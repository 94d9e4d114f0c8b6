//! What workers that send their output cost the others: cycles alone, and beside many that log.

use std::io::Write as _;
use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::client::HttpClient;
use crate::cycles::{DurableCycles, take_lease};
use crate::load::LoadTurns;
use crate::server::{BenchService, find_flowlord};
use crate::timing::median_of;

/// As `flowlord work` sends them.
const PIECES_PER_SECOND: u32 = 2;

#[derive(Debug, clap::Args)]
pub(crate) struct LogsPlan {
    #[command(flatten)]
    turns: LoadTurns,
    /// Workers that hold a task each and send what it prints.
    #[arg(long, default_value_t = 200)]
    loggers: u32,
    /// Lines of 80 characters that each of them prints in a second.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(2..))]
    lines: u32,
}

/// Runs both parts in turns, and prints the ratio.
pub(crate) async fn measure_logs(plan: &LogsPlan) -> anyhow::Result<()> {
    let mut out = std::io::stdout();
    let service = BenchService::start_empty(&find_flowlord()?).await?;
    let mut ratios = Vec::new();
    for round in 1..=plan.turns.rounds {
        let cycles = DurableCycles { batch: 1 };
        let alone = plan.turns.run_turn(&service.address, cycles).await?.per_second;
        let loggers = RunningLoggers::start(&service.address, plan).await?;
        let beside = plan.turns.run_turn(&service.address, cycles).await?.per_second;
        let kilobytes = loggers.stop().await? / 1_000;
        writeln!(out, "round {round}: cycles {alone:>7.0}/s alone, {beside:>7.0}/s beside {kilobytes} kB of logs")?;
        ratios.push(beside / alone);
    }
    writeln!(out, "cycles beside {} workers that log / alone   {:.2}", plan.loggers, median_of(ratios.into_iter())?)?;
    Ok(())
}

struct RunningLoggers {
    clients: JoinSet<anyhow::Result<usize>>,
    stop: watch::Sender<()>,
}

impl RunningLoggers {
    async fn start(address: &str, plan: &LogsPlan) -> anyhow::Result<Self> {
        let (stop, stopped) = watch::channel(());
        let mut clients = JoinSet::new();
        let every = Duration::from_secs(1) / PIECES_PER_SECOND;
        let piece =
            format!("{:79}\n", "rows 1,000 of 1,000,000 loaded").repeat((plan.lines / PIECES_PER_SECOND) as usize);
        for nth in 0..plan.loggers {
            let logger = LoggingTask::begin(address).await?;
            // Spread over the time between two pieces, as workers are.
            let begin = Instant::now() + every * nth / plan.loggers;
            clients.spawn(logger.send_pieces(begin, every, piece.clone(), stopped.clone()));
        }
        Ok(Self { clients, stop })
    }

    /// Answers how many bytes were sent.
    async fn stop(mut self) -> anyhow::Result<usize> {
        drop(self.stop);
        let mut bytes = 0;
        while let Some(client) = self.clients.join_next().await {
            bytes += client??;
        }
        Ok(bytes)
    }
}

/// A task whose worker sends its output.
struct LoggingTask {
    http: HttpClient,
    lease: String,
}

impl LoggingTask {
    async fn begin(address: &str) -> anyhow::Result<Self> {
        let mut http = HttpClient::connect_to(address).await?;
        http.post_json("/api/v1/tasks", r#"{"type":"logging","info":"?n=1"}"#).await?;
        let lease = take_lease(&mut http, r#"{"topics":["logging"],"worker":"logs","lease":"10m"}"#).await?;
        Ok(Self { http, lease })
    }

    async fn send_pieces(
        mut self,
        begin: Instant,
        every: Duration,
        piece: String,
        mut stopped: watch::Receiver<()>,
    ) -> anyhow::Result<usize> {
        let mut ticks = interval_at(begin, every);
        // A piece that is late isn't followed by two at once.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let path = format!("/api/v1/lease/{}/log", self.lease);
        let mut sent = 0;
        loop {
            tokio::select! {
                _ = stopped.changed() => break,
                _ = ticks.tick() => {}
            }
            let headers = format!("upload-offset: {sent}\r\n");
            let (status, answer) = self.http.send_body("POST", &path, (&headers, "text/plain"), &piece).await?;
            (status == 200).then_some(()).with_context(|| String::from_utf8_lossy(answer).into_owned())?;
            sent += piece.len();
        }
        self.http.post_json(&format!("/api/v1/lease/{}/result", self.lease), r#"{"result":"complete"}"#).await?;
        Ok(sent)
    }
}
