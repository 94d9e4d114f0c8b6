//! Walks rows by age and keeps those that fit.

use std::collections::{HashMap, HashSet};

use flowlord_domain::search::{SearchField, SearchedTask as SearchedRow, TaskSearch};
use flowlord_domain::{TaskResult, Uid};
use flowlord_messages::tasks::{FindTasks, SortKey, TaskSort};
use rusqlite::types::Value;
use rusqlite::{CachedStatement, Connection, Row, params_from_iter};

use crate::column::ReadColumn as _;
use crate::search::source::TaskSource;
use crate::sql::CachedSql as _;

/// Texts are sorted by so many bytes.
const KEY_BYTES: usize = 200;

pub(crate) const MAX_ROWS_READ: usize = 1_500;

pub(super) fn is_listed(list: &[String], name: &str) -> bool {
    list.is_empty() || list.iter().any(|listed| listed == name)
}

#[derive(Debug, Clone, Copy)]
pub(super) struct UidRange {
    pub(super) first: i64,
    pub(super) last: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ScanOrder {
    NewestFirst,
    OldestFirst,
}

impl UidRange {
    pub(super) fn range_after(self, uid: Uid, order: ScanOrder) -> Self {
        match order {
            ScanOrder::NewestFirst => Self { last: self.last.min(uid.0.saturating_sub(1)), ..self },
            ScanOrder::OldestFirst => Self { first: self.first.max(uid.0.saturating_add(1)), ..self },
        }
    }

    pub(super) fn range_within(self, oldest: Uid, newest: Uid) -> Self {
        Self { first: self.first.max(oldest.0), last: self.last.min(newest.0) }
    }
}

#[derive(Debug)]
pub(super) struct MatchingRow {
    pub(super) uid: Uid,
    pub(super) key: SortKey,
}

#[derive(Debug, Default)]
pub(super) struct FoundRows {
    pub(super) rows: Vec<MatchingRow>,
    /// The last one that was looked at, where there are more.
    pub(super) reached: Option<Uid>,
}

/// What rows are compared with.
pub(super) struct TaskScan<'a> {
    connection: &'a Connection,
    query: &'a FindTasks,
    range: UidRange,
    order: ScanOrder,
    /// Names of topics and jobs, where they are compared or sorted by.
    names: HashMap<i64, (String, String)>,
    /// Topics and jobs that fit, where the filter says so.
    queues: Option<HashSet<i64>>,
    reads_texts: bool,
}

/// The columns that a row is judged by; texts only where they are needed, since they may lie on pages of their own.
const PLAIN_COLUMNS: &str = "uid, queue, state, result, started, ended";
const TEXT_COLUMNS: &str = "uid, queue, state, result, started, ended, chain, info, meta, msg";

impl<'a> TaskScan<'a> {
    pub(super) fn new(
        connection: &'a Connection,
        query: &'a FindTasks,
        range: UidRange,
        order: ScanOrder,
    ) -> rusqlite::Result<Self> {
        let by_text = matches!(query.sort, TaskSort::Info | TaskSort::Meta | TaskSort::Msg);
        let by_name = matches!(query.sort, TaskSort::Type | TaskSort::Job);
        let filter = &query.filter;
        let named = !filter.topics.is_empty() || !filter.jobs.is_empty();
        let names =
            if named || by_name || needs_names(&query.search) { queue_names(connection)? } else { HashMap::new() };
        let fitting =
            names.iter().filter(|(_, (topic, job))| is_listed(&filter.topics, topic) && is_listed(&filter.jobs, job));
        let queues = named.then(|| fitting.map(|(id, _)| *id).collect());
        let reads_texts = by_text || needs_texts(&query.search) || !filter.ids.is_empty();
        Ok(Self { connection, query, range, order, names, queues, reads_texts })
    }

    /// The first `limit` rows that fit, of all sources together; looks at no more than about `bound`.
    pub(super) fn scan_all(&self, sources: &[TaskSource], limit: usize, bound: usize) -> rusqlite::Result<FoundRows> {
        // Shared out, so that a page of sixty topics costs what one of a single topic does.
        let each = (bound / sources.len().max(1)).max(1);
        let mut all = FoundRows::default();
        for source in sources {
            // No more than a fair part of one page: the others may have newer ones.
            let found = self.scan_source(source, limit.min(each), each)?;
            all.rows.extend(found.rows);
            all.reached = match (all.reached, found.reached) {
                (Some(a), Some(b)) => Some(self.first_of(a, b)),
                (a, b) => a.or(b),
            };
        }
        // Beyond the point that the slowest source reached, others may have rows that weren't looked at.
        if let Some(reached) = all.reached {
            all.rows.retain(|row| self.first_of(row.uid, reached) == row.uid);
        }
        if sources.len() > 1 {
            all.rows.sort_unstable_by_key(|row| row.uid);
            if self.order == ScanOrder::NewestFirst {
                all.rows.reverse();
            }
        }
        Ok(all)
    }

    fn first_of(&self, a: Uid, b: Uid) -> Uid {
        match self.order {
            ScanOrder::NewestFirst => a.max(b),
            ScanOrder::OldestFirst => a.min(b),
        }
    }

    fn scan_source(&self, source: &TaskSource, limit: usize, bound: usize) -> rusqlite::Result<FoundRows> {
        if let TaskSource::Few(uids) = source {
            return self.scan_few(source, uids, limit);
        }
        let mut found = FoundRows::default();
        let mut values = vec![Value::Integer(self.range.first), Value::Integer(self.range.last)];
        values.extend(source.bound_values());
        let mut statement = self.prepare_scan(source)?;
        let mut rows = statement.query(params_from_iter(values))?;
        let mut looked_at = 0;
        while let Some(row) = rows.next()? {
            looked_at += 1;
            let uid = Uid(row.get(0)?);
            if self.is_match(row)? {
                found.rows.push(MatchingRow { uid, key: self.sort_key(row)? });
            }
            if found.rows.len() >= limit || looked_at >= bound {
                found.reached = Some(uid);
                break;
            }
        }
        Ok(found)
    }

    /// Of a few known ones: all are looked at.
    fn scan_few(&self, source: &TaskSource, uids: &[i64], limit: usize) -> rusqlite::Result<FoundRows> {
        let mut found = FoundRows::default();
        let mut statement = self.prepare_scan(source)?;
        // The indexes of unfinished tasks have no order by age: the range is applied here.
        let in_range = uids.iter().filter(|uid| (self.range.first..=self.range.last).contains(uid));
        let ordered: Box<dyn Iterator<Item = &i64>> = match self.order {
            ScanOrder::NewestFirst => Box::new(in_range.rev()),
            ScanOrder::OldestFirst => Box::new(in_range),
        };
        for uid in ordered {
            let mut rows = statement.query([self.range.first, self.range.last, *uid])?;
            let Some(row) = rows.next()? else { continue };
            if self.is_match(row)? {
                found.rows.push(MatchingRow { uid: Uid(*uid), key: self.sort_key(row)? });
            }
            if found.rows.len() >= limit {
                found.reached = Some(Uid(*uid));
                break;
            }
        }
        Ok(found)
    }

    fn prepare_scan(&self, source: &TaskSource) -> rusqlite::Result<CachedStatement<'a>> {
        let columns = if self.reads_texts { TEXT_COLUMNS } else { PLAIN_COLUMNS };
        let order = match self.order {
            ScanOrder::NewestFirst => "DESC",
            ScanOrder::OldestFirst => "ASC",
        };
        let from = source.source_sql();
        // Written out, not bound: SQLite uses a partial index only where its condition stands in the statement.
        let only = if self.query.filter.given_up { " AND given_up = 1" } else { "" };
        let sql = format!("SELECT {columns} FROM {from} uid BETWEEN ?1 AND ?2{only} ORDER BY uid {order}");
        self.connection.prepare_cached(&sql)
    }

    fn is_match(&self, row: &Row<'_>) -> rusqlite::Result<bool> {
        let filter = &self.query.filter;
        // The cheapest test first: most rows of a long history are of other topics.
        if let Some(queues) = &self.queues
            && !queues.contains(&row.get(1)?)
        {
            return Ok(false);
        }
        let state = row.enum_value(2)?;
        let result = row.optional_result(3)?;
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
        self.is_searched_for(row, result)
    }

    fn is_searched_for(&self, row: &Row<'_>, result: Option<TaskResult>) -> rusqlite::Result<bool> {
        let search = &self.query.search;
        if search.terms.is_empty() {
            return Ok(true);
        }
        let (topic, job) = self.queue_name(row)?;
        Ok(search.finds_task(&SearchedRow {
            topic: topic.as_bytes(),
            job: job.as_bytes(),
            result,
            id: self.searched_text(row, 6)?,
            info: self.searched_text(row, 7)?,
            meta: self.searched_text(row, 8)?,
            msg: self.searched_text(row, 9)?,
        }))
    }

    /// Nothing where no text is read, since none is searched.
    fn searched_text<'r>(&self, row: &'r Row<'_>, index: usize) -> rusqlite::Result<&'r [u8]> {
        if self.reads_texts { Ok(row.get_ref(index)?.as_bytes()?) } else { Ok(&[]) }
    }

    fn queue_name(&self, row: &Row<'_>) -> rusqlite::Result<(&str, &str)> {
        let name = self.names.get(&row.get(1)?);
        Ok(name.map_or(("", ""), |(topic, job)| (topic, job)))
    }

    fn sort_key(&self, row: &Row<'_>) -> rusqlite::Result<SortKey> {
        let (created, started, ended): (i64, Option<i64>, Option<i64>) = (row.get(0)?, row.get(4)?, row.get(5)?);
        Ok(match self.query.sort {
            TaskSort::Created => SortKey::None,
            TaskSort::Started => number_key(started),
            TaskSort::Ended => number_key(ended),
            TaskSort::Queue => number_key(started.map(|started| started - created)),
            TaskSort::Run => number_key(started.zip(ended).map(|(started, ended)| ended - started)),
            TaskSort::Result => number_key(row.optional_result(3)?.map(result_rank)),
            TaskSort::Type => text_key(self.queue_name(row)?.0),
            TaskSort::Job => text_key(self.queue_name(row)?.1),
            TaskSort::Info => text_key(row.get_ref(7)?.as_str()?),
            TaskSort::Meta => text_key(row.get_ref(8)?.as_str()?),
            TaskSort::Msg => text_key(row.get_ref(9)?.as_str()?),
        })
    }
}

/// From what went well to what is worst.
fn result_rank(result: TaskResult) -> i64 {
    match result {
        TaskResult::Complete => 0,
        TaskResult::Warn => 1,
        TaskResult::Error => 2,
        TaskResult::Alert => 3,
    }
}

fn number_key(number: Option<i64>) -> SortKey {
    number.map_or(SortKey::None, SortKey::Number)
}

/// What a text is sorted by; nothing of an empty one.
fn text_key(text: &str) -> SortKey {
    if text.is_empty() {
        SortKey::None
    } else {
        // Keys travel in cursors, so they are short; what is equal up to here is sorted by age.
        SortKey::Text(text[..text.floor_char_boundary(KEY_BYTES)].to_owned())
    }
}

fn needs_texts(search: &TaskSearch) -> bool {
    search.terms.iter().any(|term| !matches!(term.field, SearchField::Type | SearchField::Job | SearchField::Result))
}

fn needs_names(search: &TaskSearch) -> bool {
    search.terms.iter().any(|term| matches!(term.field, SearchField::Type | SearchField::Job | SearchField::Any))
}

fn queue_names(connection: &Connection) -> rusqlite::Result<HashMap<i64, (String, String)>> {
    let queues = "SELECT id, topic, job FROM queue";
    let names = connection.read_rows(queues, [], |row| Ok((row.get(0)?, (row.get(1)?, row.get(2)?))))?;
    Ok(names.into_iter().collect())
}
