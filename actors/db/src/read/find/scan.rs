//! Walks rows by age and keeps those that fit.

use std::collections::{HashMap, HashSet};

use flowlord_domain::search::{Field, Row as Shown, Search};
use flowlord_domain::{TaskResult, Uid};
use flowlord_messages::find::{FindTasks, SortKey, TaskSort};
use rusqlite::types::Value;
use rusqlite::{CachedStatement, Connection, Row as SqlRow, params_from_iter};

use super::source::Source;
use crate::column;

/// Texts are sorted by so many bytes.
const KEY_BYTES: usize = 200;

/// A range of uids with its ends.
#[derive(Debug, Clone, Copy)]
pub(super) struct Range {
    pub(super) first: i64,
    pub(super) last: i64,
}

/// Which end of a range comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    NewestFirst,
    OldestFirst,
}

impl Range {
    /// What of it comes after a task.
    pub(super) fn after(self, uid: Uid, order: Order) -> Self {
        match order {
            Order::NewestFirst => Self { last: self.last.min(uid.0.saturating_sub(1)), ..self },
            Order::OldestFirst => Self { first: self.first.max(uid.0.saturating_add(1)), ..self },
        }
    }

    /// What of it lies within two tasks.
    pub(super) fn within(self, oldest: Uid, newest: Uid) -> Self {
        Self { first: self.first.max(oldest.0), last: self.last.min(newest.0) }
    }
}

/// A row that fits.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) uid: Uid,
    pub(super) key: SortKey,
}

/// Rows that fit.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) rows: Vec<Row>,
    /// The last one that was looked at, where there are more.
    pub(super) reached: Option<Uid>,
}

/// What rows are compared with.
pub(super) struct Scan<'a> {
    connection: &'a Connection,
    query: &'a FindTasks,
    range: Range,
    order: Order,
    /// Names of topics and jobs, where they are compared or sorted by.
    names: HashMap<i64, (String, String)>,
    /// Topics and jobs that fit, where the filter says so.
    queues: Option<HashSet<i64>>,
    texts: bool,
}

/// The columns that a row is judged by; texts only where they are needed, since they may lie on pages of their own.
const COLUMNS: &str = "uid, queue, state, result, started, ended";
const TEXTS: &str = "uid, queue, state, result, started, ended, chain, info, meta, msg";

impl<'a> Scan<'a> {
    pub(super) fn new(
        connection: &'a Connection,
        query: &'a FindTasks,
        range: Range,
        order: Order,
    ) -> rusqlite::Result<Self> {
        let by_text = matches!(query.sort, TaskSort::Info | TaskSort::Meta | TaskSort::Msg);
        let by_name = matches!(query.sort, TaskSort::Type | TaskSort::Job);
        let filter = &query.filter;
        let named = !filter.topics.is_empty() || !filter.jobs.is_empty();
        let names =
            if named || by_name || needs_names(&query.search) { names(connection)? } else { HashMap::new() };
        let listed = |list: &[String], name: &str| list.is_empty() || list.iter().any(|one| one == name);
        let fits =
            |(topic, job): &(String, String)| listed(&filter.topics, topic) && listed(&filter.jobs, job);
        let queues = named.then(|| names.iter().filter(|(_, name)| fits(name)).map(|(id, _)| *id).collect());
        let texts = by_text || needs_texts(&query.search) || !filter.ids.is_empty();
        Ok(Self { connection, query, range, order, names, queues, texts })
    }

    /// The first `limit` rows that fit, of all sources together; looks at no more than about `bound`.
    pub(super) fn all(&self, sources: &[Source], limit: usize, bound: usize) -> rusqlite::Result<Found> {
        let each = (bound / sources.len().max(1)).max(1);
        let mut all = Found::default();
        for source in sources {
            // No more than a fair part of one page: the others may have newer ones.
            let found = self.one(source, limit.min(each), each)?;
            all.rows.extend(found.rows);
            all.reached = match (all.reached, found.reached) {
                (Some(a), Some(b)) => Some(self.sooner(a, b)),
                (a, b) => a.or(b),
            };
        }
        // Beyond the point that the slowest source reached, others may have rows that weren't looked at.
        if let Some(reached) = all.reached {
            all.rows.retain(|row| self.sooner(row.uid, reached) == row.uid);
        }
        if sources.len() > 1 {
            all.rows.sort_unstable_by_key(|row| row.uid);
            if self.order == Order::NewestFirst {
                all.rows.reverse();
            }
        }
        Ok(all)
    }

    /// The one that comes first.
    fn sooner(&self, a: Uid, b: Uid) -> Uid {
        match self.order {
            Order::NewestFirst => a.max(b),
            Order::OldestFirst => a.min(b),
        }
    }

    fn one(&self, source: &Source, limit: usize, bound: usize) -> rusqlite::Result<Found> {
        if let Source::Few(uids) = source {
            return self.few(source, uids, limit);
        }
        let mut found = Found::default();
        let mut values = vec![Value::Integer(self.range.first), Value::Integer(self.range.last)];
        values.extend(source.values());
        let mut statement = self.statement(source)?;
        let mut rows = statement.query(params_from_iter(values))?;
        let mut looked_at = 0;
        while let Some(row) = rows.next()? {
            looked_at += 1;
            let uid = Uid(row.get(0)?);
            if self.fits(row)? {
                found.rows.push(Row { uid, key: self.key(row)? });
            }
            if found.rows.len() >= limit || looked_at >= bound {
                found.reached = Some(uid);
                break;
            }
        }
        Ok(found)
    }

    /// Of a few known ones: all are looked at.
    fn few(&self, source: &Source, uids: &[i64], limit: usize) -> rusqlite::Result<Found> {
        let mut found = Found::default();
        let mut statement = self.statement(source)?;
        let in_range = uids.iter().filter(|uid| (self.range.first..=self.range.last).contains(uid));
        let ordered: Box<dyn Iterator<Item = &i64>> = match self.order {
            Order::NewestFirst => Box::new(in_range.rev()),
            Order::OldestFirst => Box::new(in_range),
        };
        for uid in ordered {
            let mut rows = statement.query([self.range.first, self.range.last, *uid])?;
            let Some(row) = rows.next()? else { continue };
            if self.fits(row)? {
                found.rows.push(Row { uid: Uid(*uid), key: self.key(row)? });
            }
            if found.rows.len() >= limit {
                found.reached = Some(Uid(*uid));
                break;
            }
        }
        Ok(found)
    }

    fn statement(&self, source: &Source) -> rusqlite::Result<CachedStatement<'a>> {
        let columns = if self.texts { TEXTS } else { COLUMNS };
        let order = match self.order {
            Order::NewestFirst => "DESC",
            Order::OldestFirst => "ASC",
        };
        let from = source.sql();
        let only = if self.query.filter.given_up { " AND given_up = 1" } else { "" };
        let sql = format!("SELECT {columns} FROM {from} uid BETWEEN ?1 AND ?2{only} ORDER BY uid {order}");
        self.connection.prepare_cached(&sql)
    }

    fn fits(&self, row: &SqlRow<'_>) -> rusqlite::Result<bool> {
        let filter = &self.query.filter;
        if let Some(queues) = &self.queues
            && !queues.contains(&row.get(1)?)
        {
            return Ok(false);
        }
        let state = column::state_of(row.get(2)?);
        let result = row.get::<_, Option<i64>>(3)?.map(column::result_of);
        let anyhow = filter.results.is_empty() && !filter.running;
        let ended_so = result.map_or(filter.running, |result| filter.results.contains(&result));
        if !(filter.states.is_empty() || filter.states.contains(&state)) || !(anyhow || ended_so) {
            return Ok(false);
        }
        if !filter.ids.is_empty() {
            let chain = row.get_ref(6)?.as_bytes()?;
            if !filter.ids.iter().any(|id| id.as_bytes() == chain) {
                return Ok(false);
            }
        }
        self.is_found(row, result)
    }

    fn is_found(&self, row: &SqlRow<'_>, result: Option<TaskResult>) -> rusqlite::Result<bool> {
        let search = &self.query.search;
        if search.terms.is_empty() {
            return Ok(true);
        }
        let text = |index| -> rusqlite::Result<&[u8]> {
            if self.texts { Ok(row.get_ref(index)?.as_bytes()?) } else { Ok(&[]) }
        };
        let (topic, job) = self.name(row)?;
        Ok(search.finds(&Shown {
            topic: topic.as_bytes(),
            job: job.as_bytes(),
            result,
            id: text(6)?,
            info: text(7)?,
            meta: text(8)?,
            msg: text(9)?,
        }))
    }

    fn name(&self, row: &SqlRow<'_>) -> rusqlite::Result<(&str, &str)> {
        let name = self.names.get(&row.get(1)?);
        Ok(name.map_or(("", ""), |(topic, job)| (topic, job)))
    }

    fn key(&self, row: &SqlRow<'_>) -> rusqlite::Result<SortKey> {
        let number = |number: Option<i64>| number.map_or(SortKey::None, SortKey::Number);
        let (created, started, ended): (i64, Option<i64>, Option<i64>) =
            (row.get(0)?, row.get(4)?, row.get(5)?);
        let text = |index| -> rusqlite::Result<SortKey> { Ok(beginning(row.get_ref(index)?.as_str()?)) };
        Ok(match self.query.sort {
            TaskSort::Created => SortKey::None,
            TaskSort::Started => number(started),
            TaskSort::Ended => number(ended),
            TaskSort::Queue => number(started.map(|started| started - created)),
            TaskSort::Run => number(started.zip(ended).map(|(started, ended)| ended - started)),
            TaskSort::Result => number(row.get::<_, Option<i64>>(3)?.map(column::result_of).map(rank)),
            TaskSort::Type => beginning(self.name(row)?.0),
            TaskSort::Job => beginning(self.name(row)?.1),
            TaskSort::Info => text(7)?,
            TaskSort::Meta => text(8)?,
            TaskSort::Msg => text(9)?,
        })
    }
}

/// From what went well to what is worst.
fn rank(result: TaskResult) -> i64 {
    match result {
        TaskResult::Complete => 0,
        TaskResult::Warn => 1,
        TaskResult::Error => 2,
        TaskResult::Alert => 3,
    }
}

/// What a text is sorted by; nothing of an empty one.
fn beginning(text: &str) -> SortKey {
    if text.is_empty() {
        SortKey::None
    } else {
        SortKey::Text(text[..text.floor_char_boundary(KEY_BYTES)].to_owned())
    }
}

fn needs_texts(search: &Search) -> bool {
    search.terms.iter().any(|term| !matches!(term.field, Field::Type | Field::Job | Field::Result))
}

fn needs_names(search: &Search) -> bool {
    search.terms.iter().any(|term| matches!(term.field, Field::Type | Field::Job | Field::Any))
}

fn names(connection: &Connection) -> rusqlite::Result<HashMap<i64, (String, String)>> {
    let mut statement = connection.prepare_cached("SELECT id, topic, job FROM queue")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, (row.get(1)?, row.get(2)?))))?;
    rows.collect()
}
