//! What the file of every noun needs.

pub(crate) use chrono::{DateTime, Utc};
pub(crate) use flowlord_domain::Uid;
pub(crate) use flowlord_kernel::Code;
pub(crate) use rusqlite::{Connection, Row, params};

pub(crate) use crate::column::{EnumColumn as _, ReadColumn as _, bits, micros, time, unbits};
pub(crate) use crate::reader::Query;
pub(crate) use crate::sql::CachedSql as _;
pub(crate) use crate::writer::command::Command;
pub(crate) use crate::writer::context::{CommandError, CommandResult, WriteContext, find_queue};
