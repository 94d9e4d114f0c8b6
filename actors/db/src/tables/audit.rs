//! Who changed what: an entry for each change that a person made.

use flowlord_messages::audit::{Action, Change, ChangePage, ListChanges, RecordChange, StoredChange};
use rusqlite::Rows;

use crate::tables::prelude::*;

impl WriteCommand for RecordChange {
    fn apply_to(&mut self, context: &mut WriteContext<'_>) -> CommandResult<()> {
        let change = &self.change;
        Ok(context.run_sql(
            "INSERT INTO change (at, who, source, action, what, detail, status)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            params![
                micros(change.at),
                change.who,
                change.from,
                change.action.as_str(),
                change.what,
                change.detail,
                change.status
            ],
        )?)
    }
}

/// So many are looked at for a page.
pub(crate) const MAX_ENTRIES_READ: usize = 5_000;

/// Ordered by time and then id, so that a page goes on where the last one ended also where the clock was set back.
pub(crate) const CHANGES_BACKWARDS: &str =
    "SELECT id, at, who, source, action, what, detail, status FROM change
     WHERE at >= ?1 AND (at, id) < (?2, ?3) ORDER BY at DESC, id DESC LIMIT ?4";

impl ReadQuery for ListChanges {
    fn read_from(&self, connection: &Connection) -> rusqlite::Result<ChangePage> {
        let below = match self.after {
            None => Some((micros(self.to), i64::MIN)),
            Some(id) => {
                connection.find_value("SELECT at FROM change WHERE id = ?1", [id])?.map(|at| (at, id))
            }
        };
        // The entry left with old history, and so did all after it.
        let Some((at, id)) = below else { return Ok(ChangePage::default()) };
        let mut statement = connection.prepare_cached(CHANGES_BACKWARDS)?;
        read_page(self, statement.query(params![micros(self.from), at, id, MAX_ENTRIES_READ + 1])?)
    }
}

fn read_page(query: &ListChanges, mut rows: Rows<'_>) -> rusqlite::Result<ChangePage> {
    let mut page = ChangePage::default();
    let mut looked_at = 0;
    let mut last = None;
    while let Some(row) = rows.next()? {
        let stored = read_change(row)?;
        // One more was asked for than is read: only where it is there does the list go on.
        if looked_at == MAX_ENTRIES_READ {
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

fn read_change(row: &Row<'_>) -> rusqlite::Result<StoredChange> {
    let action: String = row.get(4)?;
    let change = Change {
        at: row.time(1)?,
        who: row.get(2)?,
        from: row.get(3)?,
        action: Action::named(&action).unwrap_or(Action::Other),
        what: row.get(5)?,
        detail: row.get(6)?,
        status: row.get(7)?,
    };
    Ok(StoredChange { id: row.get(0)?, change })
}
