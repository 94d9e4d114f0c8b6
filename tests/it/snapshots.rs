//! Copies of the database made, restored and started from, as by a person at a terminal.

use std::path::Path;

use flowlord_testkit::{ACCESS_KEY, FakeStore};
use serde_json::json;

use crate::process::{Server, flowlord, refused, serve};

async fn run(folder: &Path, args: &[&str]) -> String {
    let output = flowlord(folder, args).output().await.unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}

async fn info_of(server: &Server, uid: &str) -> serde_json::Value {
    server.api.get(&format!("/api/v1/tasks/{uid}")).await.json["info"].clone()
}

#[actix::test]
async fn a_copy_made_while_the_service_runs_is_restored_into_another_folder() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path()).await;
    let task = server.api.create(&json!({"type": "a", "info": "kept"})).await;
    let copy = folder.path().join("copies/now.db");
    let said = run(folder.path(), &["snapshot", "--data", "data", "--to", "copies/now.db"]).await;
    assert!(said.contains("now.db") && said.contains("checked"), "{said}");
    let again = refused(flowlord(folder.path(), &["snapshot", "--data", "data", "--to", "copies/now.db"])).await;
    assert!(again.contains("name another file"), "{again}");
    let listed = server.api.get("/api/v1/snapshots").await.ok();
    assert_eq!(listed["items"], json!([]), "one elsewhere isn't one of the usual place");
    let in_use = refused(flowlord(folder.path(), &["restore", "--data", "data", "--from", "copies/now.db"])).await;
    assert!(in_use.contains("in use by another flowlord"), "{in_use}");
    server.kill().await;

    let offline = run(folder.path(), &["snapshot", "--data", "data"]).await;
    assert!(offline.contains("data/snapshots/flowlord-"), "{offline}");
    let kept = refused(flowlord(folder.path(), &["restore", "--data", "data", "--from", "copies/now.db"])).await;
    assert!(kept.contains("--force"), "{kept}");
    let said = run(folder.path(), &["restore", "--data", "data", "--from", "copies/now.db", "--force"]).await;
    assert!(said.contains("its newest task is 20") && said.contains("is kept as"), "{said}");
    assert!(copy.exists());
    let server = Server::start(folder.path()).await;
    assert_eq!(info_of(&server, task["uid"].as_str().unwrap()).await, "kept");
    server.kill().await;
}

#[actix::test]
async fn a_lost_or_broken_database_comes_back_from_the_backup_and_that_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let with_backup = || {
        let mut command = serve(folder.path());
        command.args(["--backup-path", "backup"]);
        command
    };
    let mut server = Server::of(with_backup()).await;
    let task = server.api.create(&json!({"type": "a", "info": "kept"})).await;
    server.terminate();
    assert!(server.ended().await.success());
    let files = std::fs::read_dir(folder.path().join("backup")).unwrap();
    let names: Vec<_> = files.map(|file| file.unwrap().file_name().to_string_lossy().into_owned()).collect();
    let copies = names.iter().filter(|name| name.ends_with(".db")).count();
    assert_eq!(copies, 2, "one at the first start, one at the clean stop: {names:?}");

    let database = folder.path().join("data/flowlord.db");
    std::fs::remove_file(&database).unwrap();
    let server = Server::of(with_backup()).await;
    assert_eq!(info_of(&server, task["uid"].as_str().unwrap()).await, "kept");
    let alerts = server.api.get("/api/v1/alerts").await.ok();
    let msg = alerts["items"][0]["msg"].as_str().unwrap();
    assert!(msg.starts_with("there was no database; ") && msg.contains("is missing"), "{msg}");
    server.kill().await;

    let wal = folder.path().join("data/flowlord.db-wal");
    let _may_be_gone = std::fs::remove_file(wal);
    std::fs::write(&database, "not a database at all, whatever its name says ".repeat(100)).unwrap();
    let server = Server::of(with_backup()).await;
    assert_eq!(info_of(&server, task["uid"].as_str().unwrap()).await, "kept");
    let alerts = server.api.get("/api/v1/alerts").await.ok();
    let msg = alerts["items"][0]["msg"].as_str().unwrap();
    assert!(msg.starts_with("the database didn't open") && msg.contains("is kept as"), "{msg}");
    server.kill().await;

    std::fs::remove_dir_all(folder.path().join("backup")).unwrap();
    std::fs::write(&database, "not a database at all, whatever its name says ".repeat(100)).unwrap();
    let err = refused(with_backup()).await;
    assert!(err.contains("there is no snapshot to restore"), "{err}");
}

/// The flags of a backup in an object store.
pub(crate) fn in_a_store(fake: &FakeStore) -> Vec<String> {
    let endpoint = format!("--store-s3-endpoint={}", fake.url());
    let (key, secret) = (format!("--store-s3-access-key={ACCESS_KEY}"), "--store-s3-secret-key=x".to_owned());
    vec!["--backup-path=s3://bucket/flow".to_owned(), endpoint, key, secret]
}

#[actix::test]
async fn snapshots_in_an_object_store_are_listed_restored_by_time_and_started_from() {
    let (folder, fake) = (tempfile::tempdir().unwrap(), FakeStore::start());
    let flags = in_a_store(&fake);
    let with_backup = || {
        let mut command = serve(folder.path());
        command.args(&flags);
        command
    };
    let restore = |more: &[&str]| {
        let mut command = flowlord(folder.path(), &["restore", "--data", "other", "--force"]);
        command.args(&flags).args(more);
        command
    };
    let away = {
        fake.set_broken(Some(500));
        let refused = refused(with_backup()).await;
        fake.set_broken(None);
        refused
    };
    assert!(away.contains("start once without backup.path") && away.contains("can't be reached"), "{away}");

    let server = Server::of(with_backup()).await;
    // The first start takes one; who asks meanwhile would share it.
    while server.api.get("/readyz").await.ok()["backup"]["snapshot"].is_null() {}
    let before = server.api.create(&json!({"type": "a", "info": "before"})).await;
    let taken = server.api.post("/api/v1/snapshots", &json!({})).await;
    assert_eq!((taken.status, &taken.json["verified"]), (201, &json!(true)));
    let after = server.api.create(&json!({"type": "a", "info": "after"})).await;
    server.api.post("/api/v1/snapshots", &json!({})).await;
    let listed = server.api.get("/api/v1/snapshots").await.ok();
    let items = listed["items"].as_array().unwrap();
    assert_eq!((items.len(), &listed["problem"]), (3, &json!(null)));
    assert!(items[0]["location"].as_str().unwrap().starts_with("s3://bucket/flow/flowlord-"), "{listed}");
    let ready = server.api.get("/readyz").await.ok();
    assert_eq!(ready["backup"]["snapshot"], items[0]["location"]);
    server.kill().await;

    let then = taken.json["at"].as_str().unwrap();
    let output = restore(&["--at", then]).output().await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains(taken.json["location"].as_str().unwrap()), "{said}");
    let early = refused(restore(&["--at", "2020-01-01T00:00:00Z"])).await;
    assert!(early.contains("that was begun by 2020-01-01T00:00:00Z: name another with --from"), "{early}");
    let missing = refused(restore(&["--from", "s3://bucket/flow/none.db"])).await;
    assert!(missing.contains("s3://bucket/flow/none.db doesn't exist"), "{missing}");

    std::fs::remove_dir_all(folder.path().join("data")).unwrap();
    // The newest was damaged in its place: the one before takes over.
    let newest = items[0]["location"].as_str().unwrap().trim_start_matches("s3://").to_owned();
    let mut bytes = fake.read(&newest).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fake.write(&newest, bytes);
    let server = Server::of(with_backup()).await;
    assert_eq!(info_of(&server, before["uid"].as_str().unwrap()).await, "before");
    let gone = server.api.get(&format!("/api/v1/tasks/{}", after["uid"].as_str().unwrap())).await;
    assert_eq!(gone.status, 404, "after the snapshot");
    let alerts = server.api.get("/api/v1/alerts").await.ok();
    let msg = alerts["items"][0]["msg"].as_str().unwrap();
    assert!(msg.contains(taken.json["location"].as_str().unwrap()), "{msg}");
    server.kill().await;
}

#[actix::test]
async fn a_process_that_ends_while_it_sends_leaves_nothing_that_counts_and_goes_on_after() {
    let (folder, fake) = (tempfile::tempdir().unwrap(), FakeStore::start());
    let with_backup = || {
        let mut command = serve(folder.path());
        command.args(in_a_store(&fake)).arg("--backup-ship-every=0s");
        command
    };
    let mut ends = with_backup();
    ends.env(flowlord_kernel::fault::ENVIRONMENT, "during_upload=abort@1");
    assert!(!ends.status().await.unwrap().success(), "at its first snapshot");
    let server = Server::of(with_backup()).await;
    let taken = server.api.post("/api/v1/snapshots", &json!({})).await.json;
    let listed = server.api.get("/api/v1/snapshots").await.ok();
    let verified = |item: &&serde_json::Value| item["verified"] == true;
    let locations: Vec<_> = listed["items"].as_array().unwrap().iter().filter(verified).collect();
    assert!(locations.iter().any(|item| item["location"] == taken["location"]), "{listed}");
    let spool = std::fs::read_dir(folder.path().join("data/spool")).map_or(0, Iterator::count);
    assert_eq!(spool, 0, "nothing is left here");
    server.kill().await;
}
