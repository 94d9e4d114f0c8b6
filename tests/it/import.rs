//! A database of the reference system taken over from a terminal.

use std::path::Path;

use serde_json::json;

use crate::process::{Server, flowlord, refused, serve};

/// Schema 2 as far as it is read, with a task of every fate, an alert and a file.
const OLD: &str = "
    CREATE TABLE schema_version (id INTEGER PRIMARY KEY, version INTEGER); INSERT INTO schema_version VALUES (1, 2);
    CREATE TABLE task_records (id TEXT, type TEXT, job TEXT, info TEXT, result TEXT, meta TEXT, msg TEXT,
        created TIMESTAMP, started TIMESTAMP, ended TIMESTAMP, PRIMARY KEY (type, job, id, created));
    INSERT INTO task_records VALUES
        ('c1', 'load', 'daily', '?day=2024-01-14', 'complete', 'workflow=a.toml', 'fine',
            '2024-01-15T05:00:00Z', '2024-01-15T05:00:01Z', '2024-01-15T05:00:11Z'),
        ('c2', 'load', 'daily', '?day=2024-01-15', 'error', 'retry=failed&retried=3', 'no such table',
            '2024-01-15T06:00:00Z', '2024-01-15T06:00:01Z', '2024-01-15T06:00:02Z'),
        ('c3', 'load', 'daily', '?day=2024-01-16', '', '', '', '2024-01-15T07:00:00Z', NULL, NULL);
    CREATE TABLE alert_records (id INTEGER PRIMARY KEY, task_id TEXT, task_time TIMESTAMP, task_type TEXT, job TEXT,
        msg TEXT, created_at TIMESTAMP);
    INSERT INTO alert_records VALUES (1, 'c2', '2024-01-15T00:00:00Z', 'load', 'daily', 'no such table',
        '2024-01-15 06:00:03');
    CREATE TABLE file_messages (id INTEGER PRIMARY KEY, path TEXT, size INTEGER, last_modified TIMESTAMP,
        received_at TIMESTAMP, task_time TIMESTAMP, task_ids TEXT, task_names TEXT);
    INSERT INTO file_messages VALUES (1, 'gs://b/one.csv', 5, '2024-01-15T04:00:00Z', '2024-01-15T05:00:00Z', NULL,
        '[\"c1\"]', '[\"load:daily\"]');
    CREATE TABLE date_index (date TEXT PRIMARY KEY, has_tasks BOOLEAN);";

async fn import(folder: &Path) -> Vec<String> {
    let output = flowlord(folder, &["import", "old.db", "--data", "data"]).output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}

#[actix::test]
async fn an_old_database_becomes_history_once_and_is_left_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let old = folder.path().join("old.db");
    rusqlite::Connection::open(&old).unwrap().execute_batch(OLD).unwrap();
    let bytes = std::fs::read(&old).unwrap();
    let said = import(folder.path()).await;
    assert_eq!(said[0], "tasks: 2 of 3 imported, 0 already there");
    assert!(said[1].starts_with("  1 not imported: it is unfinished: a backload with only=missing"), "{said:?}");
    assert!(said[1].contains("id=\"c3\""), "{said:?}");
    assert_eq!(
        said[2..],
        ["alerts: 1 of 1 imported, 0 already there", "file messages: 1 of 1 imported, 0 already there"]
    );
    let again = import(folder.path()).await;
    assert_eq!(again[0], "tasks: 0 of 3 imported, 2 already there");
    assert_eq!(std::fs::read(&old).unwrap(), bytes);

    let mut command = serve(folder.path());
    command.arg("--history-retention=36500d");
    let server = Server::of(command).await;
    let in_use = refused(flowlord(folder.path(), &["import", "old.db", "--data", "data"])).await;
    assert!(in_use.contains("in use by another flowlord; stop that one"), "{in_use}");
    let tasks = server.api.tasks("&date=2024-01-15").await;
    let seen: Vec<_> = tasks.iter().map(|task| (task["id"].clone(), task["result"].clone())).collect();
    assert_eq!(seen, [(json!("c1"), json!("complete")), (json!("c2"), json!("error"))]);
    assert_eq!((&tasks[0]["state"], &tasks[1]["attempt"]), (&json!("done"), &json!(4)));
    let stats = server.api.get("/api/v1/stats?date=2024-01-15").await.ok();
    assert_eq!((&stats["tasks"][0]["total"], &stats["tasks"][0]["error"]), (&json!(2), &json!(1)), "{stats}");
    let alerts = server.api.get("/api/v1/alerts?date=2024-01-15").await.ok();
    assert_eq!(alerts["items"][0]["uid"], tasks[1]["uid"]);
    let files = server.api.get("/api/v1/files?date=2024-01-15").await.ok();
    assert_eq!(files["items"][0]["path"], "gs://b/one.csv", "{files}");
    server.kill().await;
    rusqlite::Connection::open(&old).unwrap().execute_batch("UPDATE schema_version SET version = 3").unwrap();
    let newer = refused(flowlord(folder.path(), &["import", "old.db", "--data", "data"])).await;
    assert!(newer.contains("has schema version 3, this program takes 1 and 2"), "{newer}");
    let missing = refused(flowlord(folder.path(), &["import", "none.db", "--data", "data"])).await;
    assert!(missing.contains("none.db doesn't exist"), "{missing}");
}
