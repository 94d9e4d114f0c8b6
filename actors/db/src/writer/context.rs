//! What a command works on: the open transaction, the names known so far, and what follows the commit.

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use flowlord_kernel::{Code, Error};
use flowlord_messages::events::DatabaseChanges;
use rusqlite::{CachedStatement, Connection};

use crate::sql::CachedSql;
use crate::writer::totals::HourlyTotals;

#[derive(Debug)]
pub(crate) enum CommandError {
    /// It can't be: nothing is wrong with the database.
    Refused(Error),
    Sqlite(rusqlite::Error),
}

pub(crate) type CommandResult<T> = Result<T, CommandError>;

impl CommandError {
    pub(crate) fn refused(code: Code, detail: impl Into<String>) -> Self {
        Self::Refused(Error::new(code, detail))
    }

    pub(crate) fn to_answer(&self) -> Error {
        match self {
            Self::Refused(error) => error.clone(),
            Self::Sqlite(err) => {
                log::error!("event=write_failed error={err:?}");
                Error::new(Code::Storage, format!("the database refused the write: {err}"))
            }
        }
    }
}

impl From<rusqlite::Error> for CommandError {
    fn from(err: rusqlite::Error) -> Self {
        Self::Sqlite(err)
    }
}

/// What is answered where several things are judged alone: a refusal, which must have written nothing, leaves the others.
pub(crate) fn answer_each<T>(judged: CommandResult<T>) -> CommandResult<flowlord_kernel::Result<T>> {
    match judged {
        Ok(answer) => Ok(Ok(answer)),
        Err(CommandError::Refused(error)) => Ok(Err(error)),
        Err(error) => Err(error),
    }
}

/// Ids of names that were looked up before. A cache of rows that never change; emptied when a transaction is
/// undone, since it may hold rows that then never were.
#[derive(Debug, Default)]
pub(crate) struct NameCache {
    queues: HashMap<String, HashMap<String, i64>>,
    texts: HashMap<String, i64>,
}

impl NameCache {
    fn add_queue(&mut self, topic: &str, job: &str, id: i64) {
        self.queues.entry(topic.to_owned()).or_default().insert(job.to_owned(), id);
    }

    pub(crate) fn forget_all(&mut self) {
        *self = Self::default();
    }
}

#[derive(Debug, Default)]
pub(crate) struct AfterCommit {
    pub(crate) ready: BTreeSet<(String, String)>,
    pub(crate) delayed: Option<DateTime<Utc>>,
    pub(crate) has_alerts: bool,
    /// Tasks that counted for a limit are at work no more.
    pub(crate) has_freed_limits: bool,
    pub(crate) has_messages: bool,
    /// What changed in tables without row ids.
    pub(crate) changes: DatabaseChanges,
}

impl AfterCommit {
    pub(crate) fn add_effects(&mut self, other: Self) {
        self.ready.extend(other.ready);
        // One timer serves all of them, and the first that is due sets it.
        self.delayed = self.delayed.into_iter().chain(other.delayed).min();
        self.has_alerts |= other.has_alerts;
        self.has_freed_limits |= other.has_freed_limits;
        self.has_messages |= other.has_messages;
        self.changes.add_changes(other.changes);
    }

    pub(crate) fn note_ready(&mut self, topic: &str, job: &str) {
        self.ready.insert((topic.to_owned(), job.to_owned()));
    }

    pub(crate) fn note_delayed(&mut self, due: DateTime<Utc>) {
        self.delayed = self.delayed.into_iter().chain([due]).min();
    }
}

pub(crate) struct WriteContext<'a> {
    pub(crate) connection: &'a Connection,
    pub(crate) names: &'a mut NameCache,
    pub(crate) totals: &'a mut HourlyTotals,
    pub(crate) effects: &'a mut AfterCommit,
}

impl CachedSql for WriteContext<'_> {
    fn cached_statement(&self, sql: &str) -> rusqlite::Result<CachedStatement<'_>> {
        self.connection.prepare_cached(sql)
    }
}

impl WriteContext<'_> {
    /// The id of a topic and job, made when new.
    pub(crate) fn queue_id(&mut self, topic: &str, job: &str) -> rusqlite::Result<i64> {
        if let Some(id) = self.known_queue(topic, job)? {
            return Ok(id);
        }
        let id = self.insert_row("INSERT INTO queue (topic, job) VALUES (?1, ?2)", [topic, job])?;
        self.names.add_queue(topic, job, id);
        Ok(id)
    }

    /// The id of a topic and job, if any task ever had them.
    pub(crate) fn known_queue(&mut self, topic: &str, job: &str) -> rusqlite::Result<Option<i64>> {
        if let Some(id) = self.names.queues.get(topic).and_then(|jobs| jobs.get(job)) {
            return Ok(Some(*id));
        }
        let found = find_queue(self.connection, topic, job)?;
        if let Some(id) = found {
            self.names.add_queue(topic, job, id);
        }
        Ok(found)
    }

    /// The id of a text that repeats; none for the empty one.
    pub(crate) fn name_id(&mut self, text: &str) -> rusqlite::Result<Option<i64>> {
        if text.is_empty() {
            return Ok(None);
        }
        if let Some(id) = self.names.texts.get(text) {
            return Ok(Some(*id));
        }
        let id = match self.find_value("SELECT id FROM name WHERE text = ?1", [text])? {
            Some(id) => id,
            // One writer: nobody can insert it between the look and this.
            None => self.insert_row("INSERT INTO name (text) VALUES (?1)", [text])?,
        };
        self.names.texts.insert(text.to_owned(), id);
        Ok(Some(id))
    }

    /// The id of a cron phase, made when new.
    pub(crate) fn phase_id(&mut self, workflow: &str, task: &str) -> rusqlite::Result<i64> {
        self.run_sql("INSERT OR IGNORE INTO phase (workflow, task) VALUES (?1, ?2)", [workflow, task])?;
        self.read_value("SELECT id FROM phase WHERE workflow = ?1 AND task = ?2", [workflow, task])
    }
}

/// The id of a topic and job, if any task ever had them.
pub(crate) fn find_queue(connection: &Connection, topic: &str, job: &str) -> rusqlite::Result<Option<i64>> {
    connection.find_value("SELECT id FROM queue WHERE topic = ?1 AND job = ?2", [topic, job])
}
