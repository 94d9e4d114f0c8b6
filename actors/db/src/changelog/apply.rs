//! Applying segments to a copy of the database, one after another.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::Path;

use chrono::{DateTime, Utc};
use flate2::read::GzDecoder;
use flowlord_messages::changelog::LogPoint;
use rusqlite::types::Value;
use rusqlite::{Connection, Transaction, params, params_from_iter};
use sha2::{Digest as _, Sha256};

use super::log::{end_log, read_log_point};
use super::record::{noted_table, quote_name};
use super::segment::{FORMAT, SegmentHeader, SegmentRow, chain_hex, read_row};
use crate::schema::read_version;
use crate::sql::CachedSql as _;
use flowlord_domain::hex::to_hex;

/// Why a segment isn't applied: the log ends before it.
#[derive(Debug, thiserror::Error)]
pub enum SegmentError {
    #[error("it is damaged: {0}")]
    Damaged(String),
    #[error("the changes from {from} to {to} before it are missing")]
    Gap {
        /// The first number that is missing.
        from: i64,
        to: i64,
    },
    #[error("it doesn't follow the one before it: two services wrote into this place")]
    Fork,
    #[error("it is of another database: {0}")]
    Foreign(String),
    #[error("it can't be applied: {0}")]
    Sqlite(#[from] rusqlite::Error),
}

impl SegmentError {
    fn damaged(what: impl std::fmt::Display) -> Self {
        Self::Damaged(what.to_string())
    }
}

/// What was applied. Written again after a crash, before it was known to be stored, it has another first line and so
/// another digest, but the same rows.
#[derive(Debug)]
struct AppliedSegment {
    /// The SHA-256 of its rows.
    rows: [u8; 32],
    /// Those of its files: what follows names one of them.
    digests: Vec<String>,
}

#[derive(Debug)]
pub(crate) struct LogReplay {
    connection: Connection,
    chain: u64,
    position: i64,
    /// The segments that were applied, by the number at their end.
    applied: BTreeMap<i64, AppliedSegment>,
    until: Option<DateTime<Utc>>,
}

impl LogReplay {
    /// Opens a database that nobody else uses; none where it holds no log.
    pub(crate) fn open(path: &Path) -> rusqlite::Result<Option<Self>> {
        let connection = Connection::open(path)?;
        let Some(LogPoint { chain, position }) = read_log_point(&connection)? else { return Ok(None) };
        // Rows come in any order, with all that follows from them; power that fails means to begin again.
        connection.pragma_update(None, "foreign_keys", false)?;
        connection.pragma_update(None, "synchronous", "OFF")?;
        connection.pragma_update_and_check(None, "journal_mode", "MEMORY", |_| Ok(()))?;
        Ok(Some(Self { connection, chain, position, applied: BTreeMap::new(), until: None }))
    }

    pub(crate) fn log_point(&self) -> LogPoint {
        LogPoint { chain: self.chain, position: self.position }
    }

    /// How many segments were applied, and up to when; none when none was.
    pub(crate) fn applied_until(&self) -> Option<(usize, DateTime<Utc>)> {
        self.until.map(|until| (self.applied.len(), until))
    }

    /// Applies the next one, whose SHA-256 is `digest`; one that holds nothing new is passed over.
    pub(crate) fn apply_segment(&mut self, bytes: &[u8], digest: &str) -> Result<(), SegmentError> {
        // Before anything is unpacked: what a store returns is not trusted.
        if to_hex(&Sha256::digest(bytes)) != digest {
            return Err(SegmentError::damaged("its SHA-256 isn't that of its name"));
        }
        let mut lines = BufReader::new(GzDecoder::new(bytes)).lines();
        let first = lines.next().and_then(Result::ok).ok_or_else(|| SegmentError::damaged("it is empty"))?;
        let header: SegmentHeader = serde_json::from_str(&first).map_err(SegmentError::damaged)?;
        if !self.is_next(&header)? {
            if let Some(applied) = self.applied.get_mut(&header.upto) {
                let mut hash = Sha256::new();
                for line in lines {
                    hash_line(&mut hash, &line.map_err(SegmentError::damaged)?);
                }
                if applied.rows == <[u8; 32]>::from(hash.finalize()) {
                    applied.digests.push(digest.to_owned());
                }
            }
            return Ok(());
        }
        // One transaction: an error leaves the database as the segment before left it, which is a moment that existed.
        let transaction = self.connection.transaction()?;
        let mut rows = RowStatements::new(&transaction, &header)?;
        let mut hash = Sha256::new();
        for line in lines {
            let line = line.map_err(SegmentError::damaged)?;
            hash_line(&mut hash, &line);
            let (table, row) = read_row(&line).ok_or_else(|| SegmentError::damaged("a line is not a row"))?;
            rows.put_row(&table, row)?;
        }
        drop(rows);
        continue_sequences(&transaction, &header)?;
        transaction.commit()?;
        self.position = header.upto;
        let applied = AppliedSegment { rows: hash.finalize().into(), digests: vec![digest.to_owned()] };
        self.applied.insert(header.upto, applied);
        self.until = Some(header.at);
        Ok(())
    }

    /// Whether it has anything new; that it can be applied here.
    fn is_next(&self, header: &SegmentHeader) -> Result<bool, SegmentError> {
        let SegmentHeader { format, chain, schema, .. } = header;
        if *format != FORMAT {
            return Err(SegmentError::Foreign(format!("this program reads format {FORMAT}, this is {format}")));
        }
        let own_chain = chain_hex(self.chain);
        if *chain != own_chain {
            return Err(SegmentError::Foreign(format!("its log is {chain}, this one's {own_chain}")));
        }
        let own_schema = read_version(&self.connection)?;
        if *schema != own_schema {
            return Err(SegmentError::Foreign(format!("its schema is {schema}, this one's {own_schema}")));
        }
        if header.upto <= self.position {
            return Ok(false);
        }
        // An overlap is fine, since a segment holds states and not steps; a gap isn't.
        if header.after > self.position {
            return Err(SegmentError::Gap { from: self.position + 1, to: header.after });
        }
        // Only what was applied here can be compared: the first segment follows a snapshot, which has no digest of one.
        match self.applied.get(&header.after) {
            Some(applied) if !applied.digests.contains(&header.previous) => Err(SegmentError::Fork),
            _ => Ok(true),
        }
    }

    /// What must hold once all were applied.
    pub(crate) fn finish_replay(self) -> Result<(), SegmentError> {
        // Off while rows were put, so they are checked once over all.
        let broken: i64 = self.connection.read_value("SELECT count(*) FROM pragma_foreign_key_check", [])?;
        if broken > 0 {
            return Err(SegmentError::Damaged(format!("{broken} rows refer to others that aren't there")));
        }
        // Its log goes on where it came from, not here.
        end_log(&self.connection)?;
        self.connection.close().map_err(|(_, err)| SegmentError::Sqlite(err))
    }
}

fn hash_line(hash: &mut Sha256, line: &str) {
    hash.update(line);
    hash.update("\n");
}

struct RowStatements<'a> {
    transaction: &'a Transaction<'a>,
    /// Putting a row, and removing one.
    statements: BTreeMap<String, (String, String)>,
}

impl<'a> RowStatements<'a> {
    fn new(transaction: &'a Transaction<'a>, header: &SegmentHeader) -> Result<Self, SegmentError> {
        let mut statements = BTreeMap::new();
        for (name, columns) in &header.tables {
            let known = noted_table(transaction, name)?;
            if known.columns != *columns {
                return Err(SegmentError::Foreign(format!("table {name} has other columns")));
            }
            let values = vec!["?"; columns.len()].join(", ");
            let named = columns.iter().map(|column| quote_name(column)).collect::<Vec<_>>().join(", ");
            let on = quote_name(name);
            let put = format!("INSERT OR REPLACE INTO {on} ({named}) VALUES ({values})");
            let remove = format!("DELETE FROM {on} AS t WHERE {}", known.same_row("?1"));
            statements.insert(name.clone(), (put, remove));
        }
        Ok(Self { transaction, statements })
    }

    fn put_row(&mut self, table: &str, row: SegmentRow) -> Result<(), SegmentError> {
        let Some((put, remove)) = self.statements.get(table) else {
            return Err(SegmentError::Damaged(format!("its first line doesn't name {table}")));
        };
        match row {
            SegmentRow::Is(values) => self.transaction.prepare_cached(put)?.execute(params_from_iter(values))?,
            SegmentRow::Gone(key) => self.transaction.prepare_cached(remove)?.execute::<[Value; 1]>([key])?,
        };
        Ok(())
    }
}

/// Numbers that were given once aren't given again, also where their rows are gone.
fn continue_sequences(transaction: &Transaction<'_>, header: &SegmentHeader) -> rusqlite::Result<()> {
    for (table, last) in &header.sequences {
        let known = "UPDATE sqlite_sequence SET seq = max(seq, ?2) WHERE name = ?1";
        if transaction.execute(known, params![table, last])? == 0 {
            transaction.execute("INSERT INTO sqlite_sequence (name, seq) VALUES (?1, ?2)", params![table, last])?;
        }
    }
    Ok(())
}
