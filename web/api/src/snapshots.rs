//! Copies of the database.

use std::path::PathBuf;

use flowlord_messages::snapshots::{ListSnapshots, StoredSnapshot, TakeSnapshot};

use crate::prelude::*;

pub(crate) fn routes() -> Vec<Route> {
    let list_example = json!({"items": [snapshot_example()], "next": null, "due": null, "problem": null});
    vec![
        Route::get("/api/v1/snapshots", Role::Viewer, list)
            .about("service", "Snapshots")
            .says("Those that are kept, newest first, and when the next one is made.")
            .answers::<SnapshotsView>(200, "snapshots", list_example),
        // Only for admins: with `to` it writes a file of the caller's choice.
        Route::post("/api/v1/snapshots", Role::Admin, take)
            .audited(AuditAction::Snapshot)
            .about("service", "Take a snapshot")
            .says("Answered when it is checked and on disk.")
            .optional_body::<NewSnapshot>("where; in its usual place unless given", json!({}))
            .answers::<SnapshotView>(201, "taken", snapshot_example()),
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
    at: DateTime<Utc>,
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
    #[schema(required)]
    due: Option<DateTime<Utc>>,
    /// Why the last one failed.
    #[schema(required)]
    problem: Option<String>,
}

impl From<StoredSnapshot> for SnapshotView {
    fn from(snapshot: StoredSnapshot) -> Self {
        let StoredSnapshot { location, at, bytes, verified } = snapshot;
        Self { location, at, bytes, verified }
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
    let due = listed.next;
    // No more are listed than are kept, so there is never a second page.
    json(StatusCode::OK, &SnapshotsView { items, next: None, due, problem: listed.problem })
}

fn snapshot_example() -> Value {
    json!({"location": "/backup/flowlord-20260302T120000Z.db", "at": "2026-03-02T12:00:00Z", "bytes": 4096, "verified": true})
}
