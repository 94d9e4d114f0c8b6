//! `flowlord-bench` measures a release build of flowlord from outside, next to the limits of the same machine in the
//! same run, and proves that what was acknowledged outlives kills and power cuts: `cargo run --release -p
//! flowlord-bench -- load`.

mod bridge;
mod client;
mod cluster;
mod cluster_costs;
mod cpu_share;
mod crash;
mod cycles;
mod generate;
mod limits;
mod load;
mod logging;
mod peers;
mod phases;
mod power_cut;
mod reads;
mod reload;
mod server;
mod snapshot;
mod timing;

use std::path::PathBuf;

use anyhow::ensure;
use chrono::NaiveDate;
use clap::{Parser, Subcommand};
use flowlord_kernel::{Clock as _, SystemClock};

use crate::bridge::BridgePlan;
use crate::cluster::ClusterPlan;
use crate::cluster_costs::CostsPlan;
use crate::generate::HistoryPlan;
use crate::load::{LoadPlan, LoadTurns};
use crate::logging::LogsPlan;
use crate::phases::PhasesPlan;
use crate::power_cut::PowerCutPlan;
use crate::reads::ReadsPlan;
use crate::snapshot::SnapshotPlan;

/// As flowlord's, so that the no-op server is as fast as it can be.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures a release build of flowlord.
#[derive(Debug, Parser)]
struct BenchArgs {
    #[command(subcommand)]
    command: BenchCommand,
}

#[derive(Debug, Subcommand)]
enum BenchCommand {
    /// Full durable cycles, hand-off latency, memory and start time; no-op requests and bare inserts beside them.
    Load(LoadPlan),
    /// Full durable cycles beside those of PostgreSQL, beanstalkd and Redis, as far as they are installed.
    Peers(LoadTurns),
    /// Full durable cycles of a workflow of many phases with joins and limits, beside one without.
    Phases(PhasesPlan),
    /// Full durable cycles alone, and beside workers that send the output of their tasks.
    Logs(LogsPlan),
    /// A reload of many phases; reading and hashing the same files beside it.
    Reload {
        /// Workflow files.
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=9_999))]
        files: u16,
        /// Phases in all files together.
        #[arg(long, default_value_t = 10_000)]
        phases: usize,
        /// How often the parts take turns.
        #[arg(long, default_value_t = 9)]
        rounds: usize,
    },
    /// Kills the service by SIGKILL at random moments under load, restarts it, and compares its tasks with what its
    /// clients were answered.
    Crash {
        /// Kills.
        #[arg(long, default_value_t = 100)]
        rounds: usize,
        /// Decides the moments and what the clients do.
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// Kills, stops and hands over the leader of a cluster under load through all of its nodes, and compares what the
    /// next leader has with what clients were answered.
    Cluster(ClusterPlan),
    /// What a cluster costs beside one node alone: processor time, requests through each kind of node, lag, viewers,
    /// a follower that begins anew, handovers.
    ClusterCosts(CostsPlan),
    /// Tasks that `flowlord bridge` publishes and results that it takes, with an nsqd in this process.
    Bridge(BridgePlan),
    /// Simulates power cuts: starts the service on disks as they could be left at many moments of a recorded run, and
    /// compares its tasks with what was acknowledged. Needs strace.
    PowerCut(PowerCutPlan),
    /// The time of a result while a snapshot of a large database is taken, and without.
    Snapshot(SnapshotPlan),
    /// The time of each list and page over histories of several sizes, alone and with many clients, while results
    /// arrive; and how much these requests slow the workers.
    Reads(ReadsPlan),
    /// Generates a large history in a folder that `flowlord serve --data` opens.
    Generate {
        #[command(flatten)]
        history: HistoryPlan,
        /// The folder.
        #[arg(long)]
        out: PathBuf,
    },
}

fn main() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match BenchArgs::parse().command {
        BenchCommand::Load(plan) => runtime.block_on(load::measure_load(&plan)),
        BenchCommand::Peers(turns) => runtime.block_on(peers::measure_peers(&turns)),
        BenchCommand::Phases(plan) => runtime.block_on(phases::measure_phases(&plan)),
        BenchCommand::Logs(plan) => runtime.block_on(logging::measure_logs(&plan)),
        BenchCommand::Reload { files, phases, rounds } => {
            runtime.block_on(reload::measure_reload(files.into(), phases, rounds))
        }
        BenchCommand::Crash { rounds, seed } => runtime.block_on(crash::prove_crashes(rounds, seed)).map(drop),
        BenchCommand::Cluster(plan) => runtime.block_on(cluster::prove_takeovers(&plan))?.check_times(),
        BenchCommand::ClusterCosts(plan) => runtime.block_on(cluster_costs::measure_costs(&plan)),
        BenchCommand::Bridge(plan) => runtime.block_on(bridge::measure_bridge(&plan)),
        BenchCommand::PowerCut(plan) => {
            let report = runtime.block_on(power_cut::prove_power_cuts(&plan))?;
            ensure!(report.violations.is_empty(), "violations: {:#?}", report.violations);
            Ok(())
        }
        BenchCommand::Snapshot(plan) => runtime.block_on(snapshot::measure_snapshots(&plan)),
        BenchCommand::Reads(plan) => runtime.block_on(reads::measure_reads(&plan)),
        BenchCommand::Generate { history, out } => generate::write_history(&history, &out),
    }
}

fn current_day() -> NaiveDate {
    SystemClock.now().date_naive()
}
