//! Applying segments to a copy of the database, one after another.

use std::collections::BTreeMap;
use std::io::{self, BufRead as _, BufReader, Lines};
use std::path::Path;

use chrono::{DateTime, Utc};
use flate2::read::GzDecoder;
use flowlord_messages::changelog::{LogPoint, chain_hex};
use rusqlite::types::Value;
use rusqlite::{Connection, Transaction, params, params_from_iter};
use sha2::{Digest as _, Sha256};

use super::check::has_same_rows;
use super::log::{LogState, end_log, read_log_point, read_log_state};
use super::record::{NotedTable, noted_table, quote_name};
use super::segment::{FORMAT, SegmentHeader, SegmentRow, ShippedMark, read_row};
use crate::column::to_signed;
use crate::schema::{VERSION, read_version};
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
    #[error("rows of this database, from table {table} on, aren't what the leader has")]
    Differs { table: String },
    #[error("its schema is {found}, this program knows up to {VERSION}: upgrade this node")]
    Newer { found: usize },
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
    tables: KnownTables,
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
        Ok(Some(Self {
            connection,
            chain,
            position,
            applied: BTreeMap::new(),
            until: None,
            tables: KnownTables::default(),
        }))
    }

    pub(crate) fn log_point(&self) -> LogPoint {
        LogPoint { chain: self.chain, position: self.position }
    }

    pub(crate) fn log_entry(&self) -> u64 {
        // None in the tables of an older program, which knew no cluster.
        read_log_state(&self.connection).ok().flatten().map_or(0, |log| log.entry)
    }

    /// How many segments were applied, and up to when; none when none was.
    pub(crate) fn applied_until(&self) -> Option<(usize, DateTime<Utc>)> {
        self.until.map(|until| (self.applied.len(), until))
    }

    /// Applies the next one, whose SHA-256 is `digest`; one that holds nothing new is passed over.
    pub(crate) fn apply_segment(&mut self, bytes: &[u8], digest: &str) -> Result<(), SegmentError> {
        let segment = PackedSegment::open(bytes, digest)?;
        segment.header.check_origin(self.chain, read_version(&self.connection)?)?;
        let SegmentHeader { upto, at, .. } = segment.header;
        if !self.is_next(&segment.header)? {
            if let Some(applied) = self.applied.get_mut(&upto)
                && applied.rows == segment.hash_rows()?
            {
                applied.digests.push(digest.to_owned());
            }
            return Ok(());
        }
        // One transaction: an error leaves the database as the segment before left it, which is a moment that existed.
        let transaction = self.connection.transaction()?;
        let rows = segment.put_rows(&transaction, &mut self.tables)?;
        transaction.commit()?;
        self.position = upto;
        self.applied.insert(upto, AppliedSegment { rows, digests: vec![digest.to_owned()] });
        self.until = Some(at);
        Ok(())
    }

    /// Whether it has anything new; that it can be applied here.
    fn is_next(&self, header: &SegmentHeader) -> Result<bool, SegmentError> {
        if header.upto <= self.position {
            return Ok(false);
        }
        header.check_reaches(self.position)?;
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

/// A segment whose bytes are those that its name tells, with its header read.
struct PackedSegment<'a> {
    header: SegmentHeader,
    lines: Lines<BufReader<GzDecoder<&'a [u8]>>>,
}

impl<'a> PackedSegment<'a> {
    fn open(bytes: &'a [u8], digest: &str) -> Result<Self, SegmentError> {
        // Before anything is unpacked: what a store returns is not trusted.
        if to_hex(&Sha256::digest(bytes)) != digest {
            return Err(SegmentError::damaged("its SHA-256 isn't that of its name"));
        }
        let mut lines = BufReader::new(GzDecoder::new(bytes)).lines();
        let first = lines.next().and_then(Result::ok).ok_or_else(|| SegmentError::damaged("it is empty"))?;
        Ok(Self { header: serde_json::from_str(&first).map_err(SegmentError::damaged)?, lines })
    }

    /// Puts its rows into the tables; answers their SHA-256.
    fn put_rows(self, transaction: &Transaction<'_>, tables: &mut KnownTables) -> Result<[u8; 32], SegmentError> {
        let header = &self.header;
        tables.learn_tables(transaction, header)?;
        let next_note = header.shipped.is_some().then_some(header.after + 1);
        let mut rows = RowStatements { transaction, header, tables, next_note };
        let hash = hash_lines(self.lines, |line| {
            let (table, row) = read_row(line).ok_or_else(|| SegmentError::damaged("a line is not a row"))?;
            rows.put_row(&table, row)
        })?;
        continue_sequences(transaction, header)?;
        Ok(hash)
    }

    fn hash_rows(self) -> Result<[u8; 32], SegmentError> {
        hash_lines(self.lines, |_| Ok(()))
    }
}

fn hash_lines(
    lines: impl Iterator<Item = io::Result<String>>,
    mut each: impl FnMut(&str) -> Result<(), SegmentError>,
) -> Result<[u8; 32], SegmentError> {
    let mut hash = Sha256::new();
    for line in lines {
        let line = line.map_err(SegmentError::damaged)?;
        hash.update(&line);
        hash.update("\n");
        each(&line)?;
    }
    Ok(hash.finalize().into())
}

impl SegmentHeader {
    /// That it is of this log, and of tables like those here.
    fn check_origin(&self, own_chain: u64, own_schema: usize) -> Result<(), SegmentError> {
        self.check_format()?;
        let (chain, own_chain) = (&self.chain, chain_hex(own_chain));
        if *chain != own_chain {
            return Err(SegmentError::Foreign(format!("its log is {chain}, this one's {own_chain}")));
        }
        self.check_schema(own_schema)
    }

    fn check_format(&self) -> Result<(), SegmentError> {
        let Self { format, schema, .. } = self;
        if *format != FORMAT {
            return Err(SegmentError::Foreign(format!("this program reads format {FORMAT}, this is {format}")));
        }
        // Before the log: an upgrade begins a new one, and what helps against that is another.
        if *schema > VERSION {
            return Err(SegmentError::Newer { found: *schema });
        }
        Ok(())
    }

    fn check_schema(&self, own_schema: usize) -> Result<(), SegmentError> {
        let schema = self.schema;
        if schema != own_schema {
            return Err(SegmentError::Foreign(format!("its schema is {schema}, this one's {own_schema}")));
        }
        Ok(())
    }

    /// That it is of the transaction right after the last one that is here.
    fn check_follows(&self, log: &LogState) -> Result<(), SegmentError> {
        self.check_format()?;
        self.check_schema(log.schema)?;
        self.check_reaches(log.point.position)?;
        if self.after != log.point.position || self.previous != log.frame {
            return Err(SegmentError::Fork);
        }
        Ok(())
    }

    /// That nothing is missing between the last change that is here and its first.
    fn check_reaches(&self, position: i64) -> Result<(), SegmentError> {
        // An overlap is fine, since a segment holds states and not steps; a gap isn't.
        if self.after > position {
            return Err(SegmentError::Gap { from: position + 1, to: self.after });
        }
        Ok(())
    }
}

/// Begins to apply an entry; with where the database stands.
pub(super) fn begin_following(connection: &mut Connection) -> Result<(Transaction<'_>, LogState), SegmentError> {
    let transaction = connection.transaction()?;
    let log = read_log_state(&transaction)?.ok_or_else(|| SegmentError::Foreign("this one has no log".to_owned()))?;
    Ok((transaction, log))
}

/// So many notes are forgotten with one frame at most.
const MAX_FORGOTTEN: i64 = 10_000;

/// A database that is followed, with what is known of its tables.
#[derive(Debug)]
pub(crate) struct FollowedDatabase {
    connection: Connection,
    tables: KnownTables,
}

impl FollowedDatabase {
    pub(crate) fn new(connection: Connection) -> Self {
        Self { connection, tables: KnownTables::default() }
    }

    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// To change its tables.
    pub(crate) fn connection_to_migrate(&mut self) -> &mut Connection {
        self.tables = KnownTables::default();
        &mut self.connection
    }

    /// Applies an entry of the cluster's log to a database that is followed, together with its position; answers of when
    /// the segment is.
    pub(crate) fn follow_segment(
        &mut self,
        bytes: &[u8],
        digest: &str,
        entry: u64,
    ) -> Result<DateTime<Utc>, SegmentError> {
        let segment = PackedSegment::open(bytes, digest)?;
        let (transaction, log) = begin_following(&mut self.connection)?;
        let header = &segment.header;
        header.check_origin(log.point.chain, log.schema)?;
        header.check_reaches(log.point.position)?;
        // A leader that was killed sends the same changes again, from further back: the cluster's log kept others out.
        if header.after == log.taken && header.previous != log.digest {
            return Err(SegmentError::Fork);
        }
        let (upto, at) = (header.upto, header.at);
        if upto > log.point.position {
            segment.put_rows(&transaction, &mut self.tables)?;
        }
        // Sent again, it has another digest, and that is what the next one names.
        if upto >= log.taken {
            transaction.execute("UPDATE row_log SET taken = ?1, digest = ?2", params![upto, digest])?;
            // A snapshot brings notes of what its segments hold; as a leader this database would send them again.
            transaction.execute("DELETE FROM row_change WHERE seq <= ?1", [upto])?;
        }
        transaction.execute("UPDATE row_log SET entry = ?1", [i64::try_from(entry).unwrap_or(i64::MAX)])?;
        transaction.commit()?;
        Ok(at)
    }

    /// Applies the frame of an entry of the cluster's log to a database that is followed, with the entry's number; answers of
    /// when it is. Its changes are noted as the leader noted them: as a leader this database sends to the backup's place what
    /// the one before hadn't sent.
    pub(crate) fn follow_frame(
        &mut self,
        bytes: &[u8],
        digest: &str,
        entry: u64,
    ) -> Result<DateTime<Utc>, SegmentError> {
        let segment = PackedSegment::open(bytes, digest)?;
        let (transaction, log) = begin_following(&mut self.connection)?;
        let at = segment.header.at;
        if entry > log.entry {
            segment.header.check_follows(&log)?;
            let header = segment.header.clone();
            segment.put_rows(&transaction, &mut self.tables)?;
            check_rows(&transaction, &header)?;
            end_frame(&transaction, &header, digest, entry)?;
        }
        transaction.commit()?;
        Ok(at)
    }
}

fn check_rows(transaction: &Transaction<'_>, header: &SegmentHeader) -> Result<(), SegmentError> {
    match &header.check {
        Some(check) if !has_same_rows(transaction, check)? => {
            Err(SegmentError::Differs { table: check.from.table.clone() })
        }
        _ => Ok(()),
    }
}

fn end_frame(
    transaction: &Transaction<'_>,
    header: &SegmentHeader,
    digest: &str,
    entry: u64,
) -> Result<(), SegmentError> {
    let chain = u64::from_str_radix(&header.chain, 16).map_err(SegmentError::damaged)?;
    let Some(ShippedMark { upto: taken, digest: shipped }) = &header.shipped else {
        return Err(SegmentError::damaged("it is no frame"));
    };
    // The leader noted a row that changed twice twice: both go on by the same number.
    let last = "UPDATE row_change SET seq = ?1 WHERE seq = (SELECT max(seq) FROM row_change) AND seq < ?1";
    transaction.run_sql(last, [header.upto])?;
    let log = "UPDATE row_log SET chain = ?1, taken = ?2, digest = ?3, frame = ?4, entry = ?5";
    transaction.run_sql(log, params![to_signed(chain), taken, shipped, digest, to_signed(entry)])?;
    let forget = "DELETE FROM row_change WHERE seq <= min(?1, (SELECT min(seq) FROM row_change) + ?2)";
    transaction.run_sql(forget, [*taken, MAX_FORGOTTEN])?;
    Ok(())
}

/// The statements of each table, made once for a connection: a frame comes many times a second.
#[derive(Debug, Default)]
pub(crate) struct KnownTables(BTreeMap<String, TableStatements>);

impl KnownTables {
    /// That the tables of a segment are those of this database.
    fn learn_tables(&mut self, transaction: &Transaction<'_>, header: &SegmentHeader) -> Result<(), SegmentError> {
        for (name, columns) in &header.tables {
            if self.0.get(name).is_some_and(|known| known.table.columns == *columns) {
                continue;
            }
            let known = noted_table(transaction, name)?;
            if known.columns != *columns {
                return Err(SegmentError::Foreign(format!("table {name} has other columns")));
            }
            self.0.insert(name.clone(), TableStatements::new(known));
        }
        Ok(())
    }
}

struct RowStatements<'a> {
    transaction: &'a Transaction<'a>,
    header: &'a SegmentHeader,
    tables: &'a KnownTables,
    /// The number of the next note; none where changes aren't noted.
    next_note: Option<i64>,
}

#[derive(Debug)]
struct TableStatements {
    table: NotedTable,
    put: String,
    remove: String,
    note: String,
}

impl TableStatements {
    fn new(table: NotedTable) -> Self {
        let values = vec!["?"; table.columns.len()].join(", ");
        let named = table.columns.iter().map(|column| quote_name(column)).collect::<Vec<_>>().join(", ");
        let on = quote_name(&table.name);
        let put = format!("INSERT OR REPLACE INTO {on} ({named}) VALUES ({values})");
        let remove = format!("DELETE FROM {on} AS t WHERE {}", table.same_row("?1"));
        let note = table.note_sql();
        Self { table, put, remove, note }
    }
}

impl RowStatements<'_> {
    fn put_row(&mut self, table: &str, row: SegmentRow) -> Result<(), SegmentError> {
        let named = self.tables.0.get(table).filter(|_| self.header.tables.contains_key(table));
        let Some(statements) = named else {
            return Err(SegmentError::Damaged(format!("its first line doesn't name {table}")));
        };
        if let Some(number) = &mut self.next_note {
            let note = statements.table.note_values(*number, &row);
            self.transaction.prepare_cached(&statements.note)?.execute(params_from_iter(note))?;
            *number += 1;
        }
        match row {
            SegmentRow::Is(values) => {
                self.transaction.prepare_cached(&statements.put)?.execute(params_from_iter(values))?
            }
            SegmentRow::Gone(key) => {
                self.transaction.prepare_cached(&statements.remove)?.execute::<[Value; 1]>([key])?
            }
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
