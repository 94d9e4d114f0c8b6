//! The workers of the examples, unchanged, each at another node of a cluster whose leader changes again and again.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;

use flowlord_testkit::{FakeSlack, NATS_SERVER, NatsServers, can_run};
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::process::{EXAMPLE_PROGRAMS, Server, flowlord, signal, worker};
use crate::support::Api;
use crate::{cluster, nats};

/// How a leader ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LeaderEnd {
    HandsOver,
    Stops,
    IsKilled,
}

use LeaderEnd::{HandsOver, IsKilled, Stops};

/// Which end comes after which. A takeover after a kill takes ten seconds.
const ENDS: [LeaderEnd; 5] = [HandsOver, Stops, IsKilled, HandsOver, HandsOver];

const NODES: [&str; 3] = ["a", "b", "c"];

/// Of each chain, one after the other; each has its own worker.
const TOPICS: [&str; 4] = ["extract", "load", "report", "notify"];

/// So long that its worker sends heartbeats: a third of the shortest lease apart.
const LONG_WORK: [&str; 8] = ["work", "--topic", TOPICS[3], "--lease", "5s", "--", "sleep", "3"];

/// The long run: `LEADER_CHANGES=20 cargo test -p flowlord --test it leader_changes`.
fn number_of_changes() -> usize {
    std::env::var("LEADER_CHANGES").map_or(4, |number| number.parse().expect("a number"))
}

#[actix::test]
async fn workers_work_at_any_node_with_a_log_in_nats() {
    if !can_run(&[NATS_SERVER]) || !can_run(&EXAMPLE_PROGRAMS) {
        return;
    }
    let (folder, nats) = (tempfile::tempdir().unwrap(), NatsServers::start(1));
    let nodes = NODES.map(|name| nats::Node::new(folder.path(), name, &nats));
    let ends: Vec<_> = ENDS.into_iter().cycle().take(number_of_changes()).collect();
    work_while_leaders_change(folder.path(), async |nth| nodes[nth].start().await, &ends).await;
}

#[actix::test]
async fn workers_work_at_any_node_with_a_log_in_the_place() {
    if !can_run(&EXAMPLE_PROGRAMS) {
        return;
    }
    let (folder, slack) = (tempfile::tempdir().unwrap(), FakeSlack::start());
    let nodes = NODES.map(|name| cluster::Node::new(folder.path(), name, &slack));
    // A kill would cost what was acknowledged last.
    let ends = [HandsOver, Stops, HandsOver];
    work_while_leaders_change(folder.path(), async |nth| nodes[nth].start().await, &ends).await;
}

async fn work_while_leaders_change(folder: &Path, start: impl AsyncFn(usize) -> Server, ends: &[LeaderEnd]) {
    let mut nodes = Vec::new();
    for nth in 0..NODES.len() {
        nodes.push(start(nth).await);
        leader_of(&nodes, None).await;
    }
    let watched: Vec<_> = nodes.iter().map(|node| WatchedNode::new(&node.api)).collect();
    let _python = worker(&watched[0].api, "python3", &["examples/workers/python/example.py", "--topic", TOPICS[0]]);
    let _work = worker(&watched[1].api, "examples/workers/with-flowlord-work.sh", &[TOPICS[1]]);
    let _bash = worker(&watched[2].api, "examples/workers/worker.sh", &["--topic", TOPICS[2]]);
    let _long = worker(&watched[0].api, env!("CARGO_BIN_EXE_flowlord"), &LONG_WORK);
    let mut leader = leader_of(&nodes, None).await;
    for (change, end) in ends.iter().enumerate() {
        let info = format!("?hour=2026-03-{:02}T{:02}", change / 24 + 1, change % 24);
        let task = json!({"type": TOPICS[0], "job": "orders", "info": info, "meta": "workflow=main.toml"});
        let created = nodes[leader].api.create(&task).await;
        let chain = format!("/api/v1/chains/{}", created["id"].as_str().unwrap());
        // Each worker in turn has a task when its leader ends.
        cluster::until("a task at work", async || {
            has_begun(&nodes[leader].api, &chain, TOPICS[change % TOPICS.len()]).await
        })
        .await;
        let former = leader;
        end_leader(folder, &mut nodes[former], *end).await;
        leader = leader_of(&nodes, Some(former)).await;
        if *end != HandsOver {
            nodes[former] = start(former).await;
        }
        let api = &nodes[leader].api;
        let is_over = async || {
            let chain = chain_at(api, &chain).await;
            TOPICS.iter().all(|topic| is_done(&chain, topic))
        };
        cluster::until("the end of the chain", is_over).await;
    }
    let tasks = nodes[leader].api.tasks("").await;
    for topic in TOPICS {
        let attempts = tasks.iter().filter(|task| task["type"] == topic);
        let results: Vec<_> = attempts.map(|task| task["result"].clone()).collect();
        assert_eq!(results, vec![json!("complete"); ends.len()], "each {topic} ended once");
    }
    for node in &watched {
        let answers = node.answers.borrow();
        assert!(answers.contains_key(&'2') && !answers.contains_key(&'3'), "{answers:?}");
    }
}

async fn end_leader(folder: &Path, leader: &mut Server, end: LeaderEnd) {
    let command = ["cluster", "handover", "--server", &leader.api.base];
    match end {
        // Refused until a follower has caught up.
        HandsOver => {
            let handover = async || flowlord(folder, &command).output().await.unwrap().status.success();
            cluster::until("the handover", handover).await;
        }
        Stops => {
            leader.terminate();
            assert!(leader.ended().await.success());
        }
        IsKilled => signal(leader.pid(), Signal::KILL),
    }
}

/// The node that leads and is ready, once that is another one than before.
async fn leader_of(nodes: &[Server], former: Option<usize>) -> usize {
    let mut found = None;
    cluster::until("the lead", async || {
        for (nth, node) in nodes.iter().enumerate().filter(|(nth, _)| Some(*nth) != former) {
            let leads = node.api.try_get("/api/v1/cluster").await.is_ok_and(|it| it.json["role"] == "leader");
            if leads && node.api.try_get("/readyz").await.is_ok_and(|answer| answer.status == 200) {
                found = Some(nth);
            }
        }
        found.is_some()
    })
    .await;
    found.unwrap()
}

async fn chain_at(api: &Api, path: &str) -> Vec<Value> {
    api.get(path).await.ok()["items"].as_array().unwrap().clone()
}

fn is_done(chain: &[Value], topic: &str) -> bool {
    chain.iter().any(|task| task["type"] == topic && task["state"] == "done")
}

async fn has_begun(api: &Api, chain: &str, topic: &str) -> bool {
    let chain = chain_at(api, chain).await;
    is_done(&chain, topic) || chain.iter().any(|task| task["type"] == topic && task["state"] == "leased")
}

/// Where a worker reaches a node, as through a load balancer that notes the answers.
struct WatchedNode {
    api: Api,
    /// How many there were, by the first digit of their status.
    answers: AnswerCounts,
}

type AnswerCounts = Rc<RefCell<BTreeMap<char, usize>>>;

impl WatchedNode {
    fn new(node: &Api) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let api = Api::new(format!("http://{}", listener.local_addr().unwrap()));
        let (listener, answers) = (TcpListener::from_std(listener).unwrap(), AnswerCounts::default());
        let (to, counts) = (node.base.trim_start_matches("http://").to_owned(), Rc::clone(&answers));
        tokio::task::spawn_local(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::task::spawn_local(pass_on(client, to.clone(), Rc::clone(&counts)));
            }
        });
        Self { api, answers }
    }
}

async fn pass_on(mut client: TcpStream, to: String, counts: AnswerCounts) {
    let Ok(server) = TcpStream::connect(&to).await else {
        let away =
            b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        let _it_may_be_gone = client.write_all(away).await.and(client.shutdown().await);
        let _request = tokio::io::copy(&mut client, &mut tokio::io::sink()).await;
        return;
    };
    let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
        (client.into_split(), server.into_split());
    let answers = async {
        let mut chunk = vec![0; 64 * 1024];
        while let Ok(read @ 1..) = from_server.read(&mut chunk).await {
            if let Some(status) = chunk[..read].strip_prefix(b"HTTP/1.1 ") {
                *counts.borrow_mut().entry(char::from(status[0])).or_default() += 1;
            }
            if to_client.write_all(&chunk[..read]).await.is_err() {
                return;
            }
        }
    };
    // Both directions end together.
    tokio::select! {
        _ = tokio::io::copy(&mut from_client, &mut to_server) => {}
        () = answers => {}
    }
}
