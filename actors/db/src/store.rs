//! What a command works on: the open transaction, the names known so far, and what is to be told afterwards.

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use flowlord_kernel::{Code, Error};
use flowlord_messages::changes::Changes;
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::write::rollup::Deltas;

/// Why a command wasn't applied.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// It can't be: nothing wrong with the database.
    Refused(Error),
    /// The database failed.
    Sqlite(rusqlite::Error),
}

impl Trouble {
    pub(crate) fn to_error(&self) -> Error {
        match self {
            Self::Refused(error) => error.clone(),
            Self::Sqlite(err) => {
                log::error!("event=write_failed error={err:?}");
                Error::new(Code::Storage, format!("the database refused the write: {err}"))
            }
        }
    }
}

impl From<rusqlite::Error> for Trouble {
    fn from(err: rusqlite::Error) -> Self {
        Self::Sqlite(err)
    }
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

/// Ids of names that were looked up before. A cache of rows that never change; emptied when a transaction is
/// undone, since it may hold rows that then never were.
#[derive(Debug, Default)]
pub(crate) struct Names {
    queues: HashMap<String, HashMap<String, i64>>,
    texts: HashMap<String, i64>,
}

impl Names {
    fn add_queue(&mut self, topic: &str, job: &str, id: i64) {
        self.queues.entry(topic.to_owned()).or_default().insert(job.to_owned(), id);
    }

    /// Forgets all.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}

/// What the commit of a transaction is followed by.
#[derive(Debug, Default)]
pub(crate) struct Followers {
    /// Topics and jobs with new ready tasks.
    pub(crate) ready: BTreeSet<(String, String)>,
    /// The earliest new delayed task.
    pub(crate) delayed: Option<DateTime<Utc>>,
    /// Whether alerts were stored.
    pub(crate) alerted: bool,
    /// Whether messages were put into the outbox.
    pub(crate) messages: bool,
    /// What changed in tables without row ids.
    pub(crate) changes: Changes,
}

impl Followers {
    /// Takes over what one command is followed by.
    pub(crate) fn add(&mut self, other: Self) {
        self.ready.extend(other.ready);
        self.delayed = self.delayed.into_iter().chain(other.delayed).min();
        self.alerted |= other.alerted;
        self.messages |= other.messages;
        self.changes.add(other.changes);
    }
}

/// The open transaction.
pub(crate) struct Store<'a> {
    pub(crate) connection: &'a Connection,
    pub(crate) names: &'a mut Names,
    pub(crate) rollups: &'a mut Deltas,
    pub(crate) followers: &'a mut Followers,
}

impl Store<'_> {
    /// The id of a topic and job, made when new.
    pub(crate) fn queue(&mut self, topic: &str, job: &str) -> rusqlite::Result<i64> {
        if let Some(id) = self.known_queue(topic, job)? {
            return Ok(id);
        }
        let insert = "INSERT INTO queue (topic, job) VALUES (?1, ?2)";
        let id = self.connection.prepare_cached(insert)?.insert([topic, job])?;
        self.names.add_queue(topic, job, id);
        Ok(id)
    }

    /// The id of a topic and job, if any task ever had them.
    pub(crate) fn known_queue(&mut self, topic: &str, job: &str) -> rusqlite::Result<Option<i64>> {
        if let Some(id) = self.names.queues.get(topic).and_then(|jobs| jobs.get(job)) {
            return Ok(Some(*id));
        }
        let found = self
            .connection
            .prepare_cached("SELECT id FROM queue WHERE topic = ?1 AND job = ?2")?
            .query_row([topic, job], |row| row.get(0))
            .optional()?;
        if let Some(id) = found {
            self.names.add_queue(topic, job, id);
        }
        Ok(found)
    }

    /// The ids of all jobs of a topic.
    pub(crate) fn queues_of(&self, topic: &str, ids: &mut Vec<i64>) -> rusqlite::Result<()> {
        let mut statement = self.connection.prepare_cached("SELECT id FROM queue WHERE topic = ?1")?;
        let mut rows = statement.query([topic])?;
        while let Some(row) = rows.next()? {
            ids.push(row.get(0)?);
        }
        Ok(())
    }

    /// The id of a text that repeats; none for the empty one.
    pub(crate) fn name(&mut self, text: &str) -> rusqlite::Result<Option<i64>> {
        if text.is_empty() {
            return Ok(None);
        }
        if let Some(id) = self.names.texts.get(text) {
            return Ok(Some(*id));
        }
        let found = self
            .connection
            .prepare_cached("SELECT id FROM name WHERE text = ?1")?
            .query_row([text], |row| row.get(0))
            .optional()?;
        let id = match found {
            Some(id) => id,
            None => self.connection.prepare_cached("INSERT INTO name (text) VALUES (?1)")?.insert([text])?,
        };
        self.names.texts.insert(text.to_owned(), id);
        Ok(Some(id))
    }

    /// The id of a cron phase, made when new.
    pub(crate) fn phase(&mut self, workflow: &str, task: &str) -> rusqlite::Result<i64> {
        self.connection
            .prepare_cached("INSERT OR IGNORE INTO phase (workflow, task) VALUES (?1, ?2)")?
            .execute(params![workflow, task])?;
        self.connection
            .prepare_cached("SELECT id FROM phase WHERE workflow = ?1 AND task = ?2")?
            .query_row([workflow, task], |row| row.get(0))
    }
}
