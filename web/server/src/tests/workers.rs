//! Workers, queues, and why tasks wait.

use chrono::TimeDelta;
use flowlord_domain::{Attempt, TaskState};
use flowlord_kernel::{Code, Error};
use flowlord_messages::leases::{LastAsked, SeenWorker, TopicFilter, WorkerLeases};
use flowlord_messages::results::WorkerResults;
use flowlord_messages::schedule::PausedPhase;
use flowlord_messages::stats::{QueueBacklog, QueueLoad};
use flowlord_messages::tasks::TaskPage;
use serde_json::{Value, json};

use super::pages::assert_strict;
use super::stub::{Stub, attempt, noon};

pub(super) fn seen_worker(name: &str, topics: &[&str]) -> SeenWorker {
    let filter = |text: &&str| match text.split_once(':') {
        Some((topic, job)) => TopicFilter { topic: topic.to_owned(), job: Some(job.to_owned()) },
        None => TopicFilter { topic: (*text).to_owned(), job: None },
    };
    let topics = topics.iter().map(filter).collect();
    SeenWorker {
        name: name.to_owned(),
        topics,
        asked: noon() - TimeDelta::minutes(1),
        address: Some([10, 0, 0, 7].into()),
    }
}

fn queue(topic: &str, job: &str, ready: u64) -> QueueLoad {
    let oldest_ready = (ready > 0).then(|| noon() - TimeDelta::minutes(10));
    QueueLoad { topic: topic.to_owned(), job: job.to_owned(), ready, oldest_ready, ..QueueLoad::default() }
}

fn held(worker: &str) -> WorkerLeases {
    let (topic, job) = ("load".to_owned(), "daily".to_owned());
    WorkerLeases { worker: worker.to_owned(), topic, job, leased: 2, last_beat: Some(noon()) }
}

fn busy() -> Stub {
    let stub = Stub::default();
    stub.workers(|_| Ok(vec![seen_worker("w2", &["load:daily", "idle"]), seen_worker("w1", &["load"])]));
    stub.worker_leases(|_| Ok(vec![held("w1"), held("<old>")]));
    stub.worker_results(|_| Ok(vec![WorkerResults { worker: "w1".to_owned(), done: 40, errors: 3 }]));
    stub.backlog(|_| {
        let queues = vec![queue("load", "daily", 3), queue("load", "hourly", 0), queue("stuck", "", 7)];
        Ok(QueueBacklog { queues, messages: 0 })
    });
    stub
}

#[actix::test]
async fn a_worker_is_what_it_asked_for_holds_and_did() {
    let stub = busy();
    let list = stub.get("/api/v1/workers").await.json();
    let old = json!({
        "worker": "<old>", "topics": [], "last_seen": "2026-03-02T12:00:00Z", "leased": 2, "done_last_hour": 0,
        "errors_last_hour": 0, "address": null,
    });
    let first = json!({
        "worker": "w1", "topics": ["load"], "last_seen": "2026-03-02T12:00:00Z", "leased": 2, "done_last_hour": 40,
        "errors_last_hour": 3, "address": "10.0.0.7",
    });
    let second = json!({
        "worker": "w2", "topics": ["load:daily", "idle"], "last_seen": "2026-03-02T11:59:00Z", "leased": 0,
        "done_last_hour": 0, "errors_last_hour": 0, "address": "10.0.0.7",
    });
    assert_eq!(list, json!({"items": [old, first, second], "next": null}));
    let page = stub.get("/api/v1/workers?limit=1&cursor=%3Cold%3E").await.json();
    assert_eq!((&page["items"][0]["worker"], &page["next"]), (&json!("w1"), &json!("w1")));
}

#[actix::test]
async fn queues_have_their_workers_and_topics_that_are_only_asked_for_are_listed() {
    let stub = busy();
    let list = stub.get("/api/v1/queues").await.json();
    let figures = |queue: &Value| {
        let of = |key: &str| queue[key].clone();
        (of("topic"), of("job"), of("ready"), of("workers"), !of("oldest_ready").is_null())
    };
    let rows: Vec<_> = list["items"].as_array().unwrap().iter().map(figures).collect();
    let row = |topic: &str, job: &str, ready: u64, workers: u64, has_oldest| {
        (json!(topic), json!(job), json!(ready), json!(workers), has_oldest)
    };
    let load = [row("load", "daily", 3, 2, true), row("load", "hourly", 0, 1, false)];
    assert_eq!(rows[1..], [&load[..], &[row("stuck", "", 7, 0, true)]].concat());
    assert_eq!(rows[0], row("idle", "", 0, 1, false));
    let page = stub.get("/api/v1/queues?limit=2&cursor=idle:").await.json();
    assert_eq!((&page["items"][1]["job"], &page["next"]), (&json!("hourly"), &json!("load:hourly")));
}

#[actix::test]
async fn the_page_shows_first_what_nobody_takes() {
    let stub = busy();
    let page = stub.get("/web/workers").await;
    assert_strict(&page.text);
    let at = |text: &str| page.text.find(text).unwrap_or_else(|| panic!("{text} in {}", page.text));
    assert!(at("id=\"q-stuck\"") < at("id=\"q-load:daily\""));
    assert!(page.text.contains("no worker") && page.text.contains("10.0.0.7") && !page.text.contains("<old>"));
    stub.workers(|_| Ok(Vec::new()));
    stub.worker_leases(|_| Ok(Vec::new()));
    stub.worker_results(|_| Ok(Vec::new()));
    stub.backlog(|_| Ok(QueueBacklog::default()));
    let page = stub.get("/web/workers").await;
    assert!(page.text.contains("No worker has asked for tasks") && page.text.contains("No task waits or runs"));
}

fn waiting_tasks() -> Vec<Attempt> {
    let ready = Attempt { state: TaskState::Ready, topic: "load".to_owned(), job: "daily".to_owned(), ..attempt(1) };
    let lonely = Attempt { topic: "sql".to_owned(), job: String::new(), ..ready.clone() };
    let workflow = "main.toml".to_owned();
    let held =
        Attempt { state: TaskState::Delayed, workflow, topic: "paused".to_owned(), job: String::new(), ..attempt(2) };
    let done = Attempt { state: TaskState::Done, ..attempt(3) };
    vec![ready, lonely, held, done]
}

fn with_waiting_tasks() -> Stub {
    let stub = busy();
    stub.last_asked(|ask| {
        let asked: Vec<_> = ask.queues.iter().map(|(topic, _)| (topic == "load").then(noon)).collect();
        let blocks = vec![None; asked.len()];
        Ok(LastAsked { known_since: noon() - TimeDelta::hours(1), asked, blocks })
    });
    let paused = || PausedPhase { workflow: "main.toml".to_owned(), task: "paused".to_owned(), since: noon() };
    stub.paused(move |_| Ok(vec![paused()]));
    stub.find_tasks(|_| Ok(TaskPage { tasks: waiting_tasks(), ..TaskPage::default() }));
    stub
}

#[actix::test]
async fn a_task_says_why_it_waits() {
    let stub = with_waiting_tasks();
    let list = stub.get("/api/v1/tasks").await.json();
    let texts: Vec<_> = list["items"].as_array().unwrap().iter().map(|task| task["waiting"]["text"].clone()).collect();
    let no_worker = "No worker has asked for `sql` since the service started at 11:00 UTC";
    let expected = [
        json!("Waits for a free worker: 4 tasks of this topic and job are at work"),
        json!(no_worker),
        json!("Its phase is paused since 12:00 UTC"),
        Value::Null,
    ];
    assert_eq!(texts, expected);
    let page = stub.get("/web/task").await.text;
    assert!(page.contains("the service started at 11:00 UTC"), "{page}");
    stub.attempts(|_| Ok(vec![Some(waiting_tasks().remove(1))]));
    let one = stub.get("/api/v1/tasks/064c0953867001").await.json();
    assert_eq!((&one["waiting"]["reason"], &one["waiting"]["text"]), (&json!("no_worker"), &json!(no_worker)));
}

#[actix::test]
async fn what_is_not_known_of_the_workers_leaves_the_list_whole() {
    let stub = with_waiting_tasks();
    stub.last_asked(|_| Err(Error::new(Code::NotLeader, "this node follows")));
    stub.paused(|_| Err(Error::new(Code::Storage, "gone")));
    let list = stub.get("/api/v1/tasks").await.json();
    assert_eq!(list["items"][1]["waiting"]["text"], "Waits for a worker");
    assert_eq!(list["items"][2]["waiting"]["reason"], "paused");
}
