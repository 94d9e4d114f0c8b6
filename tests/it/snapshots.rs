//! Copies of the database made, restored and started from, as by a person at a terminal.

use std::path::Path;

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
    let again =
        refused(flowlord(folder.path(), &["snapshot", "--data", "data", "--to", "copies/now.db"])).await;
    assert!(again.contains("name another file"), "{again}");
    let listed = server.api.get("/api/v1/snapshots").await.ok();
    assert_eq!(listed["items"], json!([]), "one elsewhere isn't one of the usual place");
    let in_use =
        refused(flowlord(folder.path(), &["restore", "--data", "data", "--from", "copies/now.db"])).await;
    assert!(in_use.contains("in use by another flowlord"), "{in_use}");
    server.kill().await;

    let offline = run(folder.path(), &["snapshot", "--data", "data"]).await;
    assert!(offline.contains("data/snapshots/flowlord-"), "{offline}");
    let kept =
        refused(flowlord(folder.path(), &["restore", "--data", "data", "--from", "copies/now.db"])).await;
    assert!(kept.contains("--force"), "{kept}");
    let said = run(folder.path(), &["restore", "--data", "data", "--from", "copies/now.db", "--force"]).await;
    assert!(said.contains("whose newest task is 20") && said.contains("is kept as"), "{said}");
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
    let copies = std::fs::read_dir(folder.path().join("backup")).unwrap().count();
    assert_eq!(copies, 2, "one at the first start, one at the clean stop");

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
