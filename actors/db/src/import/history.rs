//! What the reference system did, read beside it: its tasks chain by chain, and in the order of time.
//!
//! The order is made by SQLite, which sorts on disk what doesn't fit into its cache: a history may be longer than the
//! memory.

use std::path::Path;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use rusqlite::params;

use super::old::{OldDatabase, OldRow};
use super::{ImportError, ImportKind};

/// A chain that is longer isn't told in full: in the reference system a circle of phases ran for ever.
const MAX_CHAIN_RECORDS: usize = 10_000;

/// Alerts about tasks without an id have this, or none.
const NO_ID: &str = "unknown";

/// From the first time on, before the second.
pub type TimeRange = (DateTime<Utc>, DateTime<Utc>);

/// A database of the reference system, as it was at one instant.
pub struct OldHistory {
    old: OldDatabase,
    columns: Arc<[String]>,
}

/// An attempt of a task, as the reference system recorded it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OldTask {
    /// Its row.
    pub number: i64,
    pub topic: String,
    pub job: String,
    pub id: String,
    pub info: String,
    pub meta: String,
    pub msg: String,
    /// As it was written: empty while the task runs.
    pub result: String,
    pub created: DateTime<Utc>,
    pub ended: Option<DateTime<Utc>>,
    /// Whether it is the oldest record of its chain.
    pub is_first: bool,
}

/// An alert, as the reference system recorded it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OldAlert {
    /// Its row.
    pub number: i64,
    /// The chain that it is about; empty where no task was created.
    pub id: String,
    pub topic: String,
    pub job: String,
    pub msg: String,
    pub at: DateTime<Utc>,
}

/// A file that the reference system heard of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OldFile {
    /// Its row.
    pub number: i64,
    pub path: String,
    pub received: DateTime<Utc>,
    /// The tasks that it started, `topic` or `topic:job`.
    pub task_names: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OldRecord {
    Task(OldTask),
    Alert(OldAlert),
}

/// All that has one id.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OldChain {
    pub tasks: Vec<OldTask>,
    pub alerts: Vec<OldAlert>,
    /// Whether there is more of it.
    pub is_cut: bool,
}

impl OldHistory {
    pub fn open(path: &Path) -> Result<Self, ImportError> {
        let old = OldDatabase::open(path)?;
        // The Go program writes meanwhile, and all passes must see the same rows.
        old.begin_reading()?;
        let columns = ["kind", "id", "type", "job", "info", "meta", "msg", "result", "created", "ended", "first"];
        Ok(Self { old, columns: columns.map(str::to_owned).into() })
    }

    /// When its first task was created, and when something was written last; none where there is no task.
    pub fn time_span(&self) -> Result<Option<TimeRange>, ImportError> {
        let created = self.task_seconds("created")?;
        // Not when a task ended: that is by its worker's clock, and what follows from it may not be there yet.
        let mut sql = format!("SELECT 0, min({created}), max({created}) FROM task_records");
        for (kind, column) in [(ImportKind::Alerts, "created_at"), (ImportKind::Files, "received_at")] {
            if self.has_column(kind, column)? {
                let seconds = unix_seconds(column);
                sql += &format!(" UNION ALL SELECT 0, NULL, max({seconds}) FROM {}", kind.table());
            }
        }
        let (mut first, mut last) = (None, None);
        let columns: Arc<[String]> = ["first", "last"].map(str::to_owned).into();
        self.old.each_row(&sql, [], &columns, |row| {
            let second = |name: &str| row.number_of(name).and_then(|at| DateTime::from_timestamp(at, 0));
            first = first.or(second("first"));
            last = last.max(second("last"));
            Ok::<(), ImportError>(())
        })?;
        Ok(first.zip(last))
    }

    /// How many tasks can't be compared: nobody knows when they were created, or to which chain they belong.
    pub fn count_unreadable(&self) -> Result<u64, ImportError> {
        let created = self.task_seconds("created")?;
        let sql = format!("SELECT count(*) FROM task_records WHERE {created} IS NULL OR {}", is_nameless("id"));
        let mut count = 0;
        self.old.each_row(&sql, [], &Arc::from([]), |row| {
            count = u64::try_from(row.number).unwrap_or(0);
            Ok::<(), ImportError>(())
        })?;
        Ok(count)
    }

    /// Each chain with a record of the time from `from` to before `to`, in full.
    pub fn each_chain<E: From<ImportError>>(
        &self,
        (from, to): TimeRange,
        mut each: impl FnMut(OldChain) -> Result<(), E>,
    ) -> Result<(), E> {
        let (created, ended) = (self.task_seconds("created")?, self.task_seconds("ended")?);
        // The end counts, too: a result may come long after its task was created.
        let mut chosen =
            format!("SELECT id FROM task_records WHERE {created} < ?2 AND max({created}, coalesce({ended}, 0)) >= ?1");
        let alerts = self.alert_query()?;
        let mut all = self.task_query("0")? + " WHERE id IN chosen";
        if let Some(alerts) = alerts {
            let raised = unix_seconds("created_at");
            chosen += &format!(" UNION SELECT task_id FROM alert_records WHERE {raised} >= ?1 AND {raised} < ?2");
            all += &format!(" UNION ALL {alerts} WHERE task_id IN chosen");
        }
        let sql = format!(
            "WITH chosen AS (SELECT id FROM ({chosen}) WHERE NOT {}) {all} ORDER BY id, kind, seconds, number",
            is_nameless("id")
        );
        let mut chain = OldChain::default();
        let range = params![from.timestamp(), to.timestamp()];
        self.old.each_row(&sql, range, &self.columns, |row| {
            let Some(record) = read_record(&row) else { return Ok(()) };
            // Rows are ordered by id, so that only one chain is in memory.
            if chain.id().is_some_and(|id| id != record.id()) {
                each(std::mem::take(&mut chain))?;
            }
            chain.add_record(record);
            Ok::<(), E>(())
        })?;
        if chain.id().is_some() { each(chain) } else { Ok(()) }
    }

    /// The tasks created from `from` to `to`, both included, and alerts about tasks that were not created, in the order
    /// of time.
    pub fn each_record<E: From<ImportError>>(
        &self,
        (from, to): TimeRange,
        mut each: impl FnMut(OldRecord) -> Result<(), E>,
    ) -> Result<(), E> {
        let created = self.task_seconds("created")?;
        // Over all records of a chain: in the range alone a retry could seem to be the first.
        let first = format!("row_number() OVER (PARTITION BY id ORDER BY {created}, rowid) = 1");
        let tasks = self.task_query(&first)?;
        let mut sql = format!(
            "WITH chosen AS (SELECT id FROM task_records WHERE {created} BETWEEN ?1 AND ?2 AND NOT {})
             SELECT * FROM ({tasks} WHERE id IN chosen) WHERE seconds BETWEEN ?1 AND ?2",
            is_nameless("id")
        );
        if let Some(alerts) = self.alert_query()? {
            sql += &format!(" UNION ALL {alerts} WHERE seconds BETWEEN ?1 AND ?2 AND {}", is_nameless("task_id"));
        }
        sql += " ORDER BY seconds, kind, number";
        let range = params![from.timestamp(), to.timestamp()];
        self.old.each_row(&sql, range, &self.columns, |row| read_record(&row).map_or(Ok(()), &mut each))
    }

    /// The files heard of from `from` to before `to`.
    pub fn each_file<E: From<ImportError>>(
        &self,
        (from, to): TimeRange,
        mut each: impl FnMut(OldFile) -> Result<(), E>,
    ) -> Result<(), E> {
        if !self.has_column(ImportKind::Files, "received_at")? {
            return Ok(());
        }
        let seconds = unix_seconds("received_at");
        let sql = format!(
            "SELECT rowid, path, received_at, task_names FROM file_messages
                WHERE {seconds} >= ?1 AND {seconds} < ?2 ORDER BY {seconds}, rowid"
        );
        let columns: Arc<[String]> = ["path", "received", "names"].map(str::to_owned).into();
        self.old.each_row(&sql, params![from.timestamp(), to.timestamp()], &columns, |row| {
            let Ok(Some(received)) = row.time_of("received") else { return Ok(()) };
            let task_names = serde_json::from_str(&row.text_of("names")).unwrap_or_default();
            each(OldFile { number: row.number, path: row.text_of("path"), received, task_names })
        })
    }

    /// Whether there is a table of alerts.
    pub fn has_alerts(&self) -> Result<bool, ImportError> {
        self.has_column(ImportKind::Alerts, "created_at")
    }

    fn has_column(&self, kind: ImportKind, column: &str) -> Result<bool, ImportError> {
        Ok(self.old.read_columns(kind.table())?.iter().any(|name| name == column))
    }

    fn task_seconds(&self, column: &str) -> Result<String, ImportError> {
        Ok(if self.has_column(ImportKind::Tasks, column)? { unix_seconds(column) } else { "NULL".to_owned() })
    }

    fn task_query(&self, first: &str) -> Result<String, ImportError> {
        let names = self.old.read_columns(ImportKind::Tasks.table())?;
        let column = |name: &str| match names.iter().any(|known| known == name) {
            true => name.to_owned(),
            // An older schema may lack the column, but rows must keep their shape.
            false => format!("NULL AS {name}"),
        };
        let columns = ["id", "type", "job", "info", "meta", "msg", "result", "created", "ended"].map(column);
        let seconds = self.task_seconds("created")?;
        Ok(format!(
            "SELECT rowid AS number, 0 AS kind, {}, {first} AS first, {seconds} AS seconds FROM task_records",
            columns.join(", ")
        ))
    }

    fn alert_query(&self) -> Result<Option<String>, ImportError> {
        let seconds = unix_seconds("created_at");
        let query = format!(
            "SELECT rowid AS number, 1 AS kind, task_id AS id, task_type, job, NULL, NULL, msg, NULL, created_at, NULL,
                 0, {seconds} AS seconds FROM alert_records"
        );
        Ok(self.has_alerts()?.then_some(query))
    }
}

impl OldRecord {
    fn id(&self) -> &str {
        match self {
            Self::Task(task) => &task.id,
            Self::Alert(alert) => &alert.id,
        }
    }
}

impl OldChain {
    fn id(&self) -> Option<&str> {
        let task = self.tasks.first().map(|task| task.id.as_str());
        task.or_else(|| self.alerts.first().map(|alert| alert.id.as_str()))
    }

    fn add_record(&mut self, record: OldRecord) {
        match record {
            _ if self.tasks.len() + self.alerts.len() >= MAX_CHAIN_RECORDS => self.is_cut = true,
            OldRecord::Task(task) => self.tasks.push(task),
            OldRecord::Alert(alert) => self.alerts.push(alert),
        }
    }
}

/// None where its time isn't one.
fn read_record(row: &OldRow) -> Option<OldRecord> {
    let at = row.time_of("created").ok()??;
    let text = |name| row.text_of(name);
    let (number, topic, job) = (row.number, text("type"), text("job"));
    if row.number_of("kind") == Some(1) {
        let id = Some(text("id")).filter(|id| id != NO_ID).unwrap_or_default();
        return Some(OldRecord::Alert(OldAlert { number, id, topic, job, msg: text("msg"), at }));
    }
    Some(OldRecord::Task(OldTask {
        number,
        topic,
        job,
        id: text("id"),
        info: text("info"),
        meta: text("meta"),
        msg: text("msg"),
        result: text("result").trim().to_ascii_lowercase(),
        created: at,
        ended: row.time_of("ended").ok().flatten(),
        is_first: row.number_of("first") == Some(1),
    }))
}

fn is_nameless(column: &str) -> String {
    format!("(coalesce({column}, '') IN ('', '{NO_ID}'))")
}

/// The seconds since 1970 of a time in any of the forms that the old system's drivers write; null where it is none. It
/// orders and bounds; the time itself is read from what is written.
fn unix_seconds(column: &str) -> String {
    // As Go prints a time: `2024-01-15 05:00:00.5 +0100 CET`.
    let zone = format!("substr({column}, max(instr({column}, ' +'), instr({column}, ' -')) + 1, 5)");
    format!(
        // Integers have no unit: their size tells seconds, milliseconds and microseconds apart.
        "CASE typeof({column})
            WHEN 'integer' THEN {column} / CASE
                WHEN abs({column}) < 100000000000 THEN 1 WHEN abs({column}) < 100000000000000 THEN 1000 ELSE 1000000 END
            WHEN 'real' THEN CAST({column} AS INTEGER)
            ELSE coalesce(unixepoch({column}),
                unixepoch(substr({column}, 1, 19) || substr({zone}, 1, 3) || ':' || substr({zone}, 4, 2)),
                unixepoch(substr({column}, 1, 19)))
        END"
    )
}

#[cfg(test)]
mod tests;
