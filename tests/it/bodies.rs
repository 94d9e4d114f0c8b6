//! Requests that can't be: too large, no JSON, unknown paths and methods.

use reqwest::Method;
use serde_json::json;

use crate::support::TestApp;

#[actix::test]
async fn bodies_have_limits_and_must_be_json() {
    let app = TestApp::start().await;
    let post = |path: &'static str, body: String| {
        let api = app.api.clone();
        async move { api.send(Method::POST, path, "application/json", body).await.unwrap() }
    };
    let exactly = |size: usize| {
        let frame = json!({"type": "a", "info": ""}).to_string().len();
        json!({"type": "a", "info": "x".repeat(size - frame)}).to_string()
    };
    const MIB: usize = 1024 * 1024;
    assert_eq!(post("/api/v1/tasks", exactly(MIB)).await.status, 201);
    assert_eq!(post("/api/v1/tasks", exactly(MIB + 1)).await.problem(), (413, "body_too_large"));
    let results = format!("[{}]", " ".repeat(2 * MIB));
    assert_eq!(post("/api/v1/results", results).await.status, 200, "results may be larger");
    let results = format!("[{}]", " ".repeat(8 * MIB));
    assert_eq!(post("/api/v1/results", results).await.problem(), (413, "body_too_large"));
    app.api.create(&json!({"type": "b", "info": "i"})).await;
    let leased = app.api.lease("b").await.unwrap();
    let result = |size: usize| json!({"result": "complete", "msg": "x".repeat(size)});
    let refused = app.api.result(&leased.lease, &result(8 * MIB)).await;
    assert_eq!(refused.problem(), (413, "body_too_large"));
    assert_eq!(app.api.result(&leased.lease, &result(2 * MIB)).await.status, 200, "as large as many may be");
    for body in ["", "{", "[1,", "nonsense", "{\"topics\": \"a\"}"] {
        let answer = post("/api/v1/lease", body.to_owned()).await;
        assert_eq!(answer.problem().0, 400, "{body:?}");
    }
    app.stop().await;
}

#[actix::test]
async fn unknown_paths_methods_and_things_are_problems() {
    let app = TestApp::start().await;
    for (path, code) in [
        ("/nowhere", "not_found"),
        ("/api/v1/nothing", "not_found"),
        ("/api/v1/tasks/060a24181e4000", "task_unknown"),
        ("/api/v1/chains/none", "chain_unknown"),
        ("/api/v1/workflows/none.toml", "workflow_unknown"),
    ] {
        assert_eq!(app.api.get(path).await.problem(), (404, code), "{path}");
    }
    assert_eq!(app.api.get("/api/v1/lease").await.problem(), (405, "method_not_allowed"));
    for query in ["date=yesterday", "limit=0", "result=fine", "state=gone", "cursor=x", "order=up", "from=x"] {
        let answer = app.api.get(&format!("/api/v1/tasks?{query}")).await;
        assert_eq!(answer.problem().0, 400, "{query}");
    }
    app.stop().await;
}

#[actix::test]
async fn tasks_are_created_alone_in_lists_later_and_once_by_key() {
    let app = TestApp::start().await;
    let two = json!([{"type": "a", "info": "1"}, {"type": "a", "info": "2", "not_before": "2026-03-02T12:10:00Z"}]);
    let created = app.api.post("/api/v1/tasks", &two).await;
    assert_eq!(created.status, 201);
    let tasks = app.api.tasks("&type=a").await;
    assert_eq!(tasks.iter().map(|task| task["state"].clone()).collect::<Vec<_>>(), ["ready", "delayed"]);
    assert_ne!(tasks[0]["created"], tasks[1]["created"], "created tells attempts apart");
    app.pass(chrono::TimeDelta::minutes(10)).await;
    assert_eq!(app.api.tasks("&state=ready").await.len(), 2);
    for bad in [
        json!({"info": "i"}),
        json!({"type": "a"}),
        json!({"type": "a b", "info": "i"}),
        json!(5),
        json!([{"type": "a", "info": "i"}, {}]),
    ] {
        assert_eq!(app.api.post("/api/v1/tasks", &bad).await.problem().0, 400, "{bad}");
    }
    assert_eq!(app.api.tasks("").await.len(), 2, "a list is created whole or not at all");
    app.stop().await;
}

#[actix::test]
async fn pages_of_tasks_follow_each_other_without_gap_or_double() {
    let app = TestApp::start().await;
    for n in 0..25 {
        app.api.create(&json!({"type": "a", "info": n.to_string()})).await;
    }
    let mut seen = Vec::new();
    let mut path = "/api/v1/tasks?limit=10".to_owned();
    loop {
        let page = app.api.get(&path).await.ok();
        seen.extend(page["items"].as_array().unwrap().iter().map(|task| task["info"].as_str().unwrap().to_owned()));
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/api/v1/tasks?limit=10&cursor={next}");
    }
    let newest_first: Vec<_> = (0..25).rev().map(|n| n.to_string()).collect();
    assert_eq!(seen, newest_first);
    app.stop().await;
}
