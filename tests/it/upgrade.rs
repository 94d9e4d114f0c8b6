//! A cluster upgraded node by node, under load, to a program with other tables, which `tests/upgrade/run` makes.

use std::cell::Cell;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

use flowlord_testkit::{NATS_SERVER, NatsServers, can_run};
use serde_json::{Value, json};

use crate::cluster::until;
use crate::nats::{Node, until_leads, view};
use crate::process::{Server, flowlord};
use crate::support::Api;

/// Creates tasks until it is told to stop; those that were acknowledged, each sent once.
async fn create_until(stops: Rc<Cell<bool>>, api: Api, client: usize) -> Vec<String> {
    let mut acknowledged = Vec::new();
    for n in 0.. {
        if stops.get() {
            break;
        }
        let info = format!("{client}-{n}");
        let answer = api.try_post("/api/v1/tasks", &json!({"type": "a", "info": info})).await;
        if answer.is_ok_and(|answer| answer.status == 201) {
            acknowledged.push(info);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    acknowledged
}

fn database(node: &Node) -> rusqlite::Connection {
    rusqlite::Connection::open(node.folder.join("data/flowlord.db")).unwrap()
}

/// What a node holds itself, whatever it would forward.
fn infos(node: &Node) -> Vec<String> {
    let database = database(node);
    let mut infos = database.prepare("SELECT info FROM task ORDER BY info").unwrap();
    infos.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

/// The version of a node's tables.
fn version(node: &Node) -> i64 {
    database(node).pragma_query_value(None, "user_version", |row| row.get(0)).unwrap()
}

/// Ends a node, and starts it with the newer program.
async fn upgrade(node: &mut Node, server: &mut Server, newer: &str) {
    server.terminate();
    assert!(server.ended().await.success());
    newer.clone_into(&mut node.program);
    *server = node.start().await;
}

/// Until a node has what another one has now.
async fn until_caught_up(api: &Api, leader: &Api) {
    let tip = view(leader).await["applied"].as_u64().unwrap();
    until("the log", async || view(api).await["applied"].as_u64().is_some_and(|applied| applied >= tip)).await;
}

async fn until_stopped_by_the_tables(node: &Node, api: &Api, before: i64) {
    let after = json!({"type": "a", "info": "after"});
    let problem = async || view(api).await["problem"].as_str().unwrap_or_default().to_owned();
    until("the reason", async || problem().await.contains("upgrade this node")).await;
    let held = infos(node);
    until("a write through it", async || api.try_post("/api/v1/tasks", &after).await.is_ok_and(|it| it.status == 201))
        .await;
    assert_eq!((infos(node), version(node)), (held, before), "it applies nothing more");
    assert_eq!(api.get("/readyz").await.status, 200, "and goes on to answer");
}

#[expect(clippy::print_stdout, reason = "the figures of the long run")]
async fn upgrade_a_cluster(newer: &str) {
    let (folder, nats) = (tempfile::tempdir().unwrap(), NatsServers::start(1));
    let mut nodes = ["a", "b", "c"].map(|name| Node::new(folder.path(), name, &nats));
    let first = nodes[0].start().await;
    until_leads(&first.api).await;
    let [mut a, mut b, mut c] = [first, nodes[1].start().await, nodes[2].start().await];
    let stops = Rc::new(Cell::new(false));
    let load = [&a, &b, &c].into_iter().enumerate();
    let load = load.map(|(nth, node)| tokio::task::spawn_local(create_until(Rc::clone(&stops), node.api.clone(), nth)));
    let load: Vec<_> = load.collect();
    let before = version(&nodes[0]);
    upgrade(&mut nodes[2], &mut c, newer).await;
    until_caught_up(&c.api, &a.api).await;
    assert_eq!(version(&nodes[2]), before, "until the leader changes them, too");

    let command = ["cluster", "handover", "--to", "c", "--server", &a.api.base];
    until("the handover", async || flowlord(folder.path(), &command).output().await.unwrap().status.success()).await;
    let begun = Instant::now();
    let create = async || c.api.try_post("/api/v1/tasks", &json!({"type": "a", "info": "first"})).await;
    until("an acknowledgement", async || create().await.is_ok_and(|answer| answer.status == 201)).await;
    println!("acknowledged {} ms after the handover was", begun.elapsed().as_millis());
    until_leads(&c.api).await;
    assert_eq!(version(&nodes[2]), before + 1);
    for (node, server) in [(&nodes[0], &a), (&nodes[1], &b)] {
        until_stopped_by_the_tables(node, &server.api, before).await;
    }
    upgrade(&mut nodes[1], &mut b, newer).await;
    until_caught_up(&b.api, &c.api).await;
    upgrade(&mut nodes[0], &mut a, newer).await;
    stops.set(true);
    let acknowledged: Vec<_> =
        futures_util::future::join_all(load).await.into_iter().flat_map(Result::unwrap).collect();
    let held = infos(&nodes[2]);
    until("the same at all nodes", async || nodes.iter().all(|node| infos(node) == held)).await;
    assert_eq!(nodes.each_ref().map(version), [before + 1; 3]);
    let lost: Vec<_> = acknowledged.iter().filter(|info| held.binary_search(info).is_err()).collect();
    assert_eq!(lost, Vec::<&String>::new());
    println!("{} acknowledged, none lost", acknowledged.len());
    let alerts: Value = c.api.get("/api/v1/alerts").await.ok()["items"].clone();
    assert_eq!(alerts, json!([]), "nobody is alerted");
}

#[actix::test]
#[ignore = "needs a newer program: tests/upgrade/run"]
async fn a_rolling_upgrade_over_other_tables_loses_nothing() {
    assert!(can_run(&[NATS_SERVER]), "it needs NATS");
    let newer = std::env::var("NEWER_FLOWLORD").map(PathBuf::from).expect("a program");
    let rounds = std::env::var("UPGRADE_ROUNDS").map_or(1, |rounds| rounds.parse().expect("a number"));
    for _ in 0..rounds {
        upgrade_a_cluster(newer.to_str().unwrap()).await;
    }
}
