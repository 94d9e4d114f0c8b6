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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A value as it is written.
    fn written(value: &Value) -> serde_json::Value {
        serde_json::to_value(JsonValue(value.into())).unwrap()
    }

    fn read(line: &str) -> Option<(String, SegmentRow)> {
        read_row(line)
    }

    #[test]
    fn values_are_written_so_that_they_are_read_to_the_last_bit() {
        for (value, text) in [
            (Value::Null, "null"),
            (Value::Integer(i64::MIN), "-9223372036854775808"),
            (Value::Integer(i64::MAX), "9223372036854775807"),
            (Value::Real(0.1), r#"{"real":"3fb999999999999a"}"#),
            (Value::Real(-0.), r#"{"real":"8000000000000000"}"#),
            (Value::Text("a\"\n\u{0}ü".to_owned()), "\"a\\\"\\n\\u0000ü\""),
            (Value::Blob(vec![0, 255]), r#"{"blob":"00ff"}"#),
            (Value::Blob(Vec::new()), r#"{"blob":""}"#),
        ] {
            assert_eq!(written(&value).to_string(), text);
            let back = from_json(&written(&value)).unwrap();
            assert_eq!(written(&back), written(&value), "{text}");
        }
        let no_number = Value::Real(f64::NAN);
        let Some(Value::Real(back)) = from_json(&written(&no_number)) else { panic!("a real") };
        assert_eq!(back.to_bits(), f64::NAN.to_bits());
    }

    #[test]
    fn a_text_that_is_not_utf_8_is_written_by_its_bytes() {
        let value = serde_json::to_value(JsonValue(ValueRef::Text(b"caf\xe9"))).unwrap();
        assert_eq!(value.to_string(), r#"{"text":"636166e9"}"#);
        assert_eq!(from_json(&value), Some(Value::Text("caf\u{fffd}".to_owned())));
    }

    #[test]
    fn a_line_is_a_row_or_the_key_of_one_that_is_gone() {
        let row = SegmentRow::Is(vec![Value::Integer(1), Value::Null, Value::Text("x".to_owned())]);
        assert_eq!(read(r#"["task",[1,null,"x"]]"#), Some(("task".to_owned(), row)));
        let gone = SegmentRow::Gone(Value::Text("key".to_owned()));
        assert_eq!(read(r#"["name",null,"key"]"#), Some(("name".to_owned(), gone)));
        assert_eq!(read(r#"["empty",[]]"#), Some(("empty".to_owned(), SegmentRow::Is(Vec::new()))));
    }

    #[test]
    fn what_no_leader_writes_is_no_row() {
        for line in [
            "",
            "{}",
            "[]",
            r#"["task"]"#,
            r#"[1,[1]]"#,
            r#"["task",5]"#,
            r#"["task",null]"#,
            r#"["task",[true]]"#,
            r#"["task",[1.5]]"#,
            r#"["task",[[1]]]"#,
            r#"["task",[{}]]"#,
            r#"["task",[{"real":"00"}]]"#,
            r#"["task",[{"real":1}]]"#,
            r#"["task",[{"blob":"zz"}]]"#,
            r#"["task",[{"other":"00"}]]"#,
            r#"["task",[18446744073709551615]]"#,
            r#"["task",[1]"#,
        ] {
            assert_eq!(read(line), None, "{line}");
        }
    }

    #[test]
    fn heads_of_older_segments_lack_what_frames_have() {
        let head = r#"{"format":1,"schema":7,"chain":"07","after":0,"upto":9,"at":"2026-03-02T12:00:00Z","previous":"",
                       "tables":{"task":["uid"]},"sequences":{"task":9}}"#;
        let header: SegmentHeader = serde_json::from_str(head).unwrap();
        assert_eq!((header.shipped.clone(), header.check.clone(), header.upto), (None, None, 9));
        let mut line = Vec::new();
        write_line(&mut line, &header).unwrap();
        let line = String::from_utf8(line).unwrap();
        assert!(line.ends_with("}\n") && !line.contains("shipped") && !line.contains("check"), "{line}");
        assert_eq!(serde_json::from_str::<SegmentHeader>(&line).unwrap(), header);
    }

    proptest! {
        #[test]
        fn any_row_is_read_as_it_was_written(
            numbers in proptest::collection::vec(any::<i64>(), 0..4),
            bits: u64,
            text: String,
            bytes: Vec<u8>,
        ) {
            let mut values: Vec<Value> = numbers.into_iter().map(Value::Integer).collect();
            values.extend([Value::Real(f64::from_bits(bits)), Value::Text(text), Value::Blob(bytes), Value::Null]);
            let line = serde_json::json!(["t", values.iter().map(written).collect::<Vec<_>>()]).to_string();
            let Some((table, SegmentRow::Is(back))) = read(&line) else { panic!("{line}") };
            prop_assert_eq!(table, "t");
            // By what is written of them: one that is no number isn't itself.
            let [back, values] = [back, values].map(|row| row.iter().map(written).collect::<Vec<_>>());
            prop_assert_eq!(back, values);
        }

        #[test]
        fn no_line_panics(line: String) {
            let _ = read(&line);
        }
    }
}
