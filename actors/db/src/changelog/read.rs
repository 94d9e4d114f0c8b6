//! Making a segment of what was noted.

use std::collections::BTreeMap;
use std::io::{self, BufWriter, IntoInnerError, Write};

use chrono::{DateTime, Utc};
use flate2::Compression;
use flate2::write::GzEncoder;
use flowlord_messages::changelog::{ChangeSegment, ChangeTail, chain_hex};
use rusqlite::{Connection, params};
use sha2::{Digest as _, Sha256};

use super::record::{NotedTable, noted_table, quote_name};
use super::segment::{FORMAT, JsonColumns, JsonValue, SegmentHeader, write_line};
use crate::column::to_unsigned;
use crate::schema::read_version;
use crate::sql::CachedSql as _;
use flowlord_domain::hex::to_hex;

const PACKED_AT_ONCE: usize = 16 << 10;

/// What was noted since the last segment, up to now; no segment of more than `most` notes.
pub(crate) fn read_tail(connection: &mut Connection, at: DateTime<Utc>, most: u64) -> rusqlite::Result<ChangeTail> {
    // All of it is of one moment.
    let moment = connection.transaction()?;
    let log = "SELECT chain, taken, digest, coalesce((SELECT max(seq) FROM row_change), 0) FROM row_log";
    let log: Option<(u64, i64, String, i64)> =
        moment.find_row(log, [], |row| Ok((to_unsigned(row.get(0)?), row.get(1)?, row.get(2)?, row.get(3)?)))?;
    let Some((log_chain, after, previous, upto)) = log else { return Ok(ChangeTail::default()) };
    let pending = u64::try_from(upto - after).unwrap_or_default();
    let mut tail = ChangeTail { chain: Some(log_chain), pending, segment: None };
    // Too many are left alone: the shipper begins a new log then, which is cheaper than one huge segment.
    if pending == 0 || pending > most {
        return Ok(tail);
    }
    let tables = tables_between(&moment, after, upto)?;
    let header = SegmentHeader {
        format: FORMAT,
        schema: read_version(&moment)?,
        chain: chain_hex(log_chain),
        after,
        upto,
        at,
        previous,
        tables: tables.iter().map(|table| (table.name.clone(), table.columns.clone())).collect(),
        sequences: read_sequences(&moment)?,
        shipped: None,
        check: None,
    };
    let bytes = pack_segment(&moment, &header, &tables)?;
    let digest = to_hex(&Sha256::digest(&bytes));
    tail.segment = Some(ChangeSegment { chain: log_chain, after, upto, at, digest, bytes });
    Ok(tail)
}

pub(super) fn table_names_between(moment: &Connection, after: i64, upto: i64) -> rusqlite::Result<Vec<String>> {
    let names = "SELECT DISTINCT tbl FROM row_change WHERE seq > ?1 AND seq <= ?2 ORDER BY tbl";
    moment.read_rows(names, [after, upto], |row| row.get(0))
}

fn tables_between(moment: &Connection, after: i64, upto: i64) -> rusqlite::Result<Vec<NotedTable>> {
    let names = table_names_between(moment, after, upto)?;
    names.iter().map(|name| noted_table(moment, name)).collect()
}

pub(super) fn read_sequences(moment: &Connection) -> rusqlite::Result<BTreeMap<String, i64>> {
    let sequences = "SELECT name, seq FROM sqlite_sequence";
    let sequences = moment.read_rows(sequences, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(sequences.into_iter().collect())
}

pub(super) fn pack_segment<'a>(
    moment: &Connection,
    header: &SegmentHeader,
    tables: impl IntoIterator<Item = &'a NotedTable>,
) -> rusqlite::Result<Vec<u8>> {
    // Fast rather than small: it runs every few seconds beside the writer.
    let packer = GzEncoder::new(Vec::new(), Compression::fast());
    // JSON comes in pieces of some bytes, and for each of them the packer would clear all of its output's room.
    let mut out = BufWriter::with_capacity(PACKED_AT_ONCE, packer);
    write_line(&mut out, header).map_err(pack_error)?;
    for table in tables {
        write_rows(moment, header, table, &mut out)?;
    }
    out.into_inner().map_err(IntoInnerError::into_error).and_then(GzEncoder::finish).map_err(pack_error)
}

fn write_rows(
    moment: &Connection,
    header: &SegmentHeader,
    table: &NotedTable,
    out: &mut impl Write,
) -> rusqlite::Result<()> {
    let rows = format!(
        "SELECT c.key, t.{} IS NULL, t.* FROM
         (SELECT DISTINCT key FROM row_change WHERE seq > ?1 AND seq <= ?2 AND tbl = ?3) AS c
         LEFT JOIN main.{} AS t ON {}",
        table.key.first().map(|column| quote_name(column)).unwrap_or_default(),
        quote_name(&table.name),
        table.same_row("c.key"),
    );
    let mut rows = moment.prepare_cached(&rows)?;
    let width = table.columns.len();
    let mut rows = rows.query(params![header.after, header.upto, table.name])?;
    while let Some(row) = rows.next()? {
        // A key column is never NULL in a row that is there, so it tells one that the join didn't find.
        let is_gone: bool = row.get(1)?;
        let written = if is_gone {
            write_line(out, &(&table.name, (), JsonValue(row.get_ref(0)?)))
        } else {
            write_line(out, &(&table.name, JsonColumns { row, first: 2, end: width + 2 }))
        };
        written.map_err(pack_error)?;
    }
    Ok(())
}

fn pack_error(err: io::Error) -> rusqlite::Error {
    // It writes into memory: only what can't be JSON goes wrong.
    rusqlite::Error::ToSqlConversionFailure(err.into())
}
