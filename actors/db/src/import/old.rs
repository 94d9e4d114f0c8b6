//! Reading a database of the reference system.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, OpenFlags, Params};

use super::times::{self, InvalidTime};
use super::{ImportError, ImportKind};
use crate::connection::open_read_only;
use crate::schema::is_ours;
use crate::sql::CachedSql as _;

const KNOWN_VERSIONS: [&str; 2] = ["1", "2"];

pub(super) struct OldDatabase {
    path: PathBuf,
    connection: Connection,
}

impl OldDatabase {
    pub(super) fn open(path: &Path) -> Result<Self, ImportError> {
        let failed = ImportError::for_old(path);
        let connection = open_unchanged(path).map_err(&failed)?;
        if is_ours(&connection).map_err(&failed)? {
            return Err(ImportError::Own(path.to_owned()));
        }
        let old = Self { path: path.to_owned(), connection };
        if old.find_table(ImportKind::Tasks)?.is_none() {
            return Err(ImportError::Other(old.path));
        }
        match old.read_versions()?.into_iter().find(|version| !KNOWN_VERSIONS.contains(&version.trim())) {
            Some(found) => Err(ImportError::Version { path: old.path, found }),
            None => Ok(old),
        }
    }

    /// What it says of its schema: one version, as the old system writes it; none where it keeps none.
    fn read_versions(&self) -> Result<Vec<String>, ImportError> {
        let columns = self.read_columns("schema_version")?;
        if columns.is_empty() {
            return Ok(Vec::new());
        }
        if !columns.iter().any(|column| column == "version") {
            return Ok(vec!["of another kind".to_owned()]);
        }
        self.read_texts("SELECT DISTINCT coalesce(CAST(version AS TEXT), 'NULL') FROM schema_version", [])
    }

    /// One of its tables with the columns that it has; none when it isn't there.
    pub(super) fn find_table(&self, kind: ImportKind) -> Result<Option<OldTable<'_>>, ImportError> {
        let columns = self.read_columns(kind.table())?;
        Ok((!columns.is_empty()).then(|| OldTable { old: self, kind, columns: columns.into() }))
    }

    /// The columns of a table in lower case; none when it isn't there.
    pub(super) fn read_columns(&self, table: &str) -> Result<Vec<String>, ImportError> {
        self.read_texts("SELECT lower(name) FROM pragma_table_info(?1)", [table])
    }

    fn read_texts(&self, sql: &str, values: impl Params) -> Result<Vec<String>, ImportError> {
        self.connection.read_rows(sql, values, |row| row.get(0)).map_err(ImportError::for_old(&self.path))
    }

    /// What is read from now on is of one instant, whatever its program writes meanwhile.
    pub(super) fn begin_reading(&self) -> Result<(), ImportError> {
        self.connection.execute_batch("BEGIN").map_err(ImportError::for_old(&self.path))
    }

    /// Hands on each row of a query: its number first, and then these columns.
    pub(super) fn each_row<E: From<ImportError>>(
        &self,
        sql: &str,
        values: impl Params,
        columns: &Arc<[String]>,
        mut each: impl FnMut(OldRow) -> Result<(), E>,
    ) -> Result<(), E> {
        let unread = ImportError::for_old(&self.path);
        let mut all = self.connection.prepare(sql).map_err(&unread)?;
        let mut rows = all.query(values).map_err(&unread)?;
        while let Some(row) = rows.next().map_err(&unread)? {
            let number = row.get(0).map_err(&unread)?;
            let values = (1..=columns.len()).map(|nth| Ok(to_owned_value(row.get_ref(nth)?)));
            let values = values.collect::<rusqlite::Result<Vec<_>>>().map_err(&unread)?;
            each(OldRow { number, columns: Arc::clone(columns), values })?;
        }
        Ok(())
    }
}

/// Opens it so that no file beside it is made: a database in WAL mode that nobody uses is read as it lies there.
fn open_unchanged(path: &Path) -> rusqlite::Result<Connection> {
    let log = path.with_file_name(format!("{}-wal", path.file_name().unwrap_or_default().to_string_lossy()));
    // `immutable` passes over the log, and so over rows that are only there.
    if log.exists() || !is_in_wal_mode(path) {
        return open_read_only(path);
    }
    // In a URI these have a meaning.
    let escaped = path.to_string_lossy().replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    Connection::open_with_flags(format!("file:{escaped}?immutable=1"), flags)
}

/// Whether its header says so; not where it can't be read, which opening it tells.
fn is_in_wal_mode(path: &Path) -> bool {
    let mut header = [0; 20];
    let is_read = File::open(path).and_then(|mut file| file.read_exact(&mut header)).is_ok();
    is_read && header[18..] == [2, 2]
}

pub(super) struct OldTable<'a> {
    old: &'a OldDatabase,
    kind: ImportKind,
    columns: Arc<[String]>,
}

impl OldTable<'_> {
    pub(super) fn count_rows(&self) -> Result<u64, ImportError> {
        let count = format!("SELECT count(*) FROM {}", self.kind.table());
        self.old.connection.read_value(&count, []).map_err(ImportError::for_old(&self.old.path))
    }

    /// Its rows in the order in which they were written, so that indexes of ours grow at their ends.
    pub(super) fn each_batch(
        &self,
        size: usize,
        mut each: impl FnMut(&[OldRow]) -> Result<(), ImportError>,
    ) -> Result<(), ImportError> {
        let all = format!("SELECT rowid, * FROM {} ORDER BY rowid", self.kind.table());
        let mut batch = Vec::with_capacity(size);
        self.old.each_row(&all, [], &self.columns, |row| {
            batch.push(row);
            if batch.len() == size {
                each(&batch)?;
                batch.clear();
            }
            Ok::<(), ImportError>(())
        })?;
        if batch.is_empty() { Ok(()) } else { each(&batch) }
    }
}

/// Texts that aren't UTF-8 become as near as can be.
fn to_owned_value(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Text(text) => Value::Text(String::from_utf8_lossy(text).into_owned()),
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => Value::Integer(number),
        ValueRef::Real(number) => Value::Real(number),
        ValueRef::Blob(bytes) => Value::Blob(bytes.to_vec()),
    }
}

pub(super) struct OldRow {
    pub(super) number: i64,
    columns: Arc<[String]>,
    values: Vec<Value>,
}

impl OldRow {
    fn value_of(&self, column: &str) -> &Value {
        let nth = self.columns.iter().position(|name| name == column);
        nth.and_then(|nth| self.values.get(nth)).unwrap_or(&Value::Null)
    }

    pub(super) fn text_of(&self, column: &str) -> String {
        match self.value_of(column) {
            Value::Text(text) => text.clone(),
            Value::Integer(number) => number.to_string(),
            Value::Real(number) => number.to_string(),
            Value::Blob(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            Value::Null => String::new(),
        }
    }

    pub(super) fn number_of(&self, column: &str) -> Option<i64> {
        match self.value_of(column) {
            Value::Integer(number) => Some(*number),
            _ => self.text_of(column).trim().parse().ok(),
        }
    }

    pub(super) fn time_of(&self, column: &str) -> Result<Option<chrono::DateTime<chrono::Utc>>, InvalidTime> {
        times::read_time(self.value_of(column))
    }

    pub(super) fn describe_row(&self) -> String {
        let named = ["type", "task_type", "job", "id", "path", "created", "created_at", "received_at"];
        let parts = named.iter().filter(|column| self.columns.iter().any(|name| name == *column));
        let parts: Vec<_> = parts.map(|column| format!("{column}={:?}", self.text_of(column))).collect();
        format!("rowid {}: {}", self.number, parts.join(" ")).chars().take(300).collect()
    }
}
