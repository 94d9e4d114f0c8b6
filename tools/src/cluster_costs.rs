//! What a cluster costs those who use it, beside one node alone: the processor time of a cycle on each machine, the time
//! of a request through each kind of node, how far followers are behind, and what one that begins anew costs the leader.

use std::io::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use tokio::task::{JoinSet, LocalSet};

use crate::client::{HttpClient, text_after};
use crate::cluster::fleet::{NodeFleet, PlaceKind, wait_for};
use crate::cluster::link::NetworkLink;
use crate::cluster::{PATIENCE, SHIP_SECONDS, spread};
use crate::cpu_share::{self, CpuShares};
use crate::current_day;
use crate::cycles::{DurableCycles, RESULT, TASK, take_lease};
use crate::generate::{HistoryPlan, write_history};
use crate::load::{LoadTurns, run_workers};
use crate::server::{BenchService, cpu_seconds, find_flowlord};
use crate::timing::{median_and_p99, median_of, milliseconds_since};

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct CostsPlan {
    #[command(flatten)]
    turns: LoadTurns,
    /// Cores of each process while cycles are counted, as if each had a small machine of its own: with 0.2 three nodes
    /// and three NATS servers leave more than half of two cores to the workers. Needs root and control groups.
    #[arg(long, value_parser = parse_cores)]
    cores_each: Option<f64>,
    /// Attempts of the history that the cluster begins with; three million are about a gigabyte.
    #[arg(long, default_value_t = 0)]
    attempts: u64,
    /// Requests of each kind, one after another.
    #[arg(long, default_value_t = 1_000)]
    requests: usize,
    /// Tasks that are created through a follower, and read there right after.
    #[arg(long, default_value_t = 10_000)]
    pairs: usize,
    /// People who open a page of a follower each second.
    #[arg(long, default_value_t = 32)]
    viewers: usize,
    #[arg(long, default_value_t = 20)]
    handovers: usize,
    /// Seconds for which workers are watched while a follower begins anew, and before.
    #[arg(long, default_value_t = 20)]
    reseed_seconds: u64,
}

fn parse_cores(text: &str) -> Result<f64, String> {
    let cores = text.parse().ok().filter(|cores| (0.1..=64.0).contains(cores));
    cores.ok_or_else(|| "a number of cores from 0.1 to 64 is needed".to_owned())
}

/// Workers at the leader while something else is measured: far from all that it can do.
const FEW_WORKERS: usize = 4;

pub(crate) async fn measure_costs(plan: &CostsPlan) -> anyhow::Result<()> {
    LocalSet::new().run_until(measure_all(plan)).await
}

async fn measure_all(plan: &CostsPlan) -> anyhow::Result<()> {
    let alone = BenchService::start_empty(&find_flowlord()?).await?;
    // Links of this process would be measured with the cluster.
    let mut fleet =
        NodeFleet::start_linked(PlaceKind::Nats, 3, SHIP_SECONDS, NetworkLink::direct, |data| match plan.attempts {
            0 => Ok(()),
            attempts => write_history(&HistoryPlan::of_size(attempts, current_day()), data),
        })
        .await?;
    let leader = fleet.settled_leader().await?;
    // Any of the others: they differ in nothing.
    let follower = (leader + 1) % 3;
    let (leads, follows) = (fleet.address(leader)?, fleet.address(follower)?);
    print_lag(&leads, &follows, plan.requests).await?;
    print_times(plan.requests, [&alone.address, &leads, &follows]).await?;
    print_stale_reads(&follows, plan.pairs).await?;
    print_cycles(plan, &alone, &fleet, leader).await?;
    print_viewers(plan, &leads, &follows).await?;
    // Only now: the parts before need the leader and the follower as they were.
    print_reseed(plan, &mut fleet, (leader, follower)).await?;
    print_handovers(&fleet, plan.handovers).await
}

fn print(line: std::fmt::Arguments<'_>) -> anyhow::Result<()> {
    Ok(writeln!(std::io::stdout(), "{line}")?)
}

/// From the leader's answer to a task until a follower shows the task.
async fn print_lag(leads: &str, follows: &str, count: usize) -> anyhow::Result<()> {
    let (mut writer, mut reader) = (HttpClient::connect_to(leads).await?, HttpClient::connect_to(follows).await?);
    let mut times_ms = Vec::with_capacity(count);
    for _ in 0..count {
        let path = create_task(&mut writer).await?;
        let begun = Instant::now();
        // Without a pause, which would be measured, too.
        while reader.send_request("GET", &path, "", "").await?.0 != 200 {}
        times_ms.push(milliseconds_since(begun));
    }
    let (p50, p99) = median_and_p99(&mut times_ms);
    print(format_args!("lag of a follower            p50 {p50:.1} ms, p99 {p99:.1} ms of {count}"))
}

/// Creates a task; answers where it is read.
async fn create_task(client: &mut HttpClient) -> anyhow::Result<String> {
    let body = client.post_json("/api/v1/tasks", TASK).await?;
    let uid = text_after(body, "\"uid\":\"").context("no uid")?;
    Ok(format!("/api/v1/tasks/{uid}"))
}

/// The time of a result, and of a lease that finds nothing, at one node alone, a leader and a follower, which take turns.
async fn print_times(count: usize, addresses: [&str; 3]) -> anyhow::Result<()> {
    let mut clients = Vec::new();
    for address in addresses {
        clients.push((HttpClient::connect_to(address).await?, Vec::new(), Vec::new()));
    }
    for nth in 0..count {
        for (client, results_ms, leases_ms) in &mut clients {
            client.post_json("/api/v1/tasks", &TASK.replace("hour", &format!("timed{nth}"))).await?;
            // A job of its own: a lease finds no task of a turn before.
            let wanted = format!(r#"{{"topics":["load:timed{nth}"],"worker":"lone","wait":"10s"}}"#);
            let lease = take_lease(client, &wanted).await?;
            let begun = Instant::now();
            client.post_json(&format!("/api/v1/lease/{lease}/result"), RESULT).await?;
            results_ms.push(milliseconds_since(begun));
            let begun = Instant::now();
            client.post_json("/api/v1/lease", r#"{"topics":["never"],"worker":"lone"}"#).await?;
            leases_ms.push(milliseconds_since(begun));
        }
    }
    for (name, (_, results_ms, leases_ms)) in ["alone", "leader", "follower"].into_iter().zip(&mut clients) {
        let ((result, result_p99), (lease, lease_p99)) = (median_and_p99(results_ms), median_and_p99(leases_ms));
        print(format_args!(
            "{name:<9} a result        p50 {result:.2} ms, p99 {result_p99:.2} ms; an empty lease p50 {lease:.2} ms, p99 \
             {lease_p99:.2} ms of {count}"
        ))?;
    }
    Ok(())
}

async fn print_stale_reads(follows: &str, pairs: usize) -> anyhow::Result<()> {
    let mut client = HttpClient::connect_to(follows).await?;
    let mut stale = 0;
    for _ in 0..pairs {
        let path = create_task(&mut client).await?;
        stale += usize::from(client.send_request("GET", &path, "", "").await?.0 != 200);
    }
    print(format_args!("read right after the write   {stale} of {pairs} stale"))?;
    // After the figure, so that a run that fails says how often.
    ensure!(stale == 0, "a follower showed what was before its caller's change");
    Ok(())
}

/// Cycles a second, and the processor time that one takes on each machine.
async fn print_cycles(plan: &CostsPlan, alone: &BenchService, fleet: &NodeFleet, leader: usize) -> anyhow::Result<()> {
    let (one, nodes) = ([("alone", alone.process_id()?)], fleet.processes(leader)?);
    let leads = fleet.address(leader)?;
    let limited = one.iter().chain(&nodes).map(|(_, process)| *process);
    let _shares =
        plan.cores_each.map(|cores| CpuShares::limit(&cpu_share::find_groups()?, limited, cores)).transpose()?;
    let (mut ratios, mut costs) = (Vec::new(), Vec::new());
    for _ in 0..plan.turns.rounds {
        let (without, own) = run_counted(plan, &alone.address, &one).await?;
        let (with, theirs) = run_counted(plan, &leads, &nodes).await?;
        print(format_args!("alone {without:>7.0} cycles/s  cluster {with:>7.0} cycles/s"))?;
        ratios.push(with / without);
        costs.push([own, theirs].concat());
    }
    print(format_args!("cluster / alone              {:.2}", median_of(ratios)?))?;
    for (nth, (name, _)) in one.iter().chain(&nodes).enumerate() {
        let cost = median_of(costs.iter().filter_map(|round| round.get(nth)).copied())?;
        print(format_args!("{name:<9} processor time of a cycle {cost:>6.0} µs"))?;
    }
    Ok(())
}

/// Cycles a second, and the microseconds that each process took for one.
async fn run_counted(plan: &CostsPlan, address: &str, processes: &[(&str, u32)]) -> anyhow::Result<(f64, Vec<f64>)> {
    let count = || processes.iter().map(|(_, id)| cpu_seconds(*id)).collect::<anyhow::Result<Vec<f64>>>();
    let before = count()?;
    let rate = plan.turns.run_turn(address, DurableCycles { batch: 1 }).await?.per_second;
    #[expect(clippy::cast_precision_loss, reason = "a figure to print")]
    let cycles = rate * plan.turns.seconds as f64;
    Ok((rate, before.iter().zip(count()?).map(|(before, after)| (after - before) * 1e6 / cycles).collect()))
}

/// What people who look at a follower cost the workers of the leader.
async fn print_viewers(plan: &CostsPlan, leads: &str, follows: &str) -> anyhow::Result<()> {
    let mut ratios = Vec::new();
    for _ in 0..plan.turns.rounds {
        let without = run_few(plan, leads).await?;
        let viewers = start_viewers(follows, plan.viewers);
        let with = run_few(plan, leads).await?;
        drop(viewers);
        ratios.push(with / without);
    }
    let ratio = median_of(ratios)?;
    print(format_args!("p99 of a leader's cycle with {} viewers of a follower / without: {ratio:.2}", plan.viewers))
}

async fn run_few(plan: &CostsPlan, address: &str) -> anyhow::Result<f64> {
    let duration = Duration::from_secs(plan.turns.seconds);
    Ok(run_workers(address, FEW_WORKERS, duration, DurableCycles { batch: 1 }).await?.p99_ms)
}

/// People who open the page of tasks each second, until this is dropped.
fn start_viewers(address: &str, count: usize) -> JoinSet<anyhow::Result<()>> {
    let view = |address: String| async move {
        let mut client = HttpClient::connect_to(&address).await?;
        loop {
            client.get_body("/web/task").await?;
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    (0..count).map(|_| view(address.to_owned())).collect()
}

/// How long a follower without a database takes to follow again, and what that costs the workers of the leader.
async fn print_reseed(
    plan: &CostsPlan,
    fleet: &mut NodeFleet,
    (leader, follower): (usize, usize),
) -> anyhow::Result<()> {
    let (leads, follows) = (fleet.address(leader)?, fleet.address(follower)?);
    let duration = Duration::from_secs(plan.reseed_seconds);
    let load = async || run_workers(&leads, FEW_WORKERS, duration, DurableCycles { batch: 1 }).await;
    let before = load().await?.p99_ms;
    let size = fleet.forget_data(follower).await?;
    let begun = Instant::now();
    let reseed = async {
        fleet.restart_if_gone(follower).await?;
        let path = create_task(&mut HttpClient::connect_to(&leads).await?).await?;
        wait_for_task(&follows, &path).await?;
        anyhow::Ok(begun.elapsed().as_secs_f64())
    };
    let (took, during) = tokio::try_join!(reseed, load())?;
    print(format_args!(
        "a follower without its {:.0} MB   follows again after {took:.1} s; p99 of a leader's cycle meanwhile / before: {:.2}",
        size as f64 / 1e6,
        during.p99_ms / before
    ))
}

async fn wait_for_task(address: &str, path: &str) -> anyhow::Result<()> {
    wait_for("a follower that shows a new task", PATIENCE, async || {
        let mut client = HttpClient::connect_to(address).await.ok()?;
        client.get_body(path).await.is_ok().then_some(())
    })
    .await
}

async fn print_handovers(fleet: &NodeFleet, count: usize) -> anyhow::Result<()> {
    let mut times = Vec::with_capacity(count);
    for _ in 0..count {
        let leader = fleet.settled_leader().await?;
        let term = fleet.view(leader).await?.term;
        let begun = fleet.hand_over(leader).await?;
        fleet.next_leader(leader, term).await?;
        times.push(begun.elapsed());
    }
    print(format_args!("a handover, until the next leader acknowledges: {}", spread(&times)))
}

#[cfg(test)]
mod tests {
    use flowlord_testkit::{NATS_SERVER, can_run};

    use super::*;

    #[test]
    fn every_cost_is_measured_to_its_end() {
        if !can_run(&[NATS_SERVER]) {
            return;
        }
        let turns = LoadTurns { workers: 2, seconds: 1, rounds: 1 };
        let plan = CostsPlan {
            turns,
            cores_each: None,
            attempts: 100,
            requests: 5,
            pairs: 20,
            viewers: 2,
            handovers: 1,
            reseed_seconds: 1,
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(measure_costs(&plan)).unwrap();
    }
}
