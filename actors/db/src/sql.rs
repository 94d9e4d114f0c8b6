//! Statements that are prepared once and kept by their connection.

use rusqlite::types::FromSql;
use rusqlite::{CachedStatement, Connection, OptionalExtension as _, Params, Row};

/// Runs statements by their text, which is the key of the cache: so it must not hold values.
pub(crate) trait CachedSql {
    fn cached_statement(&self, sql: &str) -> rusqlite::Result<CachedStatement<'_>>;

    fn run_sql(&self, sql: &str, values: impl Params) -> rusqlite::Result<()> {
        self.change_rows(sql, values).map(drop)
    }

    fn change_rows(&self, sql: &str, values: impl Params) -> rusqlite::Result<usize> {
        self.cached_statement(sql)?.execute(values)
    }

    fn insert_row(&self, sql: &str, values: impl Params) -> rusqlite::Result<i64> {
        self.cached_statement(sql)?.insert(values)
    }

    fn read_row<T>(
        &self,
        sql: &str,
        values: impl Params,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        self.cached_statement(sql)?.query_row(values, read)
    }

    fn find_row<T>(
        &self,
        sql: &str,
        values: impl Params,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<Option<T>> {
        self.read_row(sql, values, read).optional()
    }

    fn read_rows<T>(
        &self,
        sql: &str,
        values: impl Params,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<Vec<T>> {
        self.cached_statement(sql)?.query_map(values, read)?.collect()
    }

    /// The first column of the one row.
    fn read_value<T: FromSql>(&self, sql: &str, values: impl Params) -> rusqlite::Result<T> {
        self.read_row(sql, values, |row| row.get(0))
    }

    /// The first column of the first row, where there is one.
    fn find_value<T: FromSql>(&self, sql: &str, values: impl Params) -> rusqlite::Result<Option<T>> {
        self.find_row(sql, values, |row| row.get(0))
    }

    fn has_row(&self, sql: &str, values: impl Params) -> rusqlite::Result<bool> {
        self.cached_statement(sql)?.exists(values)
    }
}

impl CachedSql for Connection {
    fn cached_statement(&self, sql: &str) -> rusqlite::Result<CachedStatement<'_>> {
        self.prepare_cached(sql)
    }
}
