//! Attempts: by id, by chain, and pages of them.

use flowlord_domain::{Attempt, Uid};
use flowlord_messages::read::{
    AttemptsById, Beginning, Chain, ChainBeginning, LaterAttempts, ListTasks, TaskFilter,
};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension as _, params, params_from_iter};

use crate::column::{self, micros};
use crate::reader::Query;
use crate::row::{ATTEMPT_COLUMNS, attempt};

impl Query for AttemptsById {
    type Answer = Vec<Option<Attempt>>;

    fn read(&self, connection: &Connection) -> rusqlite::Result<Self::Answer> {
        let mut by_id = connection.prepare_cached(concat!(ATTEMPT_COLUMNS!(), " WHERE task.uid = ?1"))?;
        self.uids.iter().map(|uid| by_id.query_row([uid.0], attempt).optional()).collect()
    }
}

impl Query for Chain {
    type Answer = Vec<Attempt>;

    fn read(&self, connection: &Connection) -> rusqlite::Result<Self::Answer> {
        let sql = concat!(ATTEMPT_COLUMNS!(), " WHERE chain = ?1 ORDER BY task.uid");
        connection.prepare_cached(sql)?.query_map([&self.id], attempt)?.collect()
    }
}

impl Query for ChainBeginning {
    type Answer = Beginning;

    fn read(&self, connection: &Connection) -> rusqlite::Result<Beginning> {
        let sql = concat!(ATTEMPT_COLUMNS!(), " WHERE chain = ?1 ORDER BY task.uid LIMIT ?2");
        let attempts: Vec<Attempt> = connection
            .prepare_cached(sql)?
            .query_map(params![self.id, self.limit], attempt)?
            .collect::<rusqlite::Result<_>>()?;
        // Only the index is read for the rest.
        let last = attempts.last().filter(|_| attempts.len() >= self.limit);
        let more = last.map(|last| {
            connection
                .prepare_cached("SELECT count(*) FROM task WHERE chain = ?1 AND uid > ?2")?
                .query_row(params![self.id, last.uid.0], |row| row.get(0))
        });
        Ok(Beginning { more: more.transpose()?.unwrap_or(0), attempts })
    }
}

impl Query for LaterAttempts {
    type Answer = Vec<Option<Uid>>;

    fn read(&self, connection: &Connection) -> rusqlite::Result<Self::Answer> {
        self.uids.iter().map(|uid| later(connection, *uid)).collect()
    }
}

/// The newest attempt of the same task after one: of the same chain, topic, job and info.
pub(crate) fn later(connection: &Connection, uid: Uid) -> rusqlite::Result<Option<Uid>> {
    connection
        .prepare_cached(
            "SELECT max(later.uid) FROM task JOIN task AS later
                 -- By the chain: the same info may stand in any number of tasks.
                 ON later.chain = task.chain AND +later.queue = task.queue AND +later.info = task.info
             WHERE task.uid = ?1 AND later.uid > ?1",
        )?
        .query_row([uid.0], |row| Ok(row.get::<_, Option<i64>>(0)?.map(Uid)))
}

impl Query for ListTasks {
    type Answer = Vec<Attempt>;

    fn read(&self, connection: &Connection) -> rusqlite::Result<Self::Answer> {
        let mut clauses = Clauses::default();
        clauses.filter(&self.filter);
        if let Some(after) = self.after {
            clauses.add(if self.ascending { "task.uid > ?" } else { "task.uid < ?" }, [after.0.into()]);
        }
        let order = if self.ascending { "ASC" } else { "DESC" };
        let limit = i64::try_from(self.limit).unwrap_or(i64::MAX);
        let sql = format!("{}{} ORDER BY task.uid {order} LIMIT {limit}", ATTEMPT_COLUMNS!(), clauses.sql());
        connection.prepare_cached(&sql)?.query_map(params_from_iter(clauses.values), attempt)?.collect()
    }
}

/// The conditions of a query and their values.
#[derive(Default)]
struct Clauses {
    conditions: Vec<String>,
    values: Vec<Value>,
}

impl Clauses {
    fn filter(&mut self, filter: &TaskFilter) {
        if let Some(from) = filter.from {
            self.add("task.uid >= ?", [micros(from).into()]);
        }
        if let Some(to) = filter.to {
            self.add("task.uid < ?", [micros(to).into()]);
        }
        self.one_of("topic", filter.topics.iter().cloned().map(Value::from));
        self.one_of("job", filter.jobs.iter().cloned().map(Value::from));
        self.one_of("chain", filter.ids.iter().cloned().map(Value::from));
        self.one_of("state", filter.states.iter().map(|state| column::state(*state).into()));
        self.results(filter);
        if filter.given_up {
            self.add("given_up = 1", []);
        }
    }

    fn results(&mut self, filter: &TaskFilter) {
        let results = filter.results.iter().map(|result| Value::from(column::result(*result)));
        match (filter.running, filter.results.is_empty()) {
            (false, true) => {}
            (false, false) => self.one_of("result", results),
            (true, true) => self.add("result IS NULL", []),
            (true, false) => {
                let marks = vec!["?"; filter.results.len()].join(", ");
                self.add(&format!("(result IS NULL OR result IN ({marks}))"), results);
            }
        }
    }

    fn one_of(&mut self, column: &str, values: impl ExactSizeIterator<Item = Value>) {
        if values.len() > 0 {
            let marks = vec!["?"; values.len()].join(", ");
            self.add(&format!("{column} IN ({marks})"), values);
        }
    }

    fn add(&mut self, condition: &str, values: impl IntoIterator<Item = Value>) {
        self.conditions.push(condition.to_owned());
        self.values.extend(values);
    }

    fn sql(&self) -> String {
        if self.conditions.is_empty() {
            return String::new();
        }
        format!(" WHERE {}", self.conditions.join(" AND "))
    }
}
