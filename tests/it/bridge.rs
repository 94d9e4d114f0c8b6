//! `flowlord bridge` as a process, between the service as a process and an nsqd that breaks.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::rc::Rc;
use std::time::Duration;

use flowlord_testkit::{FakeLookupd, FakeNsqd, NsqdFault, NsqdStep, lasting_address};
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::process::Child;

use crate::cluster::until;
use crate::process::{PATIENCE, Server, flowlord, refused, serve, signal};
use crate::support::Api;

/// A service, as many nsqd, and a bridge between them.
struct Bridged {
    server: Server,
    address: String,
    nsqds: Rc<[FakeNsqd]>,
    bridge: Child,
    config: String,
    folder: tempfile::TempDir,
}

fn start_bridge(folder: &Path, config: &str) -> Child {
    std::fs::write(folder.join("bridge.toml"), config).unwrap();
    let mut command = flowlord(folder, &["bridge", "--config", "bridge.toml"]);
    command.stderr(Stdio::inherit()).spawn().unwrap()
}

async fn start_service(folder: &Path, address: &str) -> Server {
    let mut command = serve(folder);
    command.args(["--listen", address]);
    Server::of(command).await
}

impl Bridged {
    async fn start(nsqds: usize, more: &str) -> Self {
        let nsqds: Rc<[FakeNsqd]> = (0..nsqds).map(|_| FakeNsqd::start()).collect();
        Self::between(nsqds, more).await
    }

    async fn between(nsqds: Rc<[FakeNsqd]>, more: &str) -> Self {
        let (folder, address) = (tempfile::tempdir().unwrap(), lasting_address());
        let server = start_service(folder.path(), &address).await;
        let addresses: Vec<String> = nsqds.iter().map(FakeNsqd::address).collect();
        let config = format!(
            "server = \"http://{address}\"\nnsqd = {addresses:?}\ntopics = [\"extract\"]\nlease = \"5s\"\n{more}\n"
        );
        let bridge = start_bridge(folder.path(), &config);
        Self { server, address, nsqds, bridge, config, folder }
    }

    async fn kill_bridge(&mut self) {
        self.bridge.kill().await.unwrap();
    }

    fn restart_bridge(&mut self) {
        self.bridge = start_bridge(self.folder.path(), &self.config);
    }

    fn signal_bridge(&self) {
        signal(self.bridge.id().expect("running"), Signal::TERM);
    }

    async fn bridge_ended(&mut self) -> Option<i32> {
        tokio::time::timeout(PATIENCE, self.bridge.wait()).await.expect("it ends").unwrap().code()
    }

    /// Creates tasks, each of which has one child when it completes.
    async fn create(&self, count: usize) {
        let task = json!({"type": "extract", "job": "orders", "info": "?hour=1", "meta": "workflow=main.toml"});
        let answer = self.server.api.post("/api/v1/tasks", &vec![task; count].into()).await;
        assert_eq!(answer.status, 201, "{answer:?}");
    }

    /// Works on all tasks in NSQ until it is dropped.
    fn start_worker(&self) -> tokio::task::JoinHandle<()> {
        let nsqds = Rc::clone(&self.nsqds);
        tokio::task::spawn_local(async move {
            loop {
                for (n, nsqd) in nsqds.iter().enumerate() {
                    while let Some(task) = nsqd.take("extract") {
                        // As a rule to another nsqd than the task came from.
                        nsqds[(n + 1) % nsqds.len()].publish("done", done_of(&task));
                    }
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
    }

    async fn count(&self, query: &str) -> usize {
        let (mut count, mut cursor) = (0, String::new());
        loop {
            let page = self.server.api.get(&format!("/api/v1/tasks?limit=1000&{query}{cursor}")).await.ok();
            count += page["items"].as_array().unwrap().len();
            match page["next"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return count,
            }
        }
    }

    /// Until all tasks ended; then each of them did once, and led to one child.
    async fn until_all_complete(&self, count: usize) {
        until("all results", async || self.count("type=extract&result=complete").await == count).await;
        until("the last messages", async || self.nsqds.iter().all(|nsqd| nsqd.depth("done") == 0)).await;
        assert_eq!(self.count("type=extract").await, count, "no retry: every try has a result, which is the first");
        assert_eq!(self.count("type=load").await, count, "one child each");
        assert!(self.nsqds.iter().all(|nsqd| nsqd.counts().silent == 0), "heartbeats are answered");
    }
}

/// What the Go launcher makes of a task: `id` and `created` as they came, no field that it doesn't know.
fn done_of(task: &[u8]) -> Vec<u8> {
    let task: Value = serde_json::from_slice(task).unwrap();
    let meta = format!("{}&file=f", task["meta"].as_str().unwrap_or_default());
    let kept = ["type", "job", "info", "id", "created"].map(|key| (key, task[key].clone()));
    let mut done: BTreeMap<&str, Value> = kept.into();
    done.extend([
        ("meta", meta.into()),
        ("result", "complete".into()),
        ("msg", "5 rows".into()),
        ("started", "2026-03-02T12:00:00Z".into()),
        ("ended", "2026-03-02T12:00:01Z".into()),
    ]);
    serde_json::to_vec(&done).unwrap()
}

#[actix::test]
async fn tasks_go_out_and_results_come_back_over_several_nsqd() {
    for has_old_form in [false, true] {
        let nsqds: Rc<[FakeNsqd]> = (0..3).map(|_| FakeNsqd::start()).collect();
        let lookupd = FakeLookupd::start(has_old_form);
        let more = format!("lookupd = [{:?}]\nin_flight = 40", lookupd.address());
        let bridged = Bridged::between(nsqds, &more).await;
        bridged.create(100).await;
        bridged.create(100).await;
        let nsqds: Vec<&FakeNsqd> = bridged.nsqds.iter().collect();
        let in_nsq = || nsqds.iter().map(|nsqd| nsqd.depth("extract")).sum::<usize>();
        until("a full topic", async || in_nsq() == 40).await;
        let load = bridged.server.api.get("/api/v1/topics/extract/load").await.ok();
        assert_eq!((load["leased"].clone(), load["ready"].clone()), (json!(40), json!(160)), "no more than in_flight");
        // Known only from now on, as a topic that was never published before.
        lookupd.set_nsqds("done", &nsqds);
        let worker = bridged.start_worker();
        bridged.until_all_complete(200).await;
        worker.abort();
        assert!(nsqds.iter().all(|nsqd| nsqd.counts().published > 0), "each in turn");
        assert!(nsqds.iter().all(|nsqd| nsqd.channels() == ["done/flowlord"]));
    }
}

const STEPS: [NsqdStep; 5] = [
    NsqdStep::PublishArrived,
    NsqdStep::PublishStored,
    NsqdStep::PublishAnswered,
    NsqdStep::MessageSent,
    NsqdStep::FinishArrived,
];

/// Kills a bridge at each step, round after round.
async fn kill_at_each_step(rounds: usize, tasks_a_round: usize) {
    let mut bridged = Bridged::start(2, "files = \"\"").await;
    let worker = bridged.start_worker();
    let kills = STEPS.into_iter().cycle().take(rounds);
    for (n, step) in kills.enumerate() {
        let nsqds = Rc::clone(&bridged.nsqds);
        // Both, since nobody knows which of them the next task goes to.
        nsqds.iter().for_each(|nsqd| nsqd.break_at(step, NsqdFault::Freeze));
        bridged.create(tasks_a_round).await;
        until(&format!("{step:?}"), async || nsqds.iter().any(FakeNsqd::is_frozen)).await;
        bridged.kill_bridge().await;
        nsqds.iter().for_each(FakeNsqd::thaw);
        bridged.restart_bridge();
        if n % STEPS.len() == STEPS.len() - 1 {
            // Tasks that were leased when a bridge died are leased again, at most a few times.
            until("a break", async || bridged.count("type=extract&result=running").await == 0).await;
        }
    }
    bridged.until_all_complete(rounds * tasks_a_round).await;
    worker.abort();
}

#[actix::test]
async fn a_bridge_that_is_killed_at_any_step_loses_nothing() {
    kill_at_each_step(10, 30).await;
}

#[actix::test]
#[ignore = "takes minutes: cargo test -p flowlord --test it bridge -- --ignored"]
async fn a_bridge_that_is_killed_a_hundred_times_loses_nothing() {
    kill_at_each_step(120, 100).await;
}

#[actix::test]
async fn connections_that_are_cut_at_any_step_lose_nothing() {
    let bridged = Bridged::start(2, "files = \"\"").await;
    // Two share the work: results of what one published come through the other.
    let _other = start_bridge(bridged.folder.path(), &bridged.config);
    let worker = bridged.start_worker();
    for step in STEPS {
        bridged.nsqds.iter().for_each(|nsqd| nsqd.break_at(step, NsqdFault::Cut));
        bridged.create(20).await;
        until(&format!("{step:?}"), async || bridged.nsqds.iter().any(|nsqd| !nsqd.has_fault())).await;
    }
    // One of two is down: its messages wait, the other has all that is published meanwhile.
    bridged.nsqds[0].set_down(true);
    let before = bridged.nsqds[1].counts().published;
    bridged.create(20).await;
    until("the other", async || bridged.nsqds[1].counts().published >= before + 20).await;
    bridged.nsqds[0].set_down(false);
    bridged.until_all_complete(120).await;
    worker.abort();
}

#[actix::test]
async fn results_wait_in_nsq_while_the_service_is_away() {
    let mut bridged = Bridged::start(1, "files = \"\"").await;
    bridged.create(50).await;
    let nsqd = &bridged.nsqds[0];
    until("all tasks", async || nsqd.depth("extract") == 50).await;
    signal(bridged.server.pid(), Signal::KILL);
    bridged.server.ended().await;
    let worker = bridged.start_worker();
    until("a result that goes back", async || bridged.nsqds[0].counts().requeued > 0).await;
    assert_eq!((bridged.nsqds[0].counts().finished, bridged.nsqds[0].depth("done")), (0, 50), "not before the answer");
    bridged.server = start_service(bridged.folder.path(), &bridged.address).await;
    bridged.until_all_complete(50).await;
    worker.abort();
}

#[actix::test]
async fn what_the_service_never_takes_is_finished_and_does_not_hold_up_the_rest() {
    let bridged = Bridged::start(1, "").await;
    let (nsqd, api) = (&bridged.nsqds[0], &bridged.server.api);
    let created = "2026-03-02T12:00:00Z";
    let foreign = json!({"type": "adhoc", "info": "i", "id": "chain-1", "created": created, "result": "complete"});
    for body in [
        "no json".to_owned(),
        "[1]".to_owned(),
        json!({"type": "a b", "info": "i", "created": created, "result": "complete"}).to_string(),
        json!({"type": "a", "info": "i", "created": created, "result": "great"}).to_string(),
        foreign.to_string(),
        // The same once more is a duplicate.
        foreign.to_string(),
    ] {
        nsqd.publish("done", body);
    }
    until("answers", async || nsqd.counts().finished == 6).await;
    assert_eq!(nsqd.counts().requeued, 0);
    let recorded = api.tasks("&type=adhoc").await;
    assert_eq!((recorded.len(), &recorded[0]["id"]), (1, &json!("chain-1")), "as another program created it");
}

#[actix::test]
async fn files_are_reported_once_however_often_their_message_comes() {
    let bridged = Bridged::start(1, "").await;
    let (nsqd, api) = (&bridged.nsqds[0], &bridged.server.api);
    nsqd.break_at(NsqdStep::FinishArrived, NsqdFault::Cut);
    nsqd.publish("files", json!({"path": "/in/20260302T050000.csv", "size": 5}).to_string());
    nsqd.publish("files", "no json");
    nsqd.publish("files", json!({"no": "path"}).to_string());
    until("answers", async || nsqd.depth("files") == 0).await;
    let events = api.get("/api/v1/files").await.ok();
    let paths: Vec<_> = events["items"].as_array().unwrap().iter().map(|event| event["path"].clone()).collect();
    assert_eq!(paths.first(), Some(&json!("/in/20260302T050000.csv")));
    assert!(nsqd.counts().delivered > nsqd.counts().finished, "one of them came twice");
    assert!(nsqd.channels().contains(&"files/files-flowlord".to_owned()));
}

#[actix::test]
async fn a_task_that_is_too_large_for_nsqd_becomes_an_alert_and_the_others_are_published() {
    let nsqds: Rc<[FakeNsqd]> = [FakeNsqd::start()].into();
    nsqds[0].set_max_message_bytes(1_000);
    // What waits when the bridge comes is one batch.
    nsqds[0].set_down(true);
    let bridged = Bridged::between(nsqds, "").await;
    bridged.create(5).await;
    for bytes in [2_000, 100_000] {
        let task = json!({"type": "extract", "job": "large", "info": "x".repeat(bytes)});
        bridged.server.api.create(&task).await;
    }
    bridged.create(5).await;
    bridged.nsqds[0].set_down(false);
    let worker = bridged.start_worker();
    until("alerts", async || bridged.count("type=extract&result=alert").await == 2).await;
    until("results", async || bridged.count("type=extract&job=orders&result=complete").await == 10).await;
    let alerts = bridged.server.api.tasks("&type=extract&result=alert").await;
    assert!(alerts.iter().all(|task| task["msg"].as_str().unwrap().contains("-max-msg-size")), "{alerts:?}");
    worker.abort();
}

/// When the leases of all tasks expire, in seconds from now.
async fn lease_seconds(api: &Api) -> Vec<i64> {
    use flowlord_kernel::{Clock as _, SystemClock};
    let leased = api.tasks("&type=extract&state=leased").await;
    let expires = leased.iter().map(|task| task["lease_expires"].as_str().unwrap().parse().unwrap());
    expires.map(|at: chrono::DateTime<chrono::Utc>| (at - SystemClock.now()).num_seconds()).collect()
}

#[actix::test]
async fn published_tasks_are_held_also_when_the_bridge_stops() {
    let mut bridged = Bridged::start(1, "hold = \"2h\"").await;
    bridged.create(10).await;
    until("all tasks", async || bridged.nsqds[0].depth("extract") == 10).await;
    until("held", async || lease_seconds(&bridged.server.api).await.iter().all(|seconds| *seconds > 7_000)).await;
    bridged.create(10).await;
    until("all tasks", async || bridged.nsqds[0].depth("extract") == 20).await;
    bridged.signal_bridge();
    assert_eq!(bridged.bridge_ended().await, Some(0));
    let leases = lease_seconds(&bridged.server.api).await;
    assert!(leases.len() == 20 && leases.iter().all(|seconds| *seconds > 7_000), "{leases:?}");

    // Their results are taken by the next one, which knows nothing of them.
    bridged.restart_bridge();
    let worker = bridged.start_worker();
    bridged.until_all_complete(20).await;
    worker.abort();
}

#[actix::test]
async fn a_second_signal_ends_it_at_once() {
    let mut bridged = Bridged::start(1, "").await;
    bridged.nsqds[0].break_at(NsqdStep::PublishArrived, NsqdFault::Freeze);
    bridged.create(1).await;
    until("a publication", async || bridged.nsqds[0].is_frozen()).await;
    // It waits for nsqd after the first one. Signals that it didn't see yet count as one.
    until("its end", async || {
        let is_over = bridged.bridge.try_wait().unwrap().is_some();
        if !is_over {
            bridged.signal_bridge();
        }
        is_over
    })
    .await;
    assert_eq!(bridged.bridge_ended().await, Some(143));
    bridged.nsqds[0].thaw();
}

#[actix::test]
async fn what_keeps_it_from_starting_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let path: PathBuf = folder.path().join("bridge.toml");
    std::fs::write(&path, "topcis = []").unwrap();
    let bridge = || flowlord(folder.path(), &["bridge", "--config", "bridge.toml"]);
    assert!(refused(bridge()).await.contains("did you mean topics?"));
    std::fs::write(&path, "server = \"flow:80\"").unwrap();
    assert!(refused(bridge()).await.contains("http://"));

    let server = Server::start(folder.path()).await;
    std::fs::write(&path, format!("server = {:?}\ntopics = [\"a\"]\ntoken = \"wrong\"", server.api.base)).unwrap();
    let nsqd = FakeNsqd::start();
    let more = format!("\nnsqd = [{:?}]", nsqd.address());
    std::fs::write(&path, std::fs::read_to_string(&path).unwrap() + &more).unwrap();
    let err = refused(bridge()).await;
    assert!(err.contains("refuses to lease tasks: 401"), "{err}");
}
