//! Ten thousand connections that ask for nothing keep nobody else from being answered.

use std::net::TcpStream;

use rustix::process::{Resource, getrlimit};
use serde_json::json;

use crate::process::{Server, serve};

/// As many as the machine lets two processes have, up to ten thousand.
fn crowd() -> usize {
    let files = getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
    usize::try_from(files).unwrap_or(usize::MAX).saturating_sub(1_000).min(10_000)
}

#[actix::test]
async fn idle_connections_keep_nobody_out() {
    let crowd = crowd();
    let limit = getrlimit(Resource::Nofile);
    rustix::process::setrlimit(
        Resource::Nofile,
        rustix::process::Rlimit { current: limit.maximum, maximum: limit.maximum },
    )
    .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut command = serve(folder.path());
    command.args(["--limits-connections", &(crowd + 100).to_string()]);
    let server = Server::of(command).await;
    let address = server.api.base.trim_start_matches("http://").to_owned();
    let idle: Vec<TcpStream> = (0..crowd).map(|_| TcpStream::connect(&address).unwrap()).collect();
    server.api.create(&json!({"type": "a", "info": "x"})).await;
    let leased = server.api.lease("a").await.expect("a task");
    server.api.complete(&leased.lease, "").await;
    assert_eq!(server.api.get("/readyz").await.status, 200);
    drop(idle);
    server.kill().await;
}

#[actix::test]
async fn more_connections_than_allowed_are_refused_but_health_is_answered() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = serve(folder.path());
    command.args(["--limits-connections", "10"]);
    let server = Server::of(command).await;
    let address = server.api.base.trim_start_matches("http://").to_owned();
    let crowd: Vec<TcpStream> = (0..40).map(|_| TcpStream::connect(&address).unwrap()).collect();
    // Connections are counted when they are accepted, which takes a moment.
    let refused = loop {
        let answer = server.api.get("/api/v1/tasks").await;
        if answer.status != 200 {
            break answer;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(refused.problem(), (503, "busy"));
    assert!(refused.json["detail"].as_str().unwrap().contains("limits.connections"), "{refused:?}");
    assert_eq!(server.api.get("/healthz").await.status, 200);
    drop(crowd);
    let again = async { while server.api.get("/api/v1/tasks").await.status != 200 {} };
    tokio::time::timeout(std::time::Duration::from_secs(60), again).await.expect("room again");
    server.kill().await;
}

#[actix::test]
async fn long_polls_of_one_caller_are_bounded_and_others_wait_on() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = serve(folder.path());
    command.args(["--limits-long-polls", "2"]);
    let server = Server::of(command).await;
    let wanted = json!({"topics": ["a"], "worker": "w", "wait": "50s"});
    let wait = || {
        let (api, wanted) = (server.api.clone(), wanted.clone());
        tokio::task::spawn_local(async move {
            loop {
                // The third one below may be there before.
                let answer = api.post("/api/v1/lease", &wanted).await;
                if answer.status != 429 {
                    return answer;
                }
            }
        })
    };
    let waiting = [wait(), wait()];
    let refused = loop {
        // Comes back at once when two wait already, and joins them as long as they are on their way.
        let third = json!({"topics": ["a"], "worker": "w", "wait": "100ms"});
        let answer = server.api.post("/api/v1/lease", &third).await;
        if answer.status != 200 {
            break answer;
        }
    };
    assert_eq!(refused.problem(), (429, "too_many_requests"));
    assert_eq!(refused.retry_after.as_deref(), Some("1"));
    let at_once = server.api.post("/api/v1/lease", &json!({"topics": ["a"], "worker": "w"})).await;
    assert_eq!(at_once.status, 200, "who doesn't wait takes no room");
    for _ in 0..2 {
        server.api.create(&json!({"type": "a", "info": "x"})).await;
    }
    for waiting in waiting {
        assert_eq!(waiting.await.unwrap().ok()["tasks"].as_array().unwrap().len(), 1);
    }
    server.kill().await;
}
