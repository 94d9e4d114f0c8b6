//! Files: told in each form, listed with what they started.

use std::sync::{Arc, Mutex};

use actix_web::test::TestRequest;
use flowlord_domain::file_event::FileEvent;
use flowlord_domain::file_match::FilePhase;
use flowlord_domain::{NewTask, TaskLane};
use flowlord_kernel::{Code, Error};
use flowlord_messages::files::{
    FileArrived, FileMatchState, FilePhaseOutcome, FileSource, RecordedFile, StartedTask, StoredFileEvent, WatchedPlace,
};
use serde_json::json;

use super::stub::{Stub, attempt, noon};

const PATH: &str = "/api/v1/files";

fn outcome(state: FileMatchState) -> FilePhaseOutcome {
    let phase = FilePhase {
        workflow: "main.toml".to_owned(),
        task: "load:daily".to_owned(),
        pattern: "/in/*".to_owned(),
        nth: 0,
    };
    let uid = (state == FileMatchState::Started).then(|| attempt(1).uid);
    let why = if state == FileMatchState::Failed { "no topic".to_owned() } else { String::new() };
    FilePhaseOutcome { phase, state, uid, why }
}

/// Records everything, and keeps what was told.
fn recording() -> (Stub, Arc<Mutex<Vec<FileArrived>>>) {
    let (stub, seen) = (Stub::default(), Arc::new(Mutex::new(Vec::new())));
    let told = Arc::clone(&seen);
    stub.arrived(move |arrived| {
        let arrived_at = arrived.file.path.clone();
        told.lock().unwrap().push(arrived);
        let task = NewTask {
            uid: attempt(1).uid,
            topic: "load".to_owned(),
            job: "daily".to_owned(),
            id: "c1".to_owned(),
            info: "/in/a".to_owned(),
            meta: "file=/in/a".to_owned(),
            workflow: "main.toml".to_owned(),
            parent: None,
            retry: 0,
            not_before: None,
            lane: TaskLane::Live,
        };
        let phases = vec![outcome(FileMatchState::Started), outcome(FileMatchState::Waiting)];
        let held = arrived_at == "/in/held";
        Ok(RecordedFile { event: 7, phases, tasks: vec![StartedTask { task, held }] })
    });
    (stub, seen)
}

#[actix::test]
async fn a_file_is_answered_with_its_phases_and_tasks() {
    let (stub, seen) = recording();
    let reply = stub.post(PATH, r#"{"path":"/in/a","size":5,"created":"2026-03-02T11:00:00Z"}"#).await;
    assert_eq!(reply.status, 200);
    insta::assert_snapshot!(reply.text, @r#"{"event":7,"path":"/in/a","phases":[{"workflow":"main.toml","task":"load:daily","files":"/in/*","state":"started","uid":"064c0953867001"},{"workflow":"main.toml","task":"load:daily","files":"/in/*","state":"waiting"}],"tasks":[{"type":"load","job":"daily","info":"/in/a","created":"2026-03-02T12:00:00.000001Z","id":"c1","meta":"file=/in/a","uid":"064c0953867001","state":"ready","attempt":1,"delivery":0}]}"#);
    let told = seen.lock().unwrap().pop().unwrap();
    assert_eq!((told.file.version.as_str(), told.ignored.as_str()), (" 2026-03-02T11:00:00Z", ""));
    let kept = &stub.post(PATH, r#"{"path":"/in/held"}"#).await.ok()["tasks"][0];
    assert_eq!((&kept["state"], &kept["not_before"]), (&json!("delayed"), &json!(null)), "its phase is paused");
}

#[actix::test]
async fn a_push_of_pub_sub_is_acknowledged_also_when_nothing_arrived() {
    let (stub, seen) = recording();
    let push = |event: &str| {
        json!({"message": {
            "attributes": {"bucketId": "b", "objectId": "in/a.csv", "objectGeneration": "1", "eventType": event},
            "messageId": "9",
        }})
        .to_string()
    };
    let reply = stub.post(PATH, push("OBJECT_FINALIZE")).await.ok();
    assert_eq!((&reply["path"], &reply["ignored"]), (&json!("gs://b/in/a.csv"), &json!(null)));
    let reply = stub.post(PATH, push("OBJECT_DELETE")).await.ok();
    assert_eq!(reply["ignored"], "OBJECT_DELETE: only OBJECT_FINALIZE starts tasks");
    let ignored: Vec<_> = seen.lock().unwrap().iter().map(|told| told.ignored.is_empty()).collect();
    assert_eq!(ignored, [true, false]);
}

#[actix::test]
async fn the_kind_of_an_event_counts_also_where_a_header_states_it() {
    let (stub, _) = recording();
    let object = r#"{"id":"b/in/a.csv/1","bucket":"b","name":"in/a.csv"}"#;
    let removed =
        r#"{"Records":[{"eventName":"ObjectRemoved:Delete","s3":{"bucket":{"name":"b"},"object":{"key":"a"}}}]}"#;
    let notice = json!({"Type": "Notification", "TopicArn": "arn:t", "Message": removed}).to_string();
    for (header, value, kind, body, ignored) in [
        ("ce-type", "google.cloud.storage.object.v1.finalized", "application/json", object, ""),
        ("ce-type", "google.cloud.storage.object.v1.deleted", "application/json", object, "google.cloud.storage"),
        ("eventtype", "OBJECT_ARCHIVE", "application/json", object, "OBJECT_ARCHIVE: only"),
        ("x-goog-pubsub-message-id", "7", "application/octet-stream", object, ""),
        ("x-amz-sns-message-type", "Notification", "text/plain; charset=UTF-8", &notice, "ObjectRemoved:Delete"),
    ] {
        let request = TestRequest::post().uri(PATH).insert_header((header, value));
        let request = request.insert_header(("content-type", kind)).set_payload(body.to_owned());
        let reply = stub.send(request).await.ok();
        let found = reply["ignored"].as_str().unwrap_or_default();
        assert!(found.starts_with(ignored) && found.is_empty() == ignored.is_empty(), "{value}: {reply}");
    }
    let request = TestRequest::post().uri(PATH).insert_header(("content-type", "text/plain"));
    assert_eq!(stub.send(request.set_payload(object)).await.code(), "unsupported_media_type");
}

#[actix::test]
async fn several_records_are_answered_one_by_one() {
    let (stub, seen) = recording();
    let record =
        |kind: &str, key: &str| json!({"eventName": kind, "s3": {"bucket": {"name": "b"}, "object": {"key": key}}});
    let several =
        [record("ObjectCreated:Put", "a"), record("ObjectRemoved:Delete", "b"), record("ObjectCreated:Put", "c")];
    let request = TestRequest::post().uri(PATH).insert_header(("idempotency-key", "k1"));
    let reply = stub.send(request.set_payload(json!({"Records": several}).to_string())).await.ok();
    let items = reply["items"].as_array().unwrap();
    let paths: Vec<_> = items.iter().map(|item| item["path"].as_str().unwrap()).collect();
    assert_eq!((paths, &reply["next"]), (vec!["s3://b/a", "s3://b/b", "s3://b/c"], &json!(null)));
    assert_eq!(items[1]["ignored"], "ObjectRemoved:Delete: only ObjectCreated starts tasks");
    let versions: Vec<_> = seen.lock().unwrap().iter().map(|told| told.file.version.clone()).collect();
    assert_eq!(versions, ["key k1", "key k1 1", "key k1 2"]);
    assert_eq!(stub.post(PATH, r#"{"Records":[]}"#).await.ok(), json!({"items": [], "next": null}));
}

#[actix::test]
async fn a_key_tells_a_repetition_where_the_file_does_not() {
    let (stub, seen) = recording();
    for body in [r#"{"path":"/in/a"}"#, r#"{"path":"/in/a","checksum":"c"}"#] {
        let request = TestRequest::post().uri(PATH).insert_header(("idempotency-key", "k1"));
        stub.send(request.set_payload(body)).await.ok();
    }
    let versions: Vec<_> = seen.lock().unwrap().iter().map(|told| told.file.version.clone()).collect();
    assert_eq!(versions, ["key k1", "c "]);
    let request = TestRequest::post().uri(PATH).insert_header(("idempotency-key", "")).set_payload("{}");
    assert_eq!(stub.send(request).await.code(), "invalid_request");
}

#[actix::test]
async fn what_tells_of_no_file_says_what_to_send() {
    let (stub, _) = recording();
    for (body, code, said) in [
        ("hello", "invalid_json", "is not JSON"),
        ("[1]", "invalid_json", "send one like {\"path\""),
        ("", "invalid_json", "is not JSON"),
        ("{}", "invalid_request", "names no file: send `path`"),
        (r#"{"message":{"data":"?"}}"#, "invalid_request", "`message.data` is not base64"),
    ] {
        let (status, found, detail) = stub.post(PATH, body).await.problem();
        assert_eq!((status, found.as_str()), (400, code), "{body}");
        assert!(detail.contains(said), "{detail}");
    }
    let long = json!({"path": "x".repeat(5_000)}).to_string();
    assert!(stub.post(PATH, long).await.problem().2.contains("at most 4096"));
    stub.arrived(|_| Err(Error::new(Code::Busy, "much")));
    assert_eq!(stub.post(PATH, r#"{"path":"/a"}"#).await.code(), "busy");
}

#[actix::test]
async fn events_of_a_day_come_in_pages() {
    let stub = Stub::default();
    stub.files(|query| {
        assert_eq!(query.from, "2026-03-02T00:00:00Z".parse::<chrono::DateTime<chrono::Utc>>().unwrap());
        let event = |id| StoredFileEvent {
            id,
            at: noon(),
            file: FileEvent { path: "/in/2026/03/01/a".to_owned(), size: 5, ..FileEvent::default() },
            source: FileSource::Watch,
            ignored: String::new(),
            phases: vec![outcome(FileMatchState::Failed)],
        };
        Ok([3, 2, 1]
            .map(event)
            .into_iter()
            .filter(|e| query.after.is_none_or(|id| e.id < id))
            .take(query.limit)
            .collect())
    });
    let reply = stub.get("/api/v1/files?limit=2").await;
    assert_eq!(reply.ok()["next"], "2");
    let rest = stub.get("/api/v1/files?date=2026-03-02&limit=2&cursor=2").await;
    insta::assert_snapshot!(rest.text, @r#"{"items":[{"event":1,"at":"2026-03-02T12:00:00Z","source":"watch","path":"/in/2026/03/01/a","size":5,"checksum":"","created":"","linecnt":0,"bytecnt":0,"task_time":"2026-03-01T00:00:00Z","phases":[{"workflow":"main.toml","task":"load:daily","files":"/in/*","state":"failed","why":"no topic"}]}],"next":null}"#);
    for query in ["date=x", "limit=0", "cursor=x", "type=a"] {
        assert_eq!(stub.get(&format!("{PATH}?{query}")).await.code(), "invalid_request", "{query}");
    }
}

#[actix::test]
async fn watched_places_say_how_they_are() {
    let stub = Stub::default();
    stub.places(|_| {
        let well = WatchedPlace { place: "/in".to_owned(), scanned_at: Some(noon()), files: 3, problem: String::new() };
        let away = WatchedPlace {
            place: "s3://b".to_owned(),
            scanned_at: None,
            files: 0,
            problem: "s3://b is away".to_owned(),
        };
        Ok(Arc::new(vec![well, away]))
    });
    let places = stub.get("/api/v1/files/places").await.ok();
    let expected = json!([
        {"place": "/in", "looked_at": "2026-03-02T12:00:00Z", "files": 3},
        {"place": "s3://b", "files": 0, "problem": "s3://b is away"},
    ]);
    assert_eq!(places["items"], expected);
}
