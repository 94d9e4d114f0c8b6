//! What the database is like.

use flowlord_messages::database::{DatabaseFacts, MeasureTable, ReadDatabase, TableSize};

use crate::tables::prelude::*;

impl ReadQuery for ReadDatabase {
    fn read_from(&self, connection: &Connection) -> rusqlite::Result<DatabaseFacts> {
        let path = connection.path().unwrap_or_default().to_owned();
        Ok(DatabaseFacts {
            schema: read_pragma(connection, "user_version")?,
            sqlite: rusqlite::version().to_owned(),
            page_size: read_pragma(connection, "page_size")?,
            pages: read_pragma(connection, "page_count")?,
            free_pages: read_pragma(connection, "freelist_count")?,
            // Right after a checkpoint there may be none.
            log_bytes: std::fs::metadata(format!("{path}-wal")).map_or(0, |file| file.len()),
            tables: connection.read_rows(
                "SELECT name FROM sqlite_schema
                 WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'
                 ORDER BY name",
                [],
                |row| row.get(0),
            )?,
            path,
        })
    }
}

fn read_pragma(connection: &Connection, pragma: &str) -> rusqlite::Result<u64> {
    connection.pragma_query_value(None, pragma, |row| row.count(0))
}

impl ReadQuery for MeasureTable {
    fn read_from(&self, connection: &Connection) -> rusqlite::Result<TableSize> {
        let mut size = TableSize { table: self.table.clone(), complete: true, ..TableSize::default() };
        let trees: Vec<(String, bool)> = connection.read_rows(
            "SELECT name, type = 'table' FROM sqlite_schema WHERE tbl_name = ?1 AND rootpage > 0",
            [&self.table],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?;
        let without_rowid: bool = connection.read_value(
            "SELECT coalesce(max(wr), 0) FROM pragma_table_list WHERE schema = 'main' AND name = ?1",
            [&self.table],
        )?;
        for (name, is_table) in trees {
            let tree = measure_tree(connection, &name, self.most_pages)?;
            size.complete &= tree.complete;
            if is_table {
                size.bytes += tree.bytes;
                // Of a table with row ids the pages above the leaves hold no rows.
                size.rows = if without_rowid { tree.cells } else { tree.leaf_cells };
            } else {
                size.index_bytes += tree.bytes;
            }
        }
        Ok(size)
    }
}

#[derive(Default)]
struct PageTree {
    bytes: u64,
    cells: u64,
    leaf_cells: u64,
    complete: bool,
}

fn measure_tree(connection: &Connection, name: &str, most_pages: u64) -> rusqlite::Result<PageTree> {
    let mut pages = connection.prepare_cached("SELECT pagetype, ncell, pgsize FROM dbstat WHERE name = ?1")?;
    let mut rows = pages.query([name])?;
    let (mut tree, mut seen) = (PageTree::default(), 0);
    while let Some(row) = rows.next()? {
        // `dbstat` reads every page of a tree: of a large one only the first are counted, and `complete` says so.
        if seen == most_pages {
            return Ok(tree);
        }
        seen += 1;
        let cells = row.count(1)?;
        tree.bytes += row.count(2)?;
        tree.cells += cells;
        if row.get_ref(0)?.as_str()? == "leaf" {
            tree.leaf_cells += cells;
        }
    }
    Ok(PageTree { complete: true, ..tree })
}
