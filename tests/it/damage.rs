//! A database that is damaged in its middle under a running service: it says so, restores itself, and goes on.

use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use chrono::{DateTime, TimeDelta, Utc};
use flowlord_db::{DATABASE, DamageMark, HandledDamage, SeenDamage};
use flowlord_kernel::{Clock as _, SystemClock};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::process::{PATIENCE, Server, flowlord, refused, serve};
use crate::support::{Api, TestApp};

/// What the first byte of a page says.
#[derive(Debug, Clone, Copy)]
enum Leaf {
    Table = 0x0D,
    Index = 0x0A,
}

/// Writes over every such page in the second half of the file, where tasks and what finds them lie.
fn spoil(data: &Path, leaf: Leaf) {
    let path = data.join(DATABASE);
    let whole = std::fs::read(&path).unwrap();
    let size = usize::from(u16::from_be_bytes([whole[16], whole[17]]));
    let mut file = std::fs::File::options().write(true).open(&path).unwrap();
    let pages = (whole.len() / size / 2)..(whole.len() / size);
    let mut spoiled = 0;
    for at in pages.map(|page| page * size).filter(|at| whole[*at] == leaf as u8) {
        file.seek(SeekFrom::Start(at.try_into().unwrap())).unwrap();
        file.write_all(&vec![0xAA; size]).unwrap();
        spoiled += 1;
    }
    assert!(spoiled > 0, "{leaf:?}: the file is large enough");
}

/// Enough that tasks are most of the file.
async fn fill(api: &Api) {
    let task = |nth: usize| json!({"type": "a", "job": format!("j{nth}"), "info": "x".repeat(500)});
    for hundred in 0..5 {
        let tasks: Vec<_> = (0..100).map(|nth| task(hundred * 100 + nth)).collect();
        assert_eq!(api.post("/api/v1/tasks", &json!(tasks)).await.status, 201);
    }
}

async fn alerts_of(api: &Api, topic: &str) -> Vec<String> {
    let alerts = api.get(&format!("/api/v1/alerts?limit=1000&type={topic}")).await.ok();
    let items = alerts["items"].as_array().unwrap().iter();
    items.map(|alert| alert["msg"].as_str().unwrap().to_owned()).collect()
}

fn snapshots(folder: &Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(folder.join("backup")).unwrap().map(|file| file.unwrap().path());
    let mut snapshots: Vec<_> = files.filter(|path| path.extension().is_some_and(|end| end == "db")).collect();
    snapshots.sort();
    snapshots
}

async fn with_backup() -> TestApp {
    let backup = |folder: &Path| format!("[backup]\npath = {:?}\n", folder.join("backup"));
    TestApp::configured("[[phase]]\ntask = \"quiet\"\n", backup).await
}

#[actix::test]
async fn a_damaged_database_ends_acknowledging_and_the_next_start_restores_all_that_was_shipped() {
    let app = with_backup().await;
    fill(&app.api).await;
    // The clean stop takes a snapshot; what comes after it is in the change log alone.
    let app = app.restart(TimeDelta::minutes(1)).await;
    let after = app.api.create(&json!({"type": "b", "info": "after the snapshot"})).await;
    app.pass(TimeDelta::seconds(10)).await;
    let before = snapshots(&app.path(""));
    spoil(&app.data(), Leaf::Table);

    let read = app.api.get("/api/v1/tasks?type=a&limit=1000").await;
    assert_eq!(read.problem(), (503, "storage"));
    let refused = app.api.post("/api/v1/tasks", &json!({"type": "a", "info": "refused"})).await;
    assert_eq!(refused.problem(), (503, "storage"));
    let detail = refused.json["detail"].as_str().unwrap();
    assert!(detail.contains("is damaged (seen at 2026-03-02T12:01:10Z by a read"), "{detail}");
    let ready = app.api.get("/readyz").await;
    assert_eq!(ready.problem(), (503, "not_ready"));
    assert!(ready.json["detail"].as_str().unwrap().contains("db: the database is damaged"), "{ready:?}");
    assert_eq!(app.api.get("/healthz").await.status, 200);
    assert_eq!(app.api.post("/api/v1/snapshots", &json!({})).await.problem(), (503, "storage"));
    let seen = app.damaged().await;
    assert!(seen.what.starts_with("a read: "), "{seen:?}");
    let folder = app.path("");
    let app = app.restart(TimeDelta::minutes(1)).await;
    assert_eq!(snapshots(&folder)[..before.len()], before, "good ones stay, and none is made of the damaged one");

    assert_eq!(app.api.tasks("&type=a").await.len(), 500);
    let kept = app.api.get(&format!("/api/v1/tasks/{}", after["uid"].as_str().unwrap())).await.ok();
    assert_eq!(kept["info"], "after the snapshot");
    let alerts = alerts_of(&app.api, "restore").await;
    assert_eq!(alerts.len(), 1, "one alert of both: {alerts:?}");
    let msg = &alerts[0];
    assert!(msg.starts_with("the database was damaged: 2026-03-02T12:01:10Z, a read: "), "{msg}");
    assert!(msg.contains("segments of changes: it is as of 2026-03-02T12:01:"), "{msg}");
    let newest = before.last().unwrap().display().to_string();
    assert!(msg.contains(&newest) && msg.contains("is kept as"), "{msg}");
    assert!(msg.ends_with("to 2026-03-02T12:01:10Z is missing"), "{msg}");
    assert_eq!(alerts_of(&app.api, "storage").await, [""; 0]);
    assert_eq!(app.api.post("/api/v1/tasks", &json!({"type": "a", "info": "i"})).await.status, 201);
    let app = app.restart(TimeDelta::minutes(1)).await;
    assert_eq!(alerts_of(&app.api, "restore").await.len(), 1, "told once");
    app.stop().await;
}

#[actix::test]
async fn what_seemed_damaged_and_is_sound_is_told_once_and_stays() {
    let app = with_backup().await;
    app.api.create(&json!({"type": "a", "info": "kept"})).await;
    let mark = DamageMark {
        seen: Some(SeenDamage { at: app.clock.now(), what: "a read: malformed".to_owned() }),
        handled: None,
    };
    let data = app.data();
    mark.write(&data).unwrap();
    let app = app.restart(TimeDelta::minutes(1)).await;
    assert_eq!(app.api.tasks("&type=a").await[0]["info"], "kept");
    let told = alerts_of(&app.api, "storage").await;
    let expected = "the database seemed damaged: 2026-03-02T12:00:00Z, a read: malformed; a full check found no damage, \
                    and nothing was replaced";
    assert_eq!(told, [expected]);
    assert_eq!(alerts_of(&app.api, "restore").await, [""; 0]);
    assert_eq!(DamageMark::read(&data).unwrap().seen, None);

    // A start that was cut off before its alert was stored: the next one stores it.
    let handled = HandledDamage {
        at: app.clock.now(),
        is_restored: true,
        text: "one.db was restored".to_owned(),
        is_alert_stored: false,
    };
    DamageMark { seen: None, handled: Some(handled) }.write(&data).unwrap();
    let mut app = app;
    for _ in 0..2 {
        app = app.restart(TimeDelta::minutes(1)).await;
        assert_eq!(alerts_of(&app.api, "restore").await, ["one.db was restored"]);
    }
    app.stop().await;
}

/// A service whose further lines are read: each says where it listens.
struct Restarting {
    server: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Restarting {
    fn start(mut command: Command) -> Self {
        let mut server = command.spawn().unwrap();
        let lines = BufReader::new(server.stdout.take().unwrap()).lines();
        Self { server, lines }
    }

    /// Waits until it says that it listens.
    async fn listens(&mut self) -> Api {
        let line = tokio::time::timeout(PATIENCE, self.lines.next_line()).await.expect("a line in time");
        let line = line.unwrap().expect("a line");
        Api::new(line.rsplit(' ').next().unwrap().to_owned())
    }
}

fn backed_up(folder: &Path) -> Command {
    let mut command = serve(folder);
    command.args(["--backup-path", "backup", "--backup-ship-every", "200ms"]);
    command
}

/// Waits until all that was answered so far is in the backup.
async fn until_shipped(api: &Api) {
    let answered = SystemClock.now();
    let shipped = async {
        loop {
            let changes = api.get("/readyz").await.ok()["backup"]["changes"].clone();
            let until = changes["until"].as_str().and_then(|until| until.parse::<DateTime<Utc>>().ok());
            if until.is_some_and(|until| until > answered) && changes["snapshot_to_go_on_from"] == true {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, shipped).await.expect("it is shipped");
}

/// Does something that meets the damage, until the service goes.
async fn provoke(api: &Api, how: &str) {
    for _ in 0..100 {
        let answer = match how {
            "read" => api.try_get("/api/v1/tasks?type=a&limit=1000").await,
            "write" => api.try_post("/api/v1/tasks", &json!({"type": "a", "job": "j7", "info": "lost"})).await,
            _ => api.try_post("/api/v1/snapshots", &json!({})).await,
        };
        if answer.is_ok_and(|answer| answer.status == 503) {
            return;
        }
    }
    panic!("{how}: never refused");
}

#[actix::test]
async fn the_process_restarts_itself_whatever_meets_the_damage() {
    for (leaf, how) in [(Leaf::Table, "read"), (Leaf::Index, "write"), (Leaf::Table, "snapshot")] {
        let folder = tempfile::tempdir().unwrap();
        let mut server = Server::of(backed_up(folder.path())).await;
        fill(&server.api).await;
        server.terminate();
        assert!(server.ended().await.success());
        let mut running = Restarting::start(backed_up(folder.path()));
        let api = running.listens().await;
        let after = api.create(&json!({"type": "b", "info": "after the snapshot"})).await;
        until_shipped(&api).await;
        let process = running.server.id();
        spoil(&folder.path().join("data"), leaf);
        provoke(&api, how).await;

        let api = running.listens().await;
        assert_eq!(running.server.id(), process, "{how}: the same process, as a container needs it");
        assert_eq!(api.tasks("&type=a").await.len(), 500, "{how}");
        let kept = api.get(&format!("/api/v1/tasks/{}", after["uid"].as_str().unwrap())).await.ok();
        assert_eq!(kept["info"], "after the snapshot", "{how}");
        let alerts = alerts_of(&api, "restore").await;
        assert_eq!(alerts.len(), 1, "{how}: {alerts:?}");
        assert!(alerts[0].starts_with("the database was damaged: ") && alerts[0].ends_with("is missing"), "{how}");
        api.get("/readyz").await.ok();
        running.server.kill().await.unwrap();
    }
}

#[actix::test]
async fn without_a_snapshot_a_start_refuses_and_leaves_the_file_and_one_by_hand_begins_anew() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::start(folder.path()).await;
    fill(&server.api).await;
    server.terminate();
    assert!(server.ended().await.success());
    let data = folder.path().join("data");
    spoil(&data, Leaf::Index);
    let broken = std::fs::read(data.join(DATABASE)).unwrap();

    let told = refused(flowlord(folder.path(), &["snapshot", "--data", "data"])).await;
    assert!(told.contains("is damaged (") && told.contains("the next start of the service restores"), "{told}");
    for _ in 0..2 {
        let said = refused(serve(folder.path())).await;
        assert!(said.contains("the database was damaged: ") && said.contains("the full check: "), "{said}");
        assert!(said.contains("there is no snapshot to restore: name a backup with --backup-path"), "{said}");
        assert_eq!(std::fs::read(data.join(DATABASE)).unwrap(), broken, "it is left as it is");
    }
    std::fs::rename(data.join(DATABASE), data.join("mine.db")).unwrap();
    let server = Server::start(folder.path()).await;
    let alerts: Value = server.api.get("/api/v1/alerts").await.ok();
    assert_eq!(alerts["items"], json!([]));
    server.kill().await;
    assert_eq!(DamageMark::read(&data).unwrap(), DamageMark::default());
}

#[actix::test]
async fn a_restore_by_hand_clears_the_mark() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path()).await;
    server.kill().await;
    let data = folder.path().join("data");
    let copied = flowlord(folder.path(), &["snapshot", "--data", "data", "--to", "good.db"]).output().await.unwrap();
    assert!(copied.status.success());
    let seen = Some(SeenDamage { at: SystemClock.now(), what: "a read: malformed".to_owned() });
    DamageMark { seen, handled: None }.write(&data).unwrap();
    let mut restore = flowlord(folder.path(), &["restore", "--data", "data", "--from", "good.db", "--force"]);
    assert!(restore.stdout(Stdio::null()).status().await.unwrap().success());
    assert_eq!(DamageMark::read(&data).unwrap(), DamageMark::default());
}
