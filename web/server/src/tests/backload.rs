//! Backloads over HTTP: shown, streamed, carried out, changed.

use std::sync::Arc;

use actix_web::body::to_bytes;
use actix_web::test::{TestRequest, init_service, try_call_service};
use flowlord_domain::backload::{BackloadOrder, BackloadPlan, BackloadRequest};
use flowlord_domain::workflow::Workflows;
use flowlord_kernel::{Code, Error, Result};
use flowlord_messages::backloads::{
    BackloadCheck, BackloadFailure, BackloadState, ChangeBackload, CheckBackload, ExecuteBackload, FinishedBackload,
    PlanBackload, PlannedBackload, ReadBackloads, StartedBackload, StoredBackload,
};
use serde_json::json;
use tokio::sync::oneshot;

use super::stub::{Stub, noon};
use crate::app::app;

/// As the actor plans it.
pub(super) fn plan(request: &BackloadRequest) -> Result<Arc<PlannedBackload>> {
    let resolved = request.resolve_order(&Workflows::default(), noon());
    let resolved = resolved.map_err(|err| Error::new(Code::InvalidRequest, err.to_string()))?;
    Ok(Arc::new(PlannedBackload { plan: BackloadPlan::new(resolved.order, None).unwrap(), message: resolved.message }))
}

pub(super) fn planning() -> Stub {
    let stub = Stub::default();
    stub.plan_backload(|ask: PlanBackload| plan(&ask.request));
    stub
}

/// Carries out: creates all but those of `fail`.
fn executing(fail: &'static [usize], problem: Option<&'static str>) -> Stub {
    let stub = planning();
    stub.execute_backload(move |ask: ExecuteBackload| {
        if !ask.wait {
            return Ok(StartedBackload { id: 7, done: None });
        }
        let mut mint = flowlord_kernel::IdGenerator::seeded(1);
        let chunk = ask.planned.plan.make_chunk(0, 99, noon(), "box", &mut mint);
        let created = chunk.tasks.into_iter().filter(|(n, _)| !fail.contains(n)).map(|(_, task)| task);
        let failure =
            |index: &usize| BackloadFailure { index: *index, time: Some(noon()), why: "too large".to_owned() };
        let finished = FinishedBackload {
            created: created.collect(),
            failed: fail.iter().map(failure).collect(),
            skipped: 0,
            problem: problem.map(str::to_owned),
        };
        let (reply, done) = oneshot::channel();
        reply.send(finished).unwrap();
        Ok(StartedBackload { id: 7, done: Some(done) })
    });
    stub
}

/// Every second task is there already.
fn every_second(ask: &CheckBackload) -> Result<BackloadCheck> {
    let wanted = (0..ask.tasks.len()).map(|n| n % 2 == 0).collect();
    Ok(BackloadCheck { wanted, ready: 0 })
}

const THREE: &str = r#"{"task":"load:j","template":"?d={dd}&f","from":"2026-01-01","to":"2026-01-03"}"#;
const HOURS: &str = r#"{"task":"load","template":"{hh}","by":"hour","from":"2026-01-01","to":"2026-03-01"}"#;

#[actix::test]
async fn a_dry_run_shows_a_page_and_where_the_next_begins() {
    let stub = planning();
    let all = stub.post("/api/v1/backload", THREE).await.ok();
    assert_eq!(all["status"], "dry run: nothing is created without \"execute\":true; using default day iterator");
    assert_eq!((&all["count"], &all["next"], &all["skipped"]), (&json!(3), &json!(null), &json!(0)));
    assert_eq!(
        all["tasks"][2],
        json!({"type": "load", "job": "j", "info": "?d=03&f", "meta": "cron=2026-01-03T00&job=j"})
    );
    let many = stub.post("/api/v1/backload", HOURS).await.ok();
    assert_eq!((&many["count"], &many["next"]), (&json!(1_417), &json!(1_000)));
    let page = HOURS.replace("\"task\"", "\"offset\":1000,\"limit\":2,\"task\"");
    let page = stub.post("/api/v1/backload", page).await.ok();
    assert_eq!((&page["next"], &page["tasks"][0]["meta"]), (&json!(1_002), &json!("cron=2026-02-11T16")));
    stub.check_backload(|ask| every_second(&ask));
    let missing = stub.post("/api/v1/backload", THREE.replace("\"task\"", "\"only\":\"missing\",\"task\"")).await.ok();
    assert_eq!((missing["tasks"].as_array().unwrap().len(), &missing["skipped"]), (2, &json!(1)));
}

fn for_lines(body: &str) -> TestRequest {
    let request = TestRequest::post().uri("/api/v1/backload").insert_header(("accept", "application/x-ndjson"));
    request.set_payload(body.to_owned())
}

#[actix::test]
async fn all_of_a_dry_run_comes_as_lines() {
    let stub = planning();
    let reply = stub.send(for_lines(HOURS)).await;
    assert_eq!((reply.status, reply.header("content-type")), (200, "application/x-ndjson"));
    let lines: Vec<&str> = reply.text.lines().collect();
    assert_eq!(lines.len(), 1_417);
    assert_eq!(lines[1_416], r#"{"type":"load","info":"00","meta":"cron=2026-03-01T00"}"#);
    stub.check_backload(|ask| every_second(&ask));
    let only = HOURS.replace("\"task\"", "\"only\":\"failed\",\"task\"");
    assert_eq!(stub.send(for_lines(&only)).await.text.lines().count(), 250 + 250 + 209);
}

#[actix::test]
async fn a_list_that_breaks_off_does_not_look_like_one_that_ended() {
    let stub = planning();
    stub.check_backload(|_| Err(Error::new(Code::Storage, "no disk")));
    let only = HOURS.replace("\"task\"", "\"only\":\"failed\",\"task\"");
    let service = init_service(app(stub.context())).await;
    let answer = try_call_service(&service, for_lines(&only).to_request()).await.unwrap();
    assert!(to_bytes(answer.into_body()).await.is_err());
}

#[actix::test]
async fn what_is_too_large_is_told_in_a_dry_run_too() {
    let stub = planning();
    let body = json!({
        "task": "load", "template": "{meta:a}{meta:a}{meta:a}", "at": "2026-01-01", "meta": {"a": ["x", "y".repeat(600_000)]},
    });
    let dry = stub.post("/api/v1/backload", body.to_string()).await.ok();
    assert_eq!((dry["tasks"].as_array().unwrap().len(), &dry["failed"][0]["index"]), (1, &json!(1)));
    assert!(dry["failed"][0]["reason"].as_str().unwrap().contains("at most 1048576"), "{dry}");
    let lines = stub.send(for_lines(&body.to_string())).await.text;
    assert!(lines.lines().count() == 2 && lines.contains(r#"{"index":1,"time":"2026-01-01T00:00:00Z","reason":"#));
    let kept = stub.post("/backload", body.to_string()).await.ok();
    assert_eq!((&kept["Count"], &kept["Failed"][0]["Index"]), (&json!(2), &json!(1)));
}

#[actix::test]
async fn each_task_is_told_created_or_failed() {
    let body = THREE.replace("\"task\"", "\"execute\":true,\"task\"");
    let whole = executing(&[], None).post("/api/v1/backload", body.clone()).await;
    assert_eq!(whole.status, 200);
    let whole = whole.ok();
    assert_eq!(whole["status"], "3/3 tasks created: using default day iterator");
    assert_eq!((&whole["count"], &whole["created"], &whole["failed"]), (&json!(3), &json!(3), &json!([])));
    let uid = &whole["tasks"][0]["uid"];
    assert!(uid.is_string() && whole["tasks"][0]["state"] == "ready", "{whole}");
    let some = executing(&[1], None).post("/api/v1/backload", body.clone()).await;
    assert_eq!(some.status, 207);
    let some = some.ok();
    assert_eq!(some["status"], "2/3 tasks created: too large; using default day iterator");
    assert_eq!(some["failed"], json!([{"index": 1, "time": "2026-03-02T12:00:00Z", "reason": "too large"}]));
    assert_eq!((&some["created"], some["tasks"].as_array().unwrap().len()), (&json!(2), 2));
    let later = executing(&[2], Some("the disk is full")).post("/api/v1/backload", body).await;
    assert_eq!((later.status, later.header("location")), (202, "/api/v1/backloads/7"));
    let status = later.ok()["status"].as_str().unwrap().to_owned();
    assert!(status.starts_with("2/3 tasks created: the disk is full; it continues in the background"), "{status}");
}

#[actix::test]
async fn what_is_many_or_not_waited_for_is_left_to_the_background() {
    let stub = executing(&[], None);
    let body = THREE.replace("\"task\"", "\"execute\":true,\"background\":true,\"task\"");
    let asked = stub.post("/api/v1/backload", body).await;
    assert_eq!((asked.status, asked.header("location")), (202, "/api/v1/backloads/7"));
    let asked = asked.ok();
    assert_eq!((&asked["id"], &asked["count"], &asked["tasks"]), (&json!(7), &json!(3), &json!([])));
    let many = HOURS.replace("2026-03-01", "2028-03-01").replace("\"task\"", "\"execute\":true,\"task\"");
    assert_eq!(stub.post("/api/v1/backload", many.clone()).await.status, 202);
    let kept = stub.post("/backload", many).await;
    assert_eq!((kept.status, &kept.ok()["Tasks"]), (202, &json!(null)));
    // One whose actor was restarted goes on, too.
    stub.execute_backload(|_| Ok(StartedBackload { id: 7, done: Some(oneshot::channel().1) }));
    let gone = stub.post("/api/v1/backload", THREE.replace("\"task\"", "\"execute\":true,\"task\"")).await;
    assert_eq!(gone.status, 202);
    assert!(gone.ok()["status"].as_str().unwrap().contains("3 tasks are being created: the backload actor"));
}

#[actix::test]
async fn the_path_of_the_reference_system_answers_its_json() {
    let stub = planning();
    let masked = |text: &str| {
        let id = text.split("\"id\":\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
        text.replace(id, "<UUID>")
    };
    let one = THREE.replace("2026-01-03", "2026-01-01");
    let dry = stub.post("/backload", one.clone()).await;
    insta::assert_snapshot!(masked(&dry.text), @r#"{"Status":"DRY RUN ONLY: using default day iterator","Count":1,"Tasks":[{"type":"load","job":"j","info":"?d=01\u0026f","created":"2026-03-02T12:00:00Z","id":"<UUID>","meta":"cron=2026-01-01T00\u0026job=j"}]}"#);
    assert_eq!(dry.header("content-type"), "application/json");
    let many = stub.post("/backload", HOURS).await.ok();
    assert_eq!((&many["Count"], many["Tasks"].as_array().unwrap().len()), (&json!(1_417), 1_417));
    stub.check_backload(|ask| every_second(&ask));
    let only = stub.post("/backload", THREE.replace("\"task\"", "\"only\":\"missing\",\"task\"")).await.ok();
    assert_eq!((&only["Count"], only["Tasks"].as_array().unwrap().len()), (&json!(2), 2));

    let execute = |body: &str| body.replace("\"task\"", "\"EXECUTE\":true,\"task\"");
    let done = executing(&[], None).post("/backload", execute(&one)).await;
    insta::assert_snapshot!(masked(&done.text), @r#"{"Status":"Executed: using default day iterator","Count":1,"Tasks":[{"type":"load","job":"j","info":"?d=01\u0026f","created":"2026-03-02T12:00:00Z","id":"<UUID>","meta":"cron=2026-01-01T00\u0026job=j"}]}"#);
    let some = executing(&[0, 1], None).post("/backload", execute(THREE)).await;
    assert_eq!(some.status, 207);
    insta::assert_snapshot!(masked(&some.text), @r#"{"Status":"1/3 tasks created: too large; using default day iterator","Count":3,"Tasks":[{"type":"load","job":"j","info":"?d=03\u0026f","created":"2026-03-02T12:00:00.000002Z","id":"<UUID>","meta":"cron=2026-01-03T00\u0026job=j"}],"Failed":[{"Index":0,"Reason":"too large"},{"Index":1,"Reason":"too large"}]}"#);
    let none = executing(&[0], None).post("/backload", execute(&one)).await.ok();
    assert_eq!((&none["Tasks"], &none["Count"]), (&json!(null), &json!(1)));
}

#[actix::test]
async fn what_is_meant_otherwise_is_refused() {
    let stub = planning();
    for (body, says) in [
        (r#"{"task":"a","form":"2026-01-01"}"#, "`form` is unknown: did you mean `from`?"),
        (r#"{"task":"a","template":"x","by":"year"}"#, "write hour, day, week or month"),
        (r#"{"task":"a","template":"x","at":"soon"}"#, "`at` is `soon`: write a day like"),
        (r#"{"task":"a","template":"x","limit":0}"#, "`limit` is 0: write 1 to 1000"),
        (r#"{"task":"ä","template":"x"}"#, "can't name a topic"),
        (r#"{"task":"a:ö","template":"x"}"#, "can't name a job"),
        (r#"{"task":"a","execute":"true"}"#, "expected a boolean"),
    ] {
        let (status, _, detail) = stub.post("/api/v1/backload", body).await.problem();
        assert!(status == 400 && detail.contains(says), "{body}: {detail}");
    }
    // The reference's own path passes these over.
    let kept = stub.post("/backload", r#"{"task":"a","template":"x","by":"year","form":1,"at":"2026-01-01"}"#).await;
    assert_eq!(kept.ok()["Status"], "DRY RUN ONLY: using default day iterator");
    assert_eq!(stub.post("/backload", r#"{"task":"a","at":"2026-01-01"}"#).await.status, 400);
}

pub(super) fn stored(id: i64) -> StoredBackload {
    let order = plan(&serde_json::from_str(THREE).unwrap()).unwrap().plan.order().clone();
    StoredBackload {
        id,
        requested: noon(),
        changed: noon(),
        state: BackloadState::Running,
        order: serde_json::to_string::<BackloadOrder>(&order).unwrap(),
        message: "told".to_owned(),
        digest: 0,
        total: 3,
        next: 2,
        created: 1,
        skipped: 0,
        failed: 1,
        finished: Some(1),
        unsuccessful: 0,
        problem: String::new(),
    }
}

#[actix::test]
async fn how_backloads_stand_is_listed_page_by_page() {
    let stub = Stub::default();
    stub.backloads(|read: ReadBackloads| {
        let newest = read.after.map_or(5, |after| after - 1);
        Ok((1..=newest).rev().take(read.limit).map(stored).collect())
    });
    let first = stub.get("/api/v1/backloads?limit=3").await.ok();
    assert_eq!((first["items"].as_array().unwrap().len(), &first["next"]), (3, &json!("3")));
    let last = stub.get("/api/v1/backloads?limit=3&cursor=3").await.ok();
    assert_eq!((&last["items"][1]["id"], &last["next"]), (&json!(1), &json!(null)));
    stub.backload(|read| {
        let failure = BackloadFailure { index: 1, time: None, why: "too large".to_owned() };
        Ok((read.id == 5).then(|| (stored(5), vec![failure])))
    });
    let one = stub.get("/api/v1/backloads/5").await.ok();
    assert_eq!(
        (&one["state"], &one["count"], &one["done"], &one["failed"]),
        (&json!("running"), &json!(3), &json!(2), &json!(1))
    );
    assert_eq!((&one["request"]["topic"], &one["failures"][0]["reason"]), (&json!("load"), &json!("too large")));
    for path in ["/api/v1/backloads/6", "/api/v1/backloads/x"] {
        let (status, code, detail) = stub.get(path).await.problem();
        assert_eq!((status, code.as_str()), (404, "backload_unknown"));
        assert!(detail.contains("GET /api/v1/backloads lists them"), "{detail}");
    }
}

#[actix::test]
async fn a_list_leaves_a_long_request_out_and_one_backload_has_it() {
    let stub = Stub::default();
    let long = || StoredBackload { order: json!({"meta": "m".repeat(3_000)}).to_string(), ..stored(1) };
    stub.backloads(move |_| Ok(vec![long()])).backload(move |_| Ok(Some((long(), Vec::new()))));
    let list = stub.get("/api/v1/backloads").await.ok();
    let listed = &list["items"][0];
    assert_eq!((&listed["request"], &listed["request_truncated"]), (&json!(null), &json!(true)));
    let whole = stub.get("/api/v1/backloads/1").await.ok();
    assert_eq!(whole["request"]["meta"].as_str().unwrap().len(), 3_000);
    assert!(whole.get("request_truncated").is_none(), "{whole}");
}

#[actix::test]
async fn a_backload_is_paused_resumed_and_cancelled() {
    let stub = Stub::default();
    stub.change_backload(|change: ChangeBackload| Ok(StoredBackload { state: change.to, ..stored(change.id) }));
    for (change, state) in [("pause", "paused"), ("resume", "running"), ("cancel", "cancelled")] {
        let changed = stub.post(&format!("/api/v1/backloads/5/{change}"), "").await.ok();
        assert_eq!((&changed["id"], &changed["state"]), (&json!(5), &json!(state)));
    }
    stub.change_backload(|change: ChangeBackload| {
        let state = if change.end_tasks { BackloadState::Done } else { BackloadState::Cancelled };
        Ok(StoredBackload { state, ..stored(change.id) })
    });
    for (body, state) in [("", "done"), (r#"{"tasks":true}"#, "done"), (r#"{"tasks":false}"#, "cancelled")] {
        assert_eq!(stub.post("/api/v1/backloads/5/cancel", body).await.ok()["state"], state, "{body}");
    }
    let refused = stub.post("/api/v1/backloads/5/pause", r#"{"tasks":false}"#).await.problem();
    assert!(refused.0 == 400 && refused.2.contains("`tasks` is for a cancellation"), "{refused:?}");
    assert_eq!(stub.post("/api/v1/backloads/5/stop", "").await.status, 404);
    assert_eq!(stub.get("/api/v1/backloads/5/pause").await.status, 405);
    stub.change_backload(|_| Err(Error::new(Code::BackloadState, "backload 5 is done already")));
    assert_eq!(stub.post("/api/v1/backloads/5/resume", "").await.problem().0, 409);
}
