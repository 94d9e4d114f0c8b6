//! A cluster whose log is a stream of NATS: nothing that was acknowledged is lost, and what is wrong with the stream is told.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use flowlord_testkit::{NATS_SERVER, NatsServers, can_run, lasting_address};
use nkeys::KeyPair;
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

use crate::cluster::until;
use crate::process::{PATIENCE, Server, flowlord, serve_with, signal};
use crate::support::Api;

/// A node whose data folder is below that of its cluster.
pub(crate) struct Node {
    name: &'static str,
    pub(crate) program: String,
    address: String,
    pub(crate) folder: PathBuf,
    place: PathBuf,
    log: String,
    monitor: String,
}

impl Node {
    pub(crate) fn new(cluster: &Path, name: &'static str, nats: &NatsServers) -> Self {
        let folder = cluster.join(name);
        std::fs::create_dir_all(&folder).unwrap();
        let (place, address) = (cluster.join("place"), lasting_address());
        let program = env!("CARGO_BIN_EXE_flowlord").to_owned();
        Self { name, program, address, folder, place, log: nats.urls(), monitor: nats.monitor(0) }
    }

    pub(crate) async fn start(&self) -> Server {
        Server::of(self.command()).await
    }

    fn command(&self) -> Command {
        let mut command = serve_with(&self.program, &self.folder);
        // The last one counts.
        command.args(["--listen", &self.address, "--cluster-node", self.name, "--cluster-log", &self.log]);
        command.args(["--cluster-url", &format!("http://{}", self.address), "--cluster-monitor", &self.monitor]);
        command.arg("--backup-path").arg(&self.place);
        command
    }
}

pub(crate) async fn view(api: &Api) -> Value {
    api.try_get("/api/v1/cluster").await.map_or(Value::Null, |answer| answer.json)
}

pub(crate) async fn until_leads(api: &Api) {
    until("the lead", async || view(api).await["role"] == "leader").await;
    until("readiness", async || api.try_get("/readyz").await.is_ok_and(|answer| answer.status == 200)).await;
}

async fn create(api: &Api, info: &str) -> u16 {
    api.try_post("/api/v1/tasks", &json!({"type": "a", "info": info})).await.map_or(0, |answer| answer.status)
}

#[actix::test]
async fn what_was_acknowledged_outlives_its_leader_and_a_follower_has_it_at_once() {
    if !can_run(&[NATS_SERVER]) {
        return;
    }
    let (cluster, nats) = (tempfile::tempdir().unwrap(), NatsServers::start(3));
    let [a, b] = ["a", "b"].map(|name| Node::new(cluster.path(), name, &nats));
    let first = a.start().await;
    until_leads(&first.api).await;
    let second = b.start().await;
    assert_eq!(view(&second.api).await["warnings"], json!([]), "three servers that sync each message");
    let mut infos = Vec::new();
    for n in 0..20 {
        let info = format!("{n:02}");
        let api = if n % 2 == 0 { &first.api } else { &second.api };
        assert_eq!(create(api, &info).await, 201);
        infos.push(info);
    }
    // One transaction of them is larger than a message may be.
    let large = random_text(400_000);
    let created = futures_util::future::join_all((0..8).map(|_| create(&first.api, &large))).await;
    assert_eq!(created, [201; 8]);
    let metrics = first.api.get("/metrics").await.json;
    let commits =
        metrics.as_str().unwrap().lines().find_map(|line| line.strip_prefix("flowlord_commit_commands_count "));
    assert!(commits.is_some_and(|commits| commits.parse::<u64>().unwrap() > 1), "{commits:?}");
    signal(first.pid(), Signal::KILL);
    until_leads(&second.api).await;
    let listed = second.api.tasks("").await;
    let mut found: Vec<_> = listed.iter().map(|task| task["info"].as_str().unwrap().to_owned()).collect();
    found.sort();
    let (large, found): (Vec<_>, Vec<_>) = found.into_iter().partition(|info| info.len() > 1_000);
    assert_eq!(large.len(), 8);
    assert_eq!(found, infos);
    let takeover = view(&second.api).await["takeover"].clone();
    assert_eq!((&takeover["is_complete"], &takeover["missing_since"]), (&json!(true), &Value::Null));
    let alerts = second.api.get("/api/v1/alerts").await.ok();
    let msg = alerts["items"][0]["msg"].as_str().unwrap();
    assert!(msg.contains("node b leads") && msg.contains("Nothing that was acknowledged is missing"), "{msg}");
    drop(first);
    assert!(cluster.path().join("place/cluster/rows").exists(), "what was too large is beside the log");
    let back = a.start().await;
    until("a follower that has all", async || back.api.tasks("").await.len() == 28).await;
    assert_eq!(view(&back.api).await["role"], "follower");
    second.kill().await;
    let second = b.start().await;
    until_leads(&second.api).await;
    assert_eq!(view(&second.api).await["takeover"], takeover, "a restart is no change of the leader");
}

/// A text that doesn't get smaller by being packed.
fn random_text(bytes: usize) -> String {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let letters = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(b'0' + u8::try_from(state % 75).unwrap())
    });
    letters.filter(char::is_ascii_alphanumeric).take(bytes).collect()
}

#[actix::test]
async fn a_node_says_what_makes_its_log_less_safe() {
    if !can_run(&[NATS_SERVER]) {
        return;
    }
    let (cluster, nats) = (tempfile::tempdir().unwrap(), NatsServers::start_with(1, "sync_interval: 2m"));
    let node = Node::new(cluster.path(), "a", &nats).start().await;
    until_leads(&node.api).await;
    let warnings = view(&node.api).await["warnings"].to_string();
    for told in ["kept by 1 server", "sync_interval: always"] {
        assert!(warnings.contains(told), "{warnings}");
    }
    let about = node.api.get("/web/about").await;
    assert!(about.json.as_str().unwrap().contains("run NATS with three servers"), "{about:?}");
}

#[actix::test]
async fn a_stream_without_room_refuses_writes_until_there_is_room() {
    if !can_run(&[NATS_SERVER]) {
        return;
    }
    let cluster = tempfile::tempdir().unwrap();
    let mut nats = NatsServers::start_with(1, "sync_interval: always, max_file_store: 3MB");
    let node = Node::new(cluster.path(), "a", &nats).start().await;
    until_leads(&node.api).await;
    let mut stored = 0;
    until("a full stream", async || {
        let status = create(&node.api, &random_text(300_000)).await;
        stored += usize::from(status == 201);
        status == 503
    })
    .await;
    assert!(stored > 0);
    assert!(node.api.tasks("").await.len() >= stored, "reads go on");
    until("the reason", async || view(&node.api).await["problem"].to_string().contains("resources")).await;
    nats.restart_with(0, "sync_interval: always, max_file_store: 100MB");
    until("a write", async || create(&node.api, "after").await == 201).await;
    let alerts = async || node.api.get("/api/v1/alerts").await.ok()["items"].to_string();
    until("an alert", async || alerts().await.contains("acknowledged nothing from")).await;
}

#[actix::test]
async fn a_stream_that_is_lost_stops_writes_until_somebody_says_how_to_go_on() {
    if !can_run(&[NATS_SERVER]) {
        return;
    }
    let (cluster, mut nats) = (tempfile::tempdir().unwrap(), NatsServers::start(1));
    let a = Node::new(cluster.path(), "a", &nats);
    let node = a.start().await;
    until_leads(&node.api).await;
    assert_eq!(create(&node.api, "before").await, 201);
    nats.forget_streams();
    until("a refusal", async || create(&node.api, "lost").await == 503).await;
    node.kill().await;
    // It doesn't make a new stream by itself: another node may have more.
    let node = a.start().await;
    until("the reason", async || view(&node.api).await["problem"].to_string().contains("lost, shortened")).await;
    assert_eq!(view(&node.api).await["role"], "follower");
    node.kill().await;
    let data = a.folder.join("data");
    let reseed = ["cluster", "reseed", "--begin-log", "--data", data.to_str().unwrap()];
    let asked = flowlord(&a.folder, &reseed).output().await.unwrap();
    assert!(!asked.status.success() && String::from_utf8_lossy(&asked.stderr).contains("--yes"));
    let done = flowlord(&a.folder, &[&reseed[..], &["--yes"]].concat()).output().await.unwrap();
    assert!(done.status.success(), "{done:?}");
    let node = a.start().await;
    until_leads(&node.api).await;
    assert_eq!(create(&node.api, "after").await, 201);
    let infos: Vec<_> = node.api.tasks("").await.iter().map(|task| task["info"].clone()).collect();
    assert!(infos.contains(&json!("before")) && infos.contains(&json!("after")), "{infos:?}");
}

#[actix::test]
async fn a_stream_keeps_what_two_snapshots_need_and_an_empty_node_starts_from_them() {
    if !can_run(&[NATS_SERVER]) {
        return;
    }
    let (cluster, nats) = (tempfile::tempdir().unwrap(), NatsServers::start(1));
    let [a, b] = ["a", "b"].map(|name| Node::new(cluster.path(), name, &nats));
    let node = a.start().await;
    until_leads(&node.api).await;
    for n in 0..4 {
        assert_eq!(create(&node.api, &n.to_string()).await, 201);
        node.api.post("/api/v1/snapshots", &json!({})).await.ok();
    }
    until("a shorter stream", async || nats.first_of("flowlord").is_some_and(|first| first > 1)).await;
    assert_eq!(create(&node.api, "after").await, 201);
    let follower = b.start().await;
    until("a follower that has all", async || follower.api.tasks("").await.len() == 5).await;
}

#[actix::test]
async fn a_follower_whose_rows_were_changed_past_it_gets_a_new_database_and_people_are_told() {
    if !can_run(&[NATS_SERVER]) {
        return;
    }
    let (cluster, nats) = (tempfile::tempdir().unwrap(), NatsServers::start(1));
    let [a, b] = ["a", "b"].map(|name| Node::new(cluster.path(), name, &nats));
    let leader = a.start().await;
    until_leads(&leader.api).await;
    assert_eq!(create(&leader.api, "before").await, 201);
    let follower = b.start().await;
    until("a follower that has all", async || follower.api.tasks("").await.len() == 1).await;
    let path = b.folder.join("data/flowlord.db");
    let by_hand = rusqlite::Connection::open(&path).unwrap();
    by_hand.execute("INSERT INTO name (id, text) VALUES (7777, 'odd')", []).unwrap();
    drop(by_hand);
    until("an alert", async || {
        create(&leader.api, "again").await;
        let alerts = leader.api.get("/api/v1/alerts?kind=storage").await.ok()["items"].to_string();
        alerts.contains("the database of node b wasn't what the leader's is")
    })
    .await;
    let is_odd = |path: &Path| {
        let database = rusqlite::Connection::open(path).unwrap();
        database.query_row("SELECT count(*) FROM name WHERE id = 7777", [], |row| row.get::<_, i64>(0)).unwrap()
    };
    assert_eq!(is_odd(&path), 0, "a snapshot took its place");
    until("a follower that goes on", async || follower.api.tasks("").await.len() == leader.api.tasks("").await.len())
        .await;
}

#[actix::test]
async fn a_log_that_is_silent_when_a_leader_starts_does_not_end_it() {
    if !can_run(&[NATS_SERVER]) {
        return;
    }
    let (cluster, nats) = (tempfile::tempdir().unwrap(), NatsServers::start(1));
    let [a, b] = ["a", "b"].map(|name| Node::new(cluster.path(), name, &nats));
    let first = a.start().await;
    until_leads(&first.api).await;
    let mut command = b.command();
    command.env("RUST_LOG", "info").stderr(Stdio::piped());
    let mut second = Server::of(command).await;
    let mut log = BufReader::new(second.stderr()).lines();
    until("a follower that knows its leader", async || view(&second.api).await["leader"]["node"] == "a").await;
    signal(first.pid(), Signal::KILL);
    while !log.next_line().await.unwrap().expect("it takes over").contains("event=leading") {}
    let servers = nats.process_ids();
    signal(servers[0], Signal::STOP);
    tokio::task::spawn_local(async move { while log.next_line().await.is_ok_and(|line| line.is_some()) {} });
    until("a refusal", async || create(&second.api, "meanwhile").await == 503).await;
    signal(servers[0], Signal::CONT);
    until("a write", async || create(&second.api, "after").await == 201).await;
    let alerts = async || second.api.get("/api/v1/alerts?kind=takeover").await.ok()["items"].to_string();
    until("the alert", async || alerts().await.contains("node b leads")).await;
}

/// Signs claims about a key, as NATS' own program for accounts does.
fn jwt(issuer: &KeyPair, subject: &KeyPair, nats: &Value) -> String {
    let claims = json!({
        "iss": issuer.public_key(), "sub": subject.public_key(), "jti": subject.public_key(), "name": "test",
        "iat": 1_700_000_000, "nats": nats,
    });
    let parts = [json!({"typ": "JWT", "alg": "ed25519-nkey"}), claims];
    let text = parts.map(|part| URL_SAFE_NO_PAD.encode(part.to_string())).join(".");
    let signature = URL_SAFE_NO_PAD.encode(issuer.sign(text.as_bytes()).unwrap());
    format!("{text}.{signature}")
}

/// Who runs NATS for several accounts, one of which is flowlord's.
struct NatsOperator {
    own: KeyPair,
    account: KeyPair,
    /// Which may have no streams.
    system: KeyPair,
}

impl NatsOperator {
    fn new() -> Self {
        Self { own: KeyPair::new_operator(), account: KeyPair::new_account(), system: KeyPair::new_account() }
    }

    /// What an account may do, which keeps so many bytes in streams.
    fn account(&self, key: &KeyPair, disk_storage: i64) -> String {
        let limits = json!({
            "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true, "conn": -1,
            "leaf": -1, "mem_storage": 0, "disk_storage": disk_storage, "streams": -1, "consumer": -1,
        });
        let account = jwt(&self.own, key, &json!({"type": "account", "version": 2, "limits": limits}));
        format!("{}: {account}", key.public_key())
    }

    /// What the configuration of its servers says.
    fn users(&self) -> String {
        let operator = jwt(&self.own, &self.own, &json!({"type": "operator", "version": 2}));
        format!(
            "operator: {operator}\nsystem_account: {}\nresolver: MEMORY\nresolver_preload: {{ {}, {} }}\n",
            self.system.public_key(),
            self.account(&self.system, 0),
            self.account(&self.account, 100_000_000)
        )
    }

    /// The file of an account's user who may do no more than flowlord needs.
    fn user_file(&self, account: &KeyPair) -> String {
        let user = KeyPair::new_user();
        let of_user = json!({
            "type": "user", "version": 2, "subs": -1, "data": -1, "payload": -1,
            "pub": {"allow": NEEDED_TO_PUBLISH}, "sub": {"allow": ["_INBOX.>"]},
        });
        let (jwt, seed) = (jwt(account, &user, &of_user), user.seed().unwrap());
        format!(
            "-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n-----BEGIN USER NKEY \
             SEED-----\n{seed}\n------END USER NKEY SEED------\n"
        )
    }
}

/// As docs/cluster.md has it.
const NEEDED_TO_PUBLISH: [&str; 3] = ["flowlord.*", "$JS.API.>", "$JS.FC.>"];

/// What a node says that the servers don't let in.
async fn said_at_the_door(mut command: Command) -> String {
    let mut node = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(node.stderr.take().unwrap()).lines();
    let said = async {
        let mut said = Vec::new();
        loop {
            let line = lines.next_line().await.unwrap();
            let line = line.unwrap_or_else(|| panic!("it ends: {said:#?}"));
            if line.contains("event=cluster_not_joined") {
                return line;
            }
            said.push(line);
        }
    };
    tokio::time::timeout(PATIENCE, said).await.expect("it says why")
}

#[actix::test]
async fn a_node_leads_and_another_follows_once_the_servers_know_who_they_are() {
    if !can_run(&[NATS_SERVER]) {
        return;
    }
    let (operator, foreign) = (NatsOperator::new(), NatsOperator::new());
    let file = |operator: &NatsOperator| operator.user_file(&operator.account);
    for (users, right, wrong) in [
        ("authorization { user: u, password: planted }\n".to_owned(), "u:planted".to_owned(), "u:else".to_owned()),
        ("authorization { token: planted }\n".to_owned(), "planted".to_owned(), "else".to_owned()),
        (operator.users(), file(&operator), file(&foreign)),
        (operator.users(), file(&operator), operator.user_file(&operator.system)),
    ] {
        let (cluster, mut nats) = (tempfile::tempdir().unwrap(), NatsServers::start(1));
        nats.restrict(&users);
        let [a, b] = ["a", "b"].map(|name| Node::new(cluster.path(), name, &nats));
        let (file, log) = (cluster.path().join("secret"), cluster.path().join("log"));
        let given = |node: &Node| {
            let mut command = node.command();
            command.env("FLOWLORD_CLUSTER__CREDENTIALS_FILE", &file).env("RUST_LOG", "trace");
            command.stderr(File::options().append(true).create(true).open(&log).unwrap());
            command
        };
        std::fs::write(&file, &wrong).unwrap();
        for command in [a.command(), given(&a)] {
            let said = said_at_the_door(command).await;
            assert!(said.contains("access is denied: check cluster.credentials"), "{said}");
        }
        std::fs::write(&file, &right).unwrap();
        let leader = Server::of(given(&a)).await;
        until_leads(&leader.api).await;
        assert_eq!(create(&leader.api, "acknowledged").await, 201);
        let follower = Server::of(given(&b)).await;
        until("a follower that has all", async || follower.api.tasks("").await.len() == 1).await;
        let logged = std::fs::read_to_string(&log).unwrap();
        let secret = right.lines().find(|line| line.starts_with("SU")).unwrap_or("planted");
        assert!(logged.contains("event=leading") && !logged.contains(secret), "{secret}");
    }
}
