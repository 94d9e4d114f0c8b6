//! `flowlord cluster`: the nodes with the same database.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::Subcommand;
use flowlord_db::FolderLock;
use flowlord_kernel::{Clock as _, IdGenerator, SystemClock};
use flowlord_replica::NodeFile;
use serde::Deserialize;
use serde_json::{Value, json};

use super::args::{ServiceOfFolder, existing_database};
use super::out;
use super::work::client::ApiClient;

const EXAMPLES: &str = "\
Examples:
  flowlord cluster status --server http://b:8080 --token flw_…
  flowlord cluster handover --to b
  flowlord cluster reseed --data ./data --yes

status and handover ask a running node: the one of the data folder, or --server. A handover by way of a follower needs
--server and an admin's --token.";

// A node asks the place that it shares with the others.
const PATIENCE: Duration = Duration::from_secs(60);

/// Show the nodes of a cluster, let another one lead, or make one begin anew
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: ClusterAction,
    #[command(flatten)]
    folder: ServiceOfFolder,
    /// A node elsewhere
    #[arg(long, global = true, value_name = "URL", env = "FLOWLORD_SERVER")]
    server: Option<String>,
    /// A token, with --server
    #[arg(long, global = true, env = "FLOWLORD_TOKEN", hide_env_values = true)]
    token: Option<String>,
}

#[derive(Debug, Subcommand)]
enum ClusterAction {
    /// Print who leads and how far the others are; exits with 1 when no node leads
    #[command(after_help = "Examples:\n  flowlord cluster status\n  flowlord cluster status --json")]
    Status {
        /// Print one JSON document, as `GET /api/v1/cluster` answers it
        #[arg(long)]
        json: bool,
    },
    /// Let another node lead: the leader restarts as a follower, and nothing is lost
    #[command(after_help = "Examples:\n  flowlord cluster handover\n  flowlord cluster handover --to b")]
    Handover {
        /// Which one; else the first that can
        #[arg(long, value_name = "NODE")]
        to: Option<String>,
    },
    /// Make a stopped node begin anew: its next start gets a copy from the backup's place
    #[command(after_help = "Example:\n  flowlord cluster reseed --data ./data --yes")]
    Reseed {
        /// Do it: the database is moved aside, and kept
        #[arg(long)]
        yes: bool,
        /// Keep the database instead, and let the cluster go on from it in a new log: where the NATS stream is lost
        #[arg(long)]
        begin_log: bool,
    },
}

pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let Args { action, folder, server, token } = args;
    let client = || match &server {
        Some(server) => ApiClient::new(server, token.clone()),
        None => folder.client(),
    };
    match action {
        ClusterAction::Status { json } => show_status(&client()?, json),
        ClusterAction::Handover { to } => hand_over(&client()?, to),
        ClusterAction::Reseed { yes, begin_log: false } => reseed(&folder, yes),
        ClusterAction::Reseed { yes, begin_log: true } => begin_log(&folder, yes),
    }
}

#[derive(Deserialize)]
struct ClusterDocument {
    node: Option<String>,
    role: String,
    leader: Option<LeaderDocument>,
    term: u64,
    lag_seconds: Option<f64>,
    nodes: Vec<NodeDocument>,
    takeover: Option<TakeoverDocument>,
    problem: Option<String>,
    /// None of an older program.
    #[serde(default)]
    warnings: Vec<String>,
}

#[derive(Deserialize)]
struct LeaderDocument {
    node: String,
    url: String,
}

#[derive(Deserialize)]
struct NodeDocument {
    node: String,
    url: String,
    role: String,
    applied: u64,
    lag_seconds: Option<f64>,
    version: String,
    seen_at: String,
}

#[derive(Deserialize)]
struct TakeoverDocument {
    at: String,
    from: String,
    to: String,
    is_handover: bool,
    missing_since: Option<String>,
    #[serde(default)]
    is_complete: bool,
}

fn show_status(client: &ApiClient, as_json: bool) -> anyhow::Result<ExitCode> {
    let document: Value = actix_rt::System::new().block_on(client.get("/cluster", PATIENCE))?;
    if as_json {
        out::line(&serde_json::to_string_pretty(&document)?)?;
    }
    let cluster: ClusterDocument = serde_json::from_value(document).context("the answer can't be read")?;
    if !as_json {
        out::text(&cluster.to_text())?;
    }
    Ok(if cluster.leader.is_some() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl ClusterDocument {
    fn to_text(&self) -> String {
        let Some(node) = &self.node else {
            return "This service is in no cluster: set cluster.node and cluster.url.\n".to_owned();
        };
        let leader = match &self.leader {
            Some(leader) => format!("Leader: {} at {}, term {}", leader.node, leader.url, self.term),
            None => format!("No node leads; the last term was {}", self.term),
        };
        let asked = format!("Asked: {node}, {}, lag {}", self.role, lag_text(self.lag_seconds));
        let takeover = self.takeover.as_ref().map(TakeoverDocument::to_text);
        let problem = self.problem.as_ref().map(|problem| format!("Problem: {problem}"));
        let warnings = self.warnings.iter().map(|warning| format!("Warning: {warning}"));
        let lines: Vec<String> = [leader, asked].into_iter().chain(takeover).chain(problem).chain(warnings).collect();
        format!("{}\n{}", lines.join("\n"), node_table(&self.nodes))
    }
}

impl TakeoverDocument {
    fn to_text(&self) -> String {
        let Self { at, from, to, is_handover, missing_since, is_complete } = self;
        if *is_handover {
            return format!("Handover: {from} to {to} at {at}");
        }
        if *is_complete {
            return format!("Takeover: {from} to {to} at {at}; nothing that was acknowledged is missing");
        }
        let since = missing_since.as_deref().unwrap_or("an unknown time");
        format!("Takeover: {from} to {to} at {at}; changes since {since} may be missing")
    }
}

fn lag_text(seconds: Option<f64>) -> String {
    seconds.map_or_else(|| "unknown".to_owned(), |seconds| format!("{seconds:.1} s"))
}

fn node_table(nodes: &[NodeDocument]) -> String {
    if nodes.is_empty() {
        return String::new();
    }
    let head = ["NODE", "ROLE", "APPLIED", "LAG", "VERSION", "SEEN AT", "URL"].map(str::to_owned);
    let rows: Vec<[String; 7]> = std::iter::once(head).chain(nodes.iter().map(NodeDocument::cells)).collect();
    let widths: [usize; 7] = std::array::from_fn(|column| out::column_width(&rows, column));
    let mut text = String::from("\n");
    for row in &rows {
        let cells: Vec<String> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

impl NodeDocument {
    fn cells(&self) -> [String; 7] {
        let Self { node, url, role, applied, lag_seconds, version, seen_at } = self;
        let (applied, lag) = (applied.to_string(), lag_text(*lag_seconds));
        [node.clone(), role.clone(), applied, lag, version.clone(), seen_at.clone(), url.clone()]
    }
}

fn hand_over(client: &ApiClient, to: Option<String>) -> anyhow::Result<ExitCode> {
    let body = to.as_ref().map_or_else(|| json!({}), |to| json!({ "to": to }));
    let asked = client.post::<Value>("/cluster/handover", &body, PATIENCE);
    actix_rt::System::new().block_on(asked)?;
    let to = to.unwrap_or_else(|| "the first node that can".to_owned());
    out::line(&format!("The handover to {to} has begun: `flowlord cluster status` says who leads"))?;
    Ok(ExitCode::SUCCESS)
}

fn reseed(folder: &ServiceOfFolder, is_confirmed: bool) -> anyhow::Result<ExitCode> {
    let data = folder.data_folder()?;
    let database = existing_database(&data)?;
    anyhow::ensure!(
        is_confirmed,
        "this moves {} aside, and the next start of this node gets a copy from the backup's place. What only this node \
         has is not in that copy. Repeat it with --yes to do so",
        database.display()
    );
    // A node that runs would go on writing into the file that is moved aside.
    let lock = FolderLock::take(&data)?;
    let moved = flowlord_db::move_database_aside(&lock, SystemClock.now())
        .with_context(|| format!("{} can't be moved aside", database.display()))?;
    let kept = moved.context("the database is gone")?;
    let next = "the next start of this node gets a copy from the backup's place";
    out::line(&format!("The database is kept as {}; {next}", kept.display()))?;
    Ok(ExitCode::SUCCESS)
}

fn begin_log(folder: &ServiceOfFolder, is_confirmed: bool) -> anyhow::Result<ExitCode> {
    let data = folder.data_folder()?;
    existing_database(&data)?;
    anyhow::ensure!(
        is_confirmed,
        "the cluster goes on from what this node has: do it on the node whose `applied` is the highest, with all nodes \
         stopped and the stream removed. Repeat it with --yes to do so"
    );
    let _lock = FolderLock::take(&data)?;
    let path = data.join("cluster.json");
    anyhow::ensure!(path.exists(), "{} isn't there: this node was in no cluster", path.display());
    let mut file = NodeFile::read(&data, &mut IdGenerator::default())?;
    file.begins_log = true;
    file.write(&data).with_context(|| format!("{} can't be written", path.display()))?;
    out::line("The next start of this node begins a new log; start it first, then the others")?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text_of(document: Value) -> String {
        serde_json::from_value::<ClusterDocument>(document).unwrap().to_text()
    }

    fn document() -> Value {
        let node = |name: &str, role: &str, lag: Option<f64>| {
            json!({
                "node": name, "url": format!("http://{name}:8080"), "role": role, "applied": 70, "lag_seconds": lag,
                "version": "1.0.0", "seen_at": "2026-03-02T12:00:00Z",
            })
        };
        json!({
            "node": "b", "role": "follower", "leader": {"node": "etl-a", "url": "http://etl-a:8080"}, "term": 3,
            "applied": 70, "lag_seconds": 1.52,
            "nodes": [node("etl-a", "leader", Some(0.)), node("b", "follower", Some(1.52)), node("c", "follower", None)],
            "takeover": {"at": "2026-03-02T11:00:00Z", "from": "b", "to": "etl-a", "is_handover": true},
            "problem": null,
        })
    }

    #[test]
    fn a_cluster_is_a_few_lines_and_an_aligned_table() {
        let expected = "\
Leader: etl-a at http://etl-a:8080, term 3
Asked: b, follower, lag 1.5 s
Handover: b to etl-a at 2026-03-02T11:00:00Z

NODE   ROLE      APPLIED  LAG      VERSION  SEEN AT               URL
etl-a  leader    70       0.0 s    1.0.0    2026-03-02T12:00:00Z  http://etl-a:8080
b      follower  70       1.5 s    1.0.0    2026-03-02T12:00:00Z  http://b:8080
c      follower  70       unknown  1.0.0    2026-03-02T12:00:00Z  http://c:8080
";
        assert_eq!(text_of(document()), expected);
    }

    #[test]
    fn what_is_wrong_is_said_first() {
        let mut wrong = document();
        wrong["leader"] = Value::Null;
        wrong["lag_seconds"] = Value::Null;
        wrong["nodes"] = json!([]);
        wrong["takeover"]["is_handover"] = json!(false);
        let unknown = "changes since an unknown time may be missing";
        assert!(text_of(wrong.clone()).contains(unknown), "{wrong}");
        wrong["takeover"]["missing_since"] = json!("2026-03-02T10:59:00Z");
        wrong["problem"] = json!("no space");
        let expected = "\
No node leads; the last term was 3
Asked: b, follower, lag unknown
Takeover: b to etl-a at 2026-03-02T11:00:00Z; changes since 2026-03-02T10:59:00Z may be missing
Problem: no space
";
        assert_eq!(text_of(wrong), expected);
        let mut single = document();
        single["node"] = Value::Null;
        assert!(text_of(single).contains("in no cluster"));
    }
}
