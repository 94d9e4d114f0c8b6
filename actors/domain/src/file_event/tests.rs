//! Events in each form that senders have for them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

/// What a body comes to, with headers.
fn told_with(headers: &[(&str, &str)], body: &str) -> Result<Vec<FileArrival>, FileEventError> {
    let value_of = |name: &str| headers.iter().find(|(key, _)| *key == name).map(|(_, value)| *value);
    parse_file_events(body.as_bytes(), &EventHeaders::from_lookup(value_of))
}

fn one(headers: &[(&str, &str)], body: &Value) -> FileArrival {
    let mut arrivals = told_with(headers, &body.to_string()).unwrap();
    assert_eq!(arrivals.len(), 1, "{arrivals:?}");
    arrivals.remove(0)
}

fn file(body: &Value) -> FileEvent {
    match one(&[], body) {
        FileArrival::File(file) => file,
        ignored @ FileArrival::Ignored { .. } => panic!("{ignored:?}"),
    }
}

/// The path, and why it starts nothing; empty when it does.
fn outcome(arrival: FileArrival) -> (String, String) {
    match arrival {
        FileArrival::File(file) => (file.path, String::new()),
        FileArrival::Ignored { file, why } => (file.path, why),
    }
}

fn object() -> Value {
    json!({
        "kind": "storage#object", "id": "b/in/a.csv/17", "name": "in/a.csv", "bucket": "b", "size": "5",
        "md5Hash": "wDJD", "timeCreated": "2021-11-17T23:17:45.997Z",
    })
}

fn push(data: &str, attributes: &Value) -> Value {
    let data = STANDARD.encode(data);
    json!({
        "message": {"data": data, "attributes": attributes, "messageId": "99"},
        "subscription": "projects/p/subscriptions/s",
    })
}

#[test]
fn an_object_of_gcs_is_the_same_in_each_wrapping() {
    let plain = file(&object());
    assert_eq!((plain.path.as_str(), plain.size, plain.checksum.as_str()), ("gs://b/in/a.csv", 5, "wDJD"));
    assert_eq!((plain.created.as_str(), plain.version.as_str()), ("2021-11-17T23:17:45Z", "b/in/a.csv/17"));
    let attributes = json!({
        "bucketId": "b", "objectId": "in/a.csv", "objectGeneration": "17", "eventType": "OBJECT_FINALIZE",
        "eventTime": "2021-11-17T23:17:45.997Z",
    });
    assert_eq!(file(&push(&object().to_string(), &attributes)), plain);
    let bare = file(&push("", &attributes));
    assert_eq!((bare.path, bare.version), (plain.path, plain.version), "without the object");
    assert_eq!(bare.created, "2021-11-17T23:17:45.997Z");
}

#[test]
fn a_stat_is_known_by_its_checksum_and_time_else_by_its_message() {
    let stat = json!({"path": "/in/a.csv", "checksum": "c", "created": "2021-11-24T23:00:01Z", "size": 9});
    assert_eq!(file(&stat).version, "c 2021-11-24T23:00:01Z");
    assert_eq!(file(&push(&stat.to_string(), &json!({}))), file(&stat));
    let bare = json!({"path": "/in/a.csv"});
    assert_eq!(file(&bare).version, "");
    assert_eq!(file(&push(&bare.to_string(), &json!(null))).version, "message 99");
}

/// A notification of S3, with one record a kind.
fn records(kinds: &[&str]) -> Value {
    let record = |kind: &&str| {
        json!({
            "eventSource": "aws:s3", "eventTime": "2024-01-15T06:00:00.000Z", "eventName": kind,
            "s3": {
                "bucket": {"name": "lake"},
                "object": {"key": "in/day+1/a%2Bb%26c.csv", "size": 1024, "eTag": "d41d", "sequencer": "0A1B"},
            },
        })
    };
    json!({"Records": kinds.iter().map(record).collect::<Vec<_>>()})
}

fn event_bridge(kind: &str) -> Value {
    json!({
        "version": "0", "id": "17793124", "detail-type": kind, "source": "aws.s3", "time": "2024-01-15T06:00:00Z",
        "resources": ["arn:aws:s3:::lake"],
        "detail": {
            "bucket": {"name": "lake"},
            "object": {"key": "in/day 1/a+b.csv", "size": 5, "etag": "b1946a", "version-id": "v7", "sequencer": "0A"},
            "reason": "PutObject",
        },
    })
}

fn cloud_event(kind: &str, data: &Value) -> Value {
    json!({
        "specversion": "1.0", "type": kind, "id": "e1", "time": "2021-11-17T23:17:45.997Z",
        "source": "//storage.googleapis.com/projects/_/buckets/b", "subject": "objects/in/a.csv", "data": data,
    })
}

fn sns(message: &str) -> Value {
    json!({"Type": "Notification", "MessageId": "m1", "TopicArn": "arn:aws:sns:eu:1:lake", "Message": message})
}

fn queued(body: &str) -> Value {
    json!({"MessageId": "q1", "ReceiptHandle": "AQEB", "Body": body})
}

#[test]
fn a_record_of_s3_is_read_in_each_wrapping() {
    let plain = file(&records(&["ObjectCreated:Put"]));
    assert_eq!((plain.path.as_str(), plain.size), ("s3://lake/in/day 1/a+b&c.csv", 1024));
    assert_eq!((plain.checksum.as_str(), plain.version.as_str()), ("d41d", "d41d 0A1B"));
    let text = records(&["s3:ObjectCreated:CompleteMultipartUpload"]).to_string();
    let lambda = json!({"Records": [{"EventSource": "aws:sns", "Sns": sns(&text)}]});
    let sqs = json!({"Records": [{"messageId": "q1", "body": text, "eventSource": "aws:sqs"}]});
    for wrapped in [
        sns(&text),
        queued(&text),
        queued(&sns(&text).to_string()),
        json!({"Messages": [queued(&text)]}),
        lambda,
        sqs,
        push(&text, &json!({})),
        cloud_event("com.amazonaws.s3.ObjectCreated:Put", &records(&["ObjectCreated:Put"])["Records"][0]),
    ] {
        assert_eq!(file(&wrapped), plain, "{wrapped}");
    }
    let event = file(&event_bridge("Object Created"));
    assert_eq!((event.path.as_str(), event.version.as_str()), ("s3://lake/in/day 1/a+b.csv", "v7"));
    let minio = json!({"EventName": "s3:ObjectCreated:Put", "Key": "lake/in/a b.csv"});
    assert_eq!(file(&minio).path, "s3://lake/in/a b.csv");
    let with_records = json!({
        "EventName": "s3:ObjectCreated:Put", "Key": "lake/x", "Records": records(&["s3:ObjectCreated:Put"])["Records"],
    });
    assert_eq!(file(&with_records), plain);
}

#[test]
fn an_object_of_gcs_is_the_same_in_a_cloud_event() {
    let (plain, kind) = (file(&object()), "google.cloud.storage.object.v1.finalized");
    assert_eq!(file(&cloud_event(kind, &object())), plain);
    let packed = json!({
        "specversion": "1.0", "type": kind, "source": "x", "id": "e1",
        "data_base64": STANDARD.encode(object().to_string()),
    });
    assert_eq!(file(&packed), plain);
    let bare = file(&cloud_event(kind, &json!(null)));
    assert_eq!((bare.path.as_str(), bare.version.as_str()), ("gs://b/in/a.csv", "event e1"));
    let carried = push(&object().to_string(), &json!({"eventType": "OBJECT_FINALIZE"}));
    let carrier = "google.cloud.pubsub.topic.v1.messagePublished";
    assert_eq!(file(&cloud_event(carrier, &carried)), plain);
    assert_eq!(one(&[("ce-type", kind), ("ce-id", "e1")], &object()), FileArrival::File(plain.clone()));
    assert_eq!(one(&[("ce-type", carrier)], &carried), FileArrival::File(plain.clone()));
    assert_eq!(one(&[("eventtype", "OBJECT_FINALIZE")], &object()), FileArrival::File(plain.clone()));
    assert_eq!(one(&[("x-goog-resource-state", "exists")], &object()), FileArrival::File(plain));
}

#[test]
fn what_else_happens_to_an_object_is_no_arrival_wherever_that_is_stated() {
    let gcs = "gs://b/in/a.csv";
    let s3 = "s3://lake/in/day 1/a+b&c.csv";
    let deleted = "google.cloud.storage.object.v1.deleted";
    let attributes = |kind: &str| json!({"bucketId": "b", "objectId": "in/a.csv", "eventType": kind});
    let removed = records(&["ObjectRemoved:Delete"]);
    let mut archived = object();
    archived["timeDeleted"] = json!("2021-11-18T00:00:00Z");
    let none: &[(&str, &str)] = &[];
    for (headers, body, path, said) in [
        (none, push("", &attributes("OBJECT_DELETE")), gcs, "OBJECT_DELETE: only OBJECT_FINALIZE starts tasks"),
        (none, push(&object().to_string(), &attributes("OBJECT_METADATA_UPDATE")), gcs, "OBJECT_METADATA_UPDATE: "),
        (&[("eventtype", "OBJECT_ARCHIVE")], object(), gcs, "OBJECT_ARCHIVE: only OBJECT_FINALIZE starts tasks"),
        (&[("ce-type", deleted)], object(), gcs, "google.cloud.storage.object.v1.deleted: only an object"),
        (&[("x-goog-resource-state", "not_exists")], object(), gcs, "not_exists: only an object that exists"),
        (none, cloud_event(deleted, &object()), gcs, deleted),
        (none, cloud_event(deleted, &json!(null)), gcs, deleted),
        (none, archived, gcs, "timeDeleted: the object is gone"),
        (none, removed.clone(), s3, "ObjectRemoved:Delete: only ObjectCreated starts tasks"),
        (none, sns(&removed.to_string()), s3, "ObjectRemoved:Delete: "),
        (none, queued(&removed.to_string()), s3, "ObjectRemoved:Delete: "),
        (none, records(&["s3:ObjectCreated:PutRetention"]), s3, "s3:ObjectCreated:PutRetention: "),
        (none, event_bridge("Object Deleted"), "s3://lake/in/day 1/a+b.csv", "Object Deleted: only Object Created"),
        (none, json!({"EventName": "s3:ObjectRemoved:Delete", "Key": "lake/a"}), "s3://lake/a", "s3:ObjectRemoved"),
        (none, json!({"Event": "s3:TestEvent", "Bucket": "lake"}), "s3://lake", "s3:TestEvent: "),
        (none, sns(r#"{"Event":"s3:TestEvent","Bucket":"lake"}"#), "s3://lake", "s3:TestEvent: "),
        (
            none,
            json!({"Type": "SubscriptionConfirmation", "TopicArn": "arn:t", "SubscribeURL": "https://x"}),
            "arn:t",
            "SubscriptionConfirmation: open https://x once",
        ),
        (none, json!({"detail-type": "Scheduled Event", "source": "aws.events"}), "aws.events", "Scheduled Event: "),
    ] {
        let (found, why) = outcome(one(headers, &body));
        assert_eq!(found, path, "{body}");
        assert!(why.starts_with(said), "{why}");
    }
}

#[test]
fn a_message_without_a_body_is_known_by_its_headers() {
    let told = |headers: &[(&str, &str)]| outcome(told_with(headers, "").unwrap().remove(0));
    let object = [("bucketid", "b"), ("objectid", "in/a.csv"), ("eventtype", "OBJECT_FINALIZE")];
    assert_eq!(told(&object), ("gs://b/in/a.csv".to_owned(), String::new()));
    let begun = [("x-goog-resource-state", "sync"), ("x-goog-resource-uri", "https://storage/b/o")];
    let (path, why) = told(&begun);
    assert_eq!((path.as_str(), why.starts_with("sync: ")), ("https://storage/b/o", true));
    assert!(told_with(&[], "").is_err());
}

#[test]
fn the_marker_of_a_folder_is_no_file() {
    for path in ["s3://b/orders/x/", "/in/", "gs://b/x_$folder$"] {
        let (found, why) = outcome(one(&[], &json!({"path": path})));
        assert_eq!((found.as_str(), why.starts_with("the marker of a folder")), (path, true));
    }
    let marker = json!({"id": "b/x//1", "bucket": "b", "name": "x/"});
    assert_eq!(outcome(one(&[], &marker)).0, "gs://b/x/");
}

#[test]
fn each_record_of_a_body_is_judged_alone() {
    let several = records(&["ObjectCreated:Put", "ObjectRemoved:Delete"]).to_string();
    let [FileArrival::File(_), FileArrival::Ignored { .. }] = &told_with(&[], &several).unwrap()[..] else { panic!() };
    let listed = json!([{"path": "/in/a"}, {"size": 5}, {"path": "/in/b"}]).to_string();
    let outcomes: Vec<_> = told_with(&[], &listed).unwrap().into_iter().map(outcome).collect();
    assert_eq!((outcomes[0].0.as_str(), outcomes[2].0.as_str()), ("/in/a", "/in/b"));
    assert_eq!((outcomes[1].0.as_str(), outcomes[1].1.contains("names no file")), ("record 2", true));
    assert_eq!(told_with(&[], r#"{"Records":[]}"#), Ok(Vec::new()));
    let many = vec![json!({"path": "/in/a"}); MAX_RECORDS + 1];
    assert_eq!(told_with(&[], &json!(many).to_string()), Err(FileEventError::TooMany(MAX_RECORDS + 1)));
}

#[test]
fn envelopes_lie_in_each_other_only_so_deep() {
    let nest = |body: String, _| push(&body, &json!({})).to_string();
    let body = |depth| (0..depth).fold(json!({"path": "/in/a"}).to_string(), nest);
    assert_eq!(told_with(&[], &body(7)).unwrap().len(), 1);
    assert_eq!(told_with(&[], &body(8)), Err(FileEventError::NoPath));
}

#[test]
fn what_tells_of_no_file_says_what_to_send() {
    let told = |body: &str| told_with(&[], body).unwrap_err().to_string();
    assert!(told("hello").starts_with("the event is not JSON: expected"));
    assert!(told("[1]").contains("send one like {\"path\""));
    assert!(told("{}").contains("send `path`, or"));
    assert!(told(r#"{"message":{"data":"%"}}"#).contains("not base64"));
    assert!(told(&push("hello", &json!({})).to_string()).contains("not JSON"));
    let long = json!({"path": "x".repeat(MAX_PATH + 1)}).to_string();
    assert_eq!(told(&long), "`path` has 4097 bytes: at most 4096 are allowed");
}

#[test]
fn a_file_knows_when_it_was_written_and_which_time_its_path_names() {
    let event = |path: &str, created: &str| FileEvent {
        path: path.to_owned(),
        created: created.to_owned(),
        ..FileEvent::default()
    };
    let known = event("/in/2024/01/15/a.csv", "2024-01-16T02:00:00+02:00");
    assert_eq!(known.created_at(), "2024-01-16T00:00:00Z".parse().ok());
    assert_eq!(known.time_of_path(), "2024-01-15T00:00:00Z".parse().ok());
    let unknown = event("/in/a.csv", "yesterday");
    assert_eq!((unknown.created_at(), unknown.time_of_path()), (None, None));
}

#[test]
fn texts_of_an_event_have_a_longest_length() {
    let told = |key: &str, length: usize| {
        let mut stat = json!({"path": "/in/a"});
        stat[key] = json!("x".repeat(length));
        told_with(&[], &stat.to_string()).map(|arrivals| arrivals.len())
    };
    for (key, most) in [("path", MAX_PATH), ("checksum", MAX_TEXT), ("created", MAX_TEXT)] {
        assert_eq!(told(key, most), Ok(1), "{key}");
        let field = key;
        assert_eq!(told(key, most + 1), Err(FileEventError::TooLong { field, length: most + 1, most }));
    }
    let object = |length: usize| {
        let object = json!({"id": "x".repeat(length), "name": "a", "bucket": "b"});
        told_with(&[], &object.to_string()).map(|arrivals| arrivals.len())
    };
    let most = MAX_PATH + MAX_TEXT;
    assert_eq!(object(most), Ok(1));
    assert_eq!(object(most + 1), Err(FileEventError::TooLong { field: "id", length: most + 1, most }));
    let many = vec![json!({"path": "/in/a"}); MAX_RECORDS];
    assert_eq!(told_with(&[], &json!(many).to_string()).unwrap().len(), MAX_RECORDS);
}

#[test]
fn a_stat_is_known_by_either_of_checksum_and_time() {
    assert_eq!(file(&json!({"path": "/in/a", "checksum": "c"})).version, "c ");
    assert_eq!(file(&json!({"path": "/in/a", "created": "t"})).version, " t");
    // An object of GCS has both an id and a name.
    for stat in [json!({"path": "/in/a", "id": "7"}), json!({"path": "/in/a", "name": "a"})] {
        assert_eq!(file(&stat).path, "/in/a", "{stat}");
    }
}

#[test]
fn one_sign_of_an_envelope_alone_is_none() {
    for key in ["Type", "TopicArn"] {
        assert_eq!(file(&json!({"path": "/in/a", key: "x"})).path, "/in/a", "{key}");
    }
    assert!(told_with(&[], "").unwrap_err().to_string().starts_with("the event is not JSON"));
}

proptest! {
    #[test]
    fn any_text_is_read(text in "[{}\":,a-z\\[\\]0-9]{0,40}") {
        let _ = told_with(&[], &text);
    }
}
