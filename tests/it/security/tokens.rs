//! A token is stored as a hash, and what is answered to a wrong one says nothing about the right one.

use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::process::serve;
use crate::support::Api;

#[actix::test]
async fn tokens_are_hashes_on_disk_and_wrong_ones_all_look_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = serve(folder.path());
    command.args(["--auth-required", "true"]);
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let address = lines.next_line().await.unwrap().unwrap();
    let admin = lines.next_line().await.unwrap().unwrap().rsplit(' ').next().unwrap().to_owned();
    let api = Api::new(address.rsplit(' ').next().unwrap().to_owned());
    let (by_admin, wanted) = (api.clone().with_token(&admin), json!({"name": "etl", "role": "worker"}));
    let made = by_admin.post("/api/v1/tokens", &wanted).await.ok()["token"].as_str().unwrap().to_owned();

    // Wrong in its first, its last, or every place: looked up by its hash, so no part of it is compared.
    let wrong = [format!("x{}", &made[1..]), format!("{}x", &made[..made.len() - 1]), "nonsense".to_owned()];
    let mut answers = Vec::new();
    for token in wrong {
        let answer = api.clone().with_token(&token).get("/api/v1/tasks").await;
        assert_eq!(answer.problem(), (401, "unauthorized"));
        answers.push(answer.json["detail"].clone());
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");

    for entry in std::fs::read_dir(folder.path().join("data")).unwrap() {
        let path = entry.unwrap().path();
        // The one for programs of this machine, which only its owner reads.
        if path.is_dir() || path.ends_with("service.json") {
            continue;
        }
        let bytes = std::fs::read(&path).unwrap();
        for token in [&made, &admin] {
            let found = bytes.windows(token.len()).any(|window| window == token.as_bytes());
            assert!(!found, "{} holds a token", path.display());
        }
    }
    child.kill().await.unwrap();
}

#[actix::test]
async fn the_eleventh_wrong_token_of_a_minute_hears_429() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = serve(folder.path());
    command.args(["--auth-required", "true"]);
    let server = crate::process::Server::of(command).await;
    let guess = server.api.clone().with_token("guess");
    for _ in 0..10 {
        assert_eq!(guess.get("/api/v1/tasks").await.problem(), (401, "unauthorized"));
    }
    let refused = guess.get("/api/v1/tasks").await;
    assert_eq!((refused.problem(), refused.retry_after.as_deref()), ((429, "too_many_attempts"), Some("60")));
    server.kill().await;
}
