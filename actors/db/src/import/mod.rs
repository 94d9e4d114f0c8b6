//! History of the reference system, from its database into ours.
//!
//! Its columns are probed, not assumed: what is there is taken, whatever its version says. Each row is judged alone;
//! what can't be taken is counted with why. A row is known again by what makes it unique there, so a second run adds
//! what came since, and nothing twice.

mod alerts;
mod files;
pub(crate) mod history;
mod old;
mod tasks;
#[cfg(test)]
mod tests;
mod times;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use flowlord_domain::named_enum;
use old::OldDatabase;
use rusqlite::Connection;

use crate::DATABASE;
use crate::connection::{OpenError, open_recording};
use crate::folder_lock::FolderLock;
use crate::writer::context::{AfterCommit, NameCache, WriteContext};
use crate::writer::totals::HourlyTotals;

const BATCH_ROWS: usize = 50_000;

/// For the indexes of a large history, kilobytes.
const CACHE_KILOBYTES: i64 = -256_000;

named_enum! {
    /// What is taken, in this order.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
    pub enum ImportKind {
        Tasks = "tasks",
        Alerts = "alerts",
        Files = "file messages",
    }
}

impl ImportKind {
    pub fn table(self) -> &'static str {
        match self {
            Self::Tasks => "task_records",
            Self::Alerts => "alert_records",
            Self::Files => "file_messages",
        }
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImportCounts {
    pub taken: u64,
    pub known: u64,
    /// How many could not be taken, by why; with the first of each.
    pub left: BTreeMap<&'static str, (u64, String)>,
}

impl ImportCounts {
    pub fn read(&self) -> u64 {
        self.taken + self.known + self.left.values().map(|(count, _)| count).sum::<u64>()
    }

    fn count_row(&mut self, row: RowFate, name: impl FnOnce() -> String) {
        match row {
            RowFate::Taken => self.taken += 1,
            RowFate::Known => self.known += 1,
            RowFate::Left(why) => self.left.entry(why).or_insert_with(|| (0, name())).0 += 1,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RowFate {
    Taken,
    Known,
    Left(&'static str),
}

/// Why nothing, or nothing more, is imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    #[error("{path} can't be read: {source}")]
    Old { path: PathBuf, source: rusqlite::Error },
    #[error("{0} is not a database of the reference system: it has no table task_records")]
    Other(PathBuf),
    #[error("{0} is a database of flowlord itself: use `flowlord restore --from`")]
    Own(PathBuf),
    #[error(
        "{path} has schema version {found}, this program takes 1 and 2: start the old system that knows both once, or \
             name a database of schema 1 or 2"
    )]
    Version { path: PathBuf, found: String },
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error("the database can't be written: {0}; run the import again, it continues where it ended")]
    Write(rusqlite::Error),
}

impl ImportError {
    fn for_old(path: &Path) -> impl Fn(rusqlite::Error) -> Self {
        |source| Self::Old { path: path.to_owned(), source }
    }
}

pub type ImportReport = BTreeMap<ImportKind, ImportCounts>;

/// Takes the history of `old` into the database of a data folder that no service uses. `progress` hears how many rows
/// of a kind were read so far, and of how many.
pub fn import(
    old: &Path,
    lock: &FolderLock,
    mut progress: impl FnMut(ImportKind, u64, u64),
) -> Result<ImportReport, ImportError> {
    let old = OldDatabase::open(old)?;
    // Not recorded: millions of notes would only lead to a new log. The next start begins one.
    let connection = open_recording(&lock.folder().join(DATABASE), None)?;
    connection.pragma_update(None, "cache_size", CACHE_KILOBYTES).map_err(ImportError::Write)?;
    let mut names = NameCache::default();
    let mut report = ImportReport::new();
    for kind in ImportKind::ALL {
        let Some(table) = old.find_table(kind)? else { continue };
        let rows = table.count_rows()?;
        let mut counts = ImportCounts::default();
        table.each_batch(BATCH_ROWS, |batch| {
            write_batch(&connection, &mut names, batch, kind, &mut counts)?;
            progress(kind, counts.read(), rows);
            Ok(())
        })?;
        report.insert(kind, counts);
    }
    // Else the write-ahead log of the last batches stays as large as they were.
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).map_err(ImportError::Write)?;
    Ok(report)
}

fn write_batch(
    connection: &Connection,
    names: &mut NameCache,
    batch: &[old::OldRow],
    kind: ImportKind,
    counts: &mut ImportCounts,
) -> Result<(), ImportError> {
    let mut totals = HourlyTotals::default();
    // Counted aside: a batch that fails is undone, and its rows were not taken.
    let mut batch_counts = counts.clone();
    connection.execute_batch("BEGIN IMMEDIATE").map_err(ImportError::Write)?;
    // Dropped: no actor runs that could be told.
    let mut effects = AfterCommit::default();
    let context = &mut WriteContext { connection, names, totals: &mut totals, effects: &mut effects };
    let applied = batch
        .iter()
        .try_for_each(|row| {
            let fate = match kind {
                ImportKind::Tasks => tasks::take_row(context, row)?,
                ImportKind::Alerts => alerts::take_row(context, row)?,
                ImportKind::Files => files::take_row(context, row)?,
            };
            batch_counts.count_row(fate, || row.describe_row());
            Ok(())
        })
        .and_then(|()| totals.write_to(connection))
        .and_then(|()| connection.execute_batch("COMMIT"));
    applied.map_err(ImportError::Write)?;
    *counts = batch_counts;
    Ok(())
}
