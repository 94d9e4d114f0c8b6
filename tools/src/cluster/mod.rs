//! Kills, stops and hands over the leader of a cluster under load through all of its nodes, and compares what the next
//! leader has with what clients were answered: what is missing was acknowledged in the time that the takeover names,
//! and nothing is there twice.

mod clients;
mod databases;
pub(crate) mod fleet;
pub(crate) mod link;
mod oracle;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use chrono::{DateTime, TimeDelta, Utc};
use flowlord_kernel::{Clock as _, SystemClock};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::task::{JoinSet, LocalSet};
use tokio::time::Instant;

use self::clients::{SharedWork, create_tasks, finish_tasks};
use self::fleet::{ClusterView, NodeFleet, PlaceKind};
use self::link::LinkState;
use self::oracle::AcknowledgedWork;
use crate::crash::list_tasks;

/// What is proved of a cluster.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ClusterPlan {
    /// Changes of the leader, in all clusters together.
    #[arg(long, default_value_t = 20)]
    pub(crate) rounds: usize,
    /// Decides the moments, the kinds of change, and what the clients do.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Where the log is.
    #[arg(long, value_enum, default_value = "folder")]
    pub(crate) place: PlaceKind,
    /// Nodes of each cluster.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(2..=9))]
    pub(crate) nodes: u8,
    /// Clusters side by side: most of a round is waiting.
    #[arg(long, default_value_t = 1)]
    pub(crate) side_by_side: usize,
    /// Only these kinds of change; all that the log allows unless given.
    #[arg(long, value_enum, value_delimiter = ',')]
    pub(crate) only: Vec<LeaderChange>,
}

/// How often segments are sent: what a kill may cost at most, besides the time that sending one takes.
pub(crate) const SHIP_SECONDS: u64 = 2;

/// A takeover that takes longer is a violation.
const MAX_TAKEOVER: Duration = Duration::from_secs(30);

/// An answer that was sent may be heard so much later.
const HEARD_LATE: TimeDelta = TimeDelta::milliseconds(250);

/// For what must come soon.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// How long nodes are cut off from each other: they take over after ten seconds of silence in the log.
const LONGER_THAN_SILENCE: Duration = Duration::from_secs(12);

/// How long most of the NATS servers are down.
const LOG_OUTAGE: Duration = Duration::from_secs(10);

// Then new databases: the check after each round lists all tasks, which become many.
const ROUNDS_PER_CLUSTER: usize = 10;

const CREATORS: usize = 2;
const WORKERS: usize = 3;

/// What is done to the leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub(crate) enum LeaderChange {
    Kill,
    /// SIGSTOP, and SIGCONT once another node leads.
    Stop,
    /// SIGTERM.
    CleanStop,
    HandOver,
    /// The NATS server that leads the stream is killed; it starts again once a write is acknowledged.
    KillStream,
    /// Both leaders are killed.
    KillBoth,
    /// The leader alone is cut off from NATS, until another node leads.
    CutOff,
    /// The leader and the NATS server that leads the stream are cut off from all others.
    Split,
    /// The NATS server that leads the stream is cut off from the other servers; all nodes reach all servers.
    CutServers,
    /// The nodes are cut off from each other for longer than a leader may be silent; all reach NATS.
    CutNodes,
    /// Two of three NATS servers are killed, and start again after ten seconds.
    KillMajority,
}

impl LeaderChange {
    fn draw(place: PlaceKind, rng: &mut StdRng) -> Self {
        if place == PlaceKind::Nats && rng.random_bool(0.5) {
            return match rng.random_range(0..7) {
                0 => Self::KillStream,
                1 => Self::KillBoth,
                2 => Self::CutOff,
                3 => Self::Split,
                4 => Self::CutServers,
                5 => Self::CutNodes,
                _ => Self::KillMajority,
            };
        }
        match rng.random_range(0..10) {
            0 => Self::CleanStop,
            1 => Self::HandOver,
            2 => Self::Stop,
            _ => Self::Kill,
        }
    }

    fn is_orderly(self) -> bool {
        matches!(self, Self::CleanStop | Self::HandOver)
    }

    fn is_partition(self) -> bool {
        matches!(self, Self::CutOff | Self::Split | Self::CutServers | Self::CutNodes)
    }

    /// Whether the leader is to stay.
    fn is_of_log(self) -> bool {
        matches!(self, Self::KillStream | Self::KillMajority | Self::CutServers | Self::CutNodes)
    }
}

#[derive(Debug, Default)]
pub(crate) struct ClusterReport {
    pub(crate) rounds: usize,
    pub(crate) kills: usize,
    pub(crate) acknowledged: usize,
    pub(crate) slots: usize,
    /// Acknowledged, missing after a kill, and within the time that the takeover names.
    missing: usize,
    /// How long before the change the oldest of these was acknowledged.
    longest_loss: Duration,
    takeovers: Vec<Duration>,
    handovers: Vec<Duration>,
    /// How long nothing was acknowledged where only NATS failed.
    log_outages: Vec<Duration>,
    /// Takeovers in those rounds, which nobody needed.
    needless_takeovers: usize,
    /// How often each kind was.
    kinds: BTreeMap<LeaderChange, usize>,
    pub(crate) violations: Vec<String>,
}

/// Changes the leader this many times and prints what it found; any violation is an error.
pub(crate) async fn prove_takeovers(plan: &ClusterPlan) -> anyhow::Result<ClusterReport> {
    let local = LocalSet::new();
    let clusters = plan.side_by_side.max(1);
    let mut all = JoinSet::new();
    for nth in 0..clusters {
        let rounds = plan.rounds / clusters + usize::from(nth < plan.rounds % clusters);
        let (plan, rng) = (plan.clone(), StdRng::seed_from_u64(plan.seed * 1_000 + u64::try_from(nth)?));
        all.spawn_local_on(async move { run_cluster(&plan, rounds, rng).await }, &local);
    }
    let mut total = ClusterReport::default();
    local
        .run_until(async {
            while let Some(ended) = all.join_next().await {
                total.add(ended??);
            }
            anyhow::Ok(())
        })
        .await?;
    total.print_line(plan)?;
    ensure!(total.violations.is_empty(), "violations: {:#?}", total.violations);
    Ok(total)
}

async fn run_cluster(plan: &ClusterPlan, rounds: usize, mut rng: StdRng) -> anyhow::Result<ClusterReport> {
    let mut total = ClusterReport::default();
    while total.rounds < rounds {
        let mut fleet = NodeFleet::start(plan.place, plan.nodes, SHIP_SECONDS).await?;
        let (work, mut report) = (SharedWork::default(), ClusterReport::default());
        for _ in 0..ROUNDS_PER_CLUSTER.min(rounds - total.rounds) {
            let change = match plan.only.len() {
                0 => LeaderChange::draw(plan.place, &mut rng),
                kinds => plan.only[rng.random_range(0..kinds)],
            };
            *report.kinds.entry(change).or_default() += 1;
            let round = run_round(&mut fleet, &work, change, &mut rng, &mut report).await;
            round.with_context(|| format!("round {} ({change:?})", total.rounds + report.rounds + 1))?;
            report.rounds += 1;
        }
        report.acknowledged = work.borrow().acknowledged.count();
        total.add(report);
    }
    Ok(total)
}

async fn run_round(
    fleet: &mut NodeFleet,
    work: &SharedWork,
    change: LeaderChange,
    rng: &mut StdRng,
    report: &mut ClusterReport,
) -> anyhow::Result<()> {
    let leader = fleet.settled_leader().await?;
    let term = fleet.view(leader).await?.term;
    let mut clients = start_clients(fleet, work, rng);
    tokio::time::sleep(Duration::from_millis(rng.random_range(200..4_000))).await;
    let how = if rng.random() { LinkState::Cut } else { LinkState::Silent };
    let begun = change_leader(fleet, leader, change, how).await?;
    let changed_at = SystemClock.now();
    let next = if change.is_of_log() {
        let next = fleet.any_leader().await?;
        report.log_outages.push(begun.elapsed());
        report.needless_takeovers += usize::from(fleet.view(next).await?.term > term);
        next
    } else {
        let next = fleet.next_leader(leader, term).await?;
        note_takeover(report, change, begun.elapsed());
        next
    };
    if change == LeaderChange::Stop {
        // It wakes while others lead; its clients go on asking it for a while.
        fleet.wake(leader)?;
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    if change.is_partition() {
        fleet.heal();
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    clients.shutdown().await;
    fleet.restart_log();
    fleet.restart_if_gone(leader).await?;
    let next = if change.is_partition() { fleet.settled_leader().await? } else { next };
    check_round(fleet, next, work, change, changed_at, report).await
}

fn start_clients(fleet: &NodeFleet, work: &SharedWork, rng: &mut StdRng) -> JoinSet<()> {
    let mut clients = JoinSet::new();
    let addresses = fleet.addresses();
    for _ in 0..CREATORS {
        clients.spawn_local(create_tasks(addresses.clone(), Rc::clone(work), rng.random()));
    }
    for _ in 0..WORKERS {
        clients.spawn_local(finish_tasks(addresses.clone(), Rc::clone(work), rng.random()));
    }
    clients
}

/// Answers when it began.
async fn change_leader(
    fleet: &mut NodeFleet,
    leader: usize,
    change: LeaderChange,
    how: LinkState,
) -> anyhow::Result<Instant> {
    if change == LeaderChange::HandOver {
        return fleet.hand_over(leader).await;
    }
    let begun = Instant::now();
    match change {
        LeaderChange::Kill => fleet.kill(leader).await?,
        LeaderChange::Stop => fleet.pause(leader)?,
        LeaderChange::CleanStop | LeaderChange::HandOver => fleet.stop(leader).await?,
        LeaderChange::CutOff => fleet.cut_off(leader, how),
        LeaderChange::Split => fleet.split_off(leader, how).await?,
        LeaderChange::CutServers => drop(fleet.cut_stream_leader(how).await?),
        LeaderChange::CutNodes => {
            let term = fleet.view(leader).await?.term;
            fleet.cut_nodes(how);
            tokio::time::sleep(LONGER_THAN_SILENCE).await;
            ensure!(fleet.view(leader).await?.term == term, "another node leads, though the leader reached NATS");
            fleet.heal();
            return Ok(Instant::now());
        }
        LeaderChange::KillStream => fleet.kill_stream_leader().await?,
        LeaderChange::KillBoth => {
            fleet.kill_stream_leader().await?;
            fleet.kill(leader).await?;
        }
        LeaderChange::KillMajority => {
            fleet.kill_stream_leader().await?;
            fleet.kill_one_more();
            tokio::time::sleep(LOG_OUTAGE).await;
            ensure!(fleet.lists_tasks().await, "no node answers a list while NATS is down");
            fleet.restart_log();
            return Ok(Instant::now());
        }
    }
    Ok(begun)
}

fn note_takeover(report: &mut ClusterReport, change: LeaderChange, took: Duration) {
    match change.is_orderly() {
        true => report.handovers.push(took),
        false => report.takeovers.push(took),
    }
    report.kills += usize::from(matches!(change, LeaderChange::Kill | LeaderChange::KillBoth));
}

/// Compares what the new leader has with what was acknowledged, and the followers with it.
async fn check_round(
    fleet: &NodeFleet,
    leader: usize,
    work: &SharedWork,
    change: LeaderChange,
    changed_at: DateTime<Utc>,
    report: &mut ClusterReport,
) -> anyhow::Result<()> {
    let view = fleet.view(leader).await?;
    let tasks = list_tasks(&fleet.addresses()[leader]).await?;
    let missing = work.borrow_mut().acknowledged.take_missing(&tasks);
    report.slots = oracle::count_slots(&tasks);
    report.violations.extend(oracle::find_doubled(&tasks));
    if let Some(oldest) = missing.iter().map(|gone| gone.at).min() {
        let loss = (changed_at - oldest).to_std().unwrap_or_default();
        report.longest_loss = report.longest_loss.max(loss);
        report.missing += missing.len();
        report.violations.extend(judge_missing(&missing, &view, change, changed_at));
    }
    drop(tasks);
    report.violations.extend(fleet.find_differences(leader).await?);
    fleet.agree_on(fleet.view(leader).await?.term).await?;
    Ok(())
}

/// Everything that is missing must have been acknowledged in the time that people are told.
fn judge_missing(
    missing: &[AcknowledgedWork],
    view: &ClusterView,
    change: LeaderChange,
    changed_at: DateTime<Utc>,
) -> Vec<String> {
    let told = view.takeover.as_ref().and_then(|takeover| Some((takeover.missing_since?, takeover.at)));
    let Some((since, until)) = told.filter(|_| !change.is_orderly()) else {
        return vec![format!("{change:?}: {} missing, and no alert says so: {missing:?}", missing.len())];
    };
    let untold = missing.iter().filter(|gone| gone.at < since || gone.at > until);
    let late = missing.iter().filter(|gone| gone.at > changed_at + HEARD_LATE);
    let mut found: Vec<_> =
        untold.map(|gone| format!("{gone:?} is missing, not between {since} and {until}")).collect();
    found.extend(late.map(|gone| format!("{gone:?} was acknowledged after the leader's end, and is missing")));
    found
}

impl ClusterReport {
    /// Not a part of the proof, which holds on a machine of any speed.
    pub(crate) fn check_times(&self) -> anyhow::Result<()> {
        let longest =
            self.takeovers.iter().chain(&self.handovers).chain(&self.log_outages).max().copied().unwrap_or_default();
        ensure!(longest <= MAX_TAKEOVER, "a takeover took {longest:?}");
        Ok(())
    }

    fn add(&mut self, other: Self) {
        self.rounds += other.rounds;
        self.kills += other.kills;
        self.acknowledged += other.acknowledged;
        self.slots += other.slots;
        self.missing += other.missing;
        self.longest_loss = self.longest_loss.max(other.longest_loss);
        self.takeovers.extend(other.takeovers);
        self.handovers.extend(other.handovers);
        self.log_outages.extend(other.log_outages);
        self.needless_takeovers += other.needless_takeovers;
        for (kind, count) in other.kinds {
            *self.kinds.entry(kind).or_default() += count;
        }
        self.violations.extend(other.violations);
    }

    fn print_line(&self, plan: &ClusterPlan) -> anyhow::Result<()> {
        let Self { rounds, kills, acknowledged, slots, missing, longest_loss, violations, .. } = self;
        writeln!(
            std::io::stdout(),
            "seed {}, {:?}: {rounds} changes of the leader, {kills} of them kills; acknowledged {acknowledged}, {slots} \
             slots; missing {missing}, all within the time told, at most {:.2} s before the change (segments every \
             {SHIP_SECONDS} s); takeover {}; orderly {}; only NATS failed: back after {}, needless takeovers {}; \
             violations {}; kinds {:?}",
            plan.seed,
            plan.place,
            longest_loss.as_secs_f64(),
            spread(&self.takeovers),
            spread(&self.handovers),
            spread(&self.log_outages),
            self.needless_takeovers,
            violations.len(),
            self.kinds,
        )?;
        Ok(())
    }
}

/// Median, 95th percentile and maximum in seconds.
pub(crate) fn spread(times: &[Duration]) -> String {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    let at = |share: usize| sorted.get((sorted.len() * share / 100).min(sorted.len().saturating_sub(1)));
    let [median, high, most] =
        [at(50), at(95), sorted.last()].map(|time| time.copied().unwrap_or_default().as_secs_f64());
    format!("p50 {median:.2} s, p95 {high:.2} s, max {most:.2} s of {}", times.len())
}

#[cfg(test)]
mod tests {
    use flowlord_testkit::{NATS_SERVER, can_run};

    use super::*;

    fn prove(place: PlaceKind, rounds: usize) -> ClusterReport {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let plan = ClusterPlan { rounds, seed: 5, place, nodes: 2, side_by_side: 2, only: Vec::new() };
        runtime.block_on(prove_takeovers(&plan)).unwrap()
    }

    /// The short run of every test run; `cargo run -p flowlord-bench -- cluster` is the long one.
    #[test]
    fn a_leader_that_is_killed_is_followed_and_what_is_missing_is_told() {
        // One after the other: beside each other they would leave other tests no time.
        let nats = can_run(&[NATS_SERVER]).then_some(PlaceKind::Nats);
        for place in [PlaceKind::Folder, PlaceKind::S3].into_iter().chain(nats) {
            let report = prove(place, 2);
            assert_eq!(report.rounds, 2);
            assert!(report.acknowledged > 0 && report.slots > 0, "there was load: {report:?}");
        }
    }
}
