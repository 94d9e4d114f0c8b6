//! Changes that people made: a walk over the index of their times, which ends at the page's limit or when it looked at
//! enough.

use flowlord_messages::audit::{Action, Change, ChangePage, ListChanges, StoredChange};
use rusqlite::{Connection, OptionalExtension as _, Row, Rows, params};

use crate::column::{micros, time};
use crate::reader::Query;

/// So many are looked at for a page.
pub(crate) const LOOKED_AT: usize = 5_000;

/// Ordered by time and then id, so that a page goes on where the last one ended also where the clock was set back.
pub(crate) const WALK: &str = "SELECT id, at, who, source, action, what, detail, status FROM change
    WHERE at >= ?1 AND (at, id) < (?2, ?3) ORDER BY at DESC, id DESC LIMIT ?4";

impl Query for ListChanges {
    type Answer = ChangePage;

    fn read(&self, connection: &Connection) -> rusqlite::Result<ChangePage> {
        let below = match self.after {
            None => Some((micros(self.to), i64::MIN)),
            Some(id) => connection
                .prepare_cached("SELECT at FROM change WHERE id = ?1")?
                .query_row([id], |row| row.get(0))
                .optional()?
                .map(|at| (at, id)),
        };
        // The entry left with old history, and so did all after it.
        let Some((at, id)) = below else { return Ok(ChangePage::default()) };
        let mut statement = connection.prepare_cached(WALK)?;
        walk(self, statement.query(params![micros(self.from), at, id, LOOKED_AT + 1])?)
    }
}

fn walk(query: &ListChanges, mut rows: Rows<'_>) -> rusqlite::Result<ChangePage> {
    let mut page = ChangePage::default();
    let mut looked_at = 0;
    let mut last = None;
    while let Some(row) = rows.next()? {
        let stored = stored(row)?;
        if looked_at == LOOKED_AT {
            page.next = last.map(|(id, _)| id);
            page.looked_until = last.map(|(_, at)| at);
            break;
        }
        let fits = query.fits(&stored.change);
        if fits && page.changes.len() >= query.limit {
            page.next = last.map(|(id, _)| id);
            break;
        }
        looked_at += 1;
        last = Some((stored.id, stored.change.at));
        if fits {
            page.changes.push(stored);
        }
    }
    Ok(page)
}

fn stored(row: &Row<'_>) -> rusqlite::Result<StoredChange> {
    let action: String = row.get(4)?;
    let change = Change {
        at: time(row.get(1)?),
        who: row.get(2)?,
        from: row.get(3)?,
        action: Action::named(&action).unwrap_or(Action::Other),
        what: row.get(5)?,
        detail: row.get(6)?,
        status: row.get(7)?,
    };
    Ok(StoredChange { id: row.get(0)?, change })
}
