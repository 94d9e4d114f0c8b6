//! Many results at once.

use std::sync::{Arc, Mutex};

use actix_web::test::TestRequest;
use flowlord_domain::Attempt;
use flowlord_domain::foreign::ForeignTask;
use flowlord_kernel::{Code, Error};
use flowlord_messages::results::{AppliedResult, ResultClaim};
use flowlord_messages::tasks::KnownTask;
use serde_json::{Value, json};

use super::stub::{Stub, attempt, token};

const PATH: &str = "/api/v1/results";

fn done(task: &Attempt) -> Value {
    let mut json = serde_json::to_value(flowlord_domain::task_doc::AttemptDoc(task)).unwrap();
    json["result"] = json!("complete");
    json
}

/// Takes everything but what is claimed for this attempt.
fn taking(refused: &'static str) -> Stub {
    let stub = Stub::default();
    stub.submit(move |submit| {
        let answer = |claim: &ResultClaim| match claim {
            ResultClaim::Lease(_) | ResultClaim::TimedOut(_) | ResultClaim::Foreign(_) => {
                Ok(AppliedResult { duplicate: false })
            }
            ResultClaim::Task(uid) if uid.to_string() == refused => Err(Error::new(Code::AlreadyFinished, "no")),
            ResultClaim::Task(_) | ResultClaim::Person { .. } => Ok(AppliedResult { duplicate: true }),
        };
        Ok(submit.results.iter().map(|(claim, _)| answer(claim)).collect())
    });
    stub.known_tasks(|query| {
        let find = |(_, task): (_, Arc<ForeignTask>)| match task.info.as_str() {
            "recorded" => KnownTask::Recorded,
            "foreign" => KnownTask::Unknown,
            _ => KnownTask::Created(task.first_uid()),
        };
        Ok(query.tasks.into_iter().map(find).collect())
    });
    stub
}

#[actix::test]
async fn each_result_is_judged_alone() {
    let named = |change: fn(&mut Value)| {
        let mut task = done(&attempt(2));
        task.as_object_mut().unwrap().remove("uid");
        change(&mut task);
        task
    };
    let items = json!([
        {"lease": token().to_string(), "result": "complete"},
        done(&attempt(1)),
        named(|_| {}),
        {"lease": "nonsense", "result": "complete"},
        {"lease": token().to_string(), "result": "fine"},
        {"uid": "nonsense", "result": "complete"},
        named(|task| task["info"] = json!("foreign")),
        named(|task| task["info"] = json!("recorded")),
        named(|task| task["created"] = json!("noon")),
        {"result": "complete"},
        5,
        {"lease": 5, "result": "complete"},
        {"uid": "00000000000001", "result": "complete"},
    ]);
    let reply = taking("00000000000001").post(PATH, items.to_string()).await.ok();
    assert_eq!((&reply["accepted"], &reply["duplicates"]), (&json!(2), &json!(3)), "{reply}");
    let rejected: Vec<(u64, &str)> = reply["rejected"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| (item["index"].as_u64().unwrap(), item["code"].as_str().unwrap()))
        .collect();
    assert_eq!(
        rejected,
        [
            (3, "lease_unknown"),
            (4, "invalid_request"),
            (5, "task_unknown"),
            (8, "invalid_request"),
            (9, "invalid_request"),
            (10, "invalid_json"),
            (11, "invalid_json"),
            (12, "already_finished"),
        ]
    );
}

#[actix::test]
async fn results_come_as_an_array_as_lines_or_alone() {
    let lease = format!(r#"{{"lease":"{}","result":"warn"}}"#, token());
    let pretty = format!("\n{{\n \"lease\": \"{}\",\n \"result\": \"warn\"\n}}\n", token());
    for (kind, body, accepted, rejected) in [
        ("application/json", format!("[{lease},{lease}]"), 2, 0),
        ("application/json", "[]".to_owned(), 0, 0),
        ("application/json", lease.clone(), 1, 0),
        ("application/json", pretty, 1, 0),
        ("application/json", format!("{lease}\n{lease}"), 2, 0),
        ("application/x-ndjson", format!("{lease}\r\n\n{lease}\n"), 2, 0),
        ("application/x-ndjson", format!("{lease}\n{{broken\n"), 1, 1),
        ("application/x-ndjson", format!(" [{lease}]"), 1, 0),
        ("application/x-ndjson", String::new(), 0, 0),
    ] {
        let request = TestRequest::post().uri(PATH).insert_header(("content-type", kind)).set_payload(body.clone());
        let reply = taking("").send(request).await.ok();
        assert_eq!(reply["accepted"], accepted, "{kind} {body}: {reply}");
        assert_eq!(reply["rejected"].as_array().unwrap().len(), rejected, "{kind} {body}: {reply}");
    }
}

#[actix::test]
async fn what_is_no_list_fails_as_a_whole_and_so_does_what_nobody_knows() {
    for kind in ["application/json", "application/x-ndjson"] {
        for body in ["[1,", "[] x", "nonsense", "{\"lease\":", "no\njson\nat all", "5", "\"text\"", "null"] {
            let request = TestRequest::post().uri(PATH).insert_header(("content-type", kind));
            let reply = taking("").send(request.set_payload(body)).await;
            assert_eq!((reply.problem().0, reply.code()), (400, "invalid_json".to_owned()), "{kind} {body:?}");
        }
    }
    assert_eq!(taking("").post(PATH, "").await.code(), "invalid_json");
    let many = format!("[0{}]", ",0".repeat(50_000));
    assert_eq!(taking("").post(PATH, many).await.problem().0, 413);
    let stub = taking("");
    stub.submit(|_| Err(Error::new(Code::Storage, "no disk")));
    let body = format!(r#"[{{"lease":"{}","result":"warn"}}]"#, token());
    assert_eq!(stub.post(PATH, body).await.code(), "storage");
    let named = format!("[{}]", json!({"type":"a","id":"i","created":"2026-01-01T00:00:00Z","result":"warn"}));
    stub.known_tasks(|_| Err(Error::new(Code::Busy, "much")));
    assert_eq!(stub.post(PATH, named).await.code(), "busy");
}

/// What is submitted for one done task that nobody knows, and what is answered.
async fn adopted(path: &str, item: Value) -> (Option<ForeignTask>, Value) {
    let (seen, stub) = (Arc::new(Mutex::new(None)), Stub::default());
    stub.known_tasks(|query| Ok(vec![KnownTask::Unknown; query.tasks.len()]));
    let submitted = Arc::clone(&seen);
    stub.submit(move |submit| {
        if let (ResultClaim::Foreign(task), outcome) = &submit.results[0] {
            assert_eq!(outcome.meta, "", "its meta is the task's");
            *submitted.lock().unwrap() = Some(ForeignTask::clone(task));
        }
        Ok(submit.results.iter().map(|_| Ok(AppliedResult { duplicate: false })).collect())
    });
    let reply = stub.post(path, json!([item]).to_string()).await.ok();
    let task = seen.lock().unwrap().take();
    (task, reply)
}

fn foreign() -> Value {
    json!({
        "type": "load", "job": "daily", "info": "?i=1", "id": "c1", "created": "2026-03-02T11:59:00Z",
        "meta": "workflow=w.toml", "result": "complete", "started": "2026-03-02T11:59:10Z", "ended": "2026-03-02T11:59:20Z",
    })
}

#[actix::test]
async fn a_done_task_that_nobody_knows_is_handed_on_as_it_came() {
    let (task, reply) = adopted(PATH, foreign()).await;
    let task = task.unwrap();
    assert_eq!(reply["accepted"], 1);
    assert_eq!((task.topic.as_str(), task.job.as_str(), task.info.as_str()), ("load", "daily", "?i=1"));
    assert_eq!((task.id.as_str(), task.chain.as_str(), task.meta.as_str()), ("c1", "c1", "workflow=w.toml"));
    let (task, _) = adopted("/api/v1/results?adopt=true&newer=1", foreign()).await;
    assert!(task.is_some(), "what a newer worker adds is passed over");
}

#[actix::test]
async fn a_done_task_by_hand_may_leave_out_its_id_and_when_it_was_created() {
    let without = |field: &str| {
        let mut task = foreign();
        task.as_object_mut().unwrap().remove(field);
        task
    };
    let nameless = adopted(PATH, without("id")).await.0.unwrap();
    assert_eq!((nameless.id.as_str(), nameless.chain.len()), ("", 36), "a chain of its own");
    let timeless = adopted(PATH, without("created")).await.0.unwrap();
    assert_eq!(timeless.created.to_rfc3339(), "2026-03-02T11:59:10+00:00", "when it was begun");
    let with_uid = {
        let mut task = foreign();
        task["uid"] = json!("060a24181e4000");
        task
    };
    assert!(adopted(PATH, with_uid).await.0.is_some(), "one of another flowlord");
}

#[actix::test]
async fn what_cannot_be_recorded_is_rejected_with_what_to_change() {
    for (field, value, code, says) in [
        ("type", "a b", "invalid_topic", "topic"),
        ("job", "a b", "invalid_topic", "job"),
        ("id", &*"x".repeat(201), "invalid_request", "200"),
        ("created", "2026-03-03T12:00:01Z", "invalid_request", "check the clock"),
        ("created", "0001-01-01T00:00:00Z", "invalid_request", "after 1970"),
        ("created", "noon", "invalid_request", "as it came"),
    ] {
        let mut task = foreign();
        task[field] = json!(value);
        let (task, reply) = adopted(PATH, task).await;
        let rejected = &reply["rejected"][0];
        assert!(task.is_none() && rejected["code"] == code, "{field} {value}: {reply}");
        assert!(rejected["detail"].as_str().unwrap().contains(says), "{reply}");
    }
    let (task, reply) = adopted("/api/v1/results?adopt=false", foreign()).await;
    assert!(task.is_none() && reply["rejected"][0]["code"] == "task_unknown", "{reply}");
    let problem = taking("").post("/api/v1/results?adopt=no", "[]").await.problem();
    assert!(problem.0 == 400 && problem.2.contains("true or false"), "{problem:?}");
}
