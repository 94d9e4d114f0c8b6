//! How a segment is written: packed lines of JSON. The first one says what it is, each other one is a row.

use flowlord_domain::hex::to_hex;
use std::collections::BTreeMap;
use std::io::{self, Write};

use chrono::{DateTime, Utc};
use rusqlite::Row;
use rusqlite::types::{Value, ValueRef};
use serde::ser::{Error as _, SerializeSeq as _};
use serde::{Deserialize, Serialize, Serializer};

pub(super) const FORMAT: u32 = 1;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SegmentHeader {
    pub(super) format: u32,
    pub(super) schema: usize,
    pub(super) chain: String,
    pub(super) after: i64,
    pub(super) upto: i64,
    /// It holds what was answered before.
    pub(super) at: DateTime<Utc>,
    /// The SHA-256 of the segment before; empty for the first one.
    pub(super) previous: String,
    /// The columns of the tables that it holds rows of.
    pub(super) tables: BTreeMap<String, Vec<String>>,
    /// The highest numbers ever given.
    pub(super) sequences: BTreeMap<String, i64>,
    /// In a frame: what the backup's place holds of the log by then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) shipped: Option<ShippedMark>,
    /// In some frames: what the leader has, besides, once it is committed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) check: Option<CheckedRows>,
}

/// Up to where segments in the backup's place hold a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ShippedMark {
    pub(super) upto: i64,
    /// The SHA-256 of the last one.
    pub(super) digest: String,
}

/// Where a part of the database begins: after this key of this table. The tables follow each other by name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RowPosition {
    pub(super) table: String,
    pub(super) after: Vec<serde_json::Value>,
}

/// A part of the database as the leader has it once the transaction is committed that tells of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct CheckedRows {
    pub(super) from: RowPosition,
    /// How many rows, where there are so many.
    pub(super) most: usize,
    /// Their SHA-256, in hex.
    pub(super) digest: String,
}

/// A row as it is, or its key where it is gone.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum SegmentRow {
    Is(Vec<Value>),
    Gone(Value),
}

pub(super) fn write_line(out: &mut impl Write, line: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, line)?;
    out.write_all(b"\n")
}

/// A value of a row. What JSON can't hold to the last bit is an object that says how it is written.
pub(super) struct JsonValue<'a>(pub(super) ValueRef<'a>);

impl Serialize for JsonValue<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            ValueRef::Null => serializer.serialize_unit(),
            ValueRef::Integer(number) => serializer.serialize_i64(number),
            ValueRef::Real(number) => serializer.collect_map([("real", format!("{:016x}", number.to_bits()))]),
            ValueRef::Text(text) => match std::str::from_utf8(text) {
                Ok(text) => serializer.serialize_str(text),
                Err(_) => serializer.collect_map([("text", to_hex(text))]),
            },
            ValueRef::Blob(bytes) => serializer.collect_map([("blob", to_hex(bytes))]),
        }
    }
}

/// The columns of a row from the `first` one on. Written as it is read: a frame is made while others wait for it.
pub(super) struct JsonColumns<'a, 'rows> {
    pub(super) row: &'a Row<'rows>,
    pub(super) first: usize,
    pub(super) end: usize,
}

impl Serialize for JsonColumns<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut values = serializer.serialize_seq(Some(self.end - self.first))?;
        for nth in self.first..self.end {
            values.serialize_element(&JsonValue(self.row.get_ref(nth).map_err(S::Error::custom)?))?;
        }
        values.end()
    }
}

/// The value that [`JsonValue`] wrote; none when it isn't one.
pub(super) fn from_json(value: &serde_json::Value) -> Option<Value> {
    Some(match value {
        serde_json::Value::Null => Value::Null,
        // Only integers are written as numbers.
        serde_json::Value::Number(number) => Value::Integer(number.as_i64()?),
        serde_json::Value::String(text) => Value::Text(text.clone()),
        serde_json::Value::Object(written) => {
            let (how, what) = written.iter().next()?;
            let bytes = from_hex(what.as_str()?)?;
            match how.as_str() {
                // As bits, since a decimal text may not read back as the same number.
                "real" => Value::Real(f64::from_bits(u64::from_be_bytes(bytes.try_into().ok()?))),
                "blob" => Value::Blob(bytes),
                // Text that isn't UTF-8 can't be bound as text: no statement of ours stores any.
                "text" => Value::Text(String::from_utf8_lossy(&bytes).into_owned()),
                _ => return None,
            }
        }
        _ => return None,
    })
}

/// The table and the row of a line; none when it isn't one.
pub(super) fn read_row(line: &str) -> Option<(String, SegmentRow)> {
    let parts: Vec<serde_json::Value> = serde_json::from_str(line).ok()?;
    let table = parts.first()?.as_str()?.to_owned();
    let row = match parts.get(1)? {
        serde_json::Value::Array(values) => SegmentRow::Is(values.iter().map(from_json).collect::<Option<_>>()?),
        serde_json::Value::Null => SegmentRow::Gone(from_json(parts.get(2)?)?),
        _ => return None,
    };
    Some((table, row))
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let pairs = text.as_bytes().chunks(2);
    pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}
