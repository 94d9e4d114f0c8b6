//! The database itself: its file, its tables, its end.

use actix::Message;

use flowlord_kernel::Result;

/// Drains the queue, checkpoints and closes; the last message that the DB owner takes.
#[derive(Debug, Message)]
#[rtype(result = "Result<()>")]
pub struct CloseDatabase;

/// The file, and the names of its tables.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Result<DatabaseFacts>")]
pub struct ReadDatabase;

/// What [`ReadDatabase`] answers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DatabaseFacts {
    /// The path of the file.
    pub path: String,
    /// The version of its schema.
    pub schema: u64,
    /// The version of SQLite, like 3.50.4.
    pub sqlite: String,
    /// Bytes of a page.
    pub page_size: u64,
    /// Pages of the file.
    pub pages: u64,
    /// Those of them that nothing is in.
    pub free_pages: u64,
    /// Bytes of the write-ahead log.
    pub log_bytes: u64,
    /// The tables, by name.
    pub tables: Vec<String>,
}

/// Counts the rows and bytes of a table: reads a few bytes of each of its pages, up to a bound.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[rtype(result = "Result<TableSize>")]
pub struct MeasureTable {
    /// The table's name.
    pub table: String,
    /// As many pages of it and of each of its indexes are looked at.
    pub most_pages: u64,
}

/// What [`MeasureTable`] answers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TableSize {
    /// The table's name.
    pub table: String,
    /// How many rows were counted.
    pub rows: u64,
    /// Bytes of its pages.
    pub bytes: u64,
    /// Bytes of the pages of its indexes.
    pub index_bytes: u64,
    /// Whether all pages were looked at; else there is more.
    pub complete: bool,
}
