//! File events as JSON.

use flowlord_domain::Uid;
use flowlord_domain::file_event::FileEvent;
use flowlord_messages::files::{PhaseOutcome, StoredFileEvent, WatchedPlace};
use serde::Serialize;

use super::task::TaskView;
use super::time::Stamp;

/// What a file did to a phase that takes it.
#[derive(Debug, Serialize)]
pub(crate) struct OutcomeView<'a> {
    workflow: &'a str,
    task: &'a str,
    files: &'a str,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    uid: Option<Uid>,
    #[serde(skip_serializing_if = "str::is_empty")]
    why: &'a str,
}

impl<'a> From<&'a PhaseOutcome> for OutcomeView<'a> {
    fn from(outcome: &'a PhaseOutcome) -> Self {
        let PhaseOutcome { phase, state, uid, why } = outcome;
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
#[derive(Debug, Serialize)]
pub(crate) struct RecordedView<'a> {
    pub(crate) event: i64,
    pub(crate) path: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(crate) ignored: &'a str,
    pub(crate) phases: Vec<OutcomeView<'a>>,
    pub(crate) tasks: Vec<TaskView<'a>>,
}

/// A file event in a list.
#[derive(Debug, Serialize)]
pub(crate) struct FileEventView<'a> {
    event: i64,
    at: Stamp,
    source: &'static str,
    #[serde(flatten)]
    file: &'a FileEvent,
    task_time: Option<Stamp>,
    #[serde(skip_serializing_if = "str::is_empty")]
    ignored: &'a str,
    phases: Vec<OutcomeView<'a>>,
}

impl<'a> From<&'a StoredFileEvent> for FileEventView<'a> {
    fn from(stored: &'a StoredFileEvent) -> Self {
        Self {
            event: stored.id,
            at: Stamp(stored.at),
            source: stored.source.as_str(),
            file: &stored.file,
            task_time: stored.file.time().map(Stamp),
            ignored: &stored.ignored,
            phases: stored.phases.iter().map(OutcomeView::from).collect(),
        }
    }
}

/// A watched place.
#[derive(Debug, Serialize)]
pub(crate) struct PlaceView<'a> {
    place: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    looked_at: Option<Stamp>,
    files: usize,
    #[serde(skip_serializing_if = "str::is_empty")]
    problem: &'a str,
}

impl<'a> From<&'a WatchedPlace> for PlaceView<'a> {
    fn from(place: &'a WatchedPlace) -> Self {
        let WatchedPlace { place, looked_at, files, problem } = place;
        Self { place, looked_at: looked_at.map(Stamp), files: *files, problem }
    }
}
