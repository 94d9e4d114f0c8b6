//! How values are written in columns.

use chrono::{DateTime, TimeZone, Utc};
use flowlord_domain::{AlertKind, Lane, TaskResult, TaskState, Uid};
use flowlord_messages::backloads::BackloadState;
use flowlord_messages::files::{FileSource, MatchState};
use rusqlite::Row;

pub(crate) fn micros(at: DateTime<Utc>) -> i64 {
    at.timestamp_micros()
}

pub(crate) fn time(micros: i64) -> DateTime<Utc> {
    Utc.timestamp_micros(micros).single().unwrap_or_default()
}

/// A secret as SQLite's signed integer, bit for bit.
pub(crate) fn bits(value: u64) -> i64 {
    i64::from_ne_bytes(value.to_ne_bytes())
}

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

/// What the column of an enum holds is the position in its `ALL`: new values go to its end.
fn position<T: PartialEq>(all: &[T], value: &T) -> i64 {
    all.iter().position(|known| known == value).map_or(-1, |at| i64::try_from(at).unwrap_or(-1))
}

/// A value of a newer program reads as `unknown`.
fn at_position<T: Copy>(all: &[T], position: i64, unknown: T) -> T {
    usize::try_from(position).ok().and_then(|at| all.get(at)).copied().unwrap_or(unknown)
}

pub(crate) fn alert_kind(kind: AlertKind) -> i64 {
    position(&AlertKind::ALL, &kind)
}

pub(crate) fn alert_kind_of(value: i64) -> AlertKind {
    at_position(&AlertKind::ALL, value, AlertKind::Result)
}

pub(crate) fn backload_state(state: BackloadState) -> i64 {
    position(&BackloadState::ALL, &state)
}

pub(crate) fn backload_state_of(value: i64) -> BackloadState {
    at_position(&BackloadState::ALL, value, BackloadState::Cancelled)
}

pub(crate) fn file_source(source: FileSource) -> i64 {
    position(&FileSource::ALL, &source)
}

pub(crate) fn file_source_of(value: i64) -> FileSource {
    at_position(&FileSource::ALL, value, FileSource::Api)
}

pub(crate) fn match_state(state: MatchState) -> i64 {
    position(&MatchState::ALL, &state)
}

pub(crate) fn match_state_of(value: i64) -> MatchState {
    at_position(&MatchState::ALL, value, MatchState::Failed)
}

/// Reads columns as what they mean.
pub(crate) trait ReadColumn {
    fn time(&self, column: usize) -> rusqlite::Result<DateTime<Utc>>;
    fn optional_time(&self, column: usize) -> rusqlite::Result<Option<DateTime<Utc>>>;
    fn optional_uid(&self, column: usize) -> rusqlite::Result<Option<Uid>>;
    fn optional_result(&self, column: usize) -> rusqlite::Result<Option<TaskResult>>;
    fn count(&self, column: usize) -> rusqlite::Result<u64>;
    fn text_or_empty(&self, column: usize) -> rusqlite::Result<String>;
}

impl ReadColumn for Row<'_> {
    fn time(&self, column: usize) -> rusqlite::Result<DateTime<Utc>> {
        self.get(column).map(time)
    }

    fn optional_time(&self, column: usize) -> rusqlite::Result<Option<DateTime<Utc>>> {
        Ok(self.get::<_, Option<i64>>(column)?.map(time))
    }

    fn optional_uid(&self, column: usize) -> rusqlite::Result<Option<Uid>> {
        Ok(self.get::<_, Option<i64>>(column)?.map(Uid))
    }

    fn optional_result(&self, column: usize) -> rusqlite::Result<Option<TaskResult>> {
        Ok(self.get::<_, Option<i64>>(column)?.map(result_of))
    }

    fn count(&self, column: usize) -> rusqlite::Result<u64> {
        Ok(self.get::<_, i64>(column)?.max(0).unsigned_abs())
    }

    fn text_or_empty(&self, column: usize) -> rusqlite::Result<String> {
        Ok(self.get::<_, Option<String>>(column)?.unwrap_or_default())
    }
}
