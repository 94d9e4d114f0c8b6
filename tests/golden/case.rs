//! Reading cases, counting verdicts.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use chrono::{DateTime, FixedOffset, Utc};
use flowlord_domain::{Ids, Uid};
use serde_json::Value;

use crate::departures::Departure;
use crate::shape::Shape;

/// What a check says about one case.
pub(crate) enum Verdict {
    /// As the reference.
    Same,
    /// Not as the reference, by this rule, and as the rule says.
    Departs(Departure),
    /// Wrong: what was expected, what came.
    Wrong(String),
}

impl Verdict {
    /// The same, or wrong.
    pub(crate) fn of<T: PartialEq + std::fmt::Debug>(expected: &T, got: &T) -> Self {
        if expected == got {
            Self::Same
        } else {
            Self::Wrong(format!("expected {expected:?}\n       got {got:?}"))
        }
    }

    /// A departure whose own expectation must hold.
    pub(crate) fn departs<T: PartialEq + std::fmt::Debug>(rule: Departure, wanted: &T, got: &T) -> Self {
        match Self::of(wanted, got) {
            Self::Same => Self::Departs(rule),
            wrong => wrong,
        }
    }

    /// Wrong unless it holds.
    pub(crate) fn holds(it: bool, got: impl std::fmt::Debug) -> Self {
        if it { Self::Same } else { Self::Wrong(format!("got {got:?}")) }
    }
}

/// One case.
pub(crate) struct Case<'a> {
    pub(crate) setup: &'a Value,
    pub(crate) input: &'a Value,
    pub(crate) expected: &'a Value,
    pub(crate) error: Option<&'a str>,
}

impl Case<'_> {
    /// A text of the input; empty when it is missing.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.input[name].as_str().unwrap_or_default()
    }
}

/// The folder of the cases.
pub(crate) struct Folder {
    path: PathBuf,
    /// Other cases than our own: such a folder need not have every file.
    other: bool,
}

impl Folder {
    /// The one that `FLOWLORD_GOLDEN` names, or our own.
    pub(crate) fn chosen() -> Self {
        let own = || concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden").into();
        let other = std::env::var_os("FLOWLORD_GOLDEN");
        Self { other: other.is_some(), path: other.map_or_else(own, PathBuf::from) }
    }

    /// Files of cases that no check knows.
    pub(crate) fn unknown(&self, known: &[&str]) -> Vec<String> {
        let entries =
            std::fs::read_dir(&self.path).unwrap_or_else(|e| panic!("{}: {e}", self.path.display()));
        let names = entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned());
        let mut names: Vec<String> = names.filter(|name| name.to_lowercase().ends_with(".json")).collect();
        names.retain(|name| !known.contains(&name.as_str()));
        names.sort();
        names
    }

    /// A file of the shape; None when another folder has none.
    fn read(&self, name: &str, shape: &Shape) -> Option<Value> {
        let path = self.path.join(name);
        if self.other && !path.exists() {
            return None;
        }
        let file = json(&path);
        let unknown = shape.unknown(&file);
        assert!(unknown.is_empty(), "{name}: not the shape that its check reads\n{}", unknown.join("\n"));
        Some(file)
    }
}

fn json(path: &Path) -> Value {
    let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Runs a check over a file and fails with all that is wrong.
#[expect(clippy::print_stdout, reason = "the counts are what a person runs this for")]
pub(crate) fn run(name: &str, shape: &Shape, check: impl Fn(&Case<'_>) -> Verdict) {
    let Some(file) = Folder::chosen().read(name, shape) else {
        println!("{name}: not in this folder");
        return;
    };
    let cases = file["cases"].as_array().expect("cases");
    let (mut same, mut departures, mut wrong) = (0, BTreeMap::new(), Vec::new());
    for case in cases {
        let parts = Case {
            setup: &file["setup"],
            input: &case["input"],
            expected: &case["expected"],
            error: case["error"].as_str(),
        };
        match check(&parts) {
            Verdict::Same => same += 1,
            Verdict::Departs(rule) => *departures.entry(rule).or_insert(0) += 1,
            Verdict::Wrong(why) => wrong.push(format!("{}\n  {why}", case["name"])),
        }
    }
    let departing: usize = departures.values().sum();
    let rules: String = departures.iter().map(|(rule, count)| format!("\n  {count} x {rule}")).collect();
    println!("{name}: {}/{}, departures {departing}{rules}", same + departing, cases.len());
    assert!(wrong.is_empty(), "{name}: {} wrong\n{}", wrong.len(), wrong.join("\n"));
}

/// A time with its zone.
pub(crate) fn zoned(text: &str) -> DateTime<FixedOffset> {
    DateTime::parse_from_rfc3339(text).unwrap_or_else(|e| panic!("{text}: {e}"))
}

/// A time in UTC.
pub(crate) fn at(text: &str) -> DateTime<Utc> {
    zoned(text).with_timezone(&Utc)
}

/// A time as the cases write it; Go's zero time for none.
pub(crate) fn go_time(time: Option<DateTime<Utc>>) -> String {
    let zero = || "0001-01-01T00:00:00Z".to_owned();
    time.map_or_else(zero, |time| time.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true))
}

/// Whether a text has a zone other than UTC.
pub(crate) fn is_elsewhere(text: &str) -> bool {
    zoned(text).offset().local_minus_utc() != 0
}

/// Ids that count.
#[derive(Default)]
pub(crate) struct TestIds {
    uids: i64,
    random: u64,
}

impl Ids for TestIds {
    fn uid(&mut self, now: DateTime<Utc>) -> Uid {
        self.uids += 1;
        Uid(now.timestamp_micros() + self.uids)
    }

    fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.random
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Another folder, with these files.
    fn folder(files: &[(&str, &str)]) -> (tempfile::TempDir, Folder) {
        let dir = tempfile::tempdir().expect("a folder");
        for (name, text) in files {
            std::fs::write(dir.path().join(name), text).expect("a file");
        }
        let path = dir.path().to_owned();
        (dir, Folder { path, other: true })
    }

    #[test]
    fn an_unknown_file_is_found() {
        let (_dir, folder) =
            folder(&[("known.json", ""), ("other.json", ""), ("SHOUTED.JSON", ""), ("README.md", "")]);
        assert_eq!(folder.unknown(&["known.json"]), ["SHOUTED.JSON", "other.json"]);
    }

    #[test]
    fn a_file_may_be_missing_in_another_folder() {
        let (_dir, folder) = folder(&[]);
        assert_eq!(folder.read("a.json", &SHAPE), None);
    }

    const SHAPE: Shape = Shape::of(crate::shape::Form::Keys(&["a"]), &[]);

    #[test]
    #[should_panic(expected = "input: unknown key \"b\"")]
    fn a_file_of_another_shape_fails_its_test() {
        let (_dir, folder) =
            folder(&[("a.json", r#"{"cases": [{"name": "one", "input": {"b": 1}, "expected": null}]}"#)]);
        folder.read("a.json", &SHAPE);
    }
}
