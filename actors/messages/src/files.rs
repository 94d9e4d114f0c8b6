//! Files that start tasks: what the files actor answers, what it has stored, and what it asks of the readers.

use std::sync::Arc;

use actix::Message;
use chrono::{DateTime, Utc};
use flowlord_domain::file_event::FileEvent;
use flowlord_domain::file_match::FilePhase;
use flowlord_domain::{NewAlert, NewTask, Uid, named_enum};

use flowlord_kernel::Result;

named_enum! {
    /// Who told of a file.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum FileSource {
        // A row has the place of one in here: new ones go to the end.
        /// A client of the API.
        Api = "api",
        /// The scan of a watched place.
        Watch = "watch",
    }
}

/// A file arrived: starts what its phases say, answered when that is stored.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<RecordedFile>")]
pub struct FileArrived {
    /// The file, as it was reported.
    pub file: FileEvent,
    /// Why it starts nothing; empty when it may.
    pub ignored: String,
}

/// What became of an event, and what it started.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordedFile {
    /// The row id of the event.
    pub event: i64,
    /// Each phase that takes the file.
    pub phases: Vec<FilePhaseOutcome>,
    /// The tasks that started, under their final ids.
    pub tasks: Vec<StartedTask>,
}

/// A task that a file started.
#[derive(Debug, Clone, PartialEq)]
pub struct StartedTask {
    /// The task, under its final id.
    pub task: NewTask,
    /// It is kept until its phase goes on.
    pub held: bool,
}

/// What a file did to a phase that takes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilePhaseOutcome {
    /// The phase, by what it is remembered by.
    pub phase: FilePhase,
    /// Where the file stands in it.
    pub state: FileMatchState,
    /// The task that it is part of; none while it waits.
    pub uid: Option<Uid>,
    /// Why no task could be made; empty otherwise.
    pub why: String,
}

named_enum! {
    /// Where a file stands in a phase that takes it.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum FileMatchState {
        // A row has the place of one in here: new ones go to the end.
        /// It is part of a task.
        Started = "started",
        /// It waits for others.
        Waiting = "waiting",
        /// It was heard of before.
        Repeated = "repeated",
        /// No task could be made.
        Failed = "failed",
    }
}

/// Stores an event with all that follows from it, in one transaction. A phase that took the same version of the same
/// file before isn't started again.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<FileRecordOutcome>")]
pub struct RecordFile {
    /// The sender's time, UTC: SQL reads no clock.
    pub now: DateTime<Utc>,
    /// The file, as it was reported.
    pub file: FileEvent,
    /// Who told of it.
    pub source: FileSource,
    /// Why it starts nothing; empty when it may.
    pub ignored: String,
    /// The phases that take it.
    pub matches: Vec<NewFileMatch>,
    /// Where it was seen, so that it isn't taken for a new one again.
    pub seen: Option<SeenFile>,
}

/// A phase that takes a file.
#[derive(Debug, Clone, PartialEq)]
pub struct NewFileMatch {
    /// The phase, by what it is remembered by.
    pub phase: FilePhase,
    /// The events of the files that wait for it, as they were when this was decided.
    pub waiting: Vec<i64>,
    /// What the phase makes of the file.
    pub effect: FileMatchEffect,
}

/// What follows for a phase that takes a file.
#[derive(Debug, Clone, PartialEq)]
pub enum FileMatchEffect {
    /// A task starts, about this file and those that wait.
    Start(Box<NewTask>),
    /// It waits with the others.
    Wait,
    /// Another version of it waits already.
    WaitsAlready,
    /// No task can be made; an alert says so.
    Fail {
        /// Why no task can be made.
        why: String,
        /// The alert that says so.
        alert: Box<NewAlert>,
    },
}

/// What [`RecordFile`] stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileRecordOutcome {
    /// The event's row id, and what happened to each of its matches in their order.
    Stored(i64, Vec<StoredFileMatch>),
    /// Other files wait by now: nothing was stored, decide again.
    Changed,
}

/// What happened to a match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredFileMatch {
    /// Where the file stands.
    pub state: FileMatchState,
    /// The task that it is part of.
    pub uid: Option<Uid>,
    /// That task is kept until its phase goes on.
    pub held: bool,
}

/// The files that wait for phases, oldest first.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Vec<Vec<WaitingFile>>>")]
pub struct ReadWaitingFiles {
    /// The phases; answered in their order.
    pub phases: Vec<FilePhase>,
}

/// A file that waits for others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitingFile {
    /// The row id of its event.
    pub event: i64,
    /// The path of the file.
    pub path: String,
}

/// A page of file events, newest first.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Vec<StoredFileEvent>>")]
pub struct ListFileEvents {
    /// Recorded at or after.
    pub from: DateTime<Utc>,
    /// Recorded before; this instant is left out.
    pub to: DateTime<Utc>,
    /// Only what comes after the event of this row id.
    pub after: Option<i64>,
    /// At most this many.
    pub limit: usize,
}

/// An event as stored.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredFileEvent {
    /// The row id, growing.
    pub id: i64,
    /// When it was recorded.
    pub at: DateTime<Utc>,
    /// The file, as it was reported.
    pub file: FileEvent,
    /// Who told of it.
    pub source: FileSource,
    /// Why it starts nothing; empty when it may.
    pub ignored: String,
    /// Each phase that took it.
    pub phases: Vec<FilePhaseOutcome>,
}

/// A file seen in a watched place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenFile {
    /// The watched place, as configured.
    pub place: String,
    /// Where it is within.
    pub path: String,
    /// Which version of it.
    pub etag: String,
}

/// Remembers and forgets files of a watched place that start nothing.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<()>")]
pub struct SaveSeenFiles {
    /// The watched place, as configured.
    pub place: String,
    /// Paths within it and their versions.
    pub seen: Vec<(String, String)>,
    /// Paths of files that left.
    pub left: Vec<String>,
    /// Since when new files of the place start tasks; none while the first look is under way.
    pub since: Option<DateTime<Utc>>,
}

/// Forgets all places but these.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<()>")]
pub struct KeepWatchedPlaces {
    /// Those that are watched.
    pub places: Vec<String>,
}

/// What is remembered of a watched place.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<SeenPlace>")]
pub struct ReadSeenFiles {
    /// The watched place, as configured.
    pub place: String,
}

/// What [`ReadSeenFiles`] answers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SeenPlace {
    /// Since when new files start tasks; none before the first look at it was finished.
    pub since: Option<DateTime<Utc>>,
    /// Paths within it and their versions.
    pub files: Vec<(String, String)>,
}

/// How the watched places are.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Result<Arc<Vec<WatchedPlace>>>")]
pub struct ReadWatchedPlaces;

/// How one watched place is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchedPlace {
    /// The watched place, as configured.
    pub place: String,
    /// When it was looked at last.
    pub scanned_at: Option<DateTime<Utc>>,
    /// How many files were there.
    pub files: usize,
    /// Why it can't be looked at, or what in it is skipped; empty when all is well.
    pub problem: String,
}

/// Records the files under way and takes no more: the last message of a stop.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Result<()>")]
pub struct StopFiles;
