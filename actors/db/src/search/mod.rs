//! A page of tasks: found by an index, in pieces of a bounded number of rows.
//!
//! By creation a page walks the rows that may fit, newest or oldest first, and stops at its limit or when it looked at
//! enough. In any other order the newest rows that may fit, up to the bound, are one piece that is sorted; the next
//! piece begins where it ended. So a page costs the same whatever the history holds, and says how far it came.

mod scan;
mod source;
#[cfg(test)]
pub(crate) use self::source::TaskSource;

use std::cmp::Ordering;

use flowlord_domain::{Attempt, Uid};
use flowlord_messages::tasks::{FindTasks, SortKey, TaskCursor, TaskPage, TaskSort, TextExtent};
use rusqlite::Connection;

use self::scan::{FoundRows, MAX_ROWS_READ, ScanOrder, TaskScan, UidRange};
use self::source::find_sources;
use crate::column::{from_micros, micros};
use crate::reader::ReadQuery;
use crate::sql::CachedSql as _;
use crate::tables::tasks::row::{ATTEMPT_COLUMNS, LISTED_COLUMNS, read_attempt, read_listed};

/// A page of whole texts is full after so many bytes, so that long ones aren't all in memory.
const WHOLE_BYTES: usize = 8 * 1024 * 1024;

impl ReadQuery for FindTasks {
    fn read_from(&self, connection: &Connection) -> rusqlite::Result<TaskPage> {
        TaskFinder { connection, query: self, max_rows: MAX_ROWS_READ }.read_page()
    }
}

pub(crate) struct TaskFinder<'a> {
    pub(crate) connection: &'a Connection,
    pub(crate) query: &'a FindTasks,
    pub(crate) max_rows: usize,
}

struct UidPage {
    uids: Vec<Uid>,
    next: Option<TaskCursor>,
    looked_until: Option<Uid>,
}

impl TaskFinder<'_> {
    pub(crate) fn read_page(&self) -> rusqlite::Result<TaskPage> {
        let in_order = self.query.sort == TaskSort::Created;
        let page = if in_order { self.page_in_order()? } else { self.page_of_piece()? };
        let tasks = match self.query.texts {
            TextExtent::Beginnings => listed_attempts(self.connection, &page.uids)?,
            TextExtent::Whole => {
                whole_attempts(self.connection, &page.uids, if in_order { WHOLE_BYTES } else { usize::MAX })?
            }
        };
        // One that is full before its limit goes on behind its last task.
        let full = tasks.last().map(|last| last.uid).filter(|last| in_order && page.uids.last() != Some(last));
        let next = full.map(TaskCursor::After).or(page.next);
        let looked_until = page.looked_until.filter(|_| full.is_none()).map(|uid| from_micros(uid.0));
        Ok(TaskPage { tasks, next, looked_until })
    }

    fn full_range(&self) -> UidRange {
        let filter = &self.query.filter;
        UidRange {
            first: filter.from.map_or(0, micros),
            last: filter.to.map_or(i64::MAX, |to| micros(to).saturating_sub(1)),
        }
    }

    fn find_rows(&self, range: UidRange, order: ScanOrder, limit: usize, bound: usize) -> rusqlite::Result<FoundRows> {
        let sources = find_sources(self.connection, self.query)?;
        TaskScan::new(self.connection, self.query, range, order)?.scan_all(&sources, limit, bound)
    }

    fn page_in_order(&self) -> rusqlite::Result<UidPage> {
        let order = if self.query.ascending { ScanOrder::OldestFirst } else { ScanOrder::NewestFirst };
        let range = match &self.query.after {
            None => self.full_range(),
            Some(TaskCursor::After(uid) | TaskCursor::Within { uid, .. }) => self.full_range().range_after(*uid, order),
        };
        let limit = self.query.limit;
        // One more tells whether there is a next page.
        let FoundRows { mut rows, reached } = self.find_rows(range, order, limit.saturating_add(1), self.max_rows)?;
        let more = rows.len() > limit;
        rows.truncate(limit);
        let last = rows.last().map(|row| row.uid);
        let next = if more { last } else { reached };
        Ok(UidPage {
            uids: rows.into_iter().map(|row| row.uid).collect(),
            next: next.map(TaskCursor::After),
            looked_until: reached.filter(|_| !more),
        })
    }

    /// By anything else: the newest rows that fit, as many as are looked at, sorted.
    fn page_of_piece(&self) -> rusqlite::Result<UidPage> {
        let (range, order) = (self.full_range(), ScanOrder::NewestFirst);
        let (FoundRows { mut rows, reached }, oldest, newest) = match &self.query.after {
            // A piece that was looked at before may hold a few more that fit by now, but not many.
            Some(TaskCursor::Within { oldest, newest, .. }) => {
                let found =
                    self.find_rows(range.range_within(*oldest, *newest), order, usize::MAX, 2 * self.max_rows)?;
                (found, *oldest, *newest)
            }
            after => {
                let range = match after {
                    Some(TaskCursor::After(uid)) => range.range_after(*uid, order),
                    _ => range,
                };
                let found = self.find_rows(range, order, usize::MAX, self.max_rows)?;
                let newest = found.rows.iter().map(|row| row.uid).max();
                let oldest = found.reached.unwrap_or(Uid(range.first));
                (found, oldest, newest.unwrap_or(oldest))
            }
        };
        let ascending = self.query.ascending;
        if let Some(TaskCursor::Within { key, uid, .. }) = &self.query.after {
            // Not by position: rows that came or left in between would be shown twice or skipped.
            rows.retain(|row| compare_keys((&row.key, row.uid), (key, *uid), ascending) == Ordering::Greater);
        }
        rows.sort_unstable_by(|a, b| compare_keys((&a.key, a.uid), (&b.key, b.uid), ascending));
        let more = rows.len() > self.query.limit;
        rows.truncate(self.query.limit);
        // Pieces end where one was cut, or at the end of the range.
        let older = (reached.is_some() || oldest.0 > range.first).then_some(oldest);
        let next = match rows.last() {
            Some(last) if more => Some(TaskCursor::Within { oldest, newest, key: last.key.clone(), uid: last.uid }),
            _ => older.map(TaskCursor::After),
        };
        Ok(UidPage { uids: rows.into_iter().map(|row| row.uid).collect(), next, looked_until: older })
    }
}

/// Tasks without a key come last in either order; of those that are equal the newest first.
fn compare_keys(a: (&SortKey, Uid), b: (&SortKey, Uid), ascending: bool) -> Ordering {
    let without_key = (*a.0 == SortKey::None).cmp(&(*b.0 == SortKey::None));
    let by_key = if ascending { a.0.cmp(b.0) } else { b.0.cmp(a.0) };
    without_key.then(by_key).then_with(|| b.1.cmp(&a.1))
}

fn listed_attempts(connection: &Connection, uids: &[Uid]) -> rusqlite::Result<Vec<Attempt>> {
    let by_id = concat!(LISTED_COLUMNS!(), " WHERE task.uid = ?1");
    let found = uids.iter().map(|uid| connection.find_row(by_id, [uid.0], |row| read_listed(connection, row)));
    found.filter_map(rusqlite::Result::transpose).collect()
}

/// With all of their texts, until those are more than `bytes`.
fn whole_attempts(connection: &Connection, uids: &[Uid], bytes: usize) -> rusqlite::Result<Vec<Attempt>> {
    let by_id = concat!(ATTEMPT_COLUMNS!(), " WHERE task.uid = ?1");
    let (mut found, mut read) = (Vec::new(), 0);
    for uid in uids {
        let Some(attempt) = connection.find_row(by_id, [uid.0], read_attempt)? else { continue };
        read += attempt.info.len() + attempt.meta.len() + attempt.msg.len();
        found.push(attempt);
        // After it was added: one that is larger than the bound alone must still be shown.
        if read > bytes {
            break;
        }
    }
    Ok(found)
}
