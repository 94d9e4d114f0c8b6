//! Tasks created and listed.

use std::sync::{Arc, Mutex};

use actix_web::test::TestRequest;
use flowlord_domain::{TaskResult, TaskState, Uid};
use flowlord_kernel::{Code, Error};
use flowlord_messages::tasks::{CreateTasks, CreatedTasks, FindTasks, TaskCursor, TaskFilter, TaskPage, TaskSort};
use serde_json::json;

use super::stub::{Stub, attempt, finished, noon};

const PATH: &str = "/api/v1/tasks";

/// Stores everything as it is asked for, and keeps what was asked.
fn storing() -> (Stub, Arc<Mutex<Vec<CreateTasks>>>) {
    let (stub, seen) = (Stub::default(), Arc::new(Mutex::new(Vec::new())));
    let asked = Arc::clone(&seen);
    stub.create(move |create| {
        let uids = create.tasks.iter().map(|task| task.uid).collect();
        asked.lock().unwrap().push(create);
        Ok(CreatedTasks { uids, repeated: false })
    });
    (stub, seen)
}

#[actix::test]
async fn a_task_is_created() {
    let (stub, seen) = storing();
    let body = r#"{"type":"load","job":"daily","info":"?a=1","meta":{"k":"v"},"id":"c1","not_before":"2026-03-02T13:00:00Z","uid":"x","colour":"red"}"#;
    let reply = stub.post(PATH, body).await;
    assert_eq!(reply.status, 201);
    insta::assert_snapshot!(reply.text, @r#"{"type":"load","job":"daily","info":"?a=1","created":"2026-03-02T12:00:00.000000Z","id":"c1","meta":"k=v","uid":"064c0953867000","state":"delayed","attempt":1,"delivery":0,"not_before":"2026-03-02T13:00:00Z"}"#);
    let create = seen.lock().unwrap().pop().unwrap();
    assert_eq!((create.now, create.idempotency, create.slot), (noon(), None, None));
    let task = &create.tasks[0];
    assert_eq!(
        (task.topic.as_str(), task.job.as_str(), task.id.as_str(), task.meta.as_str()),
        ("load", "daily", "c1", "k=v")
    );
}

#[actix::test]
async fn what_is_not_given_is_made() {
    let (stub, _) = storing();
    let reply = stub.post(PATH, r#"{"type":"load","info":"","not_before":"2026-03-02T11:00:00Z"}"#).await.ok();
    assert_eq!(reply["state"], "ready", "its time has come");
    assert_eq!(reply["id"].as_str().unwrap().len(), 36, "a new chain");
    assert_eq!(reply["uid"].as_str().unwrap().parse(), Ok(Uid::at(noon())));
    assert_eq!((&reply["attempt"], &reply["delivery"]), (&json!(1), &json!(0)));
}

#[actix::test]
async fn several_are_created_in_one_command() {
    let (stub, seen) = storing();
    let reply = stub.post(PATH, r#"[{"type":"a","info":"1"},{"type":"a","info":"2"}]"#).await;
    assert_eq!(reply.status, 201);
    let json = reply.ok();
    assert_eq!((json["items"].as_array().unwrap().len(), &json["next"]), (2, &json!(null)));
    assert_ne!(json["items"][0]["created"], json["items"][1]["created"]);
    assert_eq!(seen.lock().unwrap().len(), 1);
    assert_eq!(stub.post(PATH, "[]").await.ok(), json!({"items": [], "next": null}));
    assert_eq!(seen.lock().unwrap().len(), 1, "nothing to store");
}

#[actix::test]
async fn what_was_stored_is_answered() {
    let stub = Stub::default();
    stub.attempts(|query| Ok(query.uids.into_iter().map(|_| Some(finished(7))).collect()));
    for repeated in [true, false] {
        // Repeated, or moved on since its uid was taken.
        stub.create(move |_| Ok(CreatedTasks { uids: vec![attempt(7).uid], repeated }));
        let request = TestRequest::post().uri(PATH).insert_header(("idempotency-key", "k1"));
        let reply = stub.send(request.set_payload(r#"{"type":"load","info":"i"}"#)).await;
        assert_eq!((reply.status, &reply.json()["state"]), (201, &json!("done")), "{reply:?}");
    }
}

#[actix::test]
async fn a_key_tells_requests_apart_by_their_content() {
    let (stub, seen) = storing();
    for body in [r#"{"type":"a","info":"1"}"#, r#"{"type":"a","info":"1"}"#, r#"{"type":"a","info":"2"}"#] {
        let request = TestRequest::post().uri(PATH).insert_header(("idempotency-key", "k1")).set_payload(body);
        stub.send(request).await.ok();
    }
    let keys: Vec<_> = seen.lock().unwrap().iter().map(|create| create.idempotency.clone().unwrap()).collect();
    assert!(keys[0] == keys[1] && keys[1].key == keys[2].key && keys[1].digest != keys[2].digest, "{keys:?}");
    stub.create(|_| Err(Error::new(Code::IdempotencyConflict, "other")));
    assert_eq!(stub.post(PATH, r#"{"type":"a","info":"1"}"#).await.problem().0, 409);
    let empty = TestRequest::post().uri(PATH).insert_header(("idempotency-key", "")).set_payload("{}");
    assert_eq!(stub.send(empty).await.code(), "invalid_request");
}

#[actix::test]
async fn what_can_not_be_created_says_what_to_write() {
    let stub = Stub::default();
    stub.create(|_| panic!("nothing gets that far"));
    let long = json!({"type": "a", "info": "", "id": "x".repeat(201)}).to_string();
    for (body, code, says) in [
        (r#"{"info":"i"}"#, "invalid_request", "`type` is missing"),
        (r#"{"type":"a"}"#, "invalid_request", "`info` is missing"),
        (r#"{"type":"a b","info":""}"#, "invalid_topic", "`a b`"),
        (r#"{"type":"a","job":"b/c","info":""}"#, "invalid_topic", "`b/c` can't name a job"),
        (r#"{"type":"a","info":"","result":"complete"}"#, "invalid_request", "/api/v1/results"),
        (r#"{"type":"a","info":"","meta":"a=%zz"}"#, "invalid_request", "%25"),
        (r#"{"type":"a","info":"","not_before":"soon"}"#, "invalid_request", "`not_before`"),
        (r#"{"type":5,"info":""}"#, "invalid_json", "`type`"),
        (r#"[{"type":"a","info":""},{"type":"a"}]"#, "invalid_request", "[1]: `info`"),
        (r#"[{"type":"a","info":""},{"info":[]}]"#, "invalid_json", "[1]: `info`"),
        ("5", "invalid_json", "must be an object"),
        ("[5]", "invalid_json", "[0]: this must be an object"),
        ("", "invalid_request", "`type` is missing"),
        (long.as_str(), "invalid_request", "`id`"),
    ] {
        let (status, given, detail) = stub.post(PATH, body.to_owned()).await.problem();
        assert_eq!((status, given.as_str()), (400, code), "{body}: {detail}");
        assert!(detail.contains(says), "{body}: {detail}");
    }
}

#[actix::test]
async fn filters_are_passed_on() {
    let (stub, seen) = (Stub::default(), Arc::new(Mutex::new(None)));
    let asked = Arc::clone(&seen);
    stub.find_tasks(move |query: FindTasks| {
        *asked.lock().unwrap() = Some(query);
        Ok(TaskPage::default())
    });
    let path = "/api/v1/tasks?date=2026-03-02&type=a,b&type=c&job=j&result=error,running&state=leased&id=x%2Cy&retry=failed&order=asc&limit=5&cursor=060a24181e4000&sort=run&q=disk+-msg:full";
    assert_eq!(stub.get(path).await.ok(), json!({"items": [], "next": null}));
    let query = seen.lock().unwrap().take().unwrap();
    let texts = |texts: &[&str]| texts.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(
        query.filter,
        TaskFilter {
            from: "2026-03-02T00:00:00Z".parse().ok(),
            to: "2026-03-03T00:00:00Z".parse().ok(),
            topics: texts(&["a", "b", "c"]),
            jobs: texts(&["j"]),
            results: vec![TaskResult::Error],
            running: true,
            states: vec![TaskState::Leased],
            ids: texts(&["x", "y"]),
            given_up: true,
        }
    );
    assert_eq!((query.ascending, query.limit, query.after), (true, 5, "060a24181e4000".parse().ok()));
    assert_eq!((query.sort, query.search.to_string().as_str()), (TaskSort::Run, "disk -msg:full"));
    stub.get("/api/v1/tasks?from=2026-03-02T05&to=2026-03-02T06:30:00Z").await.ok();
    let query = seen.lock().unwrap().take().unwrap();
    assert_eq!(query.filter.from, "2026-03-02T05:00:00Z".parse().ok());
    assert_eq!(query.filter.to, "2026-03-02T06:30:00Z".parse().ok());
    assert_eq!((query.ascending, query.limit, query.after), (false, 100, None));
}

#[actix::test]
async fn a_page_says_how_far_it_came() {
    let stub = Stub::default();
    stub.find_tasks(|query| {
        let next = Some(TaskCursor::After(attempt(1).uid)).filter(|_| query.limit == 2);
        let looked_until = next.as_ref().map(|_| noon());
        Ok(TaskPage { tasks: (0..2).map(attempt).collect(), next, looked_until })
    });
    let page = stub.get("/api/v1/tasks?limit=2").await.ok();
    assert_eq!((page["items"].as_array().unwrap().len(), &page["next"]), (2, &json!(attempt(1).uid)));
    assert_eq!(page["looked_until"], "2026-03-02T12:00:00Z");
    let page = stub.get("/api/v1/tasks?limit=3").await.ok();
    assert_eq!((&page["next"], page.get("looked_until")), (&json!(null), None));
}

#[actix::test]
async fn filters_that_can_not_be_say_what_to_write() {
    let stub = Stub::default();
    for (query, says) in [
        ("date=yesterday", "2026-01-15"),
        ("date=2026-1-5", "2026-01-15"),
        ("date=2026-02-30", "2026-01-15"),
        ("date=2026-01-01&from=2026-01-01", "give only one of them"),
        ("from=x", "`from`"),
        ("from=2026-01-02&to=2026-01-01", "swap"),
        ("limit=0", "from 1 to 1000"),
        ("limit=1001", "from 1 to 1000"),
        ("limit=ten", "from 1 to 1000"),
        ("limit=1&limit=2", "more than once"),
        ("result=fine", "or running"),
        ("state=gone", "ready, delayed, leased or done"),
        ("order=up", "asc or desc"),
        ("cursor=x", "`next`"),
        ("sort=size", "one of created, started"),
        ("q=%22disk", "a quote isn't closed"),
        ("q=result:bad", "write complete"),
        ("q=a&q=b", "more than once"),
        ("typ=a", "did you mean `type`?"),
        ("zzz=a", "there are date"),
        ("type=%zz", "%25"),
    ] {
        let (status, code, detail) = stub.get(&format!("/api/v1/tasks?{query}")).await.problem();
        assert_eq!((status, code.as_str()), (400, "invalid_request"), "{query}: {detail}");
        assert!(detail.contains(says), "{query}: {detail}");
    }
    let many: Vec<String> = (0..65).map(|n| n.to_string()).collect();
    let refused = stub.get(&format!("/api/v1/tasks?id={}", many.join(","))).await.problem();
    assert!(refused.2.contains("at most 64"), "{refused:?}");
    assert_eq!(stub.get("/api/v1/tasks").await.code(), "storage", "what the reader says is passed on");
}

#[actix::test]
async fn one_task_is_found_or_unknown() {
    let stub = Stub::default();
    stub.attempts(|query| Ok(query.uids.iter().map(|uid| (*uid == attempt(3).uid).then(|| finished(3))).collect()));
    let reply = stub.get(&format!("/api/v1/tasks/{}", attempt(3).uid)).await;
    reply.ok();
    insta::assert_snapshot!(reply.text, @r#"{"type":"load","job":"daily","info":"?date=2026-03-02","created":"2026-03-02T12:00:00.000003Z","id":"chain-1","meta":"workflow=main.toml","result":"error","msg":"no disk","started":"2026-03-02T12:00:02Z","ended":"2026-03-02T12:00:05Z","uid":"064c0953867003","state":"done","attempt":2,"delivery":2,"worker":"w1","parent":"064c0953867000"}"#);
    for uid in [attempt(4).uid.to_string(), "nonsense".to_owned()] {
        assert_eq!(stub.get(&format!("/api/v1/tasks/{uid}")).await.code(), "task_unknown");
    }
}
