//! Tasks run again and cancelled, phases paused.

use std::sync::{Arc, Mutex};

use chrono::TimeDelta;
use flowlord_domain::search::TaskSearch;
use flowlord_domain::{Attempt, TaskResult, TaskState};
use flowlord_kernel::{Code, Error};
use flowlord_messages::leases::LeaseExtension;
use flowlord_messages::results::{AppliedResult, ResultClaim};
use flowlord_messages::tasks::{CreatedTasks, TaskFilter};
use serde_json::json;

use super::stub::{Stub, after, attempt, finished, leased, listed, more, noon, token};

/// The new attempts, as the database was asked for them.
fn storing(stub: &Stub) -> Arc<Mutex<Vec<flowlord_domain::NewTask>>> {
    let stored = Arc::new(Mutex::new(Vec::new()));
    let new = Arc::clone(&stored);
    stub.rerun(move |ask| {
        let uids = ask.tasks.iter().map(|task| Ok(task.uid)).collect();
        new.lock().unwrap().extend(ask.tasks);
        Ok(uids)
    });
    stored
}

#[actix::test]
async fn a_task_runs_again_as_a_new_attempt_of_its_chain() {
    let stub = Stub::default();
    let failed =
        Attempt { meta: "workflow=main.toml&retry=failed&retried=2&delayed=30s&file=a b".to_owned(), ..finished(1) };
    let uid = failed.uid;
    stub.attempts(move |_| Ok(vec![Some(failed.clone())]));
    let stored = storing(&stub);
    let reply = stub.post(&format!("/api/v1/tasks/{uid}/rerun"), "").await;
    assert_eq!(reply.status, 201);
    let task = reply.ok();
    assert_eq!((&task["id"], &task["state"], &task["attempt"]), (&json!("chain-1"), &json!("ready"), &json!(1)));
    assert_eq!(task["meta"], "file=a b&rerun=manual&workflow=main.toml");
    assert_eq!((&task["parent"], stored.lock().unwrap().len()), (&json!(uid), 1));

    stub.rerun(|_| Ok(vec![Err(Error::new(Code::TaskUnfinished, "it runs"))]));
    assert_eq!(stub.post(&format!("/api/v1/tasks/{uid}/rerun"), "").await.code(), "task_unfinished");
    stub.attempts(|_| Ok(vec![None]));
    assert_eq!(stub.post(&format!("/api/v1/tasks/{uid}/rerun"), "").await.code(), "task_unknown");
    assert_eq!(stub.post("/api/v1/tasks/x/rerun", "").await.code(), "task_unknown");
}

#[actix::test]
async fn many_run_again_only_when_that_is_said() {
    let (stub, filters) = (Stub::default(), Arc::new(Mutex::new(Vec::new())));
    let seen = Arc::clone(&filters);
    stub.find_tasks(move |query| {
        seen.lock().unwrap().push(query.filter);
        Ok(listed(vec![finished(1), finished(2), finished(3)]))
    });
    // The second was tried again since.
    stub.later(|query| Ok(vec![None, query.uids.last().copied(), None]));
    let stored = storing(&stub);
    let path = "/api/v1/tasks/rerun?type=load";
    let body = r#"{"result":["error","alert"],"retry":"failed"}"#;
    let dry = stub.post(path, body).await.ok();
    assert_eq!((&dry["count"], &dry["skipped"], &dry["created"]), (&json!(2), &json!(1), &json!(0)));
    assert_eq!(dry["tasks"][1]["uid"], finished(3).uid.to_string());
    assert!(dry["status"].as_str().unwrap().starts_with("dry run"), "{dry}");
    assert!(stored.lock().unwrap().is_empty());
    let expected = TaskFilter {
        topics: vec!["load".to_owned()],
        results: vec![TaskResult::Error, TaskResult::Alert],
        states: vec![TaskState::Done],
        given_up: true,
        ..TaskFilter::default()
    };
    assert_eq!(filters.lock().unwrap()[0], expected);

    let done = stub.post(path, r#"{"result":"error","execute":true}"#).await.ok();
    assert_eq!((&done["created"], &done["failed"]), (&json!(2), &json!([])));
    assert_eq!(done["tasks"][0]["parent"], finished(1).uid.to_string());
    assert_eq!(done["status"], "2/2 tasks rerun");

    stub.rerun(|ask| {
        let one = ask.tasks[0].uid;
        Ok(vec![Ok(one), Err(Error::new(Code::TaskUnfinished, "it runs"))])
    });
    let some = stub.post(path, r#"{"result":"error","execute":true}"#).await;
    assert_eq!((some.status, &some.json()["created"]), (207, &json!(1)));
    let failed = json!([{"uid": finished(3).uid, "code": "task_unfinished", "detail": "it runs"}]);
    assert_eq!(some.json()["failed"], failed);
}

#[actix::test]
async fn a_choice_that_can_not_be_says_what_to_write() {
    let stub = Stub::default();
    for (body, says) in [
        ("{}", "at least one of date"),
        (r#"{"execute":true}"#, "at least one of date"),
        (r#"{"result":"eror"}"#, "write complete, error"),
        (r#"{"result":5}"#, "write a text, or a list"),
        (r#"{"type":"a","execute":"yes"}"#, "write true or false"),
        (r#"{"retry":"1"}"#, "write failed"),
        (r#"{"rslt":"error"}"#, "did you mean `result`"),
        (r#"{"q":"\"disk"}"#, "a quote isn't closed"),
        (r#"{"q":["a","b"]}"#, "`q`"),
        (r#"{"q":" "}"#, "at least one of date"),
    ] {
        let (status, code, detail) = stub.post("/api/v1/tasks/rerun", body).await.problem();
        assert_eq!((status, code.as_str()), (400, "invalid_request"), "{body}");
        assert!(detail.contains(says), "{body}: {detail}");
    }
    stub.find_tasks(|query| {
        assert!(query.ascending);
        let after = after(&query).map_or(0, |uid| uid.0);
        Ok(more((0..500).map(|n| finished(n + after)).collect()))
    });
    stub.later(|query| Ok(vec![None; query.uids.len()]));
    let (_, _, detail) = stub.post("/api/v1/tasks/rerun", r#"{"type":"a"}"#).await.problem();
    assert!(detail.contains("more than 10000"), "{detail}");
}

#[actix::test]
async fn a_search_alone_chooses_tasks() {
    let (stub, searches) = (Stub::default(), Arc::new(Mutex::new(Vec::new())));
    let seen = Arc::clone(&searches);
    stub.find_tasks(move |query| {
        seen.lock().unwrap().push(query.search);
        Ok(listed(Vec::new()))
    });
    stub.later(|_| Ok(Vec::new()));
    let text = "type:load \"no disk\" -retry";
    for path in ["/api/v1/tasks/rerun", "/api/v1/tasks/cancel"] {
        stub.post(path, json!({ "q": text }).to_string()).await.ok();
        let search: TaskSearch = text.parse().unwrap();
        assert_eq!(searches.lock().unwrap().pop(), Some(search), "{path}");
    }
}

#[actix::test]
async fn many_are_cancelled_only_when_that_is_said() {
    let (stub, filters) = (Stub::default(), Arc::new(Mutex::new(Vec::new())));
    let seen = Arc::clone(&filters);
    stub.find_tasks(move |query| {
        seen.lock().unwrap().push(query.filter);
        Ok(listed(vec![attempt(1), leased(2)]))
    });
    stub.attempts(|query| Ok(query.uids.iter().map(|uid| Some(attempt(uid.0 - attempt(0).uid.0))).collect()));
    let path = "/api/v1/tasks/cancel?type=load";
    let dry = stub.post(path, "").await.ok();
    assert_eq!((&dry["matched"], &dry["cancelled"]), (&json!(2), &json!(0)));
    assert_eq!(dry["tasks"][1]["uid"], leased(2).uid.to_string());
    assert!(dry["status"].as_str().unwrap().starts_with("dry run"), "{dry}");
    let states = vec![TaskState::Ready, TaskState::Delayed, TaskState::Leased];
    assert_eq!(filters.lock().unwrap()[0].states, states, "only those without a result");

    stub.cancel(|ask| {
        assert_eq!((ask.uids.len(), ask.msg.as_str()), (2, "cancelled: wrong day"));
        Ok(vec![Ok(()), Ok(())])
    });
    let done = stub.post(path, r#"{"execute":true,"note":"wrong day"}"#).await.ok();
    assert_eq!((&done["status"], &done["cancelled"]), (&json!("2/2 tasks cancelled"), &json!(2)));
    stub.cancel(|_| Ok(vec![Ok(()), Err(Error::new(Code::AlreadyFinished, "it has one"))]));
    let some = stub.post(path, r#"{"state":"leased","execute":true}"#).await;
    assert_eq!((some.status, &some.json()["cancelled"]), (207, &json!(1)));
    let failed = json!([{"uid": leased(2).uid, "code": "already_finished", "detail": "it has one"}]);
    assert_eq!((&some.json()["failed"], some.json()["tasks"].as_array().unwrap().len()), (&failed, 1));
    assert_eq!(filters.lock().unwrap().last().unwrap().states, [TaskState::Leased]);
    stub.cancel(|_| Err(Error::new(Code::Storage, "no disk")));
    assert_eq!(stub.post(path, r#"{"execute":true}"#).await.code(), "storage");
    for (body, says) in [
        (r#"{"state":["ready","done"]}"#, "`state` is done"),
        (r#"{"note":5}"#, "`note` is 5: write a text"),
        (r#"{"execute":1}"#, "write true or false"),
    ] {
        let (_, _, detail) = stub.post(path, body).await.problem();
        assert!(detail.contains(says), "{body}: {detail}");
    }
}

#[actix::test]
async fn a_cancelled_task_is_shown_as_it_stands() {
    let stub = Stub::default();
    let task = Attempt { cancelled: true, ..leased(1) };
    let path = format!("/api/v1/tasks/{}/cancel", task.uid);
    stub.attempts(move |_| Ok(vec![Some(task.clone())]));
    stub.cancel(|ask| {
        assert_eq!((ask.now, ask.msg.as_str()), (noon(), "cancelled: wrong day"));
        Ok(vec![Ok(())])
    });
    let shown = stub.post(&path, r#"{"note":"wrong day"}"#).await.ok();
    assert_eq!((&shown["state"], &shown["cancelled"]), (&json!("leased"), &json!(true)));
    stub.cancel(|_| Err(Error::new(Code::AlreadyFinished, "done")));
    assert_eq!(stub.post(&path, "").await.code(), "already_finished");
}

#[actix::test]
async fn a_failed_task_is_marked_complete_with_who_and_why() {
    let stub = Stub::default();
    let failed = Attempt { result: Some(TaskResult::Error), msg: "no disk".to_owned(), ..finished(1) };
    let path = format!("/api/v1/tasks/{}/complete", failed.uid);
    stub.attempts(move |_| Ok(vec![Some(failed.clone())]));
    stub.submit(|submit| {
        let [(claim, outcome)] = submit.results.as_slice() else { panic!("one result") };
        assert_eq!(*claim, ResultClaim::Person { uid: finished(1).uid, seen: Some(TaskResult::Error) });
        assert_eq!((outcome.result, outcome.meta.as_str()), (TaskResult::Complete, "file=a.csv"));
        assert_eq!(outcome.msg, "marked complete: by hand (was error: no disk)");
        assert_eq!(outcome.ended, finished(1).ended);
        Ok(vec![Ok(AppliedResult { duplicate: false })])
    });
    assert_eq!(stub.post(&path, r#"{"note":" by hand ","meta":{"file":"a.csv"}}"#).await.status, 200);
    for (code, text) in [(Code::TaskUnfinished, "task_unfinished"), (Code::AlreadyFinished, "already_finished")] {
        stub.submit(move |_| Ok(vec![Err(Error::new(code, "tried again"))]));
        assert_eq!(stub.post(&path, "").await.code(), text);
    }
    let long = json!({"note": "x".repeat(1_001)}).to_string();
    assert!(stub.post(&path, long).await.problem().2.contains("longer than 1000"));
    assert!(stub.post(&path, r#"{"meta":"a=%zz"}"#).await.problem().2.contains("`meta`"));
    stub.attempts(|_| Ok(vec![Some(Attempt { result: Some(TaskResult::Complete), ..finished(1) })]));
    assert_eq!(stub.post(&path, "").await.code(), "already_finished");
}

#[actix::test]
async fn the_reference_names_a_task_by_its_time() {
    let stub = Stub::default();
    let at = |seconds: i64, micros: i64| attempt(seconds * 1_000_000 + micros);
    stub.chain(move |_| Ok(vec![at(0, 0), at(5, 1), at(5, 7)]));
    let stored = storing(&stub);
    let body = |created: &str| json!({"type": "load", "job": "daily", "id": "chain-1", "created": created}).to_string();
    let ran = async |created: &str| {
        stub.post("/rerun", body(created)).await.ok();
        stored.lock().unwrap().pop().unwrap().parent.unwrap()
    };
    assert_eq!(ran("2026-03-02T12:00:00Z").await, at(0, 0).uid);
    assert_eq!(ran("2026-03-02T12:00:05Z").await, at(5, 7).uid, "the last of that second");
    assert_eq!(ran("2026-03-02T12:00:05.000001Z").await, at(5, 1).uid);
    assert_eq!(stub.post("/rerun", body("2026-03-02T12:00:09Z")).await.code(), "task_unknown");
    for (body, says) in [("{}", "`type` is missing"), (&body("noon"), "`created` is `noon`")] {
        let (_, _, detail) = stub.post("/rerun", body.to_owned()).await.problem();
        assert!(detail.contains(says), "{detail}");
    }
}

#[actix::test]
async fn a_phase_is_paused_and_goes_on() {
    let stub = Stub::default();
    stub.pause(|ask| {
        assert_eq!((ask.workflow.as_str(), ask.task.as_str()), ("etl/main.toml", "load"));
        Ok(ask.paused.then(|| noon() - TimeDelta::hours(1)))
    });
    let body = r#"{"workflow":"etl/main.toml","task":"load"}"#;
    let paused = stub.post("/api/v1/phases/pause", body).await.ok();
    let expected = json!({
        "workflow": "etl/main.toml", "task": "load", "paused": true, "paused_since": "2026-03-02T11:00:00Z",
    });
    assert_eq!(paused, expected);
    assert_eq!(stub.post("/api/v1/phases/resume", body).await.ok()["paused"], false);
    let missing = stub.post("/api/v1/phases/pause", r#"{"workflow":"a"}"#).await;
    assert!(missing.problem().2.contains("`task` is missing"), "{missing:?}");
    stub.pause(|_| Err(Error::new(Code::WorkflowUnknown, "none")));
    assert_eq!(stub.post("/api/v1/phases/pause", body).await.problem().0, 404);
}

#[actix::test]
async fn one_task_runs_again_unless_it_is_said_that_it_must_not() {
    let stub = Stub::default();
    stub.attempts(|query| Ok(query.uids.iter().map(|_| Some(finished(1))).collect()));
    stub.later(|query| Ok(vec![None; query.uids.len()]));
    let stored = storing(&stub);
    let path = format!("/api/v1/tasks/{}/rerun", finished(1).uid);
    let dry = stub.post(&path, r#"{"execute":false}"#).await;
    assert_eq!((dry.status, stored.lock().unwrap().len()), (200, 0));
    assert_eq!(dry.ok()["uid"], json!(finished(1).uid));
    for body in ["", "{}", r#"{"execute":true}"#, r#"{"execute":null}"#] {
        assert_eq!(stub.post(&path, body).await.status, 201, "{body:?}");
    }
    assert_eq!(stored.lock().unwrap().len(), 4);
    for body in [r#"{"execute":"no"}"#, "[]", "nonsense"] {
        assert_eq!(stub.post(&path, body).await.code(), "invalid_json", "{body}");
    }
    stub.attempts(|query| Ok(query.uids.iter().map(|_| Some(leased(1))).collect()));
    assert_eq!(stub.post(&path, r#"{"execute":false}"#).await.code(), "task_unfinished");
    assert_eq!(stored.lock().unwrap().len(), 4);
}

#[actix::test]
async fn a_rerun_says_which_children_are_to_start() {
    let stub = Stub::default();
    stub.attempts(|query| Ok(query.uids.iter().map(|_| Some(finished(1))).collect()));
    stub.find_tasks(|_| Ok(listed(vec![finished(1)])));
    stub.later(|query| Ok(vec![None; query.uids.len()]));
    let stored = storing(&stub);
    let one = format!("/api/v1/tasks/{}/rerun", finished(1).uid);
    for (downstream, said) in [("true", "manual"), ("false", "alone"), (r#""failed""#, "failed"), ("null", "manual")] {
        stub.post(&one, format!(r#"{{"downstream":{downstream}}}"#)).await.ok();
        let many = format!(r#"{{"type":"load","downstream":{downstream},"execute":true}}"#);
        stub.post("/api/v1/tasks/rerun", many).await.ok();
        for task in stored.lock().unwrap().drain(..) {
            assert!(task.meta.contains(&format!("rerun={said}")), "{downstream}: {}", task.meta);
        }
    }
    for (path, body, code) in [
        (one.as_str(), r#"{"downstream":"all"}"#, "invalid_json"),
        ("/api/v1/tasks/rerun", r#"{"type":"load","downstream":1}"#, "invalid_request"),
    ] {
        let (_, given, detail) = stub.post(path, body).await.problem();
        assert!(given == code && detail.contains("write true, false or \"failed\""), "{detail}");
    }
}

#[actix::test]
async fn what_people_mistype_is_refused_with_what_they_meant() {
    let uid = finished(1).uid;
    for (path, body, meant) in [
        (format!("/api/v1/tasks/{uid}/rerun"), r#"{"exceute":false}"#, "execute"),
        (format!("/api/v1/tasks/{uid}/cancel"), r#"{"notes":"x"}"#, "note"),
        (format!("/api/v1/tasks/{uid}/complete"), r#"{"nte":"x"}"#, "note"),
        ("/api/v1/tasks/rerun".to_owned(), r#"{"result":"error","exectue":true}"#, "execute"),
        ("/api/v1/tasks/cancel".to_owned(), r#"{"type":"a","notes":"x"}"#, "note"),
        ("/api/v1/backload".to_owned(), r#"{"task":"a","exectue":true}"#, "execute"),
        ("/api/v1/phases/pause".to_owned(), r#"{"workflow":"w","taks":"a"}"#, "task"),
        ("/api/v1/phases/run".to_owned(), r#"{"workflow":"w","taks":"a"}"#, "task"),
        ("/api/v1/phases/resume".to_owned(), r#"{"worklfow":"w","task":"a"}"#, "workflow"),
        ("/api/v1/alerts/ack".to_owned(), r#"{"forr":"4h"}"#, "for"),
        ("/api/v1/alerts/ack".to_owned(), r#"{"match":{"tpye":"a"}}"#, "type"),
        ("/api/v1/silences".to_owned(), r#"{"for":"4h","raeson":"x"}"#, "reason"),
        ("/api/v1/tokens".to_owned(), r#"{"name":"a","role":"push","rol":"x"}"#, "role"),
        ("/api/v1/snapshots".to_owned(), r#"{"too":"/x"}"#, "to"),
    ] {
        let (status, _, detail) = Stub::default().post(&path, body).await.problem();
        assert!(status == 400 && detail.contains(&format!("did you mean `{meant}`?")), "{path}: {detail}");
        let (status, _, detail) = Stub::default().post(&format!("{path}?zzz=1"), "{}").await.problem();
        assert!(status == 400 && detail.contains("no parameter `zzz`"), "{path}: {detail}");
    }
}

#[actix::test]
async fn what_newer_workers_send_is_passed_over() {
    let stub = Stub::default();
    stub.heartbeat(|_| Ok(LeaseExtension { expires: noon(), cancel: false }));
    stub.release(|_| Ok(()));
    stub.submit(|submit| Ok(submit.results.iter().map(|_| Ok(AppliedResult { duplicate: false })).collect()));
    stub.create(|create| {
        Ok(CreatedTasks { uids: create.tasks.iter().map(|task| task.uid).collect(), repeated: false })
    });
    let lease = format!("/api/v1/lease/{}", token());
    for (path, body) in [
        (format!("{lease}/heartbeat?newer=1"), r#"{"newer":1}"#),
        (format!("{lease}/release?newer=1"), r#"{"newer":1}"#),
        (format!("{lease}/result?newer=1"), r#"{"result":"warn","newer":1}"#),
        ("/api/v1/tasks?newer=1".to_owned(), r#"{"type":"a","info":"i","newer":1}"#),
        ("/api/v1/results?newer=1".to_owned(), r#"[{"uid":"060a24181e4000","result":"warn","newer":1}]"#),
    ] {
        let reply = stub.post(&path, body).await;
        assert!((200..300).contains(&reply.status), "{path}: {reply:?}");
    }
}
