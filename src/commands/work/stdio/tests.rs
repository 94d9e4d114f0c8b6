//! A slot with workers that are shell scripts, against a service that answers as told.

use serde_json::json;
use tokio::sync::watch;

use super::super::slot::{StopMode, run_worker_slot};
use super::super::tests::{Fake, SHORT, accepted, alive, fake, run_slot, task};
use super::super::worker::WorkMode;
use super::*;

const PATIENCE: Duration = Duration::from_secs(30);

/// Answers a task as a launcher does, with its type first; the message has the number of the task.
const ANSWERS: &str = r#"answer() { n=$((n + 1)); task=${task#?}; echo "{\"type\":\"a\",${task%\}},\"result\":\"$1\",\"msg\":\"$2 $n\"}"; }"#;

fn leased() -> (u16, Value) {
    (200, json!({ "tasks": [task()] }))
}

fn leased_with(info: &str) -> (u16, Value) {
    let (_, mut leased) = leased();
    leased["tasks"][0]["task"]["info"] = json!(info);
    (200, leased)
}

fn stdio_worker(fake: &Fake, script: &str) -> Rc<CommandWorker> {
    fake.worker_for(WorkMode::Stdio, &["sh", "-c", &format!("{ANSWERS}\n{script}")])
}

fn results(seen: &[(String, Value)]) -> Vec<Value> {
    seen.iter().filter(|(path, _)| path == "result").map(|(_, body)| body.clone()).collect()
}

/// Runs a slot until so many results were posted.
async fn run_until_results(
    fake: &mut Fake,
    worker: Rc<CommandWorker>,
    count: usize,
) -> (Vec<(String, Value)>, anyhow::Result<()>) {
    let (send, stopped) = watch::channel(StopMode::No);
    let slot = run_worker_slot(worker, stopped);
    let asks = async {
        let mut seen = Vec::new();
        while results(&seen).len() < count {
            seen.push(fake.next().await);
        }
        send.send_replace(StopMode::AfterTheTask);
        seen
    };
    let (done, seen) = timeout(PATIENCE, async { tokio::join!(slot, asks) }).await.expect("it ends");
    (seen, done)
}

async fn run(fake: &mut Fake, script: &str, count: usize) -> (Vec<Value>, anyhow::Result<()>) {
    let worker = stdio_worker(fake, script);
    let local = tokio::task::LocalSet::new();
    let (seen, done) = local.run_until(run_until_results(fake, worker, count)).await;
    (results(&seen), done)
}

#[tokio::test]
async fn one_process_answers_one_task_after_the_other() {
    let mut fake = fake(vec![leased(), accepted(), leased(), accepted()], alive());
    let script = "while read -r task; do echo working; printf '50%%'; answer complete done; done";
    let (results, done) = run(&mut fake, script, 2).await;
    done.unwrap();
    let expected = [1, 2].map(|n| json!({ "result": "complete", "msg": format!("done {n}") }));
    assert_eq!(results, expected);
}

#[tokio::test]
async fn stats_of_files_are_reported_before_the_answer_until_the_service_has_them() {
    let file = (200, json!({}));
    let away = (503, json!({ "code": "stopping", "detail": "" }));
    let mut fake = fake(vec![leased(), away, file, accepted()], alive());
    let script = r#"read -r task; echo '{"path":"/out/a.gz","checksum":"c1"}'; answer warn empty; read -r task"#;
    let worker = stdio_worker(&fake, script);
    let (seen, done) = tokio::task::LocalSet::new().run_until(run_until_results(&mut fake, worker, 1)).await;
    done.unwrap();
    let stats = ("files".to_owned(), json!({ "path": "/out/a.gz", "checksum": "c1" }));
    let result = ("result".to_owned(), json!({ "result": "warn", "msg": "empty 1" }));
    assert_eq!(seen[1..], [stats.clone(), stats, result]);
}

#[tokio::test]
async fn a_task_that_is_too_long_for_a_worker_is_an_alert_and_never_sent() {
    let long = "x".repeat(MAX_TASK_BYTES);
    let mut fake = fake(vec![leased_with(&long), accepted(), leased(), accepted()], alive());
    let (results, done) = run(&mut fake, "while read -r task; do answer complete done; done", 2).await;
    done.unwrap();
    assert_eq!(results[0]["result"], "alert");
    assert!(results[0]["msg"].as_str().unwrap().contains("reads at most 65000"), "{}", results[0]);
    assert_eq!(results[1]["msg"], "done 1", "the process got one task");
}

#[tokio::test]
async fn a_worker_that_ends_without_an_answer_is_an_error_and_another_takes_the_next_task() {
    let mut fake = fake(vec![leased(), accepted(), leased_with("good"), accepted()], alive());
    let script = r#"while read -r task; do case $task in *good*) answer complete done;; *) echo "no database" >&2; exit 0; esac; done"#;
    let (results, done) = run(&mut fake, script, 2).await;
    done.unwrap();
    let msg = "the worker ended (exit 0) without an answer: no database";
    assert_eq!(results, [json!({ "result": "error", "msg": msg }), json!({ "result": "complete", "msg": "done 1" })]);
}

#[tokio::test]
async fn a_worker_that_ends_with_every_task_ends_the_command() {
    let answers = (0..MAX_ENDS_IN_A_ROW).flat_map(|_| [leased(), accepted()]).collect();
    let mut fake = fake(answers, alive());
    let (results, done) = run(&mut fake, "read -r task; kill -9 $$", usize::from(MAX_ENDS_IN_A_ROW)).await;
    assert!(results.iter().all(|result| result["msg"].as_str().unwrap().contains("(signal 9)")), "{results:?}");
    let err = done.unwrap_err().to_string();
    assert!(err.contains("ended 5 times in a row"), "{err}");
}

#[tokio::test]
async fn a_worker_that_ends_between_two_tasks_costs_none() {
    let fake = fake(vec![accepted(), accepted()], alive());
    let worker = stdio_worker(&fake, "read -r task; answer complete done");
    let granted: GrantedTask = serde_json::from_value(task()).unwrap();
    let tasks = async {
        let mut slot = StdioSlot::start(&worker).await.unwrap();
        slot.run_task(&granted).await.unwrap();
        while slot.process.is_some() {
            let _ = timeout(Duration::from_millis(2), slot.drain()).await;
        }
        slot.run_task(&granted).await.unwrap();
        slot.ends_in_a_row
    };
    let ends = tokio::task::LocalSet::new().run_until(timeout(PATIENCE, tasks)).await.expect("both are answered");
    assert_eq!(ends, 0);
}

#[tokio::test]
async fn a_cancelled_task_asks_its_worker_to_end_and_is_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ended");
    let mut fake = fake(vec![leased(), accepted()], (200, json!({ "expires": "x", "cancel": true })));
    let script = format!(
        "trap 'answer error interrupted; echo > {}; exit 0' TERM; read -r task; while :; do sleep 0.01; done",
        file.display()
    );
    let mut worker = stdio_worker(&fake, &script);
    Rc::get_mut(&mut worker).unwrap().wanted.lease = SHORT.into();
    let local = tokio::task::LocalSet::new();
    let (seen, done) = local.run_until(run_until_results(&mut fake, worker, 1)).await;
    done.unwrap();
    assert_eq!(results(&seen), [json!({ "result": "warn", "msg": "cancelled" })]);
    assert!(file.exists(), "the worker ended before the result was posted");
}

#[tokio::test]
async fn the_first_signal_waits_for_the_answer_and_ends_the_workers_input() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ended");
    let mut fake = fake(vec![leased(), accepted()], alive());
    let script = format!("while read -r task; do answer complete done; done; echo > {}", file.display());
    let worker = stdio_worker(&fake, &script);
    let slot = run_slot(&mut fake, worker, StopMode::AfterTheTask, "result");
    let (_, done) = tokio::task::LocalSet::new().run_until(slot).await;
    done.unwrap();
    assert!(file.exists());
}

#[tokio::test]
async fn the_second_signal_asks_the_worker_to_end_and_releases_its_task() {
    let folder = tempfile::tempdir().unwrap();
    let (begun, ended) = (folder.path().join("begun"), folder.path().join("ended"));
    let mut fake = fake(vec![leased(), (200, json!({}))], alive());
    let script = format!(
        "trap 'answer error interrupted; echo > {}; exit 0' TERM; read -r task; echo > {}; while :; do sleep 0.01; done",
        ended.display(),
        begun.display()
    );
    let worker = stdio_worker(&fake, &script);
    let (send, stopped) = watch::channel(StopMode::No);
    let stop = async {
        while !begun.exists() {
            sleep(Duration::from_millis(2)).await;
        }
        send.send_replace(StopMode::AtOnce);
    };
    let both = async { tokio::join!(run_worker_slot(worker, stopped), stop) };
    let (done, ()) = tokio::task::LocalSet::new().run_until(timeout(PATIENCE, both)).await.expect("it ends");
    done.unwrap();
    assert!(ended.exists());
    assert_eq!(fake.next().await.0, "lease");
    assert_eq!(fake.next().await, ("release".to_owned(), json!({ "delay": "0s" })));
}

#[tokio::test]
async fn a_worker_that_is_not_there_ends_the_command_before_it_leases_anything() {
    let mut fake = fake(vec![leased()], alive());
    let worker = fake.worker_for(WorkMode::Stdio, &["/is/not/there"]);
    let (_stop, stopped) = watch::channel(StopMode::No);
    let err = tokio::task::LocalSet::new().run_until(run_worker_slot(worker, stopped)).await.unwrap_err();
    assert!(err.to_string().contains("/is/not/there can't be started"), "{err}");
    assert!(fake.asked.try_recv().is_err());
}

#[test]
fn a_file_keeps_its_key_where_its_stats_tell_versions_apart() {
    let key = |stats: Value| FileReport::new(stats).key;
    assert_eq!(key(json!({ "path": "/a", "checksum": "c", "created": "2024-01-15" })), "c2024-01-15");
    let unknown = json!({ "path": "/a" });
    assert_ne!(key(unknown.clone()), key(unknown));
    assert_eq!(key(json!({ "path": "/a", "checksum": "ü" })).len(), 32, "what no header can hold");
}
