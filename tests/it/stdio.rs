//! `flowlord work --stdio` with a launcher of the reference system, as it was observed, while workers and service are
//! killed.

use std::collections::BTreeMap;
use std::io::{BufRead as _, Write as _};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use flowlord_domain::query::{Query, merge_meta};
use flowlord_testkit::lasting_address;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use crate::process::{PATIENCE, Server, serve};
use crate::support::Api;

const IS_LAUNCHER: &str = "FLOWLORD_TEST_IS_LAUNCHER";

/// A launcher reads no line of this length, and ends.
const MAX_LINE_BYTES: usize = 64 * 1024;

const WORKFLOW: &str = r#"
[[phase]]
task = "soak"
retry = 2
rule = "retry_delay=1s"

[[phase]]
task = "kid"
dependsOn = "soak"
rule = "require={meta:file}"
template = "?file={meta:file}"
"#;

/// The worker of these tests; does nothing by itself.
#[test]
fn is_the_launcher() {
    if std::env::var_os(IS_LAUNCHER).is_some() {
        run_launcher();
        // Whatever became of the tasks.
        std::process::exit(0);
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct LauncherTask {
    #[serde(rename = "type")]
    topic: String,
    #[serde(default)]
    job: String,
    info: String,
    created: String,
    id: String,
    #[serde(default)]
    meta: String,
    #[serde(default)]
    result: String,
    #[serde(default)]
    msg: String,
}

fn run_launcher() {
    let mut input = std::io::stdin().lock();
    let mut line = String::new();
    while input.read_line(&mut line).is_ok_and(|read| read > 0) && line.len() < MAX_LINE_BYTES {
        match serde_json::from_str::<LauncherTask>(&std::mem::take(&mut line)) {
            Ok(task) => {
                if !do_task(task) {
                    return;
                }
            }
            Err(err) => writeln!(std::io::stderr(), "{err}").unwrap(),
        }
    }
}

/// Answers a task as its info asks; false where it ends instead.
#[expect(clippy::disallowed_methods, reason = "a process of its own, without actors")]
fn do_task(mut task: LauncherTask) -> bool {
    std::thread::sleep(Duration::from_millis(10));
    let info = Query::parse_lenient(task.info.trim_start_matches('?'));
    let number = info.first_value("n").unwrap_or_default();
    let is_retry = task.meta.contains("retry=");
    let mut out = std::io::stdout().lock();
    let (result, meta) = match info.first_value("do").unwrap_or_default() {
        "end" if !is_retry => return false,
        "error" => ("error", String::new()),
        "flaky" if !is_retry => ("error", String::new()),
        "alert" => ("alert", String::new()),
        "warn" => ("warn", String::new()),
        "print" => {
            writeln!(out, "{{\"path\":\"/out/{number}.gz\",\"checksum\":\"c{number}\",\"linecnt\":{number}}}").unwrap();
            writeln!(out, "{{\"level\":\"info\"}}").unwrap();
            write!(out, "100%").unwrap();
            ("complete", format!("file=/out/{number} a%26b"))
        }
        _ if task.topic == "kid" => ("complete", String::new()),
        _ => ("complete", format!("file=/out/{number} a%26b")),
    };
    task.msg = format!("{result} {}", task.info.chars().take(40).collect::<String>());
    result.clone_into(&mut task.result);
    let merged = Query::parse_lenient(&merge_meta(&task.meta, &meta)).sorted();
    // As Go's QueryUnescape of Encode: its keys in order, nothing escaped.
    task.meta = merged.pairs().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join("&");
    writeln!(out, "{}", serde_json::to_string(&task).unwrap()).unwrap();
    out.flush().unwrap();
    true
}

const KINDS: [&str; 10] = ["error", "alert", "warn", "flaky", "big", "print", "end", "ok", "ok", "ok"];

/// How the attempts of a task end, one after the other.
fn expected(kind: &str) -> &'static [&'static str] {
    match kind {
        "error" => &["error", "error", "error"],
        "alert" | "big" => &["alert"],
        "warn" => &["warn"],
        "flaky" | "end" => &["error", "complete"],
        _ => &["complete"],
    }
}

fn task(number: usize) -> Value {
    // One that ends its worker comes rarely: five of them in a row end the command.
    let kind = match KINDS[number % KINDS.len()] {
        "end" if !number.is_multiple_of(4) => "ok",
        kind => kind,
    };
    let padding = if kind == "big" { "x".repeat(MAX_LINE_BYTES) } else { String::new() };
    json!({
        "type": "soak", "info": format!("?do={kind}&n={number}&{padding}"),
        // A value that a launcher gives back unescaped.
        "meta": "workflow=soak.toml&q=a%26b%2Bc",
    })
}

async fn start_server(folder: &Path, address: &str) -> Server {
    let mut command = serve(folder);
    std::fs::write(folder.join("workflows/soak.toml"), WORKFLOW).unwrap();
    command.args(["--listen", address]);
    Server::of(command).await
}

fn start_worker(address: &str) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_flowlord"));
    command
        .args(["work", "--stdio", "--topic", "soak", "--topic", "kid", "--slots", "4", "--lease", "5s"])
        .args(["--server", &format!("http://{address}"), "--"])
        .arg(std::env::current_exe().unwrap())
        .args(["stdio::is_the_launcher", "--exact", "--quiet", "--nocapture"])
        .env(IS_LAUNCHER, "1")
        .env("RUST_LOG", "error")
        .stdout(Stdio::null())
        .kill_on_drop(true);
    command.spawn().unwrap()
}

/// How many tasks of a topic are done, and how many aren't; none while the service is away.
async fn count(api: &Api, topic: &str) -> Option<(usize, usize)> {
    // One list: between two, tasks move from one state to the other.
    let tasks = all(api, &format!("type={topic}")).await?;
    let done = tasks.iter().filter(|task| task["state"] == "done").count();
    Some((done, tasks.len() - done))
}

/// All tasks of a list, page by page.
async fn all(api: &Api, query: &str) -> Option<Vec<Value>> {
    let (mut tasks, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = api.try_get(&format!("/api/v1/tasks?order=asc&limit=500&{query}{cursor}")).await.ok()?;
        tasks.extend(page.json["items"].as_array()?.clone());
        match page.json["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return Some(tasks),
        }
    }
}

/// Has `total` tasks done while the worker is killed and the service restarted so often, and checks every one.
async fn soak(total: usize, kills: usize, restarts: usize) {
    let folder = tempfile::tempdir().unwrap();
    let address = lasting_address();
    let mut server = start_server(folder.path(), &address).await;
    let api = server.api.clone();
    for numbers in (0..total).collect::<Vec<_>>().chunks(100) {
        let tasks = numbers.iter().map(|number| task(*number)).collect();
        assert_eq!(api.post("/api/v1/tasks", &Value::Array(tasks)).await.status, 201);
    }
    let mut worker = start_worker(&address);
    for kill in 1..=kills {
        let reached = async {
            // Those that are killed run into the next part.
            while count(&api, "soak").await.is_none_or(|(done, _)| done < total * kill / (kills + 1)) {
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(PATIENCE, reached).await.expect("tasks are done");
        worker.kill().await.unwrap();
        if kill * restarts / kills > (kill - 1) * restarts / kills {
            server.kill().await;
            server = start_server(folder.path(), &address).await;
        }
        worker = start_worker(&address);
    }
    let ended = async {
        while !matches!((count(&api, "soak").await, count(&api, "kid").await), (Some((_, 0)), Some((_, 0)))) {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, ended).await.expect("all tasks are done");
    check_all(&api, total).await;
    worker.kill().await.unwrap();
    server.kill().await;
}

async fn check_all(api: &Api, total: usize) {
    let mut chains = BTreeMap::<String, Vec<Value>>::new();
    for task in all(api, "type=soak").await.unwrap() {
        chains.entry(task["id"].as_str().unwrap().to_owned()).or_default().push(task);
    }
    let mut kids = BTreeMap::<String, Vec<Value>>::new();
    for kid in all(api, "type=kid").await.unwrap() {
        kids.entry(kid["id"].as_str().unwrap().to_owned()).or_default().push(kid);
    }
    assert_eq!(chains.len(), total, "none is lost");
    for (id, attempts) in &chains {
        check_attempts(attempts);
        let last = attempts.last().unwrap();
        let kids = kids.remove(id).unwrap_or_default();
        assert_eq!(kids.len(), usize::from(last["result"] == "complete"), "one child each: {last}");
        for kid in kids {
            let number = field(last, "n");
            assert_eq!(
                (&kid["info"], &kid["result"]),
                (&json!(format!("?file=/out/{number} a&b")), &json!("complete"))
            );
        }
    }
    assert!(kids.is_empty(), "{kids:?}");
    let files = api.get("/api/v1/files?limit=1000").await.ok();
    let mut paths: Vec<_> = files["items"].as_array().unwrap().iter().map(|file| file["path"].to_string()).collect();
    paths.sort();
    paths.dedup();
    assert_eq!(paths.len(), (0..total).filter(|nth| field(&task(*nth), "do") == "print").count());
}

/// A field of a task's info.
fn field(task: &Value, name: &str) -> String {
    let info = task["info"].as_str().unwrap();
    Query::parse_lenient(info.trim_start_matches('?')).first_value(name).unwrap().to_owned()
}

fn check_attempts(attempts: &[Value]) {
    let kind = field(&attempts[0], "do");
    let results: Vec<_> = attempts.iter().map(|attempt| attempt["result"].as_str().unwrap_or_default()).collect();
    assert_eq!(results, expected(&kind), "{kind}: {attempts:?}");
    for attempt in attempts {
        let (msg, meta) = (attempt["msg"].as_str().unwrap(), attempt["meta"].as_str().unwrap());
        let meta = Query::parse(meta).unwrap();
        assert_eq!(meta.first_value("q"), Some("a&b+c"), "what it was given stays: {attempt}");
        let says = match (kind.as_str(), attempt["result"].as_str().unwrap()) {
            ("big", _) => "reads at most 65000",
            ("end", "error") => "the worker ended (exit 0) without an answer",
            (_, result) => &format!("{result} ?do={kind}"),
        };
        assert!(msg.contains(says), "{says}: {attempt}");
        let file = (attempt["result"] == "complete").then(|| format!("/out/{} a&b", field(attempt, "n")));
        assert_eq!(meta.first_value("file"), file.as_deref(), "{attempt}");
    }
}

#[actix::test]
async fn go_workers_lose_and_double_nothing_while_they_and_the_service_are_killed() {
    soak(120, 3, 1).await;
}

#[actix::test]
#[ignore = "takes half a minute, and longer on a busy machine: cargo test --test it stdio:: -- --ignored"]
async fn a_thousand_tasks_through_forty_killed_workers_and_ten_restarts() {
    soak(1_000, 40, 10).await;
}
