//! Tasks with very long texts: lists stay small, one task has all of them.

use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::support::TestApp;

const WORKFLOW: &str = "[[phase]]\ntask = \"first\"\n\n[[phase]]\ntask = \"second\"\ndependsOn = \"first\"\n\
                        template = \"?day={yyyy}-{mm}-{dd}&k={meta:k}\"\n";

fn is_cut(task: &Value, name: &str) -> bool {
    let length = task[name].as_str().unwrap().len();
    assert!(length <= 2_048, "{name} of a list has {length} bytes");
    task[format!("{name}_truncated")] == true
}

#[actix::test]
async fn lists_pages_and_chains_stay_small_and_what_follows_from_a_long_meta_is_right() {
    let app = TestApp::with(WORKFLOW).await;
    let (info, msg) = (format!("{}needle", "i".repeat(900_000)), "m".repeat(5_000));
    // What is worked out of the meta stands at its end.
    let meta = format!("pad={}&cron=2026-02-01T05&k=v&workflow=main.toml", "p".repeat(100_000));
    let mut uids = Vec::new();
    for _ in 0..5 {
        let task = json!({"type": "first", "info": info, "meta": meta});
        uids.push(app.api.create(&task).await["uid"].as_str().unwrap().to_owned());
    }
    let leased = app.api.lease("first").await.unwrap();
    assert_eq!(leased.task["info"].as_str().unwrap().len(), info.len(), "a worker has all of it");
    app.api.result(&leased.lease, &json!({"result": "complete", "msg": msg})).await.ok();
    app.pass(TimeDelta::seconds(1)).await;

    let tasks = app.api.tasks("&type=first").await;
    assert_eq!(tasks.len(), 5);
    assert!(tasks.iter().all(|task| is_cut(task, "info") && is_cut(task, "meta")));
    assert!(is_cut(&tasks[0], "msg") && tasks[1].get("msg_truncated").is_none(), "{}", tasks[1]["msg"]);
    assert_eq!(app.api.tasks("&q=needle").await.len(), 5, "a search looks at all of it");
    let whole = app.api.get(&format!("/api/v1/tasks/{}", uids[0])).await.ok();
    assert_eq!((&whole["info"], &whole["msg"]), (&json!(info), &json!(msg)));
    assert!(whole.get("info_truncated").is_none());
    let chain = app.api.get(&format!("/api/v1/chains/{}", whole["id"].as_str().unwrap())).await.ok();
    assert!(is_cut(&chain["items"][0], "info"));
    let kept = app.api.get(&format!("/task/{}", whole["id"].as_str().unwrap())).await.ok();
    assert_eq!(kept["Events"][0]["info"], json!(info), "as the reference system answers it");

    let child = &app.api.tasks("&type=second").await[0];
    assert_eq!(child["info"], "?day=2026-02-01&k=v", "from the whole meta of its parent");
    let recap = app.api.send_with(reqwest::Method::GET, "/recap", &[("accept", "application/json")], String::new());
    let recap = recap.await.unwrap().ok();
    assert_eq!(recap["first"]["complete"]["Times"], "2026/02/01T05");
    let rerun = app.api.post(&format!("/api/v1/tasks/{}/rerun", uids[0]), &json!({})).await;
    assert_eq!((rerun.status, &rerun.json["info"]), (201, &json!(info)), "a new attempt has all of it");

    for page in ["/web/task?date=2026-03-02", "/"] {
        let Value::String(html) = app.api.get(page).await.ok() else { panic!("{page} is a page") };
        assert!(html.len() < 200_000, "{page} has {} bytes", html.len());
        let link = format!("<a href=\"/web/task/{}\" data-whole>all of it</a>", uids[0]);
        assert!(html.contains(&link), "{page} leads to all of it");
    }
    app.stop().await;
}
