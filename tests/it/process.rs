//! The binary as a process of its own: killed, stopped under load, started twice, worked for by the examples.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::support::{Api, WORKFLOW};

/// How long anything here may take before the test fails; no assertion on speed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Server {
    pub(crate) api: Api,
    child: Child,
}

fn workflows(folder: &Path) -> PathBuf {
    let workflows = folder.join("workflows");
    std::fs::create_dir_all(&workflows).unwrap();
    std::fs::write(workflows.join("main.toml"), WORKFLOW).unwrap();
    workflows
}

pub(crate) fn serve(folder: &Path) -> Command {
    serve_with(env!("CARGO_BIN_EXE_flowlord"), folder)
}

/// By another program.
pub(crate) fn serve_with(program: &str, folder: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .args(["serve", "--listen", "127.0.0.1:0", "--workflow"])
        .arg(workflows(folder))
        .arg("--data")
        .arg(folder.join("data"))
        .env("RUST_LOG", "warn")
        .current_dir(folder)
        .stdout(Stdio::piped())
        .kill_on_drop(true);
    command
}

/// The program with these arguments, in a folder.
pub(crate) fn flowlord(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_flowlord"));
    command.args(args).current_dir(folder).env("RUST_LOG", "warn").kill_on_drop(true);
    command
}

/// Sends a signal without the program `kill`, which not every machine has.
pub(crate) fn signal(process: u32, signal: Signal) {
    let pid = Pid::from_raw(process.try_into().unwrap()).expect("a process id");
    kill_process(pid, signal).unwrap();
}

impl Server {
    pub(crate) async fn start(folder: &Path) -> Self {
        Self::of(serve(folder)).await
    }

    pub(crate) async fn of(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = tokio::time::timeout(PATIENCE, lines.next_line()).await.unwrap().unwrap().expect("a line");
        let address = line.rsplit(' ').next().unwrap().trim_end_matches('/').to_owned();
        assert!(address.starts_with("http://127.0.0.1:"), "{line}");
        Self { api: Api::new(address), child }
    }

    pub(crate) async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id().expect("running")
    }

    /// Its log, where that is piped; once.
    pub(crate) fn stderr(&mut self) -> tokio::process::ChildStderr {
        self.child.stderr.take().expect("a piped log")
    }

    pub(crate) fn terminate(&self) {
        signal(self.pid(), Signal::TERM);
    }

    pub(crate) async fn ended(&mut self) -> std::process::ExitStatus {
        tokio::time::timeout(PATIENCE, self.child.wait()).await.expect("it ends").unwrap()
    }
}

#[actix::test]
async fn killed_between_lease_and_result_nothing_is_lost_or_doubled() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path()).await;
    let created = server
        .api
        .create(
            &json!({"type": "extract", "job": "orders", "info": "?hour=2026-03-02T11", "meta": "workflow=main.toml"}),
        )
        .await;
    let leased = server.api.lease("extract").await.unwrap();
    server.kill().await;

    let server = Server::start(folder.path()).await;
    assert!(server.api.lease("extract").await.is_none(), "the lease lives on");
    server.api.complete(&leased.lease, "file=f").await;
    server.kill().await;

    let server = Server::start(folder.path()).await;
    let again = json!({"result": "complete", "meta": "file=f"});
    assert_eq!(server.api.result(&leased.lease, &again).await.ok()["duplicate"], true);
    let chain = server.api.get(&format!("/api/v1/chains/{}", created["id"].as_str().unwrap())).await.ok();
    let states: Vec<_> =
        chain["items"].as_array().unwrap().iter().map(|task| (task["type"].clone(), task["state"].clone())).collect();
    assert_eq!(states, [(json!("extract"), json!("done")), (json!("load"), json!("ready"))]);
    server.kill().await;
}

#[actix::test]
async fn ten_thousand_foreign_done_tasks_start_their_children_once_over_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::start(folder.path()).await;
    // All in one second, as of a program that fills history; not so old that the restart removes them.
    let now = server.api.create(&json!({"type": "clock", "info": "i"})).await["created"].as_str().unwrap().to_owned();
    let created = format!("{}Z", &now[..now.find('.').unwrap()]);
    let done = |number: usize| {
        json!({
            "type": "extract", "job": "orders", "info": "?hour=2026-03-02T10", "id": format!("c{number}"),
            "created": created, "meta": format!("workflow=main.toml&cron=2026-03-02T10&file={number}"),
            "result": "complete",
        })
    };
    let bodies: Vec<Value> = (0..10).map(|part| (0..1_000).map(|n| done(part * 1_000 + n)).collect()).collect();
    for body in &bodies[..5] {
        assert_eq!(server.api.post("/api/v1/results", body).await.ok()["accepted"], 1_000);
    }
    // It is killed while the next ones are on their way.
    let (api, next) = (server.api.clone(), bodies[5].clone());
    let posting = tokio::task::spawn_local(async move { api.try_post("/api/v1/results", &next).await.is_ok() });
    tokio::task::yield_now().await;
    server.kill().await;
    let _was_answered = posting.await.unwrap();
    server = Server::start(folder.path()).await;
    let (mut accepted, mut duplicates) = (5_000, 0);
    for body in bodies.iter().chain(&bodies) {
        let answer = server.api.post("/api/v1/results", body).await.ok();
        assert_eq!(answer["rejected"], json!([]));
        accepted += answer["accepted"].as_u64().unwrap();
        duplicates += answer["duplicates"].as_u64().unwrap();
    }
    // Those that were stored without an answer are duplicates, too.
    assert!((9_000..=10_000).contains(&accepted) && accepted + duplicates == 25_000, "{accepted} {duplicates}");
    let tasks = all_tasks(&server.api).await;
    let ids = |topic: &str| {
        tasks.iter().filter(|task| task["type"] == topic).map(|task| task["id"].clone()).collect::<Vec<_>>()
    };
    for topic in ["extract", "load"] {
        let ids = ids(topic);
        let different: HashSet<_> = ids.iter().map(Value::to_string).collect();
        assert_eq!((ids.len(), different.len()), (10_000, 10_000), "{topic}");
    }
    server.kill().await;
}

/// Posts tasks until the server no longer answers; the uids that were acknowledged.
async fn create_until_it_ends(api: Api) -> Vec<String> {
    let mut acknowledged = Vec::new();
    while let Ok(answer) = api.try_post("/api/v1/tasks", &json!({"type": "a", "info": "i"})).await {
        if answer.status == 201 {
            let task = answer.json.as_array().map_or(answer.json.clone(), |tasks| tasks[0].clone());
            acknowledged.push(task["uid"].as_str().unwrap().to_owned());
        } else {
            assert_eq!(answer.problem().0, 503);
        }
    }
    acknowledged
}

/// Leases and finishes until the server no longer answers; the uids whose results were acknowledged.
async fn finish_until_it_ends(api: Api) -> Vec<String> {
    let mut acknowledged = Vec::new();
    let wanted = json!({"topics": ["a"], "worker": "w", "wait": "1s"});
    while let Ok(answer) = api.try_post("/api/v1/lease", &wanted).await {
        let Some(task) = answer.json["tasks"].as_array().and_then(|tasks| tasks.first()).cloned() else {
            continue;
        };
        let path = format!("/api/v1/lease/{}/result", task["lease"].as_str().unwrap());
        let Ok(answer) = api.try_post(&path, &json!({"result": "complete"})).await else { break };
        if answer.status == 200 {
            acknowledged.push(task["task"]["uid"].as_str().unwrap().to_owned());
        }
    }
    acknowledged
}

async fn all_tasks(api: &Api) -> Vec<Value> {
    let mut all = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = api.get(&format!("/api/v1/tasks?limit=1000{cursor}")).await.ok();
        all.extend(page["items"].as_array().unwrap().iter().cloned());
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return all,
        }
    }
}

type Uids = tokio::task::JoinHandle<Vec<String>>;

fn load(server: &Server) -> (Vec<Uids>, Vec<Uids>) {
    let spawn = |_| {
        let create = tokio::task::spawn_local(create_until_it_ends(server.api.clone()));
        (create, tokio::task::spawn_local(finish_until_it_ends(server.api.clone())))
    };
    (0..8).map(spawn).unzip()
}

async fn gather(load: Vec<Uids>) -> HashSet<String> {
    let mut all = HashSet::new();
    for uids in load {
        all.extend(uids.await.unwrap());
    }
    all
}

/// Waits until this many results were acknowledged.
async fn until_done(api: &Api, count: u64) {
    let enough = async {
        loop {
            let stats = api.get("/api/v1/stats").await.ok();
            if stats["totals"]["complete"].as_u64().expect("a total") >= count {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, enough).await.expect("work goes on");
}

async fn check(folder: &Path, created: &HashSet<String>, finished: &HashSet<String>) {
    let server = Server::start(folder).await;
    let tasks = all_tasks(&server.api).await;
    let uids = |state: Option<&str>| -> HashSet<String> {
        let in_state = tasks.iter().filter(|task| state.is_none_or(|state| task["state"] == state));
        in_state.map(|task| task["uid"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(created.difference(&uids(None)).count(), 0, "acknowledged tasks are there");
    assert_eq!(finished.difference(&uids(Some("done"))).count(), 0, "acknowledged results are there");
    server.kill().await;
}

#[actix::test]
async fn a_kill_under_load_loses_nothing_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path()).await;
    let (creators, workers) = load(&server);
    until_done(&server.api, 200).await;
    server.kill().await;
    let (created, finished) = (gather(creators).await, gather(workers).await);
    assert!(finished.len() >= 100, "there was load: {}", finished.len());
    check(folder.path(), &created, &finished).await;
}

#[actix::test]
async fn a_stop_under_load_is_clean_and_loses_nothing_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::start(folder.path()).await;
    let (creators, workers) = load(&server);
    until_done(&server.api, 200).await;
    server.terminate();
    assert!(server.ended().await.success(), "a clean stop");
    let (created, finished) = (gather(creators).await, gather(workers).await);
    let wal = folder.path().join("data/flowlord.db-wal");
    assert_eq!(std::fs::metadata(wal).map_or(0, |file| file.len()), 0, "checkpointed");
    check(folder.path(), &created, &finished).await;
}

#[actix::test]
async fn a_second_signal_ends_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::start(folder.path()).await;
    // A request that never ends holds up the graceful stop.
    let address = server.api.base.trim_start_matches("http://").to_owned();
    let mut slow = tokio::net::TcpStream::connect(address).await.unwrap();
    let head = "POST /api/v1/tasks HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{";
    tokio::io::AsyncWriteExt::write_all(&mut slow, head.as_bytes()).await.unwrap();
    server.api.get("/healthz").await.ok();
    server.terminate();
    let not_ready =
        async { while server.api.try_post("/api/v1/lease", &json!({})).await.is_ok_and(|a| a.status != 503) {} };
    tokio::time::timeout(PATIENCE, not_ready).await.expect("it stops");
    server.terminate();
    let status = server.ended().await;
    assert!(!status.success(), "{status}");
}

pub(crate) async fn refused(mut command: Command) -> String {
    let output = command.stderr(Stdio::piped()).output();
    let output = tokio::time::timeout(PATIENCE, output).await.expect("it ends").unwrap();
    assert!(!output.status.success());
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[actix::test]
async fn what_keeps_it_from_starting_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path()).await;
    let err = refused(serve(folder.path())).await;
    assert!(err.contains("in use by another flowlord"), "{err}");

    let other = tempfile::tempdir().unwrap();
    let taken = server.api.base.trim_start_matches("http://").to_owned();
    let mut command = serve(other.path());
    command.args(["--listen", &taken]);
    let err = refused(command).await;
    assert!(err.contains(&taken), "{err}");

    let mut command = serve(other.path());
    command.env("FLOWLORD_TASKS__LEESE", "60s");
    let err = refused(command).await;
    assert!(err.to_lowercase().contains("leese") && err.contains("lease"), "{err}");
    server.kill().await;
}

/// Starts a worker of the examples on the server's tasks.
pub(crate) fn worker(api: &Api, program: &str, args: &[&str]) -> Child {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    Command::new(program)
        .args(args)
        .current_dir(root)
        .env("FLOWLORD_SERVER", &api.base)
        .env("FLOWLORD", env!("CARGO_BIN_EXE_flowlord"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap_or_else(|err| panic!("{program}: {err}"))
}

async fn done(api: &Api, topic: &str) -> Value {
    let path = format!("/api/v1/tasks?type={topic}&state=done");
    let finished = async {
        loop {
            let list = api.get(&path).await.ok();
            if let Some(task) = list["items"].as_array().and_then(|items| items.first()) {
                return task.clone();
            }
        }
    };
    tokio::time::timeout(PATIENCE, finished).await.unwrap_or_else(|_| panic!("{topic} isn't done"))
}

/// The programs of all three, beside flowlord: a parent in Python, its child in `flowlord work`, its grandchild in bash.
pub(crate) const EXAMPLE_PROGRAMS: [&str; 5] = ["bash", "curl", "jq", "python3", "sleep"];

#[actix::test]
async fn the_workers_of_the_examples_work_unmodified() {
    if !flowlord_testkit::can_run(&EXAMPLE_PROGRAMS) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path()).await;
    let extract =
        json!({"type": "extract", "job": "orders", "info": "?hour=2026-03-02T11", "meta": "workflow=main.toml"});
    server.api.create(&extract).await;

    let _python = worker(&server.api, "python3", &["examples/workers/python/example.py", "--topic", "extract"]);
    let extract = done(&server.api, "extract").await;
    assert_eq!(extract["result"], "complete", "{extract}");
    assert!(extract["meta"].as_str().unwrap().contains("file="), "{extract}");

    let _work = worker(&server.api, "examples/workers/with-flowlord-work.sh", &["load"]);
    let load = done(&server.api, "load").await;
    assert_eq!(load["result"], "complete", "the parent's file is in the child's arguments: {load}");
    assert!(load["meta"].as_str().unwrap().contains("table=orders"), "{load}");

    let _bash = worker(&server.api, "examples/workers/worker.sh", &["--topic", "report"]);
    let report = done(&server.api, "report").await;
    assert_eq!(report["result"], "complete", "{report}");
    server.kill().await;
}

#[actix::test]
async fn the_work_command_maps_its_exit_codes_and_keeps_long_work_alive() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path()).await;
    let script = "echo out; echo \"last words $0\" >&2; exit $0";
    let flowlord = env!("CARGO_BIN_EXE_flowlord");
    let _work = worker(&server.api, flowlord, &["work", "--topic", "exits", "--", "sh", "-c", script, "{info}"]);
    for (exit, result) in [("0", "complete"), ("75", "alert"), ("76", "warn"), ("3", "error")] {
        let task = server.api.create(&json!({"type": "exits", "job": format!("j{exit}"), "info": exit})).await;
        let path = format!("/api/v1/tasks/{}", task["uid"].as_str().unwrap());
        let ended = async {
            loop {
                let task = server.api.get(&path).await.ok();
                if task["state"] == "done" {
                    return task;
                }
            }
        };
        let task = tokio::time::timeout(PATIENCE, ended).await.expect("it ends");
        assert_eq!(task["result"], result, "{task}");
        if exit != "0" {
            assert_eq!(task["msg"], format!("last words {exit}"), "{task}");
        }
    }
    server.kill().await;
}
