//! Noting which rows change.

use rusqlite::Connection;
use rusqlite::types::Value;

use crate::changelog::log::begin_log;
use crate::changelog::segment::SegmentRow;
use crate::sql::CachedSql as _;

/// Tables whose rows aren't noted: the log itself.
const OWN: [&str; 2] = ["row_change", "row_log"];

/// A table whose rows can be told apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NotedTable {
    pub(super) name: String,
    pub(super) columns: Vec<String>,
    pub(super) key: Vec<String>,
    pub(super) has_integer_key: bool,
}

impl NotedTable {
    /// The key of `NEW` or `OLD` as it is noted.
    fn key_of(&self, row: &str) -> String {
        let columns: Vec<_> = self.key.iter().map(|column| format!("{row}.{}", quote_name(column))).collect();
        // An integer alone is kept as such: it is smaller, and the join by it needs no JSON.
        if self.has_integer_key { columns.concat() } else { format!("json_array({})", columns.join(", ")) }
    }

    fn trigger_sql(&self, name: &str, event: &str, row: &str) -> String {
        format!(
            "CREATE TEMP TRIGGER {} AFTER {event} ON main.{} BEGIN
                 INSERT INTO row_change (tbl, key) VALUES ('{}', {});
             END;\n",
            quote_name(&format!("note_{}_{name}", self.name)),
            quote_name(&self.name),
            self.name.replace('\'', "''"),
            self.key_of(row),
        )
    }

    /// Notes a change with the values of [`Self::note_values`].
    pub(super) fn note_sql(&self) -> String {
        // A row that is gone comes with its key as it was noted.
        let values = (0..self.key.len()).map(|nth| format!("?{}", nth + 4)).collect::<Vec<_>>().join(", ");
        let composed = if self.has_integer_key { values } else { format!("json_array({values})") };
        format!("INSERT INTO row_change (seq, tbl, key) VALUES (?1, ?2, coalesce(?3, {composed}))")
    }

    pub(super) fn note_values(&self, number: i64, row: &SegmentRow) -> Vec<Value> {
        let mut note = vec![Value::Integer(number), Value::Text(self.name.clone())];
        match row {
            SegmentRow::Gone(key) => {
                note.push(key.clone());
                note.resize(note.len() + self.key.len(), Value::Null);
            }
            SegmentRow::Is(values) => {
                note.push(Value::Null);
                note.extend(self.key.iter().map(|key| self.value_of(key, values)));
            }
        }
        note
    }

    fn value_of(&self, column: &str, values: &[Value]) -> Value {
        let nth = self.columns.iter().position(|known| known == column);
        nth.and_then(|nth| values.get(nth)).cloned().unwrap_or(Value::Null)
    }

    /// The row `t` whose noted key is `key`.
    pub(super) fn same_row(&self, key: &str) -> String {
        let same = self.key.iter().enumerate().map(|(nth, column)| {
            let value = if self.has_integer_key { key.to_owned() } else { format!("{key} ->> {nth}") };
            format!("t.{} = {value}", quote_name(column))
        });
        same.collect::<Vec<_>>().join(" AND ")
    }
}

pub(super) fn quote_name(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

pub(super) fn noted_tables(connection: &Connection) -> rusqlite::Result<Vec<NotedTable>> {
    // Neither virtual tables nor what lies behind them: those are made anew from the others.
    let names = "SELECT name FROM pragma_table_list
        WHERE schema = 'main' AND type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name";
    let names: Vec<String> = connection.read_rows(names, [], |row| row.get(0))?;
    let noted = names.iter().filter(|name| !OWN.contains(&name.as_str()));
    noted.map(|name| noted_table(connection, name)).collect()
}

pub(super) fn noted_table(connection: &Connection, name: &str) -> rusqlite::Result<NotedTable> {
    let columns = "SELECT name, type, pk FROM pragma_table_info(?1) ORDER BY cid";
    let columns: Vec<(String, String, usize)> =
        connection.read_rows(columns, [name], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    // `pk` is the position within the key, from 1 on, which may differ from the order of the columns.
    let mut key: Vec<_> = columns.iter().filter(|(.., nth)| *nth > 0).collect();
    key.sort_by_key(|(.., nth)| *nth);
    let has_integer_key = key.len() == 1 && key.iter().all(|(_, kind, _)| kind.eq_ignore_ascii_case("INTEGER"));
    let blobs = key.iter().any(|(_, kind, _)| kind.eq_ignore_ascii_case("BLOB"));
    if key.is_empty() || blobs {
        // A table of ours that breaks the rule is seen by every test that records.
        return Err(rusqlite::Error::InvalidColumnName(format!(
            "{name} needs a primary key of integers and texts, or its changes can't be noted"
        )));
    }
    let key = key.into_iter().map(|(column, ..)| column.clone()).collect();
    let columns = columns.iter().map(|(column, ..)| column.clone()).collect();
    Ok(NotedTable { name: name.to_owned(), columns, key, has_integer_key })
}

/// Begins to note what changes on this connection, and a log where there is none.
pub(crate) fn record_changes(connection: &Connection, fresh_chain: u64) -> rusqlite::Result<()> {
    // Or the rows that a REPLACE removes go unnoticed.
    connection.pragma_update(None, "recursive_triggers", true)?;
    for table in noted_tables(connection)? {
        connection.execute_batch(&all_triggers_sql(&table))?;
    }
    begin_log(connection, fresh_chain)
}

/// On this connection only: other programs that open the file see none of it, and ours ends their log.
fn all_triggers_sql(table: &NotedTable) -> String {
    let key = table.key.iter().map(|column| quote_name(column)).collect::<Vec<_>>().join(", ");
    [
        table.trigger_sql("insert", "INSERT", "NEW"),
        table.trigger_sql("update", "UPDATE", "NEW"),
        // A row that gets another key is gone under its old one.
        table.trigger_sql("rename", &format!("UPDATE OF {key}"), "OLD"),
        table.trigger_sql("delete", "DELETE", "OLD"),
    ]
    .concat()
}
