//! flowlord beside other durable queues on the same machine, in the same run: full cycles a second of each. Each of them
//! answers only what is on disk.

mod beanstalkd;
mod line_client;
mod postgres;
mod redis;
mod server;

use std::fmt::Write as _;
use std::io::Write as _;

use crate::cycles::DurableCycles;
use crate::load::LoadTurns;
use crate::peers::beanstalkd::BeanstalkdCycles;
use crate::peers::redis::RedisCycles;
use crate::peers::server::PeerServer;
use crate::server::{BenchService, find_flowlord};
use crate::timing::median_of;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PeerKind {
    PostgreSql,
    Beanstalkd,
    Redis,
}

const PEERS: [PeerKind; 3] = [PeerKind::PostgreSql, PeerKind::Beanstalkd, PeerKind::Redis];

/// Runs flowlord and each peer in turns, and prints their rates and ratios.
pub(crate) async fn measure_peers(turns: &LoadTurns) -> anyhow::Result<()> {
    let mut out = std::io::stdout();
    let service = BenchService::start_empty(&find_flowlord()?).await?;
    let mut peers = Vec::new();
    for kind in PEERS {
        match kind.find_missing() {
            Some(missing) => writeln!(out, "{}: not measured, {missing} is missing", kind.name())?,
            None => peers.push((kind, kind.start_server().await?)),
        }
    }
    let mut measured = Vec::new();
    for round in 1..=turns.rounds {
        // All of them run all the time, but nobody asks those whose turn it isn't.
        let mut rates = vec![turns.run_turn(&service.address, DurableCycles { batch: 1 }).await?.per_second];
        write!(out, "round {round}: flowlord {:.0}/s", rates[0])?;
        for (kind, server) in &peers {
            let rate = kind.cycles_per_second(server, turns).await?;
            write!(out, "  {} {rate:.0}/s", kind.name())?;
            rates.push(rate);
        }
        writeln!(out)?;
        measured.push(rates);
    }
    writeln!(out, "median of {} rounds, {} workers:", turns.rounds, turns.workers)?;
    let names: Vec<&str> = peers.iter().map(|(kind, _)| kind.name()).collect();
    write!(out, "{}", tabulate_rates(&names, &measured)?)?;
    Ok(())
}

impl PeerKind {
    fn name(self) -> &'static str {
        match self {
            Self::PostgreSql => "PostgreSQL",
            Self::Beanstalkd => "beanstalkd",
            Self::Redis => "Redis",
        }
    }

    /// What the machine lacks to run it.
    fn find_missing(self) -> Option<&'static str> {
        match self {
            Self::PostgreSql => postgres::find_missing(),
            Self::Beanstalkd => server::find_program("beanstalkd").is_none().then_some("beanstalkd"),
            Self::Redis => server::find_program("redis-server").is_none().then_some("redis-server"),
        }
    }

    async fn start_server(self) -> anyhow::Result<PeerServer> {
        match self {
            Self::PostgreSql => postgres::start_server().await,
            Self::Beanstalkd => beanstalkd::start_server().await,
            Self::Redis => redis::start_server().await,
        }
    }

    async fn cycles_per_second(self, server: &PeerServer, turns: &LoadTurns) -> anyhow::Result<f64> {
        match self {
            Self::PostgreSql => postgres::cycles_per_second(server, turns).await,
            Self::Beanstalkd => Ok(turns.run_turn(&server.address(), BeanstalkdCycles).await?.per_second),
            Self::Redis => Ok(turns.run_turn(&server.address(), RedisCycles).await?.per_second),
        }
    }
}

/// A line for flowlord, whose rates come first in each round, and one for each peer.
fn tabulate_rates(peers: &[&str], measured: &[Vec<f64>]) -> anyhow::Result<String> {
    let cycles = median_of(measured.iter().map(|rates| rates[0]))?;
    let mut table = format!("  {:<12} {cycles:>8.0} cycles/s\n", "flowlord");
    for (place, peer) in peers.iter().enumerate() {
        let cycles = median_of(measured.iter().map(|rates| rates[place + 1]))?;
        // Within a round, where the machine was alike.
        let ratio = median_of(measured.iter().map(|rates| rates[0] / rates[place + 1]))?;
        writeln!(table, "  {peer:<12} {cycles:>8.0} cycles/s  flowlord : {peer} {ratio:.2}")?;
    }
    Ok(table)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measure_peer(kind: PeerKind) {
        if let Some(missing) = kind.find_missing() {
            flowlord_testkit::not_run(missing);
            return;
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let rate = runtime.block_on(async {
            let server = kind.start_server().await.unwrap();
            kind.cycles_per_second(&server, &LoadTurns { workers: 4, seconds: 1, rounds: 1 }).await.unwrap()
        });
        assert!(rate > 0.0, "{rate} cycles/s");
    }

    #[test]
    fn postgresql_runs_cycles() {
        measure_peer(PeerKind::PostgreSql);
    }

    #[test]
    fn beanstalkd_runs_cycles() {
        measure_peer(PeerKind::Beanstalkd);
    }

    #[test]
    fn redis_runs_cycles() {
        measure_peer(PeerKind::Redis);
    }

    #[test]
    fn the_ratio_is_the_median_of_the_ratios_of_each_round() {
        let measured = [vec![100.0, 50.0], vec![300.0, 100.0], vec![200.0, 50.0]];
        assert_eq!(
            tabulate_rates(&["Redis"], &measured).unwrap(),
            "  flowlord          200 cycles/s\n  Redis              50 cycles/s  flowlord : Redis 3.00\n"
        );
        assert!(tabulate_rates(&[], &[]).is_err());
    }
}
