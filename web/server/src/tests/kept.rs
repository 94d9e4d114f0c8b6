//! Paths of the reference system.

use std::sync::{Arc, Mutex};

use actix_web::http::Method;
use actix_web::test::TestRequest;
use chrono::TimeDelta;
use flowlord_domain::{Attempt, TaskResult, Uid};
use flowlord_kernel::{Code, Error};
use flowlord_messages::outbox::DeliveryStatus;
use flowlord_messages::stats::{DayTotals, HourTotals, ResultCounts};
use flowlord_messages::workflows::{ReloadReport, WorkflowRecord};
use flowlord_web_core::context::{Config, WebContext};
use serde_json::{Value, json};

use super::reads::{current, finding};
use super::stub::{Stub, after, attempt, config, finished, listed, more, noon, request, send};

#[actix::test]
async fn info_tells_when_what_starts() {
    let stub = Stub::default();
    stub.workflows(|_| Ok(current()));
    stub.next_runs(|_| Ok(Vec::new()));
    stub.slots(|_| Ok(Vec::new()));
    stub.paused(|_| Ok(Vec::new()));
    let info = stub.get("/info").await.ok();
    assert_eq!((&info["app_name"], &info["runtime"]), (&json!("flowlord"), &json!("1h30m")));
    assert_eq!(info["next_cache"], "2026-03-02T12:15:00");
    let file = &info["workflow"]["etl/main.toml"];
    assert_eq!(file["extract:orders"]["Schedule"], json!(["0 * * * *?offset=0s"]));
    assert_eq!(file["extract:orders"]["Child"], json!(["load"]));
    assert!(file["odd"]["warning"].as_str().unwrap().contains("invalid cron"), "{info}");
    stub.next_runs(|_| Err(Error::new(Code::Busy, "much")));
    assert_eq!(stub.get("/info").await.code(), "busy");
}

#[actix::test]
async fn a_chain_is_told_by_its_id() {
    let stub = Stub::default();
    stub.chain(|chain| Ok(if chain.id == "a/b c" { vec![attempt(1), finished(2)] } else { Vec::new() }));
    let told = stub.get("/task/a%2Fb%20c").await.ok();
    assert_eq!((&told["Completed"], told["Events"].as_array().unwrap().len()), (&json!(true), 2));
    assert_eq!(stub.get("/task/none").await.ok()["Events"], Value::Null);
    stub.chain(|_| panic!("no chain has an empty id"));
    assert_eq!(stub.get("/task/").await.ok()["LastUpdate"], "0001-01-01T00:00:00Z");
}

#[actix::test]
async fn the_recap_reads_what_ended_today_in_steps() {
    let stub = Stub::default();
    stub.stats(|query| {
        assert_eq!(query.day, noon().date_naive());
        let counts = ResultCounts { total: 3_000, complete: 2_500, error: 1, alert: 0, warn: 0 };
        let row = HourTotals { hour: 1, topic: "load".into(), job: "daily".into(), counts, run_millis: 0 };
        Ok(DayTotals { rows: vec![row] })
    });
    stub.find_tasks(|query| {
        assert_eq!(query.filter.results, [TaskResult::Complete, TaskResult::Error]);
        assert_eq!(query.filter.from.unwrap() + TimeDelta::days(1), query.filter.to.unwrap());
        let first = after(&query).map_or(0, |Uid(after)| after - attempt(0).uid.0 + 1);
        let last = 2_500.min(first + i64::try_from(query.limit).unwrap());
        let complete = |n| Attempt { result: Some(TaskResult::Complete), ..finished(n) };
        let tasks = (first..last).map(complete).collect();
        Ok(if last < 2_500 { more(tasks) } else { listed(tasks) })
    });
    let text = stub.get("/recap").await;
    let expected = "load:daily\n\tmin: 3s max: 3s avg: 3s\n\tComplete: 2500 2026/03/02T00\n\tError: 1 \n";
    assert_eq!((text.header("content-type"), text.text.as_str()), ("text/plain; charset=utf-8", expected));
    let json = TestRequest::get().uri("/recap").insert_header(("accept", "application/json"));
    assert_eq!(stub.send(json).await.ok()["load:daily"]["complete"]["Count"], 2_500);
    let any = TestRequest::get().uri("/recap").insert_header(("accept", "application/json, */*"));
    assert_eq!(stub.send(any).await.text, expected);
    stub.find_tasks(|_| Err(Error::new(Code::Timeout, "slow")));
    assert_eq!(stub.get("/recap").await.code(), "timeout");
}

#[actix::test]
async fn refresh_tells_what_changed_by_get_and_post() {
    let stub = Stub::default();
    stub.reload(|_| {
        Ok(ReloadReport {
            added: vec!["b.toml".into()],
            changed: vec!["a.toml".into()],
            removed: vec!["c.toml".into()],
            broken: Vec::new(),
        })
    });
    let reply = stub.get("/refresh").await;
    insta::assert_snapshot!(reply.text, @r#"
    {
      "Files": [
        "a.toml",
        "b.toml",
        "-c.toml"
      ],
      "Cache": "history older than history.retention is being removed",
      "Updated": "2026-03-02T12:00:00Z"
    }
    "#);
    assert_eq!(stub.send(request(Method::POST, "/refresh")).await.ok(), reply.ok());
    stub.reload(|_| Ok(ReloadReport::default()));
    assert_eq!(stub.get("/refresh").await.ok().get("Files"), None);
    stub.reload(|_| Ok(ReloadReport { broken: vec![finding("b.toml", "no")], ..ReloadReport::default() }));
    let (status, code, detail) = stub.get("/refresh").await.problem();
    assert_eq!((status, code.as_str()), (400, "invalid_request"));
    assert!(detail.starts_with("b.toml:3:5: no: the last good version"), "{detail}");
    stub.reload(|_| Ok(ReloadReport { broken: vec![finding("b", "x"), finding("c", "y")], ..ReloadReport::default() }));
    assert!(stub.get("/refresh").await.problem().2.contains("(and 1 more)"));
    stub.reload(|_| Err(Error::new(Code::Busy, "much")));
    assert_eq!(stub.get("/refresh").await.code(), "busy");
}

#[actix::test]
async fn a_test_message_is_stored_each_time() {
    let stub = Stub::default();
    stub.fate(|asked| {
        assert_eq!(asked.id, 1);
        Ok(DeliveryStatus::Arrived)
    });
    let messages = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&messages);
    stub.enqueue(move |command| {
        seen.lock().unwrap().push(command.message);
        Ok(1)
    });
    let context = stub.context();
    for method in [Method::GET, Method::POST] {
        let reply = send(context.clone(), request(method, "/notify")).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        assert_eq!(reply.text, "sent: Slack took the message\n");
    }
    let messages = messages.lock().unwrap();
    assert_eq!((messages.len(), messages[0].route.as_str(), messages[0].kind.as_str()), (2, "default", "test"));
    assert_ne!(messages[0].key, messages[1].key);
    let payload: Value = serde_json::from_str(&messages[0].payload).unwrap();
    assert_eq!(
        (&payload["headline"], &payload["colour"]),
        (&json!("Test message of flowlord on box"), &json!("green"))
    );
    let stamp: Value = serde_json::from_str(payload["lines"][0].as_str().unwrap()).unwrap();
    assert_eq!(stamp, json!({"app_name": "flowlord", "version": "1.2.3", "runtime": "1h30m"}));
}

#[actix::test]
async fn a_test_message_that_does_not_arrive_tells_slack_s_own_words() {
    let stub = Stub::default();
    stub.enqueue(|_| Ok(1));
    let retry_at = noon() + TimeDelta::seconds(30);
    let error = "Slack answered \"not_in_channel\"".to_owned();
    let refused = DeliveryStatus::Refused { error: error.clone(), retry_at };
    let unknown = DeliveryStatus::Unknown { error: "no answer within 10s".to_owned(), retry_at };
    for (fate, expected) in [
        (refused, "the message didn't arrive: Slack answered \"not_in_channel\"; it is sent again from 2026"),
        (unknown, "it is unknown whether the message arrived: no answer within 10s; it is sent again"),
    ] {
        stub.fate(move |_| Ok(fate.clone()));
        let (status, code, detail) = stub.get("/notify").await.problem();
        assert_eq!((status, code.as_str()), (502, "slack_failed"));
        assert!(detail.starts_with(expected), "{detail}");
    }
    for (ahead, error, expected) in [
        (0, None, "no attempt was made yet"),
        (1, None, "1 message is sent before it"),
        (2, Some(error), "2 messages are sent before it, and of the first one Slack said: Slack answered"),
    ] {
        stub.fate(move |_| Ok(DeliveryStatus::Waits { ahead, error: error.clone() }));
        let reply = stub.get("/notify").await;
        assert_eq!(reply.status, 202);
        assert!(reply.text.starts_with(&format!("stored, and not sent yet: {expected}")), "{}", reply.text);
    }
    stub.fate(|_| Err(Error::new(Code::Busy, "many")));
    assert_eq!(stub.get("/notify").await.code(), "busy");
}

#[actix::test]
async fn a_test_message_needs_slack() {
    let stub = Stub::default();
    stub.enqueue(|_| panic!("there is no Slack"));
    let config = Config { slack: false, ..config() };
    let context = actix_web::web::Data::new(WebContext::new(config, stub.deps(), crate::routes::table()));
    let (status, _, detail) = send(context, request(Method::GET, "/notify")).await.problem();
    assert_eq!(status, 400);
    assert!(detail.contains("set notify.url, or notify.token and notify.channel"), "{detail}");
    stub.enqueue(|_| Err(Error::new(Code::Storage, "no disk")));
    assert_eq!(stub.get("/notify").await.code(), "storage");
}

#[actix::test]
async fn pages_of_other_sites_change_nothing_by_get_either() {
    let stub = Stub::default();
    stub.reload(|_| Ok(ReloadReport::default()));
    stub.enqueue(|_| Ok(1));
    stub.fate(|_| Ok(DeliveryStatus::Arrived));
    for path in ["/refresh", "/notify"] {
        for (site, status) in [("cross-site", 403), ("same-site", 403), ("same-origin", 200), ("none", 200)] {
            let get = TestRequest::get().uri(path).insert_header(("sec-fetch-site", site));
            assert_eq!(stub.send(get).await.status, status, "{path} {site}");
        }
    }
}

fn record(path: &str, content: &str, problem: &str) -> WorkflowRecord {
    WorkflowRecord {
        path: path.to_owned(),
        hash: String::new(),
        problem: problem.to_owned(),
        content: content.to_owned(),
    }
}

#[actix::test]
async fn workflow_files_are_listed_and_shown_as_they_are() {
    let stub = Stub::default();
    stub.workflows(|_| Ok(current()));
    stub.content(|query| {
        let files = [
            record("etl/main.toml", "[[phase]]\n# <b>", ""),
            record("a.json", "{}", "broken since"),
            record("a.yml", "a: 1", ""),
            record("notes", "text", ""),
            record("empty.toml", "", ""),
        ];
        Ok(files.into_iter().find(|file| file.path == query.path))
    });
    for path in ["/workflow", "/workflow/"] {
        let list = stub.get(path).await;
        assert_eq!(
            (list.text.as_str(), list.header("content-type")),
            ("etl/\nnew.toml\n", "text/plain; charset=utf-8")
        );
    }
    for path in ["/workflow/etl", "/workflow/etl/"] {
        assert_eq!(stub.get(path).await.text, "etl/main.toml\n");
    }
    for (path, content_type, text) in [
        ("etl/main.toml", "application/toml", "[[phase]]\n# <b>"),
        ("etl%2Fmain.toml", "application/toml", "[[phase]]\n# <b>"),
        ("a.json", "application/json", "{}"),
        ("a.yml", "text/x-yaml", "a: 1"),
        ("notes", "text/plain; charset=utf-8", "text"),
        ("empty.toml", "application/toml", ""),
    ] {
        let file = stub.get(&format!("/workflow/{path}")).await;
        assert_eq!((file.header("content-type"), file.text.as_str()), (content_type, text), "{path}");
    }
}

#[actix::test]
async fn nothing_outside_the_workflow_root_is_shown() {
    let stub = Stub::default();
    stub.workflows(|_| Ok(current()));
    stub.content(|query| {
        assert!(!query.path.contains(".."), "{query:?}");
        Ok((query.path == "new.toml").then(|| record("new.toml", "", "new.toml:3:5: expected `=`")))
    });
    for path in ["..", "../etc/passwd", "etl/../../x", "%2e%2e/x", "etl/..%5Cx", "none.toml", "et"] {
        assert_eq!(stub.get(&format!("/workflow/{path}")).await.code(), "workflow_unknown", "{path}");
    }
    let (_, code, detail) = stub.get("/workflow/new.toml").await.problem();
    assert_eq!((code.as_str(), detail.contains("never loaded")), ("workflow_unknown", true), "{detail}");
}
