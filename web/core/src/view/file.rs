//! File events as JSON.

use chrono::{DateTime, Utc};
use flowlord_domain::Uid;
use flowlord_messages::files::{FileMatchState, FilePhaseOutcome, FileSource, StoredFileEvent, WatchedPlace};
use serde::Serialize;
use utoipa::ToSchema;

use super::task::TaskView;
use crate::limits;

/// What a file did to a phase that takes it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Outcome)]
pub struct OutcomeView<'a> {
    workflow: &'a str,
    task: &'a str,
    /// The pattern that the path matches.
    files: &'a str,
    #[schema(schema_with = limits::named::<FileMatchState>)]
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = limits::uid)]
    uid: Option<Uid>,
    #[serde(skip_serializing_if = "str::is_empty")]
    why: &'a str,
}

impl<'a> From<&'a FilePhaseOutcome> for OutcomeView<'a> {
    fn from(outcome: &'a FilePhaseOutcome) -> Self {
        let FilePhaseOutcome { phase, state, uid, why } = outcome;
        Self {
            workflow: &phase.workflow,
            task: &phase.task,
            files: &phase.pattern,
            state: state.as_str(),
            uid: *uid,
            why,
        }
    }
}

/// What a file event started.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = FileRecorded)]
pub struct RecordedView<'a> {
    pub event: i64,
    pub path: &'a str,
    /// Why it starts nothing.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub ignored: &'a str,
    pub phases: Vec<OutcomeView<'a>>,
    pub tasks: Vec<TaskView<'a>>,
}

/// A file event in a list.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = FileEvent)]
pub struct FileEventView<'a> {
    event: i64,
    at: DateTime<Utc>,
    #[schema(schema_with = limits::named::<FileSource>)]
    source: &'static str,
    path: &'a str,
    size: i64,
    checksum: &'a str,
    /// When the file was written, as its sender said it.
    created: &'a str,
    linecnt: i64,
    /// Bytes when it is unpacked.
    bytecnt: i64,
    /// The time that its path names.
    #[schema(required)]
    task_time: Option<DateTime<Utc>>,
    /// Why it starts nothing.
    #[serde(skip_serializing_if = "str::is_empty")]
    ignored: &'a str,
    phases: Vec<OutcomeView<'a>>,
}

impl<'a> From<&'a StoredFileEvent> for FileEventView<'a> {
    fn from(stored: &'a StoredFileEvent) -> Self {
        let file = &stored.file;
        Self {
            event: stored.id,
            at: stored.at,
            source: stored.source.as_str(),
            path: &file.path,
            size: file.size,
            checksum: &file.checksum,
            created: &file.created,
            linecnt: file.linecnt,
            bytecnt: file.bytecnt,
            task_time: file.time_of_path(),
            ignored: &stored.ignored,
            phases: stored.phases.iter().map(OutcomeView::from).collect(),
        }
    }
}

/// A watched place.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Place)]
pub struct PlaceView<'a> {
    place: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = limits::time)]
    looked_at: Option<DateTime<Utc>>,
    files: usize,
    #[serde(skip_serializing_if = "str::is_empty")]
    problem: &'a str,
}

impl<'a> From<&'a WatchedPlace> for PlaceView<'a> {
    fn from(place: &'a WatchedPlace) -> Self {
        let WatchedPlace { place, scanned_at: looked_at, files, problem } = place;
        Self { place, looked_at: *looked_at, files: *files, problem }
    }
}
