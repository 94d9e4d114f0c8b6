//! Copies of the database, asked for and listed.

use flowlord_kernel::{Code, Error};
use flowlord_messages::snapshots::{SnapshotList, StoredSnapshot};
use serde_json::json;

use super::stub::{Stub, noon};

fn snapshot(location: &str) -> StoredSnapshot {
    StoredSnapshot { location: location.to_owned(), at: noon(), bytes: 4096, verified: true }
}

#[actix::test]
async fn one_is_taken_where_it_is_wanted() {
    let stub = Stub::default();
    stub.snapshot(|take| Ok(snapshot(take.to.map_or("usual", |_| "elsewhere"))));
    let taken = stub.post("/api/v1/snapshots", "{}").await;
    assert_eq!(taken.status, 201);
    let expected = json!({"location": "usual", "at": "2026-03-02T12:00:00Z", "bytes": 4096, "verified": true});
    assert_eq!(taken.ok(), expected);
    let taken = stub.post("/api/v1/snapshots", r#"{"to":"/b/now.db"}"#).await.ok();
    assert_eq!(taken["location"], "elsewhere");
}

#[actix::test]
async fn what_cannot_be_taken_says_what_to_change() {
    let stub = Stub::default();
    let (status, code, detail) = stub.post("/api/v1/snapshots", r#"{"to":"now.db"}"#).await.problem();
    assert_eq!((status, code.as_str()), (400, "invalid_request"));
    assert!(detail.contains("isn't absolute"), "{detail}");
    assert_eq!(stub.post("/api/v1/snapshots", r#"{"too":"/b"}"#).await.code(), "invalid_json");
    stub.snapshot(|_| Err(Error::new(Code::Storage, "the disk is full")));
    assert_eq!(stub.post("/api/v1/snapshots", "{}").await.code(), "storage");
    assert_eq!(stub.get("/api/v1/snapshots").await.code(), "storage");
}

#[actix::test]
async fn they_are_listed_with_when_the_next_is_due() {
    let stub = Stub::default();
    stub.snapshots(|_| {
        let items = vec![snapshot("two"), snapshot("one")];
        Ok(SnapshotList { items, next: Some(noon()), problem: Some("the disk is full".to_owned()) })
    });
    let listed = stub.get("/api/v1/snapshots").await.ok();
    assert_eq!(listed["items"][0]["location"], "two");
    let (due, problem) = (&listed["due"], &listed["problem"]);
    assert_eq!((due, problem), (&json!("2026-03-02T12:00:00Z"), &json!("the disk is full")));
}
