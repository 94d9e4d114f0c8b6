//! Histories stored at once, millions of attempts in one go: for measurements on large databases.
//!
//! It doesn't go the way of the owner: nothing is on disk before the end, and indexes are built last. What it
//! leaves is a database as the owner would have written it.

use std::fs::File;
use std::path::{Path, PathBuf};

use flowlord_domain::{Attempt, NewAlert, TaskState};
use flowlord_messages::schedule::SlotKey;
use rusqlite::{Connection, params};

use crate::DATABASE;
use crate::column::{EnumColumn, micros};
use crate::connection::{OpenError, open_writer};
use crate::folder_lock::FolderLock;
use crate::sql::CachedSql as _;
use crate::writer::context::{AfterCommit, CommandError, CommandResult, NameCache, WriteContext};
use crate::writer::totals::HourlyTotals;

const BATCH: u64 = 200_000;

const UNFINISHED: &str = "flowlord.db.unfinished";

#[derive(Debug, thiserror::Error)]
pub enum BulkError {
    #[error("{0} already exists: name a folder without a database")]
    Exists(PathBuf),
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error("the history can't be stored: {0}")]
    Sqlite(#[from] rusqlite::Error),
    #[error("the history can't be put in its place: {0}")]
    Io(#[from] std::io::Error),
    #[error("the history can't be stored: {0}")]
    Refused(flowlord_kernel::Error),
}

impl From<CommandError> for BulkError {
    fn from(error: CommandError) -> Self {
        match error {
            CommandError::Refused(error) => Self::Refused(error),
            CommandError::Sqlite(err) => Self::Sqlite(err),
        }
    }
}

/// A database that is being filled. It has its name only once it is finished.
pub struct BulkWriter {
    connection: Connection,
    names: NameCache,
    totals: HourlyTotals,
    /// The statements of the indexes that are built last.
    indexes: Vec<String>,
    added: u64,
    folder: PathBuf,
    _lock: FolderLock,
}

impl BulkWriter {
    pub fn begin(folder: &Path) -> Result<Self, BulkError> {
        let lock = FolderLock::take(folder)?;
        let path = folder.join(DATABASE);
        if path.exists() {
            return Err(BulkError::Exists(path));
        }
        let unfinished = folder.join(UNFINISHED);
        if unfinished.exists() {
            std::fs::remove_file(&unfinished)?;
        }
        let connection = open_writer(&unfinished)?;
        // A crash leaves a file that nobody takes for a database: nothing needs to be safe before the end.
        connection.pragma_update_and_check(None, "journal_mode", "OFF", |_| Ok(()))?;
        connection.pragma_update(None, "synchronous", "OFF")?;
        connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
        connection.pragma_update(None, "cache_size", -256_000)?;
        let indexes = drop_indexes(&connection)?;
        connection.execute_batch("BEGIN")?;
        let (names, totals) = (NameCache::default(), HourlyTotals::default());
        Ok(Self { connection, names, totals, indexes, added: 0, folder: folder.to_owned(), _lock: lock })
    }

    /// Stores an attempt as it stands. Those that come in the order of their ids are stored fastest.
    pub fn add_attempt(&mut self, attempt: &Attempt) -> Result<(), BulkError> {
        self.write(|context| Ok(context.insert_attempt(attempt)?))?;
        self.added += 1;
        if self.added.is_multiple_of(BATCH) {
            // Totals leave memory with each batch, however long the history is.
            std::mem::take(&mut self.totals).write_to(&self.connection)?;
            self.connection.execute_batch("COMMIT; BEGIN")?;
        }
        Ok(())
    }

    /// Stores alerts as told.
    pub fn add_alert(&mut self, alert: &NewAlert) -> Result<(), BulkError> {
        self.write(|context| context.insert_alert(alert, true))
    }

    pub fn add_slot(&mut self, slot: &SlotKey, started: flowlord_domain::Uid) -> Result<(), BulkError> {
        self.write(|context| context.take_slot(slot, &[started]))
    }

    fn write(&mut self, write: impl FnOnce(&mut WriteContext<'_>) -> CommandResult<()>) -> Result<(), BulkError> {
        let mut context = WriteContext {
            connection: &self.connection,
            names: &mut self.names,
            totals: &mut self.totals,
            // No actor runs that could be told.
            effects: &mut AfterCommit::default(),
        };
        Ok(write(&mut context)?)
    }

    /// Builds the indexes, brings all to disk, and gives the database its name. Answers how many attempts it holds.
    pub fn finish(self) -> Result<u64, BulkError> {
        let Self { connection, totals, indexes, added, folder, .. } = self;
        totals.write_to(&connection)?;
        // Sorted once over all rows, which is many times faster than keeping each index up with every row.
        for index in &indexes {
            connection.execute_batch(index)?;
        }
        connection.execute_batch("COMMIT")?;
        connection.pragma_update(None, "locking_mode", "NORMAL")?;
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
        connection.close().map_err(|(_, err)| err)?;
        let path = folder.join(UNFINISHED);
        // The content before the name: a power cut in between must leave no database that is empty inside.
        File::open(&path)?.sync_all()?;
        std::fs::rename(&path, folder.join(DATABASE))?;
        // The new name is durable only with its folder.
        File::open(&folder)?.sync_all()?;
        Ok(added)
    }
}

/// Drops the indexes of the large table and answers how they are made.
fn drop_indexes(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let listed = "SELECT name, sql FROM sqlite_schema WHERE type = 'index' AND tbl_name = 'task' AND sql IS NOT NULL";
    let found: Vec<(String, String)> = connection.read_rows(listed, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    for (name, _) in &found {
        connection.execute_batch(&format!("DROP INDEX \"{name}\""))?;
    }
    Ok(found.into_iter().map(|(_, sql)| sql).collect())
}

impl WriteContext<'_> {
    /// Stores an attempt with whatever became of it.
    fn insert_attempt(&mut self, attempt: &Attempt) -> rusqlite::Result<()> {
        let queue = self.queue_id(&attempt.topic, &attempt.job)?;
        let workflow = self.name_id(&attempt.workflow)?;
        let worker = self.name_id(&attempt.worker)?;
        let due = match attempt.state {
            TaskState::Ready => Some(attempt.uid.created_at()),
            TaskState::Delayed => attempt.not_before,
            TaskState::Leased => attempt.lease_expires,
            TaskState::Done => attempt.ended,
        };
        self.run_sql(
            "INSERT INTO task (uid, queue, state, lane, due, lease, delivery, expired, retry, worker,
                 workflow,
                 parent, result, progress, started, ended, chain, info, meta, msg)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 0, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18,
                 ?19)",
            params![
                attempt.uid.0,
                queue,
                attempt.state.to_column(),
                attempt.lane.to_column(),
                micros(due.unwrap_or(attempt.uid.created_at())),
                // Never given to anybody, but there: as of a task that was handed out.
                (attempt.delivery > 0).then_some(attempt.uid.0),
                attempt.delivery,
                attempt.retry,
                worker,
                workflow,
                attempt.parent.map(|parent| parent.0),
                attempt.result.map(EnumColumn::to_column),
                attempt.progress,
                attempt.started.map(micros),
                attempt.ended.map(micros),
                attempt.id,
                attempt.info,
                attempt.meta,
                attempt.msg,
            ],
        )?;
        self.totals.add_created(attempt.uid, queue);
        if let Some(result) = attempt.result {
            let (started, ended) = (attempt.started, attempt.ended);
            let run = ended.zip(started).map_or(0, |(ended, started)| (ended - started).num_milliseconds());
            self.totals.add_ended(attempt.uid, queue, result, run.max(0));
        }
        Ok(())
    }
}
