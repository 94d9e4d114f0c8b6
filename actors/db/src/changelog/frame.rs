//! A *frame*: the segment of one transaction, which the cluster's log holds before the transaction is committed.

use std::collections::BTreeMap;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use flowlord_domain::hex::to_hex;
use flowlord_messages::changelog::chain_hex;
use flowlord_messages::cluster::AppendRows;
use rusqlite::Connection;
use sha2::{Digest as _, Sha256};

use super::check::RowChecks;
use super::log::read_log_point;
use super::read::{pack_segment, read_sequences, table_names_between};
use super::record::{NotedTable, noted_table};
use super::segment::{FORMAT, SegmentHeader, ShippedMark};
use crate::column::{to_signed, to_unsigned};
use crate::schema::read_version;
use crate::sql::CachedSql as _;

/// Makes the frame of each transaction of one connection.
#[derive(Debug)]
pub(crate) struct FramePacker {
    schema: usize,
    /// The last change that is committed.
    committed: i64,
    tables: BTreeMap<String, NotedTable>,
    checks: RowChecks,
}

impl FramePacker {
    /// For a connection that notes its changes, with no transaction open.
    pub(crate) fn open(connection: &Connection) -> rusqlite::Result<Self> {
        let (schema, committed) = (read_version(connection)?, last_change(connection)?);
        Ok(Self { schema, committed, tables: BTreeMap::new(), checks: RowChecks::default() })
    }

    /// What the open transaction changed; none where it changed nothing that others need.
    pub(crate) fn pack_changes(
        &mut self,
        connection: &Connection,
        at: DateTime<Utc>,
    ) -> rusqlite::Result<Option<AppendRows>> {
        let (after, upto) = (self.committed, last_change(connection)?);
        if after == upto {
            return Ok(None);
        }
        let header = self.header(connection, upto, at)?;
        let names = table_names_between(connection, after, upto)?;
        for name in &names {
            if !self.tables.contains_key(name) {
                self.tables.insert(name.clone(), noted_table(connection, name)?);
            }
        }
        let tables: Vec<_> = names.iter().filter_map(|name| self.tables.get(name)).collect();
        let header = SegmentHeader {
            tables: tables.iter().map(|table| (table.name.clone(), table.columns.clone())).collect(),
            check: self.checks.next_part(connection, at)?,
            ..header
        };
        let bytes = pack_segment(connection, &header, tables)?;
        let digest = to_hex(&Sha256::digest(&bytes));
        connection.run_sql("UPDATE row_log SET frame = ?1", [&digest])?;
        Ok(Some(AppendRows { digest, bytes: Bytes::from(bytes), at }))
    }

    fn header(&self, connection: &Connection, upto: i64, at: DateTime<Utc>) -> rusqlite::Result<SegmentHeader> {
        let sequences = read_sequences(connection)?;
        let log = "SELECT chain, taken, digest, frame FROM row_log";
        let (chain, taken, digest, previous): (i64, i64, String, String) =
            connection.read_row(log, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?;
        Ok(SegmentHeader {
            format: FORMAT,
            schema: self.schema,
            chain: chain_hex(to_unsigned(chain)),
            after: self.committed,
            upto,
            at,
            previous,
            tables: BTreeMap::new(),
            sequences,
            shipped: Some(ShippedMark { upto: taken, digest }),
            check: None,
        })
    }

    /// The open transaction is the log's entry of this number, and is committed next.
    pub(crate) fn note_entry(&mut self, connection: &Connection, entry: u64) -> rusqlite::Result<()> {
        connection.run_sql("UPDATE row_log SET entry = ?1", [to_signed(entry)])?;
        self.committed = last_change(connection)?;
        Ok(())
    }
}

fn last_change(connection: &Connection) -> rusqlite::Result<i64> {
    Ok(read_log_point(connection)?.map_or(0, |point| point.position))
}
