//! How values are written in columns.

use chrono::{DateTime, TimeZone, Utc};
use flowlord_domain::rule::BatchStep;
use flowlord_domain::{AlertKind, TaskLane, TaskResult, TaskState, Uid};
use flowlord_messages::backloads::BackloadState;
use flowlord_messages::files::{FileMatchState, FileSource};
use rusqlite::Row;

pub(crate) fn micros(at: DateTime<Utc>) -> i64 {
    at.timestamp_micros()
}

pub(crate) fn from_micros(micros: i64) -> DateTime<Utc> {
    // Only damage makes a time beyond the calendar: a row that reads oddly is better than a list that fails.
    Utc.timestamp_micros(micros).single().unwrap_or_default()
}

/// A secret as SQLite's signed integer, bit for bit.
pub(crate) fn to_signed(value: u64) -> i64 {
    i64::from_ne_bytes(value.to_ne_bytes())
}

pub(crate) fn to_unsigned(value: i64) -> u64 {
    u64::from_ne_bytes(value.to_ne_bytes())
}

/// The due time of a delayed task that is kept until its phase goes on.
pub(crate) const HELD: i64 = 253_402_300_799_000_000;

/// The due time of a delayed task whose slot waits for the slots before it.
pub(crate) const QUEUED: i64 = HELD - 1;

pub(crate) const READY: i64 = 0;
pub(crate) const DELAYED: i64 = 1;
pub(crate) const LEASED: i64 = 2;
pub(crate) const DONE: i64 = 3;

/// An enum that a column holds as a number: its position in `VALUES`.
pub(crate) trait EnumColumn: Copy + PartialEq + 'static {
    /// New values go to the end, and none ever moves: rows of older programs stay as they are.
    const VALUES: &'static [Self];

    /// What a value of a newer program reads as.
    const UNKNOWN: Self;

    fn to_column(self) -> i64 {
        let position = Self::VALUES.iter().position(|known| *known == self);
        position.map_or(-1, |at| i64::try_from(at).unwrap_or(-1))
    }

    fn from_column(value: i64) -> Self {
        usize::try_from(value).ok().and_then(|at| Self::VALUES.get(at)).copied().unwrap_or(Self::UNKNOWN)
    }
}

macro_rules! enum_columns {
    ($($name:ident: $values:expr, unknown $unknown:ident;)+) => {
        $(impl EnumColumn for $name {
            const VALUES: &'static [Self] = &$values;
            const UNKNOWN: Self = Self::$unknown;
        })+
    };
}

enum_columns! {
    AlertKind: Self::ALL, unknown Result;
    BackloadState: Self::ALL, unknown Cancelled;
    BatchStep: [Self::Hour, Self::Day, Self::Week, Self::Month], unknown Month;
    FileMatchState: Self::ALL, unknown Failed;
    FileSource: Self::ALL, unknown Api;
    TaskLane: [Self::Live, Self::Backload], unknown Backload;
    // Not its `ALL`, which has another order: statements say `result > 0` for what wasn't completed.
    TaskResult: [Self::Complete, Self::Error, Self::Warn, Self::Alert], unknown Alert;
    TaskState: Self::ALL, unknown Done;
}

pub(crate) trait ReadColumn {
    fn time(&self, column: usize) -> rusqlite::Result<DateTime<Utc>>;
    fn optional_time(&self, column: usize) -> rusqlite::Result<Option<DateTime<Utc>>>;
    fn optional_uid(&self, column: usize) -> rusqlite::Result<Option<Uid>>;
    fn optional_result(&self, column: usize) -> rusqlite::Result<Option<TaskResult>>;
    fn enum_value<T: EnumColumn>(&self, column: usize) -> rusqlite::Result<T>;
    fn count(&self, column: usize) -> rusqlite::Result<u64>;
    fn text_or_empty(&self, column: usize) -> rusqlite::Result<String>;
}

impl ReadColumn for Row<'_> {
    fn time(&self, column: usize) -> rusqlite::Result<DateTime<Utc>> {
        self.get(column).map(from_micros)
    }

    fn optional_time(&self, column: usize) -> rusqlite::Result<Option<DateTime<Utc>>> {
        Ok(self.get::<_, Option<i64>>(column)?.map(from_micros))
    }

    fn optional_uid(&self, column: usize) -> rusqlite::Result<Option<Uid>> {
        Ok(self.get::<_, Option<i64>>(column)?.map(Uid))
    }

    fn optional_result(&self, column: usize) -> rusqlite::Result<Option<TaskResult>> {
        Ok(self.get::<_, Option<i64>>(column)?.map(TaskResult::from_column))
    }

    fn enum_value<T: EnumColumn>(&self, column: usize) -> rusqlite::Result<T> {
        self.get(column).map(T::from_column)
    }

    fn count(&self, column: usize) -> rusqlite::Result<u64> {
        // SQLite has no unsigned numbers; a sum that damage made negative reads as none.
        Ok(self.get::<_, i64>(column)?.max(0).unsigned_abs())
    }

    fn text_or_empty(&self, column: usize) -> rusqlite::Result<String> {
        Ok(self.get::<_, Option<String>>(column)?.unwrap_or_default())
    }
}
