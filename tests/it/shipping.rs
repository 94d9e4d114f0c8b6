//! The disk is lost under load: what the backup holds comes back, each result once, and the rest is named.

use std::path::Path;
use std::sync::{Arc, Mutex};

use chrono::{DateTime, Utc};
use flowlord_kernel::{Clock as _, SystemClock};
use flowlord_testkit::FakeStore;
use serde_json::{Value, json};

use crate::process::{Server, flowlord, serve};
use crate::snapshots::in_a_store;
use crate::support::Api;

fn command(folder: &Path, fake: &FakeStore) -> tokio::process::Command {
    let mut command = serve(folder);
    command.args(in_a_store(fake)).arg("--backup-ship-every=200ms");
    command
}

/// The chains whose first task's result was acknowledged, and when that was heard.
type Acknowledged = Arc<Mutex<Vec<(String, DateTime<Utc>)>>>;

/// Creates, leases and completes until the server is gone.
async fn work(api: Api, acknowledged: Acknowledged) {
    let task = json!({"type": "extract", "job": "orders", "info": "?hour=2026-03-02T11", "meta": "workflow=main.toml"});
    let wanted = json!({"topics": ["extract"], "worker": "w1"});
    loop {
        if api.try_post("/api/v1/tasks", &task).await.is_err() {
            return;
        }
        let Ok(leased) = api.try_post("/api/v1/lease", &wanted).await else { return };
        for leased in leased.json["tasks"].as_array().into_iter().flatten() {
            let path = format!("/api/v1/lease/{}/result", leased["lease"].as_str().unwrap());
            let done = api.try_post(&path, &json!({"result": "complete", "meta": "file=f"})).await;
            let Ok(done) = done else { return };
            if done.status == 200 {
                let chain = leased["task"]["id"].as_str().unwrap().to_owned();
                acknowledged.lock().unwrap().push((chain, SystemClock.now()));
            }
        }
    }
}

/// Of when the newest segment is.
fn newest_segment(fake: &FakeStore) -> DateTime<Utc> {
    let paths = fake.paths("bucket/flow/log/");
    let name = paths.iter().filter_map(|path| path.rsplit('/').next()).max().unwrap().to_owned();
    let time = name.split('-').next().unwrap();
    chrono::NaiveDateTime::parse_from_str(time, "%Y%m%dT%H%M%S%.6fZ").unwrap().and_utc()
}

async fn chain(api: &Api, id: &str) -> Vec<(Value, Value)> {
    let chain = api.get(&format!("/api/v1/chains/{id}")).await.ok();
    let items = chain["items"].as_array().unwrap().iter();
    items.map(|task| (task["type"].clone(), task["state"].clone())).collect()
}

#[actix::test]
async fn a_lost_disk_under_load_loses_no_result_that_was_shipped_and_doubles_none() {
    let (folder, fake) = (tempfile::tempdir().unwrap(), FakeStore::start());
    let server = Server::of(command(folder.path(), &fake)).await;
    let acknowledged = Acknowledged::default();
    let workers: Vec<_> = (0..4).map(|_| actix::spawn(work(server.api.clone(), Arc::clone(&acknowledged)))).collect();
    // Tasks go on while the first segments arrive; a snapshot falls between them.
    while fake.paths("bucket/flow/log/").len() < 3 {
        server.api.get("/healthz").await;
    }
    assert_eq!(server.api.post("/api/v1/snapshots", &json!({})).await.status, 201);
    let seen = fake.paths("bucket/flow/log/").len();
    while fake.paths("bucket/flow/log/").len() < seen + 3 {
        server.api.get("/healthz").await;
    }
    server.kill().await;
    for worker in workers {
        worker.await.unwrap();
    }
    std::fs::remove_dir_all(folder.path().join("data")).unwrap();
    let shipped = newest_segment(&fake);

    let server = Server::of(command(folder.path(), &fake)).await;
    let acknowledged = acknowledged.lock().unwrap().clone();
    let safe: Vec<_> = acknowledged.iter().filter(|(_, heard)| *heard < shipped).collect();
    assert!(safe.len() > 10, "{} of {}", safe.len(), acknowledged.len());
    for (id, _) in &safe {
        let whole = vec![(json!("extract"), json!("done")), (json!("load"), json!("ready"))];
        assert_eq!(chain(&server.api, id).await, whole, "{id}");
    }
    let alerts = server.api.get("/api/v1/alerts").await.ok();
    let msg = alerts["items"][0]["msg"].as_str().unwrap();
    let named = format!("the history from {} to", shipped.format("%Y-%m-%dT%H:%M:%SZ"));
    assert!(msg.contains("segments of changes") && msg.contains(&named), "{msg}");
    // The history goes on from there, with a log of its own.
    let before = fake.paths("bucket/flow/log/").len();
    server.api.create(&json!({"type": "a", "info": "afterwards"})).await;
    while fake.paths("bucket/flow/log/").len() == before {
        server.api.get("/healthz").await;
    }
    server.kill().await;
}

#[actix::test]
async fn a_time_between_two_snapshots_is_restored_and_a_torn_log_says_how_far_it_reaches() {
    let (folder, fake) = (tempfile::tempdir().unwrap(), FakeStore::start());
    let server = Server::of(command(folder.path(), &fake)).await;
    let ready = async || {
        let changes = server.api.get("/readyz").await.ok()["backup"]["changes"].clone();
        changes["snapshot_to_go_on_from"] == true
    };
    while !ready().await {}
    let Value::String(metrics) = server.api.get("/metrics").await.json else { panic!("not text") };
    assert!(metrics.contains("\nflowlord_backup_lag_seconds "), "{metrics}");
    let mut at = Vec::new();
    for info in ["one", "two", "three"] {
        server.api.create(&json!({"type": "a", "info": info})).await;
        let answered = SystemClock.now();
        at.push(loop {
            let until = server.api.get("/readyz").await.ok()["backup"]["changes"]["until"].clone();
            let until: DateTime<Utc> = until.as_str().unwrap().parse().unwrap();
            if until > answered {
                break until;
            }
        });
    }
    server.kill().await;

    let restored = async |more: &[&str]| {
        let mut restore = flowlord(folder.path(), &["restore", "--data", "data", "--force"]);
        let output = restore.args(in_a_store(&fake)).args(more).output().await.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let server = Server::start(folder.path()).await;
        let infos: Vec<_> = server.api.tasks("").await.iter().map(|task| task["info"].clone()).collect();
        server.kill().await;
        (said, infos)
    };
    let until = at[1].to_rfc3339_opts(chrono::SecondsFormat::Micros, true);
    let (said, infos) = restored(&["--at", &until]).await;
    assert_eq!(infos, [json!("one"), json!("two")], "{said}");
    assert!(said.contains("segments of changes: it is as of 20"), "{said}");

    let paths = fake.paths("bucket/flow/log/");
    let last = paths.iter().max_by_key(|path| path.rsplit('/').next().unwrap().to_owned()).unwrap();
    let whole = fake.read(last).unwrap();
    fake.write(last, whole[..whole.len() / 2].to_vec());
    let (said, infos) = restored(&[]).await;
    assert_eq!(infos, [json!("one"), json!("two")], "{said}");
    assert!(said.contains("is not used: it is damaged"), "{said}");
    fake.remove(last);
    let missing = paths.iter().rev().nth(1).unwrap();
    fake.write(last, whole);
    fake.remove(missing);
    let (said, infos) = restored(&[]).await;
    assert_eq!(infos, [json!("one")], "{said}");
    assert!(said.contains("before it are missing"), "{said}");
}
