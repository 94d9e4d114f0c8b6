//! Whatever a task says is text on every page.

use chrono::TimeDelta;
use reqwest::{Client, Method};
use serde_json::json;

use crate::support::TestApp;

/// Would break out of text, of an attribute in either quotes, of a script and of a comment.
const PAYLOAD: &str = "\"'><script>planted()</script><img src=x onerror=planted()><!--";

#[actix::test]
async fn no_field_of_a_task_becomes_markup() {
    let app = TestApp::start().await;
    let mut uids = Vec::new();
    for result in ["alert", "error", "complete", "warn"] {
        let task = json!({"type": "xss", "job": "j", "info": PAYLOAD, "id": PAYLOAD,
                          "meta": {"workflow": PAYLOAD, "key": PAYLOAD}});
        let created = app.api.post("/api/v1/tasks", &task).await;
        let created = match created.status {
            201 => created.json,
            // What an id can't be is refused, which is as good.
            _ => {
                let task = json!({"type": "xss", "job": "j", "info": PAYLOAD,
                                  "meta": {"workflow": PAYLOAD, "key": PAYLOAD}});
                app.api.create(&task).await
            }
        };
        let created = created["tasks"].get(0).cloned().unwrap_or(created);
        uids.push(created["uid"].as_str().unwrap_or_default().to_owned());
        let wanted = json!({"topics": ["xss"], "worker": "w1"});
        let leased = app.api.post("/api/v1/lease", &wanted).await.ok();
        let lease = leased["tasks"][0]["lease"].as_str().unwrap().to_owned();
        let progress = json!({"progress": 0.5, "msg": PAYLOAD});
        assert_eq!(app.api.post(&format!("/api/v1/lease/{lease}/heartbeat"), &progress).await.status, 200);
        let log = format!("{PAYLOAD}\u{1b}]0;{PAYLOAD}\u{7}\u{1b}[31m{PAYLOAD} https://h/{PAYLOAD}\n");
        let log = app.api.send(Method::POST, &format!("/api/v1/lease/{lease}/log"), "text/plain", log).await.unwrap();
        assert_eq!(log.status, 200, "{log:?}");
        let ended = json!({"result": result, "msg": format!("http://h/{PAYLOAD}"), "meta": {"out": PAYLOAD}});
        assert_eq!(app.api.result(&lease, &ended).await.status, 200);
    }
    app.api.post("/api/v1/files", &json!({"path": format!("/in/{PAYLOAD}"), "size": 1})).await;
    let silence = json!({"match": {"type": "none"}, "for": "4h", "by": PAYLOAD, "reason": PAYLOAD});
    assert_eq!(app.api.post("/api/v1/silences", &silence).await.status, 201);
    app.pass(TimeDelta::minutes(6)).await;

    let client = Client::new();
    let mut pages: Vec<String> = [
        "/",
        "/web/task",
        "/web/task?type=xss&q=planted",
        "/web/alert",
        "/web/files",
        "/web/workflow",
        "/web/workflow?task=%22%3E%3Cscript%3Eplanted()%3C/script%3E",
        "/web/backload",
        "/web/backload?preview=1&at=2026-01-01&task=%22%3E%3Cscript%3Eplanted()%3C/script%3E",
        "/web/audit",
        "/web/audit?who=%22%3E%3Cscript%3Eplanted()%3C/script%3E",
        "/web/about",
    ]
    .map(str::to_owned)
    .to_vec();
    pages.push(format!("/web/task?type={}", "%22%3E%3Cscript%3Eplanted()%3C/script%3E"));
    pages.push("/login?next=/%22%3E%3Cscript%3Eplanted()%3C/script%3E".to_owned());
    pages.extend(uids.iter().map(|uid| format!("/web/task/{uid}")));
    let mut shown = Vec::new();
    for page in pages {
        let answer = client.get(format!("{}{page}", app.api.base)).send().await.unwrap();
        let is_page = answer.headers()["content-type"].to_str().unwrap().starts_with("text/html");
        let text = answer.text().await.unwrap();
        if !is_page {
            continue;
        }
        if text.contains("planted()") {
            shown.push(page.clone());
        }
        for broken_out in ["<script>planted", "<img src=x", "\"'>", "<!--\"", "\u{1b}"] {
            assert!(!text.contains(broken_out), "{page}: {broken_out}");
        }
    }
    for page in ["/", "/web/task", "/web/alert", "/web/files", "/web/audit"] {
        assert!(shown.iter().any(|shown| shown == page), "{page} shows what was planted, as text: {shown:?}");
    }
    app.stop().await;
}
