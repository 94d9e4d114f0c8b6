//! Server-sent events of the whole program: what workers do is told to those who look on.

use chrono::TimeDelta;
use reqwest::Response;
use serde_json::{Value, json};

use crate::support::TestApp;

/// One who looks on.
struct Listener {
    response: Response,
    text: String,
}

impl Listener {
    async fn of(test: &TestApp, query: &str, last: &str) -> Self {
        let response = test.api.open(&format!("/api/v1/events{query}"), last).await;
        let mut listener = Self { response, text: String::new() };
        assert!(listener.block().await.starts_with("retry: "));
        listener
    }

    async fn block(&mut self) -> String {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.text = rest;
                return block;
            }
            match self.response.chunk().await.unwrap() {
                Some(chunk) => self.text.push_str(std::str::from_utf8(&chunk).unwrap()),
                None => return "end".to_owned(),
            }
        }
    }

    /// The next event: id, kind, data. Heartbeats are passed over.
    async fn next(&mut self) -> (String, String, Value) {
        loop {
            let block = self.block().await;
            let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
            if let (Some(id), Some(kind), Some(data)) = (field("id: "), field("event: "), field("data: ")) {
                return (id, kind, serde_json::from_str(&data).unwrap());
            }
            assert_eq!(block, ":");
        }
    }
}

#[actix::test]
async fn a_task_is_followed_from_its_creation_to_its_end() {
    let test = TestApp::start().await;
    let mut listener = Listener::of(&test, "?kind=task,counts", "").await;
    let task = test.api.create(&json!({"type": "a", "info": "x"})).await;
    let (_, kind, told) = listener.next().await;
    assert_eq!((kind.as_str(), &told), ("task", &task));
    let (_, kind, counts) = listener.next().await;
    assert_eq!((kind.as_str(), &counts["totals"]["running"]), ("counts", &json!(1)));

    let leased = test.api.lease("a").await.unwrap();
    test.pass(TimeDelta::seconds(1)).await;
    let (_, _, told) = listener.next().await;
    assert_eq!((&told["state"], &told["worker"]), (&json!("leased"), &json!("w1")));
    listener.next().await;
    let beat = json!({"progress": 0.5, "msg": "half"});
    test.api.post(&format!("/api/v1/lease/{}/heartbeat", leased.lease), &beat).await.ok();
    test.pass(TimeDelta::seconds(1)).await;
    assert_eq!(listener.next().await.2["progress"], json!(0.5));
    listener.next().await;
    test.api.complete(&leased.lease, "rows=1").await;
    test.pass(TimeDelta::seconds(1)).await;
    let (seen, _, told) = listener.next().await;
    assert_eq!((&told["result"], &told["state"]), (&json!("complete"), &json!("done")));

    // The line is cut; what happens meanwhile isn't missed.
    drop(listener);
    test.pass(TimeDelta::seconds(1)).await;
    test.api.create(&json!({"type": "b", "info": "y"})).await;
    test.pass(TimeDelta::seconds(1)).await;
    let mut back = Listener::of(&test, "?kind=task", &seen).await;
    assert_eq!(back.next().await.2["type"], json!("b"));

    // Much at once is counted.
    let many: Vec<Value> = (0..500).map(|n| json!({"type": "many", "info": format!("{n}")})).collect();
    let mut counting = Listener::of(&test, "?kind=tasks", "").await;
    test.api.post("/api/v1/tasks", &json!(many)).await.ok();
    test.pass(TimeDelta::seconds(1)).await;
    let (_, kind, told) = counting.next().await;
    assert_eq!((kind.as_str(), told), ("tasks", json!({"changed": 500})));
    test.stop().await;
    assert_eq!(back.block().await, "end");
}

#[actix::test]
async fn alerts_workflows_files_and_backloads_are_told() {
    let test = TestApp::start().await;
    let mut listener = Listener::of(&test, "?kind=alert,workflow,file,backload,incident", "").await;
    test.api.create(&json!({"type": "a", "info": "x"})).await;
    let leased = test.api.lease("a").await.unwrap();
    test.api.result(&leased.lease, &json!({"result": "alert", "msg": "no disk"})).await.ok();
    test.pass(TimeDelta::seconds(1)).await;
    let (_, kind, told) = listener.next().await;
    assert_eq!((kind.as_str(), &told["msg"], &told["type"]), ("alert", &json!("no disk"), &json!("a")));

    std::fs::write(test.workflow_path("more.toml"), "[[phase]]\ntask = \"b\"\ntemplate = \"{yyyy}\"\n").unwrap();
    test.api.post("/api/v1/workflows/refresh", &json!({})).await.ok();
    test.pass(TimeDelta::seconds(1)).await;
    let mut seen = Vec::new();
    loop {
        let (_, kind, told) = listener.next().await;
        seen.push(kind.clone());
        if kind == "workflow" {
            assert_eq!(told, json!({"file": "more.toml"}));
            break;
        }
    }
    test.api.post("/api/v1/files", &json!({"path": "/in/a.csv", "size": 1})).await.ok();
    test.pass(TimeDelta::seconds(1)).await;
    let range = json!({"task": "b", "by": "hour", "from": "2026-01-01T00", "to": "2026-01-01T03", "execute": true});
    test.api.post("/api/v1/backload", &range).await.ok();
    test.pass(TimeDelta::seconds(1)).await;
    loop {
        let (_, kind, told) = listener.next().await;
        seen.push(kind.clone());
        if kind == "backload" && told["state"] == "done" {
            assert_eq!((&told["created"], &told["count"]), (&json!(4), &json!(4)));
            break;
        }
    }
    assert!(seen.iter().any(|kind| kind == "file"), "{seen:?}");
    test.api.post("/api/v1/snapshots", &json!({})).await.ok();
    let mut snapshots = Listener::of(&test, "?kind=snapshot", "").await;
    // A snapshot is named by its time, and only the test lets that pass.
    test.pass(TimeDelta::seconds(1)).await;
    test.api.post("/api/v1/snapshots", &json!({})).await.ok();
    test.pass(TimeDelta::seconds(1)).await;
    assert_eq!(snapshots.next().await.1, "snapshot");
    test.stop().await;
}
