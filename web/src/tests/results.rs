//! Many results at once.

use actix_web::test::TestRequest;
use flowlord_domain::Attempt;
use flowlord_messages::write::{Applied, Claim};
use flowlord_messages::{Code, Error};
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
        let answer = |claim: &Claim| match claim {
            Claim::Lease(_) => Ok(Applied { duplicate: false }),
            Claim::Task(uid) if uid.to_string() == refused => Err(Error::new(Code::AlreadyFinished, "no")),
            Claim::Task(_) => Ok(Applied { duplicate: true }),
        };
        Ok(submit.results.iter().map(|(claim, _)| answer(claim)).collect())
    });
    stub.attempts(|query| {
        let known = [attempt(1), attempt(2)];
        let find = |uid| known.iter().find(|task| task.uid == uid).cloned();
        Ok(query.uids.into_iter().map(find).collect())
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
        named(|task| task["job"] = json!("other")),
        named(|task| task["created"] = json!("2020-01-01T00:00:00Z")),
        named(|task| task["created"] = json!("noon")),
        {"result": "complete"},
        5,
        {"lease": 5, "result": "complete"},
        {"uid": "00000000000001", "result": "complete"},
    ]);
    let reply = taking("00000000000001").post(PATH, items.to_string()).await.ok();
    assert_eq!((&reply["accepted"], &reply["duplicates"]), (&json!(1), &json!(2)), "{reply}");
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
            (6, "task_unknown"),
            (7, "task_unknown"),
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
        let request =
            TestRequest::post().uri(PATH).insert_header(("content-type", kind)).set_payload(body.clone());
        let reply = taking("").send(request).await.ok();
        assert_eq!(reply["accepted"], accepted, "{kind} {body}: {reply}");
        assert_eq!(reply["rejected"].as_array().unwrap().len(), rejected, "{kind} {body}: {reply}");
    }
}

#[actix::test]
async fn what_is_no_list_fails_as_a_whole_and_so_does_what_nobody_knows() {
    for body in ["", "[1,", "[] x"] {
        assert_eq!(taking("").post(PATH, body).await.code(), "invalid_json", "{body:?}");
    }
    let many = format!("[0{}]", ",0".repeat(50_000));
    assert_eq!(taking("").post(PATH, many).await.problem().0, 413);
    let stub = taking("");
    stub.submit(|_| Err(Error::new(Code::Storage, "no disk")));
    let body = format!(r#"[{{"lease":"{}","result":"warn"}}]"#, token());
    assert_eq!(stub.post(PATH, body).await.code(), "storage");
    let named =
        format!("[{}]", json!({"type":"a","id":"i","created":"2026-01-01T00:00:00Z","result":"warn"}));
    stub.attempts(|_| Err(Error::new(Code::Busy, "much")));
    assert_eq!(stub.post(PATH, named).await.code(), "busy");
}
