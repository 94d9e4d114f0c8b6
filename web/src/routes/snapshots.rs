//! Copies of the database.

use std::path::PathBuf;

use actix_web::HttpRequest;
use actix_web::http::StatusCode;
use actix_web::web::Payload;
use chrono::{DateTime, Utc};
use flowlord_messages::snapshot::{ListSnapshots, Snapshot, TakeSnapshot};
use serde::{Deserialize, Serialize};

use crate::api::ApiRef;
use crate::extract::{json_body, object};
use crate::params::Params;
use crate::problem::{Answer, Problem};
use crate::routes::json;
use crate::view::time::Stamp;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    to: Option<PathBuf>,
}

#[derive(Serialize)]
struct SnapshotView {
    location: String,
    at: Stamp,
    bytes: u64,
    verified: bool,
}

#[derive(Serialize)]
struct SnapshotsView {
    items: Vec<SnapshotView>,
    next: Option<String>,
    due: Option<Stamp>,
    problem: Option<String>,
}

impl From<Snapshot> for SnapshotView {
    fn from(snapshot: Snapshot) -> Self {
        let Snapshot { location, at, bytes, verified } = snapshot;
        Self { location, at: Stamp(at), bytes, verified }
    }
}

/// Takes one now, and answers when it is checked and on disk.
pub(crate) async fn take(api: ApiRef, request: HttpRequest, payload: Payload) -> Answer {
    Params::none(&request)?;
    let body = json_body(&request, payload).await?;
    let Wanted { to } = object(&body, r#"{} or {"to":"/backup/now.db"}"#)?;
    if let Some(to) = to.as_ref().filter(|to| !to.is_absolute()) {
        let detail = format!("to: `{}` isn't absolute: this service has a folder of its own", to.display());
        return Err(Problem::invalid(detail));
    }
    let taken = api.deps.snapshot.call(TakeSnapshot { to }).await?;
    json(StatusCode::CREATED, &SnapshotView::from(taken))
}

/// Those that are there, newest first: as many as are kept, so there is never a second page.
pub(crate) async fn list(api: ApiRef) -> Answer {
    let listed = api.deps.snapshots.call(ListSnapshots).await?;
    let due: Option<DateTime<Utc>> = listed.next;
    let items = listed.items.into_iter().map(SnapshotView::from).collect();
    json(StatusCode::OK, &SnapshotsView { items, next: None, due: due.map(Stamp), problem: listed.problem })
}
