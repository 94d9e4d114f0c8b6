//! Rows: those of meta files, which are JSON lines or CSV with a header, and those of lists.

use std::collections::BTreeMap;

use crate::bom;
use crate::template::{MetaRow, MetaRowError};

/// How a meta file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowFormat {
    /// A line is one JSON object.
    JsonLines,
    /// The first line names the keys, between commas, semicolons or tabs.
    Csv,
}

impl RowFormat {
    /// By the file's name, whatever it is packed with.
    pub fn of_file(name: &str) -> Self {
        let name = name.to_ascii_lowercase();
        let plain = name.strip_suffix(".gz").unwrap_or(&name); // files are unpacked before they are read
        if plain.ends_with(".csv") || plain.ends_with(".tsv") { Self::Csv } else { Self::JsonLines }
    }
}

/// Lists that don't fit together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("inconsistent lengths in meta {first} != {second}: give each list the same number of values")]
pub struct ListLengthError {
    first: usize,
    second: usize,
}

/// Zips lists by position: the nth row has the nth value of each key.
pub fn zip_lists(lists: &BTreeMap<String, Vec<String>>) -> Result<Vec<MetaRow>, ListLengthError> {
    let Some(first) = lists.values().next().map(Vec::len) else { return Ok(Vec::new()) };
    if let Some(other) = lists.values().find(|list| list.len() != first) {
        return Err(ListLengthError { first, second: other.len() });
    }
    let rows = (0..first).map(|n| lists.iter().map(|(key, list)| (key.clone(), list[n].clone())).collect());
    Ok(rows.map(MetaRow).collect())
}

/// Reads rows into `rows`, which may hold `most` in the end.
pub fn read_rows(form: RowFormat, text: &str, most: usize, rows: &mut Vec<MetaRow>) -> Result<(), MetaRowError> {
    let text = bom::skip_mark(text);
    match form {
        RowFormat::JsonLines => {
            for row in MetaRow::each_json_line(text) {
                push_row(row?, most, rows)?;
            }
            Ok(())
        }
        RowFormat::Csv => read_csv(text, most, rows),
    }
}

fn push_row(row: MetaRow, most: usize, rows: &mut Vec<MetaRow>) -> Result<(), MetaRowError> {
    if rows.len() >= most {
        return Err(MetaRowError::TooMany { most });
    }
    rows.push(row);
    Ok(())
}

fn read_csv(text: &str, most: usize, rows: &mut Vec<MetaRow>) -> Result<(), MetaRowError> {
    // Lengths are compared here, for a text that says which line.
    let mut reader =
        csv::ReaderBuilder::new().flexible(true).delimiter(find_delimiter(text)).from_reader(text.as_bytes());
    let header = reader.headers().map_err(|err| csv_error(&err))?.clone();
    let keys: Vec<_> = header.iter().map(str::trim).collect();
    // An empty file has no rows, and that is fine.
    if keys.iter().any(|key| key.is_empty()) && !text.trim().is_empty() {
        return Err(MetaRowError::NoHeader);
    }
    let mut record = csv::StringRecord::new();
    while reader.read_record(&mut record).map_err(|err| csv_error(&err))? {
        // Spreadsheets leave such lines at the end.
        if record.iter().all(|value| value.trim().is_empty()) {
            continue;
        }
        if record.len() != keys.len() {
            let line = record.position().map_or(0, csv::Position::line);
            return Err(MetaRowError::Values { line, values: record.len(), keys: keys.len() });
        }
        let pairs = keys.iter().zip(&record).map(|(key, value)| ((*key).to_owned(), value.to_owned()));
        push_row(MetaRow(pairs.collect()), most, rows)?;
    }
    Ok(())
}

/// What stands between the keys of the first line: a comma where there is one, else a semicolon, else a tab.
fn find_delimiter(text: &str) -> u8 {
    let mut is_quoted = false;
    let mut header = text.lines().next().unwrap_or_default().as_bytes().to_vec();
    header.retain(|byte| {
        is_quoted ^= *byte == b'"';
        !is_quoted
    });
    // Where the comma is the decimal sign, spreadsheets write semicolons.
    [b',', b';', b'\t'].into_iter().find(|byte| header.contains(byte)).unwrap_or(b',')
}

fn csv_error(err: &csv::Error) -> MetaRowError {
    MetaRowError::Csv { problem: err.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(form: RowFormat, text: &str) -> Result<Vec<Vec<(String, String)>>, String> {
        let mut rows = Vec::new();
        read_rows(form, text, 3, &mut rows).map_err(|err| err.to_string())?;
        Ok(rows.into_iter().map(|row| row.0.into_iter().collect()).collect())
    }

    fn row(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn the_form_goes_by_the_name() {
        for (name, form) in [
            ("a.csv", RowFormat::Csv),
            ("s3://b/a.CSV.gz", RowFormat::Csv),
            ("a.tsv", RowFormat::Csv),
            ("a.json", RowFormat::JsonLines),
            ("a.jsonl.gz", RowFormat::JsonLines),
            ("csv", RowFormat::JsonLines),
        ] {
            assert_eq!(RowFormat::of_file(name), form, "{name}");
        }
    }

    #[test]
    fn a_header_names_the_keys_of_csv() {
        let text = "\u{feff}table, shard\r\norders,1\r\n\"a,\"\"b\"\"\n\",\n";
        assert_eq!(
            rows(RowFormat::Csv, text).unwrap(),
            [row(&[("shard", "1"), ("table", "orders")]), row(&[("shard", ""), ("table", "a,\"b\"\n")])]
        );
        assert!(rows(RowFormat::Csv, "").unwrap().is_empty());
        assert!(rows(RowFormat::Csv, "a,b\n").unwrap().is_empty());
        assert_eq!(rows(RowFormat::JsonLines, "\u{feff}{\"a\":1}\n").unwrap(), [row(&[("a", "1")])]);
    }

    #[test]
    fn semicolons_and_tabs_separate_where_the_header_has_no_comma() {
        let wanted = [row(&[("shard", "1"), ("table", "a,b")])];
        for text in ["table;shard\na,b;1\n", "\u{feff}table\tshard\r\na,b\t1\r\n", "table,shard\n\"a,b\",1\n"] {
            assert_eq!(rows(RowFormat::Csv, text).unwrap(), wanted, "{text:?}");
        }
        let one = |key: &str, value: &str| vec![row(&[(key, value)])];
        assert_eq!(rows(RowFormat::Csv, "\"a;b\"\n1;2\n").unwrap(), one("a;b", "1;2"));
        assert_eq!(rows(RowFormat::Csv, "table\nx;y\n").unwrap(), one("table", "x;y"));
    }

    #[test]
    fn rows_that_are_empty_in_every_column_are_left_out() {
        let wanted = [row(&[("shard", ""), ("table", "orders")])];
        for end in [",\n", " , \n", ",,,\n", "\"\",\"\"\n,\n", ""] {
            let text = format!("table,shard\norders,\n{end}");
            assert_eq!(rows(RowFormat::Csv, &text).unwrap(), wanted, "{text:?}");
        }
        assert_eq!(rows(RowFormat::Csv, "table;shard\norders;\n;\n").unwrap(), wanted);
    }

    #[test]
    fn what_is_no_row_names_its_line() {
        for (form, text, said) in [
            (RowFormat::Csv, "a,b\n1,2\n3\n", "line 3: 1 values, but the first line names 2 keys"),
            (RowFormat::Csv, "a,b\n1,2,3\n", "line 2: 3 values, but the first line names 2 keys"),
            (RowFormat::Csv, "a,,b\n1,2,3\n", "the first line of a CSV file names the keys: one of them is empty"),
            (RowFormat::Csv, "a\n1\n2\n3\n4\n", "more than 3 rows: split the file"),
            (RowFormat::JsonLines, "{}\n{}\n\n{}\n{}\n", "more than 3 rows: split the file"),
            (RowFormat::JsonLines, "{}\n1\n", "line 2: not an object"),
        ] {
            let err = rows(form, text).unwrap_err();
            assert!(err.starts_with(said), "{text:?}: {err}");
        }
    }

    #[test]
    fn a_comma_between_quotes_separates_no_keys() {
        assert_eq!(
            rows(RowFormat::Csv, "\"a,x\";b\n1;2\n").unwrap(),
            [row(&[("a,x", "1"), ("b", "2")])],
            "the semicolon outside of the quotes does"
        );
        assert_eq!(rows(RowFormat::Csv, "a\n1\n2\n3\n").unwrap().len(), 3, "as many as may be");
    }

    #[test]
    fn lists_are_zipped_by_position() {
        let lists = |lists: &[(&str, &[&str])]| {
            let list =
                |(key, list): &(&str, &[&str])| ((*key).to_owned(), list.iter().map(|v| (*v).to_owned()).collect());
            zip_lists(&lists.iter().map(list).collect()).map_err(|err| err.to_string())
        };
        assert_eq!(lists(&[]), Ok(vec![]));
        let rows = lists(&[("a", &["1", "2"]), ("b", &["x", "y"])]).unwrap();
        let texts: Vec<_> = rows.iter().map(|row| format!("{}{}", row.0["a"], row.0["b"])).collect();
        assert_eq!(texts, ["1x", "2y"]);
        let wrong = lists(&[("a", &["1"]), ("b", &["x", "y"])]).unwrap_err();
        assert_eq!(wrong, "inconsistent lengths in meta 1 != 2: give each list the same number of values");
    }
}
