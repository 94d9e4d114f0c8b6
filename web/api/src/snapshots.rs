//! Copies of the database.

use std::path::PathBuf;

use flowlord_messages::snapshots::{ListSnapshots, StoredSnapshot, TakeSnapshot};

use crate::prelude::*;

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::get("/api/v1/snapshots", Role::Viewer, list).documented(describe_list),
        // Only for admins: with `to` it writes a file of the caller's choice.
        Route::post("/api/v1/snapshots", Role::Admin, take).audited(AuditAction::Snapshot).documented(describe_take),
    ]
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewSnapshot {
    /// An absolute path on the machine of the service.
    #[schema(value_type = Option<String>)]
    to: Option<PathBuf>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Snapshot)]
pub(crate) struct SnapshotView {
    location: String,
    #[schema(schema_with = limits::time)]
    at: TimeStamp,
    bytes: u64,
    /// Whether it was read back and found whole.
    verified: bool,
}

#[derive(Serialize, ToSchema)]
#[schema(as = SnapshotList)]
pub(crate) struct SnapshotsView {
    items: Vec<SnapshotView>,
    #[schema(required)]
    next: Option<String>,
    /// When the next one is made.
    #[schema(required, schema_with = limits::time_or_null)]
    due: Option<TimeStamp>,
    /// Why the last one failed.
    #[schema(required)]
    problem: Option<String>,
}

impl From<StoredSnapshot> for SnapshotView {
    fn from(snapshot: StoredSnapshot) -> Self {
        let StoredSnapshot { location, at, bytes, verified } = snapshot;
        Self { location, at: TimeStamp(at), bytes, verified }
    }
}

async fn take(context: ContextRef, request: HttpRequest, payload: Payload) -> Answer {
    let NewSnapshot { to } = strict_body(&request, payload, r#"{} or {"to":"/backup/now.db"}"#).await?;
    // A relative path would begin at the folder in which the service was started, which its caller doesn't know.
    if let Some(to) = to.as_ref().filter(|to| !to.is_absolute()) {
        let detail = format!("to: `{}` isn't absolute: this service has a folder of its own", to.display());
        return Err(Problem::invalid(detail));
    }
    let taken = context.deps.backup.call(TakeSnapshot { to }).await?;
    json(StatusCode::CREATED, &SnapshotView::from(taken))
}

async fn list(context: ContextRef) -> Answer {
    let listed = context.deps.backup.call(ListSnapshots).await?;
    let items = listed.items.into_iter().map(SnapshotView::from).collect();
    let due = listed.next.map(TimeStamp);
    // No more are listed than are kept, so there is never a second page.
    json(StatusCode::OK, &SnapshotsView { items, next: None, due, problem: listed.problem })
}

fn describe_list(operation: Operation) -> Operation {
    let example = json!({"items": [snapshot_example()], "next": null, "due": null, "problem": null});
    operation
        .about("service", "Snapshots")
        .says("Those that are kept, newest first, and when the next one is made.")
        .answers(200, "snapshots", schema("SnapshotList"), example)
        .asks()
}

fn describe_take(operation: Operation) -> Operation {
    operation
        .about("service", "Take a snapshot")
        .says("Answered when it is checked and on disk.")
        .optional_body("where; in its usual place unless given", schema("NewSnapshot"), json!({}))
        .answers(201, "taken", schema("Snapshot"), snapshot_example())
        .fails(&[Code::InvalidRequest])
        .asks()
}

fn snapshot_example() -> Value {
    json!({"location": "/backup/flowlord-20260302T120000Z.db", "at": "2026-03-02T12:00:00Z", "bytes": 4096, "verified": true})
}
