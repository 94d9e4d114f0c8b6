//! A worker against a service that answers as told.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::client::{GrantedTask, TaskOutcome};
use super::hold::hold_task;
use super::task_log::TaskLog;
use tokio::time::{sleep, timeout};

use super::*;

/// How long anything here may take before the test fails.
const PATIENCE: Duration = Duration::from_secs(30);

/// Beats every 10 ms.
pub(super) const SHORT: &str = "30ms";

/// What was asked: the end of the path, and the body.
pub(super) type Request = (String, Value);
type Answers = Arc<Mutex<VecDeque<(u16, Value)>>>;

/// A service that gives the answers of a list to everything but heartbeats, and one answer to all of those.
pub(super) struct Fake {
    client: ApiClient,
    pub(super) asked: UnboundedReceiver<Request>,
    /// While it is set, answers are on their way.
    is_held: Arc<AtomicBool>,
}

pub(super) fn fake(answers: Vec<(u16, Value)>, heartbeat: (u16, Value)) -> Fake {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = ApiClient::new(&format!("http://{}", listener.local_addr().unwrap()), None).unwrap();
    let (tell, asked) = unbounded_channel();
    let answers: Answers = Arc::new(Mutex::new(answers.into()));
    let is_held = Arc::new(AtomicBool::new(false));
    let held = Arc::clone(&is_held);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (tell, answers, heartbeat) = (tell.clone(), Arc::clone(&answers), heartbeat.clone());
            let held = Arc::clone(&held);
            std::thread::spawn(move || serve(&stream.unwrap(), &tell, &answers, &heartbeat, &held));
        }
    });
    Fake { client, asked, is_held }
}

fn serve(
    stream: &TcpStream,
    tell: &UnboundedSender<Request>,
    answers: &Answers,
    heartbeat: &(u16, Value),
    is_held: &AtomicBool,
) {
    let mut reader = BufReader::new(stream);
    let (mut path, mut length, mut line) = (String::new(), 0, String::new());
    while reader.read_line(&mut line).unwrap() > 2 {
        if let Some(rest) = line.strip_prefix("POST ") {
            path = rest.split(' ').next().unwrap().rsplit('/').next().unwrap().to_owned();
        } else if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        line.clear();
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let answer = if path == "heartbeat" { Some(heartbeat.clone()) } else { answers.lock().unwrap().pop_front() };
    let body = match path.as_str() {
        "log" => Value::from(std::io::read_to_string(flate2::read::GzDecoder::new(&body[..])).unwrap()),
        _ => serde_json::from_slice(&body).unwrap(),
    };
    let _ = tell.send((path, body));
    // Beyond the list there is no answer, as from a service that hangs.
    let Some((status, answer)) = answer else { return std::thread::park() };
    while is_held.load(Ordering::SeqCst) {
        std::thread::yield_now();
    }
    let answer = answer.to_string();
    let head = format!("HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", answer.len());
    let _ = (&*stream).write_all(format!("{head}{answer}").as_bytes());
}

impl Fake {
    /// The next request; heartbeats don't count.
    pub(super) async fn next(&mut self) -> Request {
        loop {
            let request = timeout(PATIENCE, self.asked.recv()).await.expect("a request").unwrap();
            if request.0 != "heartbeat" {
                return request;
            }
        }
    }

    pub(super) fn worker(&self, command: &[&str]) -> Rc<CommandWorker> {
        self.worker_for(WorkMode::Command, command)
    }

    pub(super) fn worker_for(&self, mode: WorkMode, command: &[&str]) -> Rc<CommandWorker> {
        let wanted = WantedTasks { topics: vec!["a:b".into()], worker: "w".into(), lease: "60s".into() };
        let command = command.iter().map(|word| (*word).to_owned()).collect();
        let client = self.client.clone();
        Rc::new(CommandWorker { client, wanted, command, mode, sends_logs: false, is_once: false })
    }
}

pub(super) fn alive() -> (u16, Value) {
    (200, json!({ "expires": "x", "cancel": false }))
}

pub(super) fn accepted() -> (u16, Value) {
    (200, json!({ "accepted": true, "duplicate": false }))
}

pub(super) fn problem(status: u16, code: &str) -> (u16, Value) {
    (status, json!({ "code": code, "detail": format!("about {code}") }))
}

pub(super) fn task() -> Value {
    json!({ "lease": "l1", "expires": "x", "attempt": 1, "task": { "type": "a", "job": "b", "info": "i" } })
}

fn granted() -> GrantedTask {
    serde_json::from_value(task()).unwrap()
}

/// Tells when it is dropped.
struct Dropped(UnboundedSender<()>);

impl Drop for Dropped {
    fn drop(&mut self) {
        let _ = self.0.send(());
    }
}

#[tokio::test]
async fn heartbeats_go_on_while_the_work_does() {
    let mut fake = fake(vec![accepted()], alive());
    let (client, asked) = (fake.client.clone(), &mut fake.asked);
    let work = async {
        for _ in 0..3 {
            assert_eq!(asked.recv().await.unwrap(), ("heartbeat".to_owned(), json!({ "lease": SHORT })));
        }
        TaskOutcome { meta: "rows=1".into(), ..TaskOutcome::new("complete", "") }
    };
    timeout(PATIENCE, hold_task(&client, &granted(), SHORT, work)).await.unwrap();
    assert_eq!(fake.next().await, ("result".to_owned(), json!({ "result": "complete", "meta": "rows=1" })));
}

#[tokio::test]
async fn a_result_is_posted_until_the_service_takes_it() {
    let mut fake = fake(vec![problem(503, "stopping"), problem(429, "busy"), accepted()], alive());
    let work = async { TaskOutcome::new("error", "no space left") };
    timeout(PATIENCE, hold_task(&fake.client, &granted(), "60s", work)).await.unwrap();
    for _ in 0..3 {
        assert_eq!(fake.next().await, ("result".to_owned(), json!({ "result": "error", "msg": "no space left" })));
    }
}

#[tokio::test]
async fn a_lost_lease_ends_the_work_and_nothing_is_posted() {
    for (status, code) in [(409, "lease_lost"), (404, "lease_unknown"), (409, "")] {
        let fake = fake(vec![], problem(status, code));
        let (tell, mut dropped) = unbounded_channel();
        let work = async {
            let _guard = Dropped(tell);
            std::future::pending().await
        };
        timeout(PATIENCE, hold_task(&fake.client, &granted(), SHORT, work)).await.unwrap();
        assert_eq!(dropped.recv().await, Some(()), "{code}");
    }
    let fake = fake(vec![problem(409, "lease_lost")], alive());
    let work = async { TaskOutcome::new("complete", "") };
    timeout(PATIENCE, hold_task(&fake.client, &granted(), "60s", work)).await.expect("it isn't posted again");
}

#[tokio::test]
async fn a_cancelled_task_ends_as_a_warning() {
    let mut fake = fake(vec![accepted()], (200, json!({ "expires": "x", "cancel": true })));
    timeout(PATIENCE, hold_task(&fake.client, &granted(), SHORT, std::future::pending())).await.unwrap();
    assert_eq!(fake.next().await.1, json!({ "result": "warn", "msg": "cancelled" }));
}

#[tokio::test]
async fn a_result_that_is_refused_becomes_an_error() {
    let mut fake = fake(vec![problem(413, "body_too_large"), accepted()], alive());
    let work = async { TaskOutcome::new("complete", "") };
    timeout(PATIENCE, hold_task(&fake.client, &granted(), "60s", work)).await.unwrap();
    assert_eq!(fake.next().await.1["result"], "complete");
    let second = fake.next().await.1;
    assert_eq!(second["result"], "error");
    assert!(second["msg"].as_str().unwrap().contains("about body_too_large"), "{second}");
}

/// Runs one slot until `fake` was asked what `until` waits for, then stops it.
pub(super) async fn run_slot(
    fake: &mut Fake,
    worker: Rc<CommandWorker>,
    stop: StopMode,
    until: &str,
) -> (Vec<Request>, anyhow::Result<()>) {
    let (send, stopped) = watch::channel(StopMode::No);
    let slot = run_worker_slot(worker, stopped);
    let mut seen = Vec::new();
    let asks = async {
        loop {
            let request = fake.next().await;
            let last = request.0 == until;
            seen.push(request);
            if last {
                send.send_replace(stop);
                return;
            }
        }
    };
    let (done, ()) = timeout(PATIENCE, async { tokio::join!(slot, asks) }).await.expect("it ends");
    while let Ok(request) = fake.asked.try_recv() {
        seen.push(request);
    }
    (seen, done)
}

#[tokio::test]
async fn a_slot_waits_for_the_service_works_and_stops_after_its_task() {
    let none = (200, json!({ "tasks": [] }));
    let answers = vec![problem(503, "stopping"), none, (200, json!({ "tasks": [task()] })), accepted()];
    let mut fake = fake(answers, alive());
    let worker = fake.worker(&["sh", "-c", "echo meta rows=1"]);
    let (seen, done) = run_slot(&mut fake, worker, StopMode::AfterTheTask, "result").await;
    done.unwrap();
    let wanted = json!({ "topics": ["a:b"], "worker": "w", "max": 1, "wait": "30s", "lease": "60s" });
    assert_eq!(seen[..3], vec![("lease".to_owned(), wanted); 3]);
    assert_eq!(seen[3], ("result".to_owned(), json!({ "result": "complete", "meta": "rows=1" })));
}

#[tokio::test]
async fn a_task_that_comes_after_the_stop_is_given_back() {
    let mut fake = fake(vec![(200, json!({ "tasks": [task()] })), (200, json!({}))], alive());
    let worker = fake.worker(&["/is/not/there"]);
    fake.is_held.store(true, Ordering::SeqCst);
    let (send, stopped) = watch::channel(StopMode::No);
    let slot = run_worker_slot(worker, stopped);
    let stop = async {
        assert_eq!(fake.next().await.0, "lease");
        send.send_replace(StopMode::AfterTheTask);
        fake.is_held.store(false, Ordering::SeqCst);
        assert_eq!(fake.next().await, ("release".to_owned(), json!({ "delay": "0s" })));
    };
    let (done, ()) = timeout(PATIENCE, async { tokio::join!(slot, stop) }).await.expect("it ends");
    done.unwrap();
}

#[tokio::test]
async fn a_stop_does_not_wait_for_tasks() {
    let mut fake = fake(vec![], alive());
    let worker = fake.worker(&["true"]);
    let begun = tokio::time::Instant::now();
    let (seen, done) = run_slot(&mut fake, worker, StopMode::AfterTheTask, "lease").await;
    done.unwrap();
    assert_eq!(seen.len(), 1, "{seen:?}");
    assert!(begun.elapsed() < Duration::from_secs(20), "the request itself waits for 30 s");
}

#[tokio::test]
async fn a_second_signal_kills_the_command_and_gives_the_task_back() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pid");
    let script = format!("sleep 1000 & echo $! > {0}.new; mv {0}.new {0}; wait", file.display());
    let mut fake = fake(vec![(200, json!({ "tasks": [task()] })), (200, json!({}))], alive());
    let worker = fake.worker(&["sh", "-c", &script]);
    let (send, stopped) = watch::channel(StopMode::No);
    let slot = run_worker_slot(worker, stopped);
    let stop = async {
        while !file.exists() {
            sleep(Duration::from_millis(2)).await;
        }
        send.send_replace(StopMode::AtOnce);
    };
    let (done, ()) = timeout(PATIENCE, async { tokio::join!(slot, stop) }).await.expect("it ends");
    done.unwrap();
    assert_eq!(fake.next().await.0, "lease");
    assert_eq!(fake.next().await, ("release".to_owned(), json!({ "delay": "0s" })));
    let pid = std::fs::read_to_string(file).unwrap();
    let status = || std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    let gone = async {
        while !matches!(status().rsplit(") ").next().and_then(|rest| rest.chars().next()), None | Some('Z')) {
            sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(PATIENCE, gone).await.expect("what the command started ends with it");
}

#[tokio::test]
async fn a_command_that_cannot_be_started_ends_the_worker_and_costs_no_attempt() {
    let mut fake = fake(vec![(200, json!({ "tasks": [task()] })), (200, json!({}))], alive());
    let worker = fake.worker(&["/is/not/there"]);
    let (seen, done) = run_slot(&mut fake, worker, StopMode::No, "release").await;
    assert_eq!(seen[1], ("release".to_owned(), json!({ "delay": "10s" })));
    assert!(done.unwrap_err().to_string().contains("/is/not/there can't be started"));
}

#[tokio::test]
async fn a_topic_that_the_service_refuses_ends_the_worker() {
    let mut fake = fake(vec![problem(400, "invalid_topic")], alive());
    let worker = fake.worker(&["true"]);
    let (_, done) = run_slot(&mut fake, worker, StopMode::No, "lease").await;
    assert!(done.unwrap_err().to_string().contains("about invalid_topic"));
}

#[tokio::test]
async fn a_task_that_was_handed_over_is_leased_for_a_day_and_gets_no_result_here() {
    let answers = vec![(200, json!({ "tasks": [task()] })), (200, json!({ "tasks": [] }))];
    let mut fake = fake(answers, alive());
    let mut worker = fake.worker_for(WorkMode::HandOver, &["test", "{info}", "=", "i"]);
    Rc::get_mut(&mut worker).unwrap().is_once = true;
    let (_stop, stopped) = watch::channel(StopMode::No);
    timeout(PATIENCE, run_worker_slot(worker, stopped)).await.expect("it ends after one task").unwrap();
    assert_eq!(fake.asked.try_recv().unwrap().0, "lease");
    assert_eq!(fake.asked.try_recv().unwrap(), ("heartbeat".to_owned(), json!({ "lease": "24h" })));
    assert!(fake.asked.try_recv().is_err(), "the result comes from elsewhere");
}

#[tokio::test]
async fn a_task_that_could_not_be_handed_over_is_an_error() {
    let mut fake = fake(vec![(200, json!({ "tasks": [task()] })), accepted()], alive());
    let worker = fake.worker_for(WorkMode::HandOver, &["sh", "-c", "echo 'no broker' >&2; exit 1"]);
    let (seen, done) = run_slot(&mut fake, worker, StopMode::AfterTheTask, "result").await;
    done.unwrap();
    assert_eq!(seen[1].1, json!({ "result": "error", "msg": "no broker" }));
}

#[tokio::test]
async fn a_worker_for_one_task_ends_where_there_is_none() {
    let mut fake = fake(vec![(200, json!({ "tasks": [] }))], alive());
    let mut worker = fake.worker(&["true"]);
    Rc::get_mut(&mut worker).unwrap().is_once = true;
    let (_stop, stopped) = watch::channel(StopMode::No);
    timeout(PATIENCE, run_worker_slot(worker, stopped)).await.expect("it ends").unwrap();
    assert_eq!(fake.next().await.0, "lease");
    assert!(fake.asked.try_recv().is_err());
}

#[tokio::test]
async fn a_worker_that_writes_done_tasks_is_noticed_and_its_answer_counts() {
    let mut fake = fake(vec![(200, json!({ "tasks": [task()] })), accepted()], alive());
    // As a launcher does: whatever becomes of the task, it exits with 0.
    let worker =
        fake.worker(&["sh", "-c", r#"read -r t; echo "${t%\}},\"result\":\"alert\",\"msg\":\"no disk\"}"; echo bye"#]);
    let (seen, done) = run_slot(&mut fake, worker, StopMode::AfterTheTask, "result").await;
    done.unwrap();
    assert_eq!(seen[1].1, json!({ "result": "alert", "msg": "no disk" }));
}

/// A worker that sends logs.
fn logging(fake: &Fake, mode: WorkMode, script: &str) -> Rc<CommandWorker> {
    let mut worker = fake.worker_for(mode, &["sh", "-c", script]);
    Rc::get_mut(&mut worker).unwrap().sends_logs = true;
    worker
}

fn leased_task() -> (u16, Value) {
    (200, json!({ "tasks": [task()] }))
}

fn written(offset: u64) -> (u16, Value) {
    (200, json!({ "offset": offset }))
}

/// What the test's own program writes where it is a command's guard.
const GUARD: &str = "\nrunning 1 test\n";

/// The pieces that are posted with these answers, and the result.
async fn pieces(answers: Vec<(u16, Value)>, mode: WorkMode, script: &str) -> (Vec<String>, Value) {
    let mut fake = fake([vec![leased_task()], answers, vec![accepted()]].concat(), alive());
    let worker = logging(&fake, mode, script);
    let local = LocalSet::new();
    let (seen, done) = local.run_until(run_slot(&mut fake, worker, StopMode::AfterTheTask, "result")).await;
    done.unwrap();
    let pieces =
        seen.iter().filter(|(path, _)| path == "log").map(|(_, text)| text.as_str().unwrap().replace(GUARD, ""));
    (pieces.collect(), seen.into_iter().find(|(path, _)| path == "result").unwrap().1)
}

#[tokio::test]
async fn what_a_command_writes_is_sent_before_its_result() {
    let script = "printf out; sleep 0.1; printf err >&2; exit 76";
    let (sent, result) = pieces(vec![written(6)], WorkMode::Command, script).await;
    assert_eq!((sent, &result["result"]), (vec!["outerr".to_owned()], &json!("warn")));
    let mut fake = fake(vec![], alive());
    TaskLog::new(true).send_while(&fake.client, "l1", async {}).await;
    assert!(fake.asked.try_recv().is_err(), "nothing is sent of nothing");
}

#[tokio::test]
async fn much_output_is_sent_while_the_command_runs() {
    let script = "head -c 40000 /dev/zero | tr '\\0' x; read line; printf end";
    let script = script.replace("read line", "sleep 0.3");
    let (sent, _) = pieces(vec![written(40_000), written(40_003)], WorkMode::Command, &script).await;
    assert_eq!(sent.iter().map(String::len).sum::<usize>(), 40_003);
    assert!(sent.len() == 2 && sent[1].ends_with("end"), "{}", sent.len());
}

#[tokio::test]
async fn a_service_that_takes_no_logs_costs_the_task_nothing() {
    for refusal in [problem(404, "not_found"), problem(403, "forbidden"), problem(409, "lease_lost")] {
        let (sent, result) = pieces(vec![refusal.clone()], WorkMode::Command, "echo text").await;
        assert_eq!((sent.len(), &result["result"]), (1, &json!("complete")), "{refusal:?}");
    }
}

#[tokio::test]
async fn a_piece_goes_where_the_log_ends_and_what_is_there_is_not_sent_again() {
    let elsewhere = |offset: usize| (409, json!({ "code": "log_offset", "detail": "x", "offset": offset }));
    let (sent, _) = pieces(vec![elsewhere(90), written(95)], WorkMode::Command, "echo text").await;
    assert_eq!(sent, ["text\n", "text\n"], "another worker wrote before");
    let answers = vec![problem(503, "timeout"), elsewhere(GUARD.len() + 3), written(5)];
    let (sent, _) = pieces(answers, WorkMode::Command, "echo text").await;
    assert_eq!(sent, ["text\n", "text\n", "t\n"], "a part of the first try was written");
    let (sent, _) =
        pieces(vec![problem(503, "timeout"), elsewhere(GUARD.len() + 5)], WorkMode::Command, "echo text").await;
    assert_eq!(sent, ["text\n", "text\n"], "all of it was");
}

#[tokio::test]
async fn a_worker_that_stays_logs_each_task_by_itself() {
    let script = r#"echo before; read -r t; echo loading; echo trouble >&2; sleep 0.2; echo "${t%\}},\"result\":\"complete\"}"; cat"#;
    let (mut sent, _) = pieces(vec![written(16)], WorkMode::Stdio, script).await;
    let sent = sent.remove(0);
    assert!(sent.contains("loading\n") && sent.contains("trouble\n") && !sent.contains("result"), "{sent}");
}
