//! Reading cases, counting verdicts.

use std::path::PathBuf;

use chrono::{DateTime, FixedOffset, Utc};
use flowlord_domain::{Ids, Uid};
use serde_json::Value;

/// What a check says about one case.
pub(crate) enum Verdict {
    /// As the reference.
    Same,
    /// Not as the reference, by this rule, and as the rule says.
    Departs(&'static str),
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
    pub(crate) fn departs<T: PartialEq + std::fmt::Debug>(rule: &'static str, wanted: &T, got: &T) -> Self {
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

/// A file of cases.
pub(crate) struct File {
    setup: Value,
    cases: Vec<Value>,
}

impl File {
    fn folder() -> PathBuf {
        match std::env::var_os("FLOWLORD_GOLDEN") {
            Some(folder) => PathBuf::from(folder),
            None => PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden"),
        }
    }

    /// The files that are there.
    pub(crate) fn names() -> Vec<String> {
        let entries = std::fs::read_dir(Self::folder()).expect("the folder of golden cases");
        let names = entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned());
        names.filter(|name| name.ends_with(".json")).collect()
    }

    /// None when another folder has no such file.
    fn read(name: &str) -> Option<Self> {
        let path = Self::folder().join(name);
        if !path.exists() && std::env::var_os("FLOWLORD_GOLDEN").is_some() {
            return None;
        }
        let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let mut file: Value = serde_json::from_str(&text).expect("golden JSON");
        let cases = file["cases"].take().as_array().expect("cases").clone();
        Some(Self { setup: file["setup"].take(), cases })
    }
}

/// Runs a check over a file and fails with all that is wrong.
#[expect(clippy::print_stdout, reason = "the counts are what a person runs this for")]
pub(crate) fn run(name: &str, check: impl Fn(&Case<'_>) -> Verdict) {
    let Some(file) = File::read(name) else {
        println!("{name}: not in this folder");
        return;
    };
    let (mut same, mut departures, mut wrong) = (0, std::collections::BTreeMap::new(), Vec::new());
    for case in &file.cases {
        let parts = Case {
            setup: &file.setup,
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
    println!("{name}: {}/{}, departures {departing}", same + departing, file.cases.len());
    for (rule, count) in departures {
        println!("  {count} x {rule}");
    }
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
