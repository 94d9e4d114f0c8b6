//! Who changed what: an entry for each change that a person made.

use flowlord_messages::audit::{
    AuditAction, AuditRecord, AuditRecordPage, ListAuditRecords, RecordAudit, StoredAuditRecord,
};
use rusqlite::Rows;

use crate::tables::prelude::*;

impl WriteCommand for RecordAudit {
    fn apply_to(&self, context: &mut WriteContext<'_>) -> CommandResult<()> {
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
pub(crate) const CHANGES_BACKWARDS: &str = "SELECT id, at, who, source, action, what, detail, status FROM change
     WHERE at >= ?1 AND (at, id) < (?2, ?3) ORDER BY at DESC, id DESC LIMIT ?4";

impl ReadQuery for ListAuditRecords {
    fn read_from(&self, connection: &Connection) -> rusqlite::Result<AuditRecordPage> {
        let below = match self.after {
            None => Some((micros(self.to), i64::MIN)),
            Some(id) => connection.find_value("SELECT at FROM change WHERE id = ?1", [id])?.map(|at| (at, id)),
        };
        // The entry left with old history, and so did all after it.
        let Some((at, id)) = below else { return Ok(AuditRecordPage::default()) };
        let mut statement = connection.prepare_cached(CHANGES_BACKWARDS)?;
        read_page(self, statement.query(params![micros(self.from), at, id, MAX_ENTRIES_READ + 1])?)
    }
}

fn read_page(query: &ListAuditRecords, mut rows: Rows<'_>) -> rusqlite::Result<AuditRecordPage> {
    let mut page = AuditRecordPage::default();
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
        let fits = query.is_asked_for(&stored.change);
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

fn read_change(row: &Row<'_>) -> rusqlite::Result<StoredAuditRecord> {
    let action: String = row.get(4)?;
    let change = AuditRecord {
        at: row.time(1)?,
        who: row.get(2)?,
        from: row.get(3)?,
        action: AuditAction::from_name(&action).unwrap_or(AuditAction::Other),
        what: row.get(5)?,
        detail: row.get(6)?,
        status: row.get(7)?,
    };
    Ok(StoredAuditRecord { id: row.get(0)?, change })
}
