//! Silences, those that hold and those that are over.

use flowlord_messages::alerts::{ListSilences, Silence};
use rusqlite::{Connection, params};

use crate::column::micros;
use crate::reader::Query;
use crate::row::silence;

impl Query for ListSilences {
    type Answer = Vec<Silence>;

    fn read(&self, connection: &Connection) -> rusqlite::Result<Self::Answer> {
        let after = self.after.unwrap_or(i64::MAX);
        match self.at {
            // There are only so many that hold.
            Some(at) => connection
                .prepare_cached(
                    "SELECT id, since, until, topic, job, workflow, by, reason FROM silence INDEXED BY silence_until
                     WHERE until > ?1 AND id < ?2 ORDER BY id DESC LIMIT ?3",
                )?
                .query_map(params![micros(at), after, self.limit], silence)?
                .collect(),
            None => connection
                .prepare_cached(
                    "SELECT id, since, until, topic, job, workflow, by, reason FROM silence
                     WHERE id < ?1 ORDER BY id DESC LIMIT ?2",
                )?
                .query_map(params![after, self.limit], silence)?
                .collect(),
        }
    }
}
