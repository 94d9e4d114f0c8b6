//! What the file of every noun needs.

pub(crate) use chrono::{DateTime, Utc};
pub(crate) use flowlord_domain::Uid;
pub(crate) use flowlord_kernel::Code;
pub(crate) use rusqlite::{Connection, Row, params};

pub(crate) use crate::column::{EnumColumn as _, ReadColumn as _, from_micros, micros, to_signed, to_unsigned};
pub(crate) use crate::reader::ReadQuery;
pub(crate) use crate::sql::CachedSql as _;
pub(crate) use crate::writer::command::WriteCommand;
pub(crate) use crate::writer::context::{CommandError, CommandResult, WriteContext, find_queue};
