//! How values are written in columns.

use chrono::{DateTime, TimeZone, Utc};
use flowlord_domain::{AlertKind, Lane, TaskResult, TaskState};
use flowlord_messages::backload::BackloadState;
use flowlord_messages::files::{FileSource, MatchState};

/// A time as microseconds since 1970.
pub(crate) fn micros(at: DateTime<Utc>) -> i64 {
    at.timestamp_micros()
}

/// The time of a column.
pub(crate) fn time(micros: i64) -> DateTime<Utc> {
    Utc.timestamp_micros(micros).single().unwrap_or_default()
}

/// A secret as SQLite's signed integer, bit for bit.
pub(crate) fn bits(value: u64) -> i64 {
    i64::from_ne_bytes(value.to_ne_bytes())
}

/// The secret of a column.
pub(crate) fn unbits(value: i64) -> u64 {
    u64::from_ne_bytes(value.to_ne_bytes())
}

/// The due time of a delayed task that is kept until its phase goes on.
pub(crate) const HELD: i64 = 253_402_300_799_000_000;

pub(crate) const READY: i64 = 0;
pub(crate) const DELAYED: i64 = 1;
pub(crate) const LEASED: i64 = 2;
pub(crate) const DONE: i64 = 3;

pub(crate) fn state(state: TaskState) -> i64 {
    match state {
        TaskState::Ready => READY,
        TaskState::Delayed => DELAYED,
        TaskState::Leased => LEASED,
        TaskState::Done => DONE,
    }
}

pub(crate) fn state_of(value: i64) -> TaskState {
    match value {
        READY => TaskState::Ready,
        DELAYED => TaskState::Delayed,
        LEASED => TaskState::Leased,
        _ => TaskState::Done,
    }
}

pub(crate) fn lane(lane: Lane) -> i64 {
    match lane {
        Lane::Live => 0,
        Lane::Backload => 1,
    }
}

pub(crate) fn lane_of(value: i64) -> Lane {
    if value == 0 { Lane::Live } else { Lane::Backload }
}

pub(crate) fn result(result: TaskResult) -> i64 {
    match result {
        TaskResult::Complete => 0,
        TaskResult::Error => 1,
        TaskResult::Warn => 2,
        TaskResult::Alert => 3,
    }
}

pub(crate) fn result_of(value: i64) -> TaskResult {
    match value {
        0 => TaskResult::Complete,
        1 => TaskResult::Error,
        2 => TaskResult::Warn,
        _ => TaskResult::Alert,
    }
}

// The position in `ALL` is what the column holds: new kinds go to its end.
pub(crate) fn kind(kind: AlertKind) -> i64 {
    AlertKind::ALL.iter().position(|known| *known == kind).map_or(-1, |at| i64::try_from(at).unwrap_or(-1))
}

pub(crate) fn kind_of(value: i64) -> AlertKind {
    usize::try_from(value).ok().and_then(|at| AlertKind::ALL.get(at)).copied().unwrap_or(AlertKind::Result)
}

pub(crate) fn backload(state: BackloadState) -> i64 {
    BackloadState::ALL
        .iter()
        .position(|known| *known == state)
        .map_or(-1, |at| i64::try_from(at).unwrap_or(-1))
}

pub(crate) fn backload_of(value: i64) -> BackloadState {
    let known = usize::try_from(value).ok().and_then(|at| BackloadState::ALL.get(at));
    known.copied().unwrap_or(BackloadState::Cancelled)
}

pub(crate) fn source(source: FileSource) -> i64 {
    FileSource::ALL.iter().position(|known| *known == source).map_or(-1, |at| i64::try_from(at).unwrap_or(-1))
}

pub(crate) fn source_of(value: i64) -> FileSource {
    let known = usize::try_from(value).ok().and_then(|at| FileSource::ALL.get(at));
    known.copied().unwrap_or(FileSource::Api)
}

pub(crate) fn matched(state: MatchState) -> i64 {
    MatchState::ALL.iter().position(|known| *known == state).map_or(-1, |at| i64::try_from(at).unwrap_or(-1))
}

pub(crate) fn matched_of(value: i64) -> MatchState {
    let known = usize::try_from(value).ok().and_then(|at| MatchState::ALL.get(at));
    known.copied().unwrap_or(MatchState::Failed)
}
