//! A page of tasks: found by an index, in pieces of a bounded number of rows.
//!
//! By creation a page walks the rows that may fit, newest or oldest first, and stops at its limit or when it looked at
//! enough. In any other order the newest rows that may fit, up to the bound, are one piece that is sorted; the next
//! piece begins where it ended. So a page costs the same whatever the history holds, and says how far it came.

mod scan;
mod source;

use std::cmp::Ordering;

use flowlord_domain::{Attempt, Uid};
use flowlord_messages::find::{FindTasks, SortKey, TaskCursor, TaskPage, TaskSort};
use flowlord_messages::read::Texts;
use rusqlite::{Connection, OptionalExtension as _};

use self::scan::{Found, Order, Range, Scan};
#[cfg(test)]
pub(crate) use self::source::Source;
use self::source::sources;
use crate::column::{micros, time};
use crate::reader::Query;
use crate::row::{ATTEMPT_COLUMNS, LISTED_COLUMNS, attempt, listed};

/// How many rows a page looks at, at most.
pub(crate) const LOOKED_AT: usize = 1_500;

/// A page of whole texts is full after so many bytes, so that long ones aren't all in memory.
const WHOLE_BYTES: usize = 8 * 1024 * 1024;

impl Query for FindTasks {
    type Answer = TaskPage;

    fn read(&self, connection: &Connection) -> rusqlite::Result<TaskPage> {
        Finder { connection, query: self, looked_at: LOOKED_AT }.page()
    }
}

/// Finds the tasks of one page.
pub(crate) struct Finder<'a> {
    pub(crate) connection: &'a Connection,
    pub(crate) query: &'a FindTasks,
    /// How many rows it looks at.
    pub(crate) looked_at: usize,
}

/// The tasks of a page by their ids.
struct Page {
    uids: Vec<Uid>,
    next: Option<TaskCursor>,
    looked_until: Option<Uid>,
}

impl Finder<'_> {
    pub(crate) fn page(&self) -> rusqlite::Result<TaskPage> {
        let in_order = self.query.sort == TaskSort::Created;
        let page = if in_order { self.in_order()? } else { self.piece()? };
        let tasks = match self.query.texts {
            Texts::Beginnings => listed_attempts(self.connection, &page.uids)?,
            Texts::Whole => {
                attempts(self.connection, &page.uids, if in_order { WHOLE_BYTES } else { usize::MAX })?
            }
        };
        // One that is full before its limit goes on behind its last task.
        let full =
            tasks.last().map(|last| last.uid).filter(|last| in_order && page.uids.last() != Some(last));
        let next = full.map(TaskCursor::After).or(page.next);
        let looked_until = page.looked_until.filter(|_| full.is_none()).map(|uid| time(uid.0));
        Ok(TaskPage { tasks, next, looked_until })
    }

    /// All that the filter's times allow.
    fn range(&self) -> Range {
        let filter = &self.query.filter;
        Range {
            first: filter.from.map_or(0, micros),
            last: filter.to.map_or(i64::MAX, |to| micros(to).saturating_sub(1)),
        }
    }

    fn found(&self, range: Range, order: Order, limit: usize, bound: usize) -> rusqlite::Result<Found> {
        let sources = sources(self.connection, self.query)?;
        Scan::new(self.connection, self.query, range, order)?.all(&sources, limit, bound)
    }

    /// By creation: the first that fit.
    fn in_order(&self) -> rusqlite::Result<Page> {
        let order = if self.query.ascending { Order::OldestFirst } else { Order::NewestFirst };
        let range = match &self.query.after {
            None => self.range(),
            Some(TaskCursor::After(uid) | TaskCursor::Within { uid, .. }) => self.range().after(*uid, order),
        };
        let limit = self.query.limit;
        // One more tells whether there is a next page.
        let Found { mut rows, reached } =
            self.found(range, order, limit.saturating_add(1), self.looked_at)?;
        let more = rows.len() > limit;
        rows.truncate(limit);
        let last = rows.last().map(|row| row.uid);
        let next = if more { last } else { reached };
        Ok(Page {
            uids: rows.into_iter().map(|row| row.uid).collect(),
            next: next.map(TaskCursor::After),
            looked_until: reached.filter(|_| !more),
        })
    }

    /// By anything else: the newest rows that fit, as many as are looked at, sorted.
    fn piece(&self) -> rusqlite::Result<Page> {
        let (range, order) = (self.range(), Order::NewestFirst);
        let (Found { mut rows, reached }, oldest, newest) = match &self.query.after {
            // A piece that was looked at before may hold a few more that fit by now, but not many.
            Some(TaskCursor::Within { oldest, newest, .. }) => {
                let found =
                    self.found(range.within(*oldest, *newest), order, usize::MAX, 2 * self.looked_at)?;
                (found, *oldest, *newest)
            }
            after => {
                let range = match after {
                    Some(TaskCursor::After(uid)) => range.after(*uid, order),
                    _ => range,
                };
                let found = self.found(range, order, usize::MAX, self.looked_at)?;
                let newest = found.rows.iter().map(|row| row.uid).max();
                let oldest = found.reached.unwrap_or(Uid(range.first));
                (found, oldest, newest.unwrap_or(oldest))
            }
        };
        let compare = |a: (&SortKey, Uid), b: (&SortKey, Uid)| compare(a, b, self.query.ascending);
        if let Some(TaskCursor::Within { key, uid, .. }) = &self.query.after {
            rows.retain(|row| compare((&row.key, row.uid), (key, *uid)) == Ordering::Greater);
        }
        rows.sort_unstable_by(|a, b| compare((&a.key, a.uid), (&b.key, b.uid)));
        let more = rows.len() > self.query.limit;
        rows.truncate(self.query.limit);
        // Pieces end where one was cut, or at the end of the range.
        let older = (reached.is_some() || oldest.0 > range.first).then_some(oldest);
        let next = match rows.last() {
            Some(last) if more => {
                Some(TaskCursor::Within { oldest, newest, key: last.key.clone(), uid: last.uid })
            }
            _ => older.map(TaskCursor::After),
        };
        Ok(Page { uids: rows.into_iter().map(|row| row.uid).collect(), next, looked_until: older })
    }
}

/// Tasks without a key come last in either order; of those that are equal the newest first.
fn compare(a: (&SortKey, Uid), b: (&SortKey, Uid), ascending: bool) -> Ordering {
    let none = |key: &SortKey| *key == SortKey::None;
    let by_key = || if ascending { a.0.cmp(b.0) } else { b.0.cmp(a.0) };
    none(a.0).cmp(&none(b.0)).then_with(by_key).then_with(|| b.1.cmp(&a.1))
}

fn listed_attempts(connection: &Connection, uids: &[Uid]) -> rusqlite::Result<Vec<Attempt>> {
    let mut by_id = connection.prepare_cached(concat!(LISTED_COLUMNS!(), " WHERE task.uid = ?1"))?;
    let found = uids.iter().map(|uid| by_id.query_row([uid.0], |row| listed(connection, row)).optional());
    found.filter_map(rusqlite::Result::transpose).collect()
}

/// With all of their texts, until those are more than `bytes`.
fn attempts(connection: &Connection, uids: &[Uid], bytes: usize) -> rusqlite::Result<Vec<Attempt>> {
    let mut by_id = connection.prepare_cached(concat!(ATTEMPT_COLUMNS!(), " WHERE task.uid = ?1"))?;
    let (mut found, mut read) = (Vec::new(), 0);
    for uid in uids {
        let Some(attempt) = by_id.query_row([uid.0], attempt).optional()? else { continue };
        read += attempt.info.len() + attempt.meta.len() + attempt.msg.len();
        found.push(attempt);
        if read > bytes {
            break;
        }
    }
    Ok(found)
}
