//! Chains, workflows, alerts, figures, health.

use std::sync::Arc;

use actix_web::http::Method;
use chrono::NaiveDate;
use chrono::TimeDelta;
use flowlord_domain::workflow::{Finding, Severity, WorkflowFile, Workflows};
use flowlord_kernel::Pong;
use flowlord_kernel::{Code, Error};
use flowlord_messages::changelog::ShippingState;
use flowlord_messages::schedule::{LastSlot, PausedPhase, PhaseTimes, SlotKey};
use flowlord_messages::snapshots::{BackupState, StoredSnapshot};
use flowlord_messages::stats::{DayTotals, HourTotals, ResultCounts};
use flowlord_messages::tasks::ChainStart;
use flowlord_messages::workflows::{LoadedWorkflows, ReloadReport};
use serde_json::json;

use super::stub::{Stub, alert, attempt, finished, noon, request, send};

pub(super) fn finding(file: &str, message: &str) -> Finding {
    Finding { file: file.to_owned(), line: 3, column: 5, severity: Severity::Error, message: message.to_owned() }
}

/// One good file, and one that never loaded.
pub(super) fn current() -> LoadedWorkflows {
    let text = concat!(
        "[[phase]]\ntask = \"extract:orders\"\nrule = \"cron=0 * * * *\"\nretry = 2\ntemplate = \"?h={hh}\"\n",
        "[[phase]]\ntask = \"load\"\ndependsOn = \"extract:orders\"\n",
        "[[phase]]\ntask = \"odd\"\nrule = \"cron=nonsense\"\n",
    );
    let zone = chrono_tz();
    let file = WorkflowFile::parse("etl/main.toml", text, "hash", zone).unwrap();
    LoadedWorkflows {
        workflows: Arc::new(Workflows::new([Arc::new(file)])),
        scanned_at: noon(),
        next_scan: noon() + TimeDelta::minutes(15),
        broken: Arc::new(vec![finding("new.toml", "expected `=`")]),
    }
}

/// UTC, without naming the crate of time zones.
fn chrono_tz<Z: std::str::FromStr>() -> Z {
    "UTC".parse().ok().unwrap()
}

fn with_workflows() -> Stub {
    let stub = Stub::default();
    stub.workflows(|_| Ok(current()));
    stub.next_runs(|_| {
        Ok(vec![PhaseTimes {
            workflow: "etl/main.toml".into(),
            task: "extract:orders".into(),
            cron: "0 * * * *".into(),
            next: Some(noon() + TimeDelta::hours(1)),
            previous: None,
        }])
    });
    stub.paused(|_| {
        let (workflow, task) = ("etl/main.toml".to_owned(), "load".to_owned());
        Ok(vec![PausedPhase { workflow, task, since: noon() }])
    });
    stub.slots(|query| {
        assert!(query.from < noon() && query.to > noon());
        let key = SlotKey { workflow: "etl/main.toml".into(), task: "extract:orders".into(), at: noon() };
        Ok(vec![LastSlot { key, started: Some(noon() - TimeDelta::hours(1)) }])
    });
    stub
}

#[actix::test]
async fn a_chain_is_all_its_attempts() {
    let stub = Stub::default();
    stub.chain_beginning(|query| {
        let attempts = if query.id == "a b/c" { vec![attempt(1), finished(2)] } else { Vec::new() };
        Ok(ChainStart { attempts, more: 0 })
    });
    let chain = stub.get("/api/v1/chains/a%20b%2Fc").await.ok();
    assert_eq!((chain["items"].as_array().unwrap().len(), &chain["next"]), (2, &json!(null)));
    assert_eq!(stub.get("/api/v1/chains/none").await.code(), "chain_unknown");
    stub.chain_beginning(|_| Err(Error::new(Code::Timeout, "slow")));
    assert_eq!(stub.get("/api/v1/chains/none").await.code(), "timeout");
}

#[actix::test]
async fn workflows_show_their_phases() {
    let stub = with_workflows();
    let list = stub.get("/api/v1/workflows").await.ok();
    let mut shown = list.clone();
    for place in ["/items/0/findings/0/message", "/items/0/phases/2/status"] {
        let text = shown.pointer_mut(place).unwrap();
        assert!(text.as_str().unwrap().contains("invalid cron"), "{text}");
        *text = json!("…");
    }
    insta::assert_json_snapshot!(shown, @r#"
    {
      "items": [
        {
          "file": "etl/main.toml",
          "findings": [
            {
              "column": 14,
              "file": "etl/main.toml",
              "line": 11,
              "message": "…",
              "severity": "error"
            }
          ],
          "phases": [
            {
              "children": [
                "load"
              ],
              "line": 1,
              "missed": "2026-03-02T12:00:00Z",
              "next": "2026-03-02T13:00:00Z",
              "paused": false,
              "previous": "2026-03-02T11:00:00Z",
              "retry": 2,
              "rule": "cron=0 * * * *",
              "status": "ok",
              "task": "extract:orders",
              "template": "?h={hh}"
            },
            {
              "children": [],
              "depends_on": "extract:orders",
              "line": 6,
              "paused": true,
              "paused_since": "2026-03-02T12:00:00Z",
              "retry": 0,
              "rule": "",
              "status": "paused",
              "task": "load",
              "template": ""
            },
            {
              "children": [],
              "line": 9,
              "paused": false,
              "retry": 0,
              "rule": "cron=nonsense",
              "status": "…",
              "task": "odd",
              "template": ""
            }
          ],
          "status": "ok"
        },
        {
          "file": "new.toml",
          "findings": [
            {
              "column": 5,
              "file": "new.toml",
              "line": 3,
              "message": "expected `=`",
              "severity": "error"
            }
          ],
          "phases": [],
          "status": "broken"
        }
      ],
      "next": null
    }
    "#);
    let one = stub.get("/api/v1/workflows/etl/main.toml").await.ok();
    assert_eq!(one, list["items"][0]);
    assert_eq!(stub.get("/api/v1/workflows/etl%2Fmain.toml").await.ok(), one);
    assert_eq!(stub.get("/api/v1/workflows/new.toml").await.ok()["status"], "broken");
    for path in ["none.toml", "", "../main.toml", "etl"] {
        assert_eq!(stub.get(&format!("/api/v1/workflows/{path}")).await.code(), "workflow_unknown", "{path}");
    }
    stub.workflows(|_| Err(Error::new(Code::Busy, "much")));
    assert_eq!(stub.get("/api/v1/workflows").await.code(), "busy");
}

#[actix::test]
async fn workflows_are_looked_at_on_request() {
    let stub = Stub::default();
    stub.reload(|_| {
        Ok(ReloadReport {
            added: vec!["a.toml".into()],
            broken: vec![finding("b.toml", "no")],
            ..ReloadReport::default()
        })
    });
    let reply = stub.post("/api/v1/workflows/refresh", "").await.ok();
    assert_eq!((&reply["added"], &reply["removed"]), (&json!(["a.toml"]), &json!([])));
    assert_eq!((&reply["broken"][0]["file"], &reply["broken"][0]["line"]), (&json!("b.toml"), &json!(3)));
    stub.reload(|_| Err(Error::new(Code::Internal, "no folder")));
    assert_eq!(stub.post("/api/v1/workflows/refresh", "").await.problem().0, 500);
    assert_eq!(stub.get("/api/v1/workflows/refresh").await.header("allow"), "POST");
}

#[actix::test]
async fn alerts_of_a_day_come_in_pages() {
    let stub = Stub::default();
    stub.alerts(|query| {
        assert_eq!(query.from, "2026-03-02T00:00:00Z".parse::<chrono::DateTime<chrono::Utc>>().unwrap());
        Ok([3, 2, 1]
            .map(alert)
            .into_iter()
            .filter(|a| query.after.is_none_or(|row| a.row < row))
            .take(query.limit)
            .collect())
    });
    let reply = stub.get("/api/v1/alerts?limit=2").await;
    insta::assert_snapshot!(reply.text, @r#"{"items":[{"alert":3,"kind":"exhausted","at":"2026-03-02T12:00:00Z","uid":"064c0953867001","id":"chain-1","type":"load","workflow":"main.toml","msg":"no disk","task_time":"2026-03-02T12:00:00Z","at_once":false,"route":"default"},{"alert":2,"kind":"exhausted","at":"2026-03-02T12:00:00Z","uid":"064c0953867001","id":"chain-1","type":"load","workflow":"main.toml","msg":"no disk","task_time":"2026-03-02T12:00:00Z","at_once":false,"route":"default"}],"next":"2"}"#);
    let rest = stub.get("/api/v1/alerts?date=2026-03-02&limit=2&cursor=2").await.ok();
    assert_eq!((&rest["items"][0]["alert"], &rest["next"]), (&json!(1), &json!(null)));
    for query in ["date=x", "limit=0", "cursor=x", "kind=none", "date=2026-03-02&to=2026-03-03", "topic=a"] {
        assert_eq!(stub.get(&format!("/api/v1/alerts?{query}")).await.code(), "invalid_request", "{query}");
    }
}

pub(super) fn stats() -> DayTotals {
    let row = |hour, topic: &str, counts| HourTotals {
        hour,
        topic: topic.to_owned(),
        job: if topic == "load" { "daily".to_owned() } else { String::new() },
        counts,
        run_millis: 3_000,
    };
    DayTotals {
        rows: vec![
            row(3, "load", ResultCounts { total: 4, complete: 2, error: 1, alert: 0, warn: 0 }),
            row(5, "load", ResultCounts { total: 1, complete: 0, error: 0, alert: 1, warn: 0 }),
            row(3, "extract", ResultCounts { total: 2, complete: 1, error: 0, alert: 0, warn: 1 }),
        ],
    }
}

#[actix::test]
async fn figures_add_up_by_hour_and_by_task() {
    let stub = Stub::default();
    stub.stats(|query| {
        assert_eq!(query.day, NaiveDate::from_ymd_opt(2026, 3, 1).unwrap());
        Ok(stats())
    });
    let reply = stub.get("/api/v1/stats?date=2026-03-01").await.ok();
    assert_eq!(reply["totals"], json!({"total": 7, "complete": 3, "error": 1, "alert": 1, "warn": 1, "running": 1}));
    assert_eq!(reply["hours"].as_array().unwrap().len(), 24);
    assert_eq!((&reply["hours"][3]["total"], &reply["hours"][5]["alert"]), (&json!(6), &json!(1)));
    assert_eq!((&reply["tasks"][1]["type"], &reply["tasks"][1]["job"]), (&json!("load"), &json!("daily")));
    assert_eq!((&reply["tasks"][1]["total"], &reply["tasks"][1]["run_seconds"]), (&json!(5), &json!(1.5)));
    assert_eq!(reply["tasks"][1]["hours"].as_array().unwrap().len(), 2);
    assert_eq!(stub.get("/api/v1/stats?day=1").await.code(), "invalid_request");
    assert_eq!(stub.get("/api/v1/stats?date=1").await.code(), "invalid_request");
}

#[actix::test]
async fn health_is_told() {
    let stub = Stub::default();
    stub.ping(|_| Ok(Pong { restarts: 1 }));
    assert_eq!(stub.get("/healthz").await.ok()["status"], "ok");
    assert_eq!(stub.get("/status").await.text, "ok");
    let ready = stub.get("/readyz").await.ok();
    assert_eq!(ready["actors"]["dispatch"], json!({"status": "ok", "restarts": 1}));
    assert_eq!(ready["backup"], json!(null), "without a backup place");
    stub.backup(|_| {
        let at = noon() - TimeDelta::hours(3);
        let newest = StoredSnapshot { location: "s3://b/one.db".to_owned(), at, bytes: 1, verified: true };
        let place = Some("s3://b".to_owned());
        Ok(BackupState {
            place,
            verified: Some(newest),
            log: None,
            next: None,
            problem: Some("the store is away".to_owned()),
        })
    });
    stub.shipping(|_| {
        let until = Some(noon() - TimeDelta::seconds(4));
        Ok(ShippingState { on: true, based: true, until, pending: 7, problem: None })
    });
    let backup = stub.get("/readyz").await.ok()["backup"].clone();
    let changes = json!({
        "until": "2026-03-02T11:59:56Z", "lag_seconds": 4, "pending": 7, "snapshot_to_go_on_from": true, "problem": null
    });
    assert_eq!(backup["changes"], changes);
    assert_eq!((&backup["age_seconds"], &backup["snapshot"]), (&json!(10_800), &json!("s3://b/one.db")));
    assert_eq!(backup["problem"], "the store is away", "told, and still ready");
    stub.ping(|_| Err(Error::new(Code::Storage, "no disk")));
    let reply = stub.get("/readyz").await;
    let (status, code, detail) = reply.problem();
    assert_eq!((status, code.as_str()), (503, "not_ready"));
    assert!(detail.contains("db: no disk; dispatch: no disk"), "{detail}");
    assert_eq!(reply.json()["actors"]["db"], json!({"status": "storage", "detail": "no disk"}));
}

#[actix::test]
async fn a_service_that_stops_is_not_ready_and_hands_out_nothing() {
    let stub = Stub::default();
    stub.ping(|_| Ok(Pong { restarts: 0 }));
    stub.lease(|_| panic!("not while stopping"));
    let context = stub.context();
    context.turn_unready();
    assert_eq!(send(context.clone(), request(Method::GET, "/readyz")).await.code(), "stopping");
    let lease = request(Method::POST, "/api/v1/lease").set_payload(r#"{"topics":["a"],"worker":"w"}"#);
    assert_eq!(send(context.clone(), lease).await.code(), "stopping");
    assert_eq!(send(context, request(Method::GET, "/status")).await.text, "ok", "it is alive");
}
