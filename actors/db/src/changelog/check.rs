//! Digests of some rows at a time, by which a follower finds that its database isn't what the leader's is.

use chrono::{DateTime, TimeDelta, Utc};
use flowlord_domain::hex::to_hex;
use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, Row, params_from_iter};
use sha2::{Digest as _, Sha256};

use super::record::{NotedTable, noted_tables, quote_name};
use super::segment::{CheckedRows, JsonValue, RowPosition, from_json};
use crate::sql::CachedSql as _;

/// How often rows are compared, at most.
const INTERVAL: TimeDelta = TimeDelta::seconds(1);

/// So many at a time: some two milliseconds of the writer's.
const MAX_ROWS: usize = 1_000;

/// Whether the database here has the same rows.
pub(super) fn has_same_rows(
    connection: &Connection,
    CheckedRows { from, most, digest }: &CheckedRows,
) -> rusqlite::Result<bool> {
    let (found, _) = digest_rows_from(connection, &noted_tables(connection)?, from, *most)?;
    Ok(found == *digest)
}

/// Goes through all tables, part by part, and begins again.
#[derive(Debug, Default)]
pub(super) struct RowChecks {
    next: RowPosition,
    last_at: Option<DateTime<Utc>>,
}

impl RowChecks {
    /// The next part, where it is time for one.
    pub(super) fn next_part(
        &mut self,
        connection: &Connection,
        now: DateTime<Utc>,
    ) -> rusqlite::Result<Option<CheckedRows>> {
        // A clock that was set back doesn't end the comparison until it shows that time again.
        if self.last_at.is_some_and(|last| (now - last).abs() < INTERVAL) {
            return Ok(None);
        }
        let tables = noted_tables(connection)?;
        let (digest, next) = digest_rows_from(connection, &tables, &self.next, MAX_ROWS)?;
        self.last_at = Some(now);
        let mut from = std::mem::replace(&mut self.next, next);
        if let Some(first) = tables.first().filter(|_| from.table.is_empty()) {
            from.table.clone_from(&first.name);
        }
        Ok(Some(CheckedRows { from, most: MAX_ROWS, digest }))
    }
}

/// Answers where the next part begins, too.
fn digest_rows_from(
    connection: &Connection,
    tables: &[NotedTable],
    from: &RowPosition,
    most: usize,
) -> rusqlite::Result<(String, RowPosition)> {
    let (mut hash, mut left) = (Sha256::new(), most);
    for table in tables.iter().skip_while(|table| table.name < from.table) {
        let after = if table.name == from.table { &from.after[..] } else { &[] };
        hash.update(&table.name);
        let (count, last) = digest_rows(connection, table, after, left, &mut hash)?;
        left -= count;
        if left == 0 {
            let next = RowPosition { table: table.name.clone(), after: last };
            return Ok((to_hex(&hash.finalize()), next));
        }
    }
    Ok((to_hex(&hash.finalize()), RowPosition::default()))
}

/// Answers how many there were, and the key of the last.
fn digest_rows(
    connection: &Connection,
    table: &NotedTable,
    after: &[serde_json::Value],
    most: usize,
    hash: &mut Sha256,
) -> rusqlite::Result<(usize, Vec<serde_json::Value>)> {
    let key = table.key.iter().map(|column| quote_name(column)).collect::<Vec<_>>().join(", ");
    let mut values: Vec<Value> = after.iter().filter_map(from_json).collect();
    let later = match values.len() {
        0 => String::new(),
        columns => format!("WHERE ({key}) > ({})", vec!["?"; columns].join(", ")),
    };
    values.push(Value::Integer(i64::try_from(most).unwrap_or(i64::MAX)));
    let rows = format!("SELECT * FROM main.{} {later} ORDER BY {key} LIMIT ?", quote_name(&table.name));
    let mut statement = connection.cached_statement(&rows)?;
    let mut rows = statement.query(params_from_iter(values))?;
    let (mut count, mut last) = (0, Vec::new());
    while let Some(row) = rows.next()? {
        for nth in 0..table.columns.len() {
            hash_value(row.get_ref(nth)?, hash);
        }
        count += 1;
        if count == most {
            last = key_of(table, row)?;
        }
    }
    Ok((count, last))
}

fn key_of(table: &NotedTable, row: &Row<'_>) -> rusqlite::Result<Vec<serde_json::Value>> {
    let columns = table.key.iter().map(|column| row.get_ref(column.as_str()));
    let values = columns.map(|value| {
        let as_json = serde_json::to_value(JsonValue(value?));
        as_json.map_err(|err| rusqlite::Error::ToSqlConversionFailure(err.into()))
    });
    values.collect()
}

fn hash_value(value: ValueRef<'_>, hash: &mut Sha256) {
    // With its kind and length: no two rows give the same bytes.
    match value {
        ValueRef::Null => hash.update([0]),
        ValueRef::Integer(number) => hash_bytes(1, &number.to_le_bytes(), hash),
        ValueRef::Real(number) => hash_bytes(2, &number.to_bits().to_le_bytes(), hash),
        ValueRef::Text(text) => hash_bytes(3, text, hash),
        ValueRef::Blob(bytes) => hash_bytes(4, bytes, hash),
    }
}

fn hash_bytes(kind: u8, bytes: &[u8], hash: &mut Sha256) {
    hash.update([kind]);
    hash.update(bytes.len().to_le_bytes());
    hash.update(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn database(rows: &[(i64, &str)]) -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        let tables =
            "CREATE TABLE a (x INTEGER PRIMARY KEY, y TEXT) STRICT; CREATE TABLE none (x INTEGER PRIMARY KEY) STRICT;
            CREATE TABLE z (k INTEGER, l TEXT, v TEXT, PRIMARY KEY (l, k)) STRICT, WITHOUT ROWID";
        connection.execute_batch(tables).unwrap();
        for (number, text) in rows {
            connection.execute("INSERT INTO a VALUES (?1, ?2)", (number, text)).unwrap();
            connection.execute("INSERT INTO z VALUES (?1, ?2, ?2)", (number, text)).unwrap();
        }
        connection
    }

    /// What all parts of the database are, of so many rows each.
    fn all_parts(connection: &Connection, most: usize) -> Vec<String> {
        let (tables, mut position) = (noted_tables(connection).unwrap(), RowPosition::default());
        let mut parts = Vec::new();
        loop {
            let (digest, next) = digest_rows_from(connection, &tables, &position, most).unwrap();
            parts.push(digest);
            position = next;
            if position == RowPosition::default() {
                return parts;
            }
        }
    }

    #[test]
    fn every_row_is_in_a_part_and_a_change_is_seen_in_one() {
        let same = [(1, "a"), (2, "b"), (7, "c"), (9, "d")];
        for most in [1, 2, 3, 4, 100] {
            let parts = all_parts(&database(&same), most);
            assert_eq!(parts.len(), 8 / most + 1, "{most} at a time");
            assert_eq!(all_parts(&database(&same), most), parts);
            for nth in 0..same.len() {
                let mut other = same;
                other[nth].1 = "other";
                assert_ne!(all_parts(&database(&other), most), parts, "row {nth}, {most} at a time");
                let mut fewer = same.to_vec();
                fewer.remove(nth);
                assert_ne!(all_parts(&database(&fewer), most), parts, "row {nth}, {most} at a time");
            }
        }
    }

    #[test]
    fn parts_come_at_most_once_a_second_and_are_found_again() {
        let now: DateTime<Utc> = "2026-03-01T12:00:00Z".parse().unwrap();
        let (leader, mut checks) = (database(&[(1, "a")]), RowChecks::default());
        let part = checks.next_part(&leader, now).unwrap().unwrap();
        assert_eq!(checks.next_part(&leader, now + INTERVAL / 2).unwrap(), None);
        assert!(checks.next_part(&leader, now + INTERVAL).unwrap().is_some());
        assert!(has_same_rows(&leader, &part).unwrap() && part.from.table == "a");
        assert!(!has_same_rows(&database(&[(1, "b")]), &part).unwrap());
    }
}
