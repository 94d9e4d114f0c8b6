//! The most that SQLite can do on this machine: bare rows in batches, one commit each, no index but the key.

use std::time::{Duration, Instant};

use rusqlite::{Connection, params};

// About what a busy group commit holds.
const ROWS_PER_COMMIT: usize = 256;

pub(crate) fn inserts_per_second(duration: Duration) -> anyhow::Result<f64> {
    let folder = tempfile::tempdir()?;
    let connection = Connection::open(folder.path().join("bare.db"))?;
    connection.execute_batch(
        // The service's own settings: each commit is on disk.
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
         CREATE TABLE task (id INTEGER PRIMARY KEY, a INTEGER, b INTEGER, c TEXT, d TEXT)",
    )?;
    let begun = Instant::now();
    let mut rows = 0_usize;
    while begun.elapsed() < duration {
        connection.execute_batch("BEGIN IMMEDIATE")?;
        let mut insert = connection.prepare_cached("INSERT INTO task (a, b, c, d) VALUES (?1, ?2, ?3, ?4)")?;
        for _ in 0..ROWS_PER_COMMIT {
            insert.execute(params![rows, 7, "?date=2026-03-01T05", "workflow=load.toml&cron=2026-03-01T05"])?;
            rows += 1;
        }
        connection.execute_batch("COMMIT")?;
    }
    #[expect(clippy::cast_precision_loss, reason = "a figure to print")]
    Ok(rows as f64 / begun.elapsed().as_secs_f64())
}
