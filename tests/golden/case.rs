//! Reading cases, counting verdicts.

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use chrono::{DateTime, FixedOffset, Utc};
use flowlord_domain::{IdSource, Uid};
use serde_json::Value;

use crate::departures::Departure;
use crate::masks::is_like;
use crate::shape::Shape;

/// What a check says about one case.
pub(crate) enum Verdict {
    Same,
    /// Not as the reference, by this rule, and as the rule says.
    Departs(Departure),
    /// Wrong: what was expected, what came.
    Wrong(String),
}

impl Verdict {
    /// The same, or wrong.
    pub(crate) fn of<T: PartialEq + std::fmt::Debug>(expected: &T, got: &T) -> Self {
        if expected == got { Self::Same } else { Self::Wrong(format!("expected {expected:?}\n       got {got:?}")) }
    }

    /// A departure whose own expectation must hold.
    pub(crate) fn departs<T: PartialEq + std::fmt::Debug>(rule: Departure, wanted: &T, got: &T) -> Self {
        match Self::of(wanted, got) {
            Self::Same => Self::Departs(rule),
            wrong => wrong,
        }
    }

    /// The same but for its masks, or wrong.
    pub(crate) fn like(expected: &Value, got: &Value) -> Self {
        if is_like(expected, got) { Self::Same } else { Self::of(&expected.to_string(), &got.to_string()) }
    }

    /// Wrong unless it holds.
    pub(crate) fn holds(it: bool, got: impl std::fmt::Debug) -> Self {
        if it { Self::Same } else { Self::Wrong(format!("got {got:?}")) }
    }
}

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

/// The values of a list. Go writes null for one that nothing was ever put into.
pub(crate) fn list(value: &Value) -> &[Value] {
    match value {
        Value::Null => &[],
        value => value.as_array().unwrap_or_else(|| panic!("no list: {value}")),
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

    /// Cases that were written by hand, in each form that a recorder may give to those of a kind.
    fn variations() -> Self {
        Self { path: concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/variations").into(), other: true }
    }

    /// Files of cases that no check knows.
    pub(crate) fn unknown(&self, known: &[&str]) -> Vec<String> {
        let entries = std::fs::read_dir(&self.path).unwrap_or_else(|e| panic!("{}: {e}", self.path.display()));
        let names = entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned());
        let mut names: Vec<String> = names.filter(|name| name.to_lowercase().ends_with(".json")).collect();
        names.retain(|name| !known.contains(&name.as_str()));
        names.sort();
        names
    }

    /// How many cases all files hold together, and whether they are our own.
    pub(crate) fn count(&self, known: &[&str]) -> (usize, bool) {
        let files = known.iter().map(|name| self.path.join(name)).filter(|path| path.exists());
        (files.map(|path| list(&json(&path)["cases"]).len()).sum(), !self.other)
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

/// What became of the cases of a file.
#[derive(Debug, Default)]
struct Tally {
    same: usize,
    departures: BTreeMap<Departure, usize>,
    wrong: Vec<String>,
}

impl Tally {
    fn of(file: &Value, check: impl Fn(&Case<'_>) -> Verdict) -> Self {
        let mut tally = Self::default();
        for (case, verdict) in verdicts(file, check) {
            match verdict {
                Verdict::Same => tally.same += 1,
                Verdict::Departs(rule) => *tally.departures.entry(rule).or_insert(0) += 1,
                Verdict::Wrong(why) => tally.wrong.push(format!("{}\n  {why}", case["name"])),
            }
        }
        tally
    }

    fn departing(&self) -> usize {
        self.departures.values().sum()
    }
}

/// Asks a check about each case. One that makes it panic is wrong, and the others are still run.
fn verdicts(file: &Value, check: impl Fn(&Case<'_>) -> Verdict) -> impl Iterator<Item = (&Value, Verdict)> {
    list(&file["cases"]).iter().map(move |case| {
        let parts = Case {
            setup: &file["setup"],
            input: &case["input"],
            expected: &case["expected"],
            error: case["error"].as_str(),
        };
        let verdict = catch_unwind(AssertUnwindSafe(|| check(&parts)));
        let panicked = |panic: Box<dyn Any + Send>| Verdict::Wrong(format!("panicked: {}", text_of(&*panic)));
        (case, verdict.unwrap_or_else(panicked))
    })
}

/// Runs a check over the variations of a file, if there are any: their notes say what becomes of each. Answers how many
/// there are.
pub(crate) fn run_variations(name: &str, shape: &Shape, check: impl Fn(&Case<'_>) -> Verdict) -> usize {
    let Some(file) = Folder::variations().read(name, shape) else { return 0 };
    let mut count = 0;
    for (case, verdict) in verdicts(&file, check) {
        let (became, why) = match verdict {
            Verdict::Same => ("same", String::new()),
            Verdict::Departs(rule) => (rule.when(), String::new()),
            Verdict::Wrong(why) => ("wrong", why),
        };
        assert_eq!(case["note"], became, "{name}, {}: {why}", case["name"]);
        count += 1;
    }
    count
}

/// What a panic says.
fn text_of(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a word")
}

/// Runs a check over a file and fails with all that is wrong. Answers how many cases were run.
#[expect(clippy::print_stdout, reason = "the counts are what a person runs this for")]
pub(crate) fn run(name: &str, shape: &Shape, check: impl Fn(&Case<'_>) -> Verdict) -> usize {
    let Some(file) = Folder::chosen().read(name, shape) else {
        println!("{name}: not in this folder");
        return 0;
    };
    let tally = Tally::of(&file, check);
    let Tally { same, departures, wrong } = &tally;
    let (departing, count) = (tally.departing(), list(&file["cases"]).len());
    let rules: String = departures.iter().map(|(rule, count)| format!("\n  {count} x {rule}")).collect();
    println!("{name}: {}/{count}, departures {departing}{rules}", same + departing);
    assert!(wrong.is_empty(), "{name}: {} wrong\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(same + departing, count, "{name}: cases that weren't run");
    count
}

/// A time of a task; Go's zero time where there is none.
pub(crate) fn at_or_zero(text: &str) -> DateTime<Utc> {
    if text.is_empty() { at(ZERO_TIME) } else { at(text) }
}

const ZERO_TIME: &str = "0001-01-01T00:00:00Z";

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
    let zero = || ZERO_TIME.to_owned();
    time.map_or_else(zero, |time| time.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true))
}

/// Whether a text has a zone other than UTC.
pub(crate) fn is_elsewhere(text: &str) -> bool {
    zoned(text).offset().local_minus_utc() != 0
}

#[derive(Default)]
pub(crate) struct TestIds {
    uids: i64,
    random: u64,
}

impl IdSource for TestIds {
    fn next_uid(&mut self, now: DateTime<Utc>) -> Uid {
        self.uids += 1;
        Uid(now.timestamp_micros() + self.uids)
    }

    fn random_bits(&mut self) -> u64 {
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
        let (_dir, folder) = folder(&[("known.json", ""), ("other.json", ""), ("SHOUTED.JSON", ""), ("README.md", "")]);
        assert_eq!(folder.unknown(&["known.json"]), ["SHOUTED.JSON", "other.json"]);
    }

    #[test]
    fn a_file_may_be_missing_in_another_folder() {
        let (_dir, folder) = folder(&[]);
        assert_eq!(folder.read("a.json", &SHAPE), None);
    }

    #[test]
    fn each_case_gets_a_verdict_and_one_that_panics_is_named() {
        let file = serde_json::json!({ "cases": [
            { "name": "one", "input": "same" }, { "name": "two", "input": "panic" },
            { "name": "three", "input": "wrong" }, { "name": "four", "input": "departs" },
        ]});
        let tally = Tally::of(&file, |case| match case.input.as_str().expect("a text") {
            "same" => Verdict::Same,
            "departs" => Verdict::Departs(crate::departures::YEARS),
            "panic" => panic!("of case {}", 2),
            other => Verdict::Wrong(other.to_owned()),
        });
        assert_eq!((tally.same, tally.departing()), (1, 1));
        assert_eq!(tally.wrong, ["\"two\"\n  panicked: of case 2", "\"three\"\n  wrong"]);
    }

    #[test]
    fn null_is_a_list_of_nothing_and_a_missing_time_is_go_s_zero_time() {
        assert!(list(&Value::Null).is_empty());
        assert_eq!(list(&serde_json::json!([1])).len(), 1);
        assert_eq!(go_time(Some(at_or_zero(""))), ZERO_TIME);
    }

    #[test]
    #[should_panic(expected = "no list: {}")]
    fn an_object_is_no_list() {
        list(&serde_json::json!({}));
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
