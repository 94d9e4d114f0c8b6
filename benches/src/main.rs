//! `cargo run --release -p flowlord-bench -- load`: full durable cycles per second (create, lease, result: three
//! requests, each acknowledged after its fsync), next to two limits of the same machine in the same run.

mod client;
mod limits;
mod load;
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
}

fn main() -> anyhow::Result<()> {
    let Command::Load { workers, seconds, rounds } = Args::parse().command;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(load::run(workers, Duration::from_secs(seconds), rounds))
}
