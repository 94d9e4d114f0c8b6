//! Changes that people made.

use flowlord_messages::audit::{Change, ListChanges, StoredChange};
use rusqlite::{Connection, Row, params};

use crate::column::{micros, time};
use crate::reader::Query;

impl Query for ListChanges {
    type Answer = Vec<StoredChange>;

    fn read(&self, connection: &Connection) -> rusqlite::Result<Vec<StoredChange>> {
        connection
            .prepare_cached(
                "SELECT id, at, who, source, what, detail, status FROM change
                 WHERE at >= ?1 AND at < ?2
                     AND (?3 IS NULL OR (at, id) < ((SELECT at FROM change WHERE id = ?3), ?3))
                 ORDER BY at DESC, id DESC LIMIT ?4",
            )?
            .query_map(params![micros(self.from), micros(self.to), self.after, self.limit], stored)?
            .collect()
    }
}

fn stored(row: &Row<'_>) -> rusqlite::Result<StoredChange> {
    let change = Change {
        at: time(row.get(1)?),
        who: row.get(2)?,
        from: row.get(3)?,
        what: row.get(4)?,
        detail: row.get(5)?,
        status: row.get(6)?,
    };
    Ok(StoredChange { id: row.get(0)?, change })
}
