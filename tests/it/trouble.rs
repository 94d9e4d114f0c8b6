//! A disk that fails under a running service: full, broken, read-only. What clients see, and what is on it after.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use chrono::TimeDelta;
use flowlord_kernel::fault::{self, ENVIRONMENT, FaultEffect, FaultPoint};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::process::{PATIENCE, Server, serve};
use crate::support::{Answer, Api, TestApp};

const EVERY_SECOND: &str = "[[phase]]\ntask = \"tick\"\nrule = \"cron=* * * * * *\"\n";

async fn create(api: &Api, info: &str) -> Answer {
    api.post("/api/v1/tasks", &json!({"type": "a", "info": info})).await
}

async fn storage_alerts(api: &Api) -> Vec<Value> {
    let list = api.get("/api/v1/alerts?date=2026-03-02").await.ok();
    let items = list["items"].as_array().unwrap().iter();
    items.filter(|alert| alert["kind"] == "storage").cloned().collect()
}

#[actix::test]
async fn a_full_disk_stops_acknowledging_keeps_reading_and_ends_by_itself() {
    let app = TestApp::with(EVERY_SECOND).await;
    let task = app.api.create(&json!({"type": "a", "info": "before"})).await;
    fault::plan(&app.data(), FaultPoint::BeforeCommit, FaultEffect::Full, usize::MAX);
    app.pass(TimeDelta::seconds(5)).await;
    for _ in 0..2 {
        let refused = create(&app.api, "refused").await;
        assert_eq!(refused.problem(), (503, "storage"));
        assert_eq!(refused.retry_after.as_deref(), Some("5"));
        assert!(refused.json["detail"].as_str().unwrap().contains("free space"), "{refused:?}");
    }
    let ready = app.api.get("/readyz").await;
    assert_eq!(ready.problem(), (503, "not_ready"));
    assert!(ready.json["detail"].as_str().unwrap().contains("db: nothing can be stored since"), "{ready:?}");
    assert_eq!(ready.json["actors"]["db"]["status"], "storage");
    assert_eq!(app.api.get("/healthz").await.status, 200, "a restart would not help");
    let read = app.api.get(&format!("/api/v1/tasks/{}", task["uid"].as_str().unwrap())).await.ok();
    assert_eq!(read["info"], "before");
    assert_eq!(storage_alerts(&app.api).await, Vec::<Value>::new(), "nothing can be stored: the log tells it");

    fault::clear(&app.data());
    app.pass(TimeDelta::seconds(2)).await;
    assert_eq!(create(&app.api, "after").await.status, 201);
    app.api.get("/readyz").await.ok();
    let alerts = storage_alerts(&app.api).await;
    assert_eq!(alerts.len(), 1);
    assert!(alerts[0]["msg"].as_str().unwrap().contains("could not be written from"), "{alerts:?}");
    let infos: Vec<_> = app.api.tasks("&type=a").await.iter().map(|task| task["info"].clone()).collect();
    assert_eq!(infos, ["before", "after"], "what was refused isn't there");
    let ticks = app.api.tasks("&type=tick").await.len();
    assert_eq!(ticks, 7, "slots of the time are late, not lost, and none is twice");
    app.stop().await;
}

#[actix::test]
async fn a_commit_of_unknown_fate_is_asked_again_with_the_same_lease() {
    let app = TestApp::start().await;
    app.api.create(&json!({"type": "a", "info": "i"})).await;
    let leased = app.api.lease("a").await.unwrap();
    fault::plan(&app.data(), FaultPoint::AfterCommit, FaultEffect::Broken, 1);
    let body = json!({"result": "complete"});
    let unknown = app.api.result(&leased.lease, &body).await;
    assert_eq!(unknown.problem(), (503, "storage"));
    assert!(unknown.json["detail"].as_str().unwrap().contains("is not known: send it again"), "{unknown:?}");
    let again = app.api.result(&leased.lease, &body).await.ok();
    assert_eq!(again, json!({"accepted": true, "duplicate": true}), "it was on disk");
    app.stop().await;
}

/// The service as a process that ends at a point, the nth time; what was acknowledged before.
async fn aborted(folder: &Path, plan: &str) -> Vec<String> {
    let mut command = serve(folder);
    command.env(ENVIRONMENT, plan).stderr(Stdio::null());
    let mut server = Server::of(command).await;
    let mut acknowledged = Vec::new();
    for n in 0..100 {
        let task = json!({"type": "a", "info": format!("{plan} {n}")});
        match server.api.try_post("/api/v1/tasks", &task).await {
            Ok(answer) if answer.status == 201 => {
                acknowledged.push(task["info"].as_str().unwrap().to_owned());
            }
            Ok(answer) => panic!("{plan}: {answer:?}"),
            Err(cut) => {
                assert!(cut.is_request() || cut.is_connect(), "{plan}: {cut:?}");
                break;
            }
        }
    }
    assert!(!server.ended().await.success(), "{plan}");
    acknowledged
}

#[actix::test]
async fn a_process_that_ends_at_a_point_leaves_what_it_acknowledged_and_at_most_what_it_was_about_to() {
    let folder = tempfile::tempdir().unwrap();
    let mut expected = Vec::new();
    for (point, about_to) in [("before_begin", 0), ("before_command", 0), ("before_commit", 0), ("after_commit", 1)] {
        let plan = format!("{point}=abort@30");
        let acknowledged = aborted(folder.path(), &plan).await;
        assert!(!acknowledged.is_empty() && acknowledged.len() < 100, "{plan}: {}", acknowledged.len());
        let next = acknowledged.len();
        expected.extend(acknowledged);
        // The one that nobody was answered: on disk only when its commit was.
        expected.extend((0..about_to).map(|n| format!("{plan} {}", next + n)));
    }
    let server = Server::start(folder.path()).await;
    let tasks = server.api.tasks("&type=a").await;
    let stored: Vec<_> = tasks.iter().map(|task| task["info"].as_str().unwrap()).collect();
    assert_eq!(stored, expected);
    server.kill().await;
}

/// Waits until a task is stored again.
async fn until_stored(api: &Api) {
    let stored = async {
        while create(api, "again").await.status != 201 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, stored).await.expect("it recovers by itself");
}

/// Posts large tasks until one is refused, and checks what a client sees then.
async fn fill(api: &Api) {
    let large = "x".repeat(100_000);
    for _ in 0..1_000 {
        let answer = create(api, &large).await;
        if answer.status != 201 {
            assert_eq!(answer.problem(), (503, "storage"));
            assert!(answer.retry_after.is_some(), "{answer:?}");
            return;
        }
    }
    panic!("it never fails");
}

/// Real errors of the system: no file may grow beyond a size, for which writes fail with EFBIG.
#[cfg(target_os = "linux")]
#[actix::test]
async fn a_real_write_error_of_the_system_is_survived() {
    use rustix::process::{Pid, Resource, Rlimit, prlimit};

    let folder = tempfile::tempdir().unwrap();
    let program = serve(folder.path());
    // Without the signal that comes with the error and would end the process.
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""]).arg(program.as_std().get_program());
    command.args(program.as_std().get_args()).env("RUST_LOG", "error").stderr(Stdio::null());
    command.current_dir(folder.path()).stdout(Stdio::piped()).kill_on_drop(true);
    let server = Server::of(command).await;
    let pid = Pid::from_raw(server.pid().try_into().unwrap());
    let limit = |current| prlimit(pid, Resource::Fsize, Rlimit { current, maximum: None }).unwrap();
    server.api.create(&json!({"type": "a", "info": "before"})).await;

    limit(Some(1_000_000));
    fill(&server.api).await;
    let ready = server.api.get("/readyz").await;
    assert!(ready.status == 503 || ready.status == 200, "a small write may still fit: {ready:?}");
    assert_eq!(server.api.tasks("&type=a").await[0]["info"], "before", "reads still work");
    limit(None);
    until_stored(&server.api).await;
    server.api.get("/readyz").await.ok();
    server.kill().await;
    let server = Server::start(folder.path()).await;
    assert_eq!(server.api.tasks("&type=a").await[0]["info"], "before");
    server.kill().await;
}

/// A real file system that is full, in a mount namespace of the service's own.
#[cfg(target_os = "linux")]
#[actix::test]
async fn a_real_full_file_system_is_survived() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    let mount = format!("mount -t tmpfs -o size=3m none {}", data.display());
    let allowed = Command::new("unshare").args(["-rm", "sh", "-c", &mount]).stderr(Stdio::null()).status().await;
    if !allowed.is_ok_and(|status| status.success()) {
        // The other tests fail the disk in other ways.
        flowlord_testkit::not_run("unshare, and leave to mount a file system");
        return;
    }
    let program = serve(folder.path());
    let mut command = Command::new("unshare");
    command.args(["-rm", "sh", "-c", &format!("{mount} && exec \"$0\" \"$@\"")]);
    command.arg(program.as_std().get_program()).args(program.as_std().get_args());
    command.env("RUST_LOG", "error").stderr(Stdio::null());
    command.current_dir(folder.path()).stdout(Stdio::piped()).kill_on_drop(true);
    let server = Server::of(command).await;
    server.api.create(&json!({"type": "a", "info": "before"})).await;
    let within = Path::new("/proc").join(server.pid().to_string()).join("root").join(data.strip_prefix("/").unwrap());
    let ballast = within.join("ballast");
    std::fs::write(&ballast, vec![0; 1_500_000]).unwrap();

    fill(&server.api).await;
    assert_eq!(server.api.tasks("&type=a").await[0]["info"], "before", "reads still work");
    std::fs::remove_file(&ballast).unwrap();
    until_stored(&server.api).await;
    server.api.get("/readyz").await.ok();
    server.kill().await;
}
