//! `cargo run --release -p flowlord-bench -- load`: full durable cycles per second (create, lease, result: three
//! requests, each acknowledged after its fsync), next to two limits of the same machine in the same run. `-- reload`:
//! how long it takes to look at ten thousand phases again.

mod client;
mod limits;
mod load;
mod reload;
mod server;

use std::time::Duration;

use clap::{Parser, Subcommand};

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
    }
}
