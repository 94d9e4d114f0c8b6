//! Whether the nodes' databases are the same, read from their files.

use std::collections::BTreeMap;
use std::path::Path;

use rusqlite::{Connection, OpenFlags};
use sha2::{Digest as _, Sha256};

/// A database at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DatabaseState {
    /// The last entry of the log that it holds.
    pub(super) entry: i64,
    /// The SHA-256 of its last frame, which names the one before: equal ones have the same history.
    frame: String,
    /// The SHA-256 of each table.
    tables: BTreeMap<String, Vec<u8>>,
}

impl DatabaseState {
    /// Reads all of it.
    pub(super) fn read(data: &Path) -> rusqlite::Result<Self> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = Connection::open_with_flags(data.join("flowlord.db"), flags)?;
        let moment = connection.transaction()?;
        let (entry, frame) =
            moment.query_row("SELECT entry, frame FROM row_log", [], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let names = "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'table'
            AND name NOT LIKE 'sqlite_%' AND name NOT IN ('row_change', 'row_log')";
        let names: rusqlite::Result<Vec<String>> = moment.prepare(names)?.query_map([], |row| row.get(0))?.collect();
        let digests = names?.into_iter().map(|name| Ok((name.clone(), digest_table(&moment, &name)?)));
        Ok(Self { entry, frame, tables: digests.collect::<rusqlite::Result<_>>()? })
    }

    /// What differs between two that hold the same of the log.
    pub(super) fn differences(&self, other: &Self) -> Vec<String> {
        let chain = (self.frame != other.frame).then(|| format!("after entry {} the chains differ", self.entry));
        let tables = self.tables.iter().filter(|(name, digest)| other.tables.get(*name) != Some(*digest));
        let tables = tables.map(|(name, _)| format!("after entry {} table {name} differs", self.entry));
        chain.into_iter().chain(tables).collect()
    }
}

/// Its rows come in the order of their keys.
fn digest_table(moment: &Connection, name: &str) -> rusqlite::Result<Vec<u8>> {
    let mut statement = moment.prepare(&format!("SELECT * FROM \"{name}\""))?;
    let (width, mut hash) = (statement.column_count(), Sha256::new());
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        for nth in 0..width {
            hash.update(format!("{:?};", row.get_ref(nth)?));
        }
    }
    Ok(hash.finalize().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_that_differs_and_a_chain_that_differs_are_found() {
        let state = |value: i64, frame: &str| {
            let folder = tempfile::tempdir().unwrap();
            let connection = Connection::open(folder.path().join("flowlord.db")).unwrap();
            let tables = format!(
                "CREATE TABLE row_log (entry, frame); INSERT INTO row_log VALUES (7, '{frame}');
                 CREATE TABLE a (x); CREATE TABLE b (x); INSERT INTO b VALUES ({value})"
            );
            connection.execute_batch(&tables).unwrap();
            DatabaseState::read(folder.path()).unwrap()
        };
        assert_eq!(state(1, "f").differences(&state(1, "f")), Vec::<String>::new());
        assert_eq!(state(1, "f").differences(&state(2, "f")), ["after entry 7 table b differs"]);
        assert_eq!(state(1, "f").differences(&state(1, "g")), ["after entry 7 the chains differ"]);
    }
}
