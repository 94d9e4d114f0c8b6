//! Keys that a template names and no row of its meta file has.

use std::collections::BTreeSet;
use std::fmt;

use crate::finding::did_you_mean;
use crate::template::{MetaRow, meta_keys};

/// The most keys of the rows that are named.
const MOST_NAMED: usize = 20;

/// The keys that have no value anywhere, beside those that there are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingKeys {
    /// Those that the template names.
    pub keys: Vec<String>,
    /// Those of the rows.
    pub found: Vec<String>,
}

impl MissingKeys {
    /// The keys of a template that neither a row has, nor `is_known` otherwise; none when all have a value somewhere,
    /// and where there are no rows: nothing starts then.
    pub fn of(template: &str, rows: &[MetaRow], is_known: impl Fn(&str) -> bool) -> Option<Self> {
        let mut keys = BTreeSet::from_iter(meta_keys(template));
        keys.retain(|key| !is_known(key) && rows.iter().all(|row| row.value_of(key).is_none()));
        if keys.is_empty() || rows.is_empty() {
            return None;
        }
        // Enough for a hint, however long the file is.
        let found: BTreeSet<&String> = rows.iter().take(1_000).flat_map(|row| row.0.keys()).collect();
        let found = found.into_iter().take(MOST_NAMED).cloned().collect();
        Some(Self { keys: keys.into_iter().collect(), found })
    }
}

impl fmt::Display for MissingKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hint = self.keys.first().map(|key| did_you_mean(key, self.found.iter().map(String::as_str)));
        let (keys, found) = (quote_keys(&self.keys), quote_keys(&self.found));
        write!(f, "no row has {keys}, which the template names; ")?;
        if self.found.is_empty() {
            return f.write_str("its rows have no keys at all");
        }
        write!(f, "the keys of its rows are {found}")?;
        match hint.unwrap_or_default() {
            hint if hint.is_empty() => f.write_str(": write the same key in both"),
            hint => f.write_str(&hint),
        }
    }
}

fn quote_keys(keys: &[String]) -> String {
    keys.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missing(template: &str, rows: &str) -> Option<String> {
        let rows = MetaRow::from_json_lines(rows).unwrap();
        MissingKeys::of(template, &rows, |key| key == "known").map(|missing| missing.to_string())
    }

    #[test]
    fn a_key_that_no_row_has_is_named_with_those_that_there_are() {
        assert_eq!(
            missing("{meta:table}/{meta:shard}/{dd}", "{\"Table\":1,\"id\":2}\n{\"x\":1}").unwrap(),
            "no row has `shard`, `table`, which the template names; the keys of its rows are `Table`, `id`, `x`: \
             write the same key in both"
        );
        let near = missing("{meta:table}", "{\"Table\":1}").unwrap();
        assert!(near.ends_with("the keys of its rows are `Table`: did you mean `Table`?"), "{near}");
        let none = MissingKeys::of("{meta:table}", &[MetaRow::default()], |_| false).unwrap().to_string();
        assert_eq!(none, "no row has `table`, which the template names; its rows have no keys at all");
    }

    #[test]
    fn a_key_that_some_row_has_or_that_is_known_is_not_missing() {
        assert_eq!(missing("{meta:a}{meta:b}{meta:known}", "{\"a\":1}\n{\"b\":\"\"}"), None);
        assert_eq!(missing("no key", "{\"a\":1}"), None);
        assert_eq!(missing("{meta:a}", ""), None, "nothing starts without rows");
    }

    #[test]
    fn of_many_keys_only_some_are_named_and_of_many_rows_the_first() {
        let many = (10..99).map(|n| format!("\"k{n}\":1")).collect::<Vec<_>>().join(",");
        let rows = MetaRow::from_json_lines(&format!("{{{many}}}")).unwrap();
        let found = MissingKeys::of("{meta:none}", &rows, |_| false).unwrap().found;
        assert_eq!((found.len(), found[0].as_str(), found[19].as_str()), (20, "k10", "k29"));
        let late = "{\"a\":1}\n".repeat(1_000) + "{\"b\":1}\n";
        let rows = MetaRow::from_json_lines(&late).unwrap();
        assert_eq!(MissingKeys::of("{meta:none}", &rows, |_| false).unwrap().found, ["a"], "a hint needs no more");
        assert_eq!(MissingKeys::of("{meta:b}", &rows, |_| false), None, "the last row has it");
    }
}
