//! Signals to the program as a process: what stops in order, what is read again, what ends with whom.

use std::path::Path;
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::process::{PATIENCE, Server, flowlord, serve};
use crate::support::Api;

fn send(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(pid.try_into().unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}

async fn until<T>(what: &str, found: impl AsyncFn() -> Option<T>) -> T {
    let search = async {
        loop {
            if let Some(found) = found().await {
                return found;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, search).await.unwrap_or_else(|_| panic!("never: {what}"))
}

#[actix::test]
async fn a_hangup_reloads_the_workflows_and_the_service_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = serve(folder.path());
    command.env("RUST_LOG", "flowlord=info").stderr(Stdio::piped());
    let mut server = Server::of(command).await;
    let mut log = BufReader::new(server.stderr()).lines();
    for _ in 0..2 {
        send(server.pid(), Signal::HUP);
        let reloaded = async {
            while let Some(line) = log.next_line().await.unwrap() {
                if line.contains("event=reloaded signal=SIGHUP") {
                    return true;
                }
            }
            false
        };
        assert!(tokio::time::timeout(PATIENCE, reloaded).await.expect("it reloads"), "it goes on");
    }
    server.api.get("/readyz").await.ok();
    let announced = folder.path().join("data/service.json");
    assert!(announced.exists());
    tokio::spawn(async move { while log.next_line().await.is_ok_and(|line| line.is_some()) {} });
    send(server.pid(), Signal::QUIT);
    assert!(server.ended().await.success(), "SIGQUIT stops in order");
    assert!(!announced.exists());
}

#[actix::test]
async fn a_demo_ends_in_order_with_its_terminal() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = flowlord(folder.path(), &["demo", "--listen", "127.0.0.1:0"]);
    command.env("TMPDIR", folder.path()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut demo = command.spawn().unwrap();
    let mut lines = BufReader::new(demo.stdout.take().unwrap()).lines();
    tokio::time::timeout(PATIENCE, lines.next_line()).await.unwrap().unwrap().expect("a line");
    send(demo.id().unwrap(), Signal::HUP);
    assert!(tokio::time::timeout(PATIENCE, demo.wait()).await.expect("it ends").unwrap().success());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "its data went with it");
}

fn worker(server: &Server, folder: &Path, script: &str) -> Command {
    let mut command =
        flowlord(folder, &["work", "--topic", "t", "--server", &server.api.base, "--", "sh", "-c", script]);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command
}

async fn created(api: &Api) -> String {
    let task = api.create(&json!({"type": "t", "info": "i"})).await;
    format!("/api/v1/tasks/{}", task["uid"].as_str().unwrap())
}

/// What a file says once it is there, whole.
async fn read(path: &Path) -> String {
    let read = async || std::fs::read_to_string(path).ok().filter(|text| text.ends_with('\n'));
    until("the file", read).await.trim().to_owned()
}

async fn ended(worker: &mut Child) -> std::process::ExitStatus {
    tokio::time::timeout(PATIENCE, worker.wait()).await.expect("it ends").unwrap()
}

#[actix::test]
async fn a_worker_lets_its_command_finish_at_each_signal_that_asks_for_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path()).await;
    for (n, signal) in [Signal::HUP, Signal::QUIT, Signal::INT, Signal::TERM].into_iter().enumerate() {
        let (began, go) = (folder.path().join(format!("began{n}")), folder.path().join(format!("go{n}")));
        let script = format!(
            "echo $$ > {}; until test -e {}; do sleep 0.01; done; echo meta done=1",
            began.display(),
            go.display()
        );
        let task = created(&server.api).await;
        let mut worker = worker(&server, folder.path(), &script).spawn().unwrap();
        read(&began).await;
        send(worker.id().unwrap(), signal);
        std::fs::write(&go, "").unwrap();
        assert!(ended(&mut worker).await.success(), "{signal:?}");
        let task = server.api.get(&task).await.ok();
        assert_eq!((&task["result"], &task["delivery"]), (&json!("complete"), &json!(1)), "{signal:?}: {task}");
    }
    server.kill().await;
}

#[actix::test]
async fn a_worker_under_nohup_goes_on_at_a_hangup() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path()).await;
    // As nohup does it, which not every machine has.
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' HUP; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_flowlord"), "work"]);
    command.args(["--topic", "t", "--server", &server.api.base, "--", "true"]);
    command.stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let mut worker = command.spawn().unwrap();
    for _ in 0..2 {
        let task = created(&server.api).await;
        until("it is done", async || (server.api.get(&task).await.ok()["state"] == "done").then_some(())).await;
        send(worker.id().unwrap(), Signal::HUP);
    }
    send(worker.id().unwrap(), Signal::TERM);
    assert!(ended(&mut worker).await.success());
    server.kill().await;
}

#[actix::test]
async fn a_command_ends_with_a_worker_that_is_killed_and_with_all_that_it_started() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path()).await;
    let pids = folder.path().join("pids");
    let script = format!("sleep 1000 & echo $! $$ > {}; wait", pids.display());
    created(&server.api).await;
    let mut worker = worker(&server, folder.path(), &script).spawn().unwrap();
    let pids = read(&pids).await;
    worker.start_kill().unwrap();
    ended(&mut worker).await;
    for pid in pids.split(' ') {
        let pid = Pid::from_raw(pid.parse().unwrap()).unwrap();
        // One that is dead may wait for its parent to say so.
        let status = || std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()));
        let is_dead = || {
            test_kill_process(pid).is_err()
                || status().is_ok_and(|status| status.rsplit(") ").next().is_some_and(|rest| rest.starts_with('Z')))
        };
        until("it ends", async || is_dead().then_some(())).await;
    }
    server.kill().await;
}

#[actix::test]
async fn a_worker_whose_output_nobody_reads_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path()).await;
    let task = created(&server.api).await;
    let mut command = worker(&server, folder.path(), "echo out; echo err >&2; echo meta a=1");
    command.env("RUST_LOG", "info").stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut worker = command.spawn().unwrap();
    drop((worker.stdout.take(), worker.stderr.take()));
    let done = until("it is done", async || {
        let task = server.api.get(&task).await.ok();
        (task["state"] == "done").then_some(task)
    });
    assert_eq!(done.await["result"], "complete");
    send(worker.id().unwrap(), Signal::HUP);
    assert!(ended(&mut worker).await.success());
    server.kill().await;
}
