//! Tokens of a real service: made at the first start, by the command, and refused when removed.

use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::process::{Server, flowlord, refused, serve};
use crate::support::Api;

async fn run(folder: &std::path::Path, args: &[&str]) -> String {
    let output = flowlord(folder, args).output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[actix::test]
async fn a_closed_service_lets_in_by_token_and_role() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = serve(folder.path());
    command.args(["--auth-required", "true"]);
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let address = lines.next_line().await.unwrap().unwrap();
    let base = address.rsplit(' ').next().unwrap().to_owned();
    let told = lines.next_line().await.unwrap().unwrap();
    let admin = told.strip_prefix("flowlord made an admin token, shown only now: ").unwrap().to_owned();
    let api = Api::new(base.clone());
    assert_eq!(api.get("/api/v1/tasks").await.problem(), (401, "unauthorized"));
    assert_eq!(api.get("/healthz").await.status, 200);
    assert_eq!(api.clone().with_token(&admin).get("/api/v1/tokens").await.status, 200);

    let worker = run(folder.path(), &["token", "add", "etl", "--role", "worker"]).await;
    let working = api.clone().with_token(&worker);
    working.create(&json!({"type": "a", "info": "x"})).await;
    assert!(working.lease("a").await.is_some());
    assert_eq!(working.get("/api/v1/tasks").await.problem(), (403, "forbidden"));
    let twice = refused(flowlord(folder.path(), &["token", "add", "etl", "--role", "worker"])).await;
    assert!(twice.contains("there is already a token named etl"), "{twice}");
    let from_afar = ["token", "list", "--server", &base, "--token", &admin];
    let listed = run(folder.path(), &from_afar).await;
    assert!(listed.contains("admin  admin") && listed.contains("etl  worker"), "{listed}");
    let push = run(folder.path(), &["token", "add", "pubsub", "--role", "push"]).await;
    let done = json!({"type": "a", "info": "x", "created": "2026-03-02T11:00:00Z", "result": "complete"});
    let taken = api.post(&format!("/hooks/{push}/results"), &done).await.ok();
    assert_eq!((&taken["accepted"], &taken["rejected"]), (&json!(1), &json!([])));
    let told = api.post(&format!("/hooks/{push}/files"), &json!({"path": "/in/a.csv"})).await.ok();
    assert_eq!(told["path"], "/in/a.csv");
    let in_a_header = api.clone().with_token(&push).post("/api/v1/results", &done).await;
    assert_eq!(in_a_header.problem(), (403, "forbidden"));
    let of_a_worker = api.post(&format!("/hooks/{worker}/results"), &done).await;
    assert_eq!(of_a_worker.problem(), (403, "forbidden"));
    run(folder.path(), &["snapshot", "--data", "data"]).await;
    run(folder.path(), &["token", "remove", "etl"]).await;
    let gone =
        async { while working.try_post("/api/v1/lease", &json!({"topics": ["a"]})).await.unwrap().status != 401 {} };
    tokio::time::timeout(std::time::Duration::from_secs(60), gone).await.expect("refused soon");
    child.kill().await.unwrap();

    let mut command = serve(folder.path());
    command.args(["--auth-required", "true"]);
    let again = Server::of(command).await;
    let known = again.api.clone().with_token(&admin).get("/api/v1/tokens").await;
    assert_eq!(known.status, 200, "the token lives on: {known:?}");
    again.kill().await;
    let none = refused(flowlord(folder.path(), &["token", "list", "--data", "nowhere"])).await;
    assert!(none.contains("no service runs on nowhere"), "{none}");
}
