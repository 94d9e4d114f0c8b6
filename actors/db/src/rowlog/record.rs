//! Noting which rows change.

use rusqlite::{Connection, params};

use crate::column::bits;

/// Tables whose rows aren't noted: the log itself.
const OWN: [&str; 2] = ["row_change", "row_log"];

/// A table whose rows can be told apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) name: String,
    pub(super) columns: Vec<String>,
    /// The columns of its key.
    pub(super) key: Vec<String>,
    /// Whether that is one integer.
    pub(super) integer: bool,
}

impl Table {
    /// The key of `NEW` or `OLD` as it is noted.
    fn noted(&self, row: &str) -> String {
        let columns: Vec<_> = self.key.iter().map(|column| format!("{row}.{}", quoted(column))).collect();
        if self.integer { columns.concat() } else { format!("json_array({})", columns.join(", ")) }
    }

    /// The row `t` whose noted key is `key`.
    pub(super) fn same_row(&self, key: &str) -> String {
        let same = self.key.iter().enumerate().map(|(nth, column)| {
            let value = if self.integer { key.to_owned() } else { format!("{key} ->> {nth}") };
            format!("t.{} = {value}", quoted(column))
        });
        same.collect::<Vec<_>>().join(" AND ")
    }
}

pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Every table that is noted.
pub(super) fn tables(connection: &Connection) -> rusqlite::Result<Vec<Table>> {
    // Neither virtual tables nor what lies behind them: those are made anew from the others.
    let names = "SELECT name FROM pragma_table_list
        WHERE schema = 'main' AND type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name";
    let names: Vec<String> =
        connection.prepare(names)?.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    names.iter().filter(|name| !OWN.contains(&name.as_str())).map(|name| table(connection, name)).collect()
}

pub(super) fn table(connection: &Connection, name: &str) -> rusqlite::Result<Table> {
    let columns = "SELECT name, type, pk FROM pragma_table_info(?1) ORDER BY cid";
    let columns: Vec<(String, String, usize)> = connection
        .prepare(columns)?
        .query_map([name], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect::<Result<_, _>>()?;
    let mut key: Vec<_> = columns.iter().filter(|(.., nth)| *nth > 0).collect();
    key.sort_by_key(|(.., nth)| *nth);
    let integer = key.len() == 1 && key.iter().all(|(_, kind, _)| kind.eq_ignore_ascii_case("INTEGER"));
    let blobs = key.iter().any(|(_, kind, _)| kind.eq_ignore_ascii_case("BLOB"));
    if key.is_empty() || blobs {
        // A table of ours that breaks the rule is seen by every test that records.
        return Err(rusqlite::Error::InvalidColumnName(format!(
            "{name} needs a primary key of integers and texts, or its changes can't be noted"
        )));
    }
    let key = key.into_iter().map(|(column, ..)| column.clone()).collect();
    let columns = columns.iter().map(|(column, ..)| column.clone()).collect();
    Ok(Table { name: name.to_owned(), columns, key, integer })
}

/// Begins to note what changes on this connection, and a log where there is none.
pub(crate) fn record(connection: &Connection, fresh_chain: u64) -> rusqlite::Result<()> {
    // Or the rows that a REPLACE removes go unnoticed.
    connection.pragma_update(None, "recursive_triggers", true)?;
    for table in tables(connection)? {
        connection.execute_batch(&triggers(&table))?;
    }
    let begin = "INSERT OR IGNORE INTO row_log (id, chain, taken, digest) VALUES (1, ?1, 0, '')";
    connection.execute(begin, [bits(fresh_chain)])?;
    Ok(())
}

/// On this connection only: other programs that open the file see none of it, and ours ends their log.
fn triggers(table: &Table) -> String {
    let on = quoted(&table.name);
    let trigger = |name: &str, event: &str, row: &str| {
        format!(
            "CREATE TEMP TRIGGER {} AFTER {event} ON main.{on} BEGIN
                 INSERT INTO row_change (tbl, key) VALUES ('{}', {});
             END;\n",
            quoted(&format!("note_{}_{name}", table.name)),
            table.name.replace('\'', "''"),
            table.noted(row),
        )
    };
    let key = table.key.iter().map(|column| quoted(column)).collect::<Vec<_>>().join(", ");
    [
        trigger("insert", "INSERT", "NEW"),
        trigger("update", "UPDATE", "NEW"),
        trigger("rename", &format!("UPDATE OF {key}"), "OLD"),
        trigger("delete", "DELETE", "OLD"),
    ]
    .concat()
}

/// Begins the log anew: what was noted belongs to none any more.
pub(crate) fn restart(connection: &Connection, chain: u64) -> rusqlite::Result<()> {
    connection.execute("DELETE FROM row_change", [])?;
    let begin = "INSERT INTO row_log (id, chain, taken, digest) VALUES (1, ?1, 0, '')
        ON CONFLICT (id) DO UPDATE SET chain = excluded.chain, taken = 0, digest = ''";
    connection.execute(begin, params![bits(chain)])?;
    Ok(())
}

/// Ends the log: from here on rows change unnoticed.
pub(crate) fn forget(connection: &Connection) -> rusqlite::Result<()> {
    let logged: bool = connection.query_row("SELECT EXISTS (SELECT 1 FROM row_log)", [], |row| row.get(0))?;
    if logged {
        connection.execute_batch("BEGIN; DELETE FROM row_log; DELETE FROM row_change; COMMIT")?;
    }
    Ok(())
}
