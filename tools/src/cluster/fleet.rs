//! The nodes of a cluster as processes, and the place that they share.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use chrono::{DateTime, Utc};
use flowlord_testkit::{ACCESS_KEY, FakeStore, NatsServers, lasting_address};
use serde::Deserialize;
use tokio::process::Command;
use tokio::time::Instant;

use super::databases::DatabaseState;
use super::link::{LinkState, NetworkLink};
use super::{MAX_TAKEOVER, PATIENCE};
use crate::client::HttpClient;
use crate::crash::list_tasks;
use crate::server::{ServiceProcess, find_flowlord};

/// Where the log of a cluster is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum PlaceKind {
    Folder,
    /// An object store in this process, which speaks S3.
    S3,
    /// A stream that three NATS servers keep, each a process of its own: the log holds each change before it is acknowledged.
    Nats,
}

const NATS_SERVERS: usize = 3;

const WORKFLOW: &str = r#"
[[phase]]
task = "tick"
rule = "cron=* * * * * *"
template = "{ts}"

[[phase]]
task = "first"
rule = "cron=0 0 1 1 *"

[[phase]]
task = "second"
dependsOn = "first"
template = "after {meta:workflow}"
"#;

/// `GET /api/v1/cluster`, as far as it is judged.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct ClusterView {
    role: String,
    pub(crate) term: u64,
    pub(crate) takeover: Option<TakeoverView>,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct TakeoverView {
    pub(crate) at: DateTime<Utc>,
    pub(crate) missing_since: Option<DateTime<Utc>>,
}

/// Opens a way to an address as `HOST:PORT`.
type OpenLink = fn(&str) -> std::io::Result<NetworkLink>;

struct FleetNode {
    address: String,
    data: PathBuf,
    /// To each NATS server, where they keep the log.
    log_links: Vec<NetworkLink>,
    /// From the other nodes to this one.
    web_link: NetworkLink,
    /// None while it is down.
    process: Option<ServiceProcess>,
}

pub(crate) struct NodeFleet {
    binary: PathBuf,
    folder: tempfile::TempDir,
    store: Option<FakeStore>,
    nats: Option<NatsServers>,
    /// The NATS servers that are down.
    killed: Vec<usize>,
    /// Those between NATS servers: from the one to the other.
    routes: Vec<(usize, usize, NetworkLink)>,
    ship_seconds: u64,
    nodes: Vec<FleetNode>,
}

impl NodeFleet {
    pub(crate) async fn start(place: PlaceKind, nodes: u8, ship_seconds: u64) -> anyhow::Result<Self> {
        Self::start_linked(place, nodes, ship_seconds, NetworkLink::open, |_| Ok(())).await
    }

    /// The same, where `open_link` leads from one process to another, and `prepare` may leave a database in the folder of the
    /// first leader.
    pub(crate) async fn start_linked(
        place: PlaceKind,
        nodes: u8,
        ship_seconds: u64,
        open_link: OpenLink,
        prepare: impl FnOnce(&Path) -> anyhow::Result<()>,
    ) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        std::fs::create_dir(folder.path().join("workflows"))?;
        std::fs::write(folder.path().join("workflows/cluster.toml"), WORKFLOW)?;
        let store = (place == PlaceKind::S3).then(FakeStore::start);
        if let Some(store) = &store {
            store.set_page(1_000);
        }
        let mut routes = Vec::new();
        let nats = (place == PlaceKind::Nats).then(|| start_nats(&mut routes, open_link)).transpose()?;
        let mut fleet = Self {
            binary: find_flowlord()?,
            folder,
            store,
            nats,
            killed: Vec::new(),
            routes,
            ship_seconds,
            nodes: Vec::new(),
        };
        for nth in 0..nodes {
            let address = lasting_address();
            let data = fleet.folder.path().join(format!("node{nth}"));
            let servers = fleet.nats.as_ref().map(NatsServers::urls).unwrap_or_default();
            let servers = servers.strip_prefix("nats://").unwrap_or_default().split(',');
            let log_links = servers.filter(|server| !server.is_empty()).map(open_link);
            let log_links = log_links.collect::<std::io::Result<_>>()?;
            let web_link = open_link(&address)?;
            fleet.nodes.push(FleetNode { address, data, log_links, web_link, process: None });
        }
        prepare(&fleet.folder.path().join("node0"))?;
        for nth in 0..fleet.nodes.len() {
            fleet.spawn(nth)?;
            fleet.wait_until_up(nth).await?;
        }
        Ok(fleet)
    }

    fn spawn(&mut self, nth: usize) -> anyhow::Result<()> {
        let mut command = Command::new(&self.binary);
        let node = self.nodes.get_mut(nth).context("no such node")?;
        command.args(["serve", "--listen", &node.address, "--cluster-node", &format!("node{nth}")]);
        command.args(["--cluster-url", &format!("http://127.0.0.1:{}", node.web_link.port)]);
        command.arg("--workflow").arg(self.folder.path().join("workflows")).arg("--data").arg(&node.data);
        command.args(["--backup-ship-every", &format!("{}s", self.ship_seconds)]);
        match &self.store {
            Some(store) => {
                command.args(["--backup-path", "s3://bucket/flow", "--store-s3-endpoint", &store.url()]);
                command.args(["--store-s3-access-key", ACCESS_KEY]).env("FLOWLORD_STORE__S3__SECRET_KEY", "secret");
            }
            None => {
                command.arg("--backup-path").arg(self.folder.path().join("place"));
            }
        }
        if !node.log_links.is_empty() {
            let servers: Vec<_> = node.log_links.iter().map(|link| format!("127.0.0.1:{}", link.port)).collect();
            command.args(["--cluster-log", &format!("nats://{}", servers.join(","))]);
        }
        node.process = Some(ServiceProcess::spawn_command(command)?);
        Ok(())
    }

    async fn wait_until_up(&self, nth: usize) -> anyhow::Result<()> {
        wait_for("a node that answers", PATIENCE, async || self.view(nth).await.ok()).await.map(drop)
    }

    pub(crate) fn addresses(&self) -> Vec<String> {
        self.nodes.iter().map(|node| node.address.clone()).collect()
    }

    pub(crate) fn address(&self, nth: usize) -> anyhow::Result<String> {
        self.nodes.get(nth).map(|node| node.address.clone()).context("no such node")
    }

    /// The processes of the nodes and of the NATS servers, each with what it is.
    pub(crate) fn processes(&self, leader: usize) -> anyhow::Result<Vec<(&'static str, u32)>> {
        let mut all = Vec::new();
        for (nth, node) in self.nodes.iter().enumerate() {
            let process = node.process.as_ref().context("the node is down")?;
            all.push((if nth == leader { "leader" } else { "follower" }, process.process_id()?));
        }
        all.extend(self.nats.iter().flat_map(NatsServers::process_ids).map(|id| ("NATS", id)));
        Ok(all)
    }

    /// Stops a node and removes its folder; answers how many bytes were in it.
    pub(crate) async fn forget_data(&mut self, nth: usize) -> anyhow::Result<u64> {
        self.stop(nth).await?;
        let data = &self.nodes.get(nth).context("no such node")?.data;
        let bytes = std::fs::metadata(data.join(flowlord_db::DATABASE))?.len();
        std::fs::remove_dir_all(data)?;
        Ok(bytes)
    }

    pub(crate) async fn view(&self, nth: usize) -> anyhow::Result<ClusterView> {
        let node = self.nodes.get(nth).context("no such node")?;
        // A node that stands still takes connections and answers nothing.
        let asked = async {
            let mut client = HttpClient::connect_to(&node.address).await?;
            Ok(serde_json::from_slice(client.get_body("/api/v1/cluster").await?)?)
        };
        tokio::time::timeout(Duration::from_secs(2), asked).await?
    }

    /// The leader, once all others follow it.
    pub(crate) async fn settled_leader(&self) -> anyhow::Result<usize> {
        wait_for("a leader with its followers", PATIENCE, async || {
            let (mut leader, mut terms) = (None, BTreeSet::new());
            for nth in 0..self.nodes.len() {
                let view = self.view(nth).await.ok()?;
                terms.insert(view.term);
                match view.role.as_str() {
                    "leader" => leader = Some(nth),
                    "follower" => {}
                    _ => return None,
                }
            }
            // One that was cut off doesn't know at once that it leads no more.
            leader.filter(|_| terms.len() == 1)
        })
        .await
    }

    /// The node that leads in a later term, once it acknowledges a write.
    pub(crate) async fn next_leader(&self, former: usize, term: u64) -> anyhow::Result<usize> {
        wait_for("another leader", MAX_TAKEOVER * 2, async || {
            for nth in (0..self.nodes.len()).filter(|nth| *nth != former) {
                let Ok(view) = self.view(nth).await else { continue };
                if view.role == "leader" && view.term > term && self.is_written(nth).await {
                    return Some(nth);
                }
            }
            None
        })
        .await
    }

    /// The stream's leader among the NATS servers.
    async fn stream_leader(&self) -> anyhow::Result<usize> {
        let nats = self.nats.as_ref().context("no NATS")?;
        wait_for("a leader of the stream", PATIENCE, async || nats.leader_of("flowlord")).await
    }

    /// Cuts a node off from the log.
    pub(super) fn cut_off(&self, nth: usize, how: LinkState) {
        let links = self.nodes.get(nth).map(|node| &node.log_links);
        links.into_iter().flatten().for_each(|link| link.set(how));
    }

    /// Cuts the nodes off from each other.
    pub(super) fn cut_nodes(&self, how: LinkState) {
        self.nodes.iter().for_each(|node| node.web_link.set(how));
    }

    /// Cuts the stream's leader off from the other NATS servers; answers which one it is.
    pub(super) async fn cut_stream_leader(&self, how: LinkState) -> anyhow::Result<usize> {
        let leader = self.stream_leader().await?;
        let routes = self.routes.iter().filter(|(from, to, _)| *from == leader || *to == leader);
        routes.for_each(|(_, _, link)| link.set(how));
        Ok(leader)
    }

    /// Leaves a node and the stream's leader to themselves.
    pub(super) async fn split_off(&self, nth: usize, how: LinkState) -> anyhow::Result<()> {
        let server = self.cut_stream_leader(how).await?;
        self.cut_nodes(how);
        for (node, links) in self.nodes.iter().map(|node| &node.log_links).enumerate() {
            let across = links.iter().enumerate().filter(|(to, _)| (node == nth) != (*to == server));
            across.for_each(|(_, link)| link.set(how));
        }
        Ok(())
    }

    pub(crate) fn heal(&self) {
        let links = self.nodes.iter().flat_map(|node| node.log_links.iter().chain([&node.web_link]));
        links.chain(self.routes.iter().map(|(_, _, link)| link)).for_each(|link| link.set(LinkState::Open));
    }

    pub(crate) async fn kill_stream_leader(&mut self) -> anyhow::Result<()> {
        let leader = self.stream_leader().await?;
        self.nats.as_mut().context("no NATS")?.kill(leader);
        self.killed.push(leader);
        Ok(())
    }

    pub(crate) fn kill_one_more(&mut self) {
        let other = (0..NATS_SERVERS).find(|nth| !self.killed.contains(nth));
        if let (Some(nats), Some(other)) = (&mut self.nats, other) {
            nats.kill(other);
            self.killed.push(other);
        }
    }

    /// Starts the NATS servers that were killed.
    pub(crate) fn restart_log(&mut self) {
        for nth in std::mem::take(&mut self.killed) {
            self.nats.iter_mut().for_each(|nats| nats.restart(nth));
        }
    }

    pub(crate) async fn lists_tasks(&self) -> bool {
        for node in &self.nodes {
            if list_tasks(&node.address).await.is_ok() {
                return true;
            }
        }
        false
    }

    /// Any node that leads and acknowledges a write.
    pub(crate) async fn any_leader(&self) -> anyhow::Result<usize> {
        wait_for("a leader that acknowledges", MAX_TAKEOVER * 2, async || {
            for nth in 0..self.nodes.len() {
                let leads = self.view(nth).await.is_ok_and(|view| view.role == "leader");
                if leads && self.is_written(nth).await {
                    return Some(nth);
                }
            }
            None
        })
        .await
    }

    async fn is_written(&self, nth: usize) -> bool {
        let Some(node) = self.nodes.get(nth) else { return false };
        let Ok(mut client) = HttpClient::connect_to(&node.address).await else { return false };
        client.post_json("/api/v1/tasks", r#"{"type":"probe","info":"is it written?"}"#).await.is_ok()
    }

    pub(crate) async fn kill(&mut self, nth: usize) -> anyhow::Result<()> {
        self.take_process(nth)?.kill_hard().await
    }

    pub(crate) async fn stop(&mut self, nth: usize) -> anyhow::Result<()> {
        let process = self.take_process(nth)?;
        process.request_stop()?;
        let status = process.wait_for_exit().await?;
        ensure!(status.success(), "a clean stop ended with {status}");
        Ok(())
    }

    /// Refused until a follower has caught up. Answers when the one began that wasn't.
    pub(crate) async fn hand_over(&self, nth: usize) -> anyhow::Result<Instant> {
        let node = self.nodes.get(nth).context("no such node")?;
        wait_for("a follower that has caught up", PATIENCE, async || {
            let begun = Instant::now();
            let mut client = HttpClient::connect_to(&node.address).await.ok()?;
            client.post_json("/api/v1/cluster/handover", "{}").await.is_ok().then_some(begun)
        })
        .await
    }

    fn take_process(&mut self, nth: usize) -> anyhow::Result<ServiceProcess> {
        self.nodes.get_mut(nth).and_then(|node| node.process.take()).context("the node is down")
    }

    pub(crate) fn pause(&self, nth: usize) -> anyhow::Result<()> {
        self.nodes.get(nth).and_then(|node| node.process.as_ref()).context("the node is down")?.pause()
    }

    pub(crate) fn wake(&self, nth: usize) -> anyhow::Result<()> {
        self.nodes.get(nth).and_then(|node| node.process.as_ref()).context("the node is down")?.wake()
    }

    pub(crate) async fn restart_if_gone(&mut self, nth: usize) -> anyhow::Result<()> {
        if self.nodes.get(nth).is_some_and(|node| node.process.is_none()) {
            self.spawn(nth)?;
        }
        self.wait_until_up(nth).await
    }

    /// What followers have that the leader hasn't, or the other way round, once they have caught up.
    pub(crate) async fn find_differences(&self, leader: usize) -> anyhow::Result<Vec<String>> {
        let leader = self.nodes.get(leader).context("no such node")?;
        let caught_up = list_tasks(&leader.address).await?;
        let Some(newest) = caught_up.last() else { bail!("the leader has no task") };
        let mut found = Vec::new();
        for node in &self.nodes {
            wait_for("a follower that has caught up", PATIENCE, async || {
                let tasks = list_tasks(&node.address).await.ok()?;
                tasks.iter().any(|task| task.uid == newest.uid).then_some(())
            })
            .await?;
            let tasks = list_tasks(&node.address).await?;
            let (older, own): (Vec<_>, Vec<_>) = (
                caught_up.iter().map(|task| &task.uid).collect(),
                tasks.iter().map(|task| &task.uid).filter(|uid| **uid <= newest.uid).collect(),
            );
            if older != own {
                found.push(format!("{} has {} tasks, the leader {}", node.address, own.len(), older.len()));
            }
        }
        if self.nats.is_some() {
            found.extend(self.find_row_differences().await?);
        }
        Ok(found)
    }

    /// Every table of every node, once all hold the same of the log.
    async fn find_row_differences(&self) -> anyhow::Result<Vec<String>> {
        wait_for("nodes that hold the same of the log", PATIENCE, async || {
            let states: Vec<_> = self.nodes.iter().filter_map(|node| DatabaseState::read(&node.data).ok()).collect();
            let first = states.first().filter(|_| states.len() == self.nodes.len())?;
            let is_settled = states.iter().all(|state| state.entry == first.entry);
            is_settled.then(|| states.iter().flat_map(|state| first.differences(state)).collect())
        })
        .await
    }

    /// Whether all nodes know the same leader and term.
    pub(crate) async fn agree_on(&self, term: u64) -> anyhow::Result<()> {
        wait_for("one term at all nodes", PATIENCE, async || {
            for nth in 0..self.nodes.len() {
                self.view(nth).await.ok().filter(|view| view.term == term)?;
            }
            Some(())
        })
        .await
    }
}

/// NATS servers that reach each other by links.
fn start_nats(routes: &mut Vec<(usize, usize, NetworkLink)>, open_link: OpenLink) -> anyhow::Result<NatsServers> {
    let mut failed = None;
    let nats = NatsServers::start_linked(NATS_SERVERS, "sync_interval: always", |from, to, port| {
        match open_link(&format!("127.0.0.1:{port}")) {
            Ok(link) => {
                let own = link.port;
                routes.push((from, to, link));
                own
            }
            Err(err) => {
                failed = Some(err);
                port
            }
        }
    });
    failed.map_or(Ok(nats), |err| Err(err.into()))
}

/// Asks again and again until there is an answer.
pub(crate) async fn wait_for<T>(
    what: &str,
    patience: Duration,
    mut ask: impl AsyncFnMut() -> Option<T>,
) -> anyhow::Result<T> {
    let begun = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return Ok(answer);
        }
        ensure!(begun.elapsed() < patience, "{what} didn't come within {patience:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
