//! `cargo run --release -p flowlord-bench -- load`: full durable cycles per second (create, lease, result: three
//! requests, each acknowledged after its fsync), next to two limits of the same machine in the same run. `-- reload`:
//! how long it takes to look at ten thousand phases again. `-- generate`: a large history to measure on. `-- reads`: what
//! looking at one costs.

mod client;
mod crash;
mod generate;
mod limits;
mod load;
mod power_cut;
mod reads;
mod reload;
mod server;
mod snapshot;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::ensure;
use clap::{Parser, Subcommand};
use flowlord_kernel::{Clock as _, SystemClock};

/// As flowlord's, so that the no-op server is as fast as it can be.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Measures a release build of flowlord.
#[derive(Debug, Parser)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Full cycles, hand-off latency, memory and start time; no-op requests and bare inserts beside them.
    Load {
        /// Workers at the same time, one connection each.
        #[arg(long, default_value_t = 64)]
        workers: usize,
        /// Seconds per part.
        #[arg(long, default_value_t = 10)]
        seconds: u64,
        /// How often the parts take turns.
        #[arg(long, default_value_t = 3)]
        rounds: usize,
    },
    /// A reload of many phases; reading and hashing the same files beside it.
    Reload {
        /// Workflow files.
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=9_999))]
        files: u16,
        /// Phases in all of them.
        #[arg(long, default_value_t = 10_000)]
        phases: usize,
        /// How often the parts take turns.
        #[arg(long, default_value_t = 9)]
        rounds: usize,
    },
    /// The service killed by SIGKILL at random moments under load, started again, and held against what its clients
    /// were answered.
    Crash {
        /// Kills.
        #[arg(long, default_value_t = 100)]
        rounds: usize,
        /// The moments, and what the clients do.
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// Power cuts: disks as they could be left at many moments of a recorded run, each started from and held against
    /// what was acknowledged. Needs strace.
    PowerCut {
        /// Disks.
        #[arg(long, default_value_t = 200)]
        images: usize,
        /// The moments, and what is left of what wasn't flushed.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Acknowledgements to record.
        #[arg(long, default_value_t = 3_000)]
        answers: usize,
        /// Bytes that each task carries, so that the write-ahead log comes around within the recording.
        #[arg(long, default_value_t = 8_000)]
        padding: usize,
    },
    /// The time of a result while a snapshot of a large database is taken, and without.
    Snapshot {
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
    },
    /// Each list and page over histories of several sizes, alone and with many clients, while results come in; and what
    /// looking costs those who work.
    Reads {
        /// Attempts of each history, a tenth of them on one day.
        #[arg(long, value_delimiter = ',', default_value = "10000,1000000,10000000")]
        attempts: Vec<u64>,
        /// The folder of the histories; those that are there are taken as they are.
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
        until: Option<chrono::NaiveDate>,
    },
    /// A large history, made up, in a folder that `flowlord serve --data` opens.
    Generate {
        /// Attempts in all.
        #[arg(long, default_value_t = 10_000_000)]
        attempts: u64,
        /// Of these, attempts on the busiest day, the last but one; a tenth when not given.
        #[arg(long)]
        busiest: Option<u64>,
        /// Days that they are spread over.
        #[arg(long, default_value_t = 90)]
        days: u32,
        /// The last day, `2026-03-01`; today when not given.
        #[arg(long)]
        until: Option<chrono::NaiveDate>,
        /// The same seed makes the same history.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// The folder.
        #[arg(long)]
        out: PathBuf,
    },
}

fn main() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match Args::parse().command {
        Command::Load { workers, seconds, rounds } => {
            runtime.block_on(load::run(workers, Duration::from_secs(seconds), rounds))
        }
        Command::Reload { files, phases, rounds } => {
            runtime.block_on(reload::run(files.into(), phases, rounds))
        }
        Command::Crash { rounds, seed } => runtime.block_on(crash::run(rounds, seed)).map(drop),
        Command::PowerCut { images, seed, answers, padding } => {
            let plan = power_cut::Plan { images, seed, answers, padding, lies: false };
            let report = runtime.block_on(power_cut::run(&plan))?;
            ensure!(report.violations.is_empty(), "violations: {:#?}", report.violations);
            Ok(())
        }
        Command::Snapshot { attempts, data, rate, seconds, rounds } => {
            let until = SystemClock.now().date_naive();
            let history = generate::History { attempts, busiest: attempts / 10, days: 90, until, seed: 1 };
            let quiet = Duration::from_secs(seconds);
            runtime.block_on(snapshot::run(&snapshot::Plan { history, data, rate, quiet, rounds }))
        }
        Command::Reads { attempts, folder, clients, seconds, only, until } => {
            let until = until.unwrap_or_else(|| SystemClock.now().date_naive());
            let duration = Duration::from_secs(seconds);
            let plan = reads::Plan { sizes: attempts, folder, clients, duration, only, until };
            runtime.block_on(reads::run(&plan))
        }
        Command::Generate { attempts, busiest, days, until, seed, out } => {
            let until = until.unwrap_or_else(|| SystemClock.now().date_naive());
            let busiest = busiest.unwrap_or(attempts / 10);
            generate::run(&generate::History { attempts, busiest, days, until, seed }, &out)
        }
    }
}
