//! A comparison as text, and as JSON.

use std::io::{Read as _, Seek as _, SeekFrom, Write as _};

use chrono::{DateTime, SecondsFormat, Utc};
use flowlord_db::TimeRange;
use serde_json::{Value, json};
use tempfile::{SpooledTempFile, spooled_tempfile};

use super::compare::{ComparisonCounts, Difference, DifferenceClass};
use crate::commands::out::{self, OutputFormat};

/// How many differences are listed without `--all`.
const LISTED: u64 = 50;

/// Differences in memory; more of them wait in a file until the counts before them are known.
const SPOOLED_BYTES: usize = 1 << 20;

const COPIED_BYTES: usize = 1 << 16;

/// Keeps differences until they are printed: the summary comes first, and there may be more than the memory holds.
pub(super) struct DifferenceSpool {
    format: OutputFormat,
    lists_all: bool,
    spool: SpooledTempFile,
    kept: u64,
    left: u64,
}

impl DifferenceSpool {
    pub(super) fn new(format: OutputFormat, lists_all: bool) -> Self {
        Self { format, lists_all, spool: spooled_tempfile(SPOOLED_BYTES), kept: 0, left: 0 }
    }

    pub(super) fn keep(&mut self, difference: &Difference) -> anyhow::Result<()> {
        match self.format {
            OutputFormat::Json => {
                // The comma goes before each: nobody knows yet whether another difference follows.
                let start = if self.kept == 0 { "\n  " } else { ",\n  " };
                write!(self.spool, "{start}{}", difference_json(difference))?;
            }
            // The summary counts departures, and nobody has to act on them.
            OutputFormat::Text if !self.lists_all && matches!(difference.class, DifferenceClass::Departure(_)) => {
                return Ok(());
            }
            OutputFormat::Text if !self.lists_all && self.kept >= LISTED => {
                self.left += 1;
                return Ok(());
            }
            OutputFormat::Text => writeln!(self.spool, "{}", difference_line(difference))?,
        }
        self.kept += 1;
        Ok(())
    }

    /// Prints the summary, and then the differences.
    pub(super) fn print_all(mut self, range: TimeRange, counts: &ComparisonCounts) -> anyhow::Result<()> {
        match self.format {
            OutputFormat::Text => {
                out::text(&summary_text(range, counts))?;
                if self.kept > 0 {
                    out::text("\n")?;
                }
                self.copy_out()?;
                if self.left > 0 {
                    out::line(&format!("... and {} more: --all lists them, --format json too", self.left))?;
                }
            }
            OutputFormat::Json => {
                let (range, counts) = (range_json(range), counts_json(counts));
                out::text(&format!("{{\n \"range\": {range},\n \"counts\": {counts},\n \"differences\": ["))?;
                self.copy_out()?;
                out::line(if self.kept > 0 { "\n ]\n}" } else { "]\n}" })?;
            }
        }
        Ok(())
    }

    fn copy_out(&mut self) -> anyhow::Result<()> {
        self.spool.seek(SeekFrom::Start(0))?;
        let mut buffer = vec![0; COPIED_BYTES];
        let mut stdout = out::StdoutLines::new();
        loop {
            match self.spool.read(&mut buffer)? {
                0 => break,
                read => stdout.bytes(&buffer[..read])?,
            }
        }
        Ok(stdout.finish()?)
    }
}

/// One difference in one line.
pub(super) fn difference_line(difference: &Difference) -> String {
    let Difference { kind, at, task, workflow, id, info, hint, .. } = difference;
    let mut parts = vec![class_text(difference.class), kind.as_str().to_owned(), time_text(*at)];
    parts.extend([task, workflow, id, info].into_iter().filter(|text| !text.is_empty()).cloned());
    let hint = if hint.is_empty() { String::new() } else { format!("  ({hint})") };
    printable(&(parts.join("  ") + &hint))
}

pub(super) fn difference_json(difference: &Difference) -> Value {
    let Difference { class, kind, at, task, workflow, id, info, hint } = difference;
    let mut value = json!({
        "class": class_name(*class), "kind": kind.as_str(), "time": time_text(*at), "task": task,
        "workflow": workflow, "id": id, "info": info, "hint": hint,
    });
    if let DifferenceClass::Departure(name) = class {
        value["departure"] = json!(name);
    }
    value
}

pub(super) fn range_json((from, to): TimeRange) -> Value {
    json!({ "from": time_text(from), "to": time_text(to) })
}

pub(super) fn counts_json(counts: &ComparisonCounts) -> Value {
    let mut departures = serde_json::Map::new();
    for ((class, _), count) in &counts.different {
        if let DifferenceClass::Departure(name) = class {
            let before = departures.get(*name).and_then(Value::as_u64).unwrap_or(0);
            departures.insert((*name).to_owned(), json!(before + count));
        }
    }
    json!({
        "same": counts.same.values().sum::<u64>(),
        "departures": departures,
        "only_there": counts.of_class(DifferenceClass::OnlyThere),
        "only_here": counts.of_class(DifferenceClass::OnlyHere),
        "left_out": counts.left_out,
    })
}

pub(super) fn summary_text((from, to): TimeRange, counts: &ComparisonCounts) -> String {
    let mut rows: Vec<(String, &str, u64)> =
        counts.same.iter().map(|(kind, count)| ("same".to_owned(), kind.as_str(), *count)).collect();
    rows.extend(counts.different.iter().map(|((class, kind), count)| (class_text(*class), kind.as_str(), *count)));
    rows.extend(counts.left_out.iter().map(|(why, count)| ("not compared".to_owned(), *why, *count)));
    let width = rows.iter().map(|(class, _, _)| class.len()).max().unwrap_or(0);
    let mut text = format!("from {} to {}\n", time_text(from), time_text(to));
    for (class, what, count) in rows {
        text += &format!("{class:width$}  {count:>9}  {what}\n");
    }
    text
}

fn class_name(class: DifferenceClass) -> &'static str {
    match class {
        DifferenceClass::OnlyThere => "only_there",
        DifferenceClass::OnlyHere => "only_here",
        DifferenceClass::Departure(_) => "departure",
    }
}

fn class_text(class: DifferenceClass) -> String {
    match class {
        DifferenceClass::Departure(name) => format!("departure {name}"),
        class => class_name(class).replace('_', " "),
    }
}

fn time_text(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// A text of a task may hold anything; a line stays a line.
fn printable(text: &str) -> String {
    text.chars().flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] }).collect()
}

#[cfg(test)]
mod tests {
    use super::super::compare::ComparedKind;
    use super::*;

    fn difference(class: DifferenceClass) -> Difference {
        Difference {
            class,
            kind: ComparedKind::Child,
            at: "2024-01-15T05:00:00Z".parse().unwrap(),
            task: "load:x".to_owned(),
            workflow: "w.toml".to_owned(),
            id: String::new(),
            info: "?a\n".to_owned(),
            hint: "row 7".to_owned(),
        }
    }

    fn counts() -> ComparisonCounts {
        let mut counts = ComparisonCounts::default();
        counts.same.insert(ComparedKind::Root, 12_000);
        counts.different.insert((DifferenceClass::OnlyThere, ComparedKind::Child), 2);
        counts.different.insert((DifferenceClass::Departure("utc"), ComparedKind::Root), 3);
        counts.different.insert((DifferenceClass::Departure("utc"), ComparedKind::Child), 4);
        counts.left_out.insert("tasks without a result", 5);
        counts
    }

    #[test]
    fn a_difference_is_one_line_whatever_is_in_it() {
        assert_eq!(
            difference_line(&difference(DifferenceClass::OnlyThere)),
            "only there  child  2024-01-15T05:00:00Z  load:x  w.toml  ?a\\n  (row 7)"
        );
        let json = difference_json(&difference(DifferenceClass::Departure("utc")));
        assert_eq!(
            (&json["class"], &json["departure"], &json["info"]),
            (&json!("departure"), &json!("utc"), &json!("?a\n"))
        );
        assert!(difference_json(&difference(DifferenceClass::OnlyHere)).get("departure").is_none());
    }

    #[test]
    fn the_summary_has_a_row_for_each_class_and_kind() {
        let range = ["2024-01-15T00:00:00Z", "2024-01-16T00:00:00Z"].map(|time| time.parse().unwrap()).into();
        assert_eq!(
            summary_text(range, &counts()),
            "from 2024-01-15T00:00:00Z to 2024-01-16T00:00:00Z\n\
             same               12000  root task\n\
             only there             2  child\n\
             departure utc          3  root task\n\
             departure utc          4  child\n\
             not compared           5  tasks without a result\n"
        );
        let json = counts_json(&counts());
        assert_eq!(
            (&json["same"], &json["departures"]["utc"], &json["only_there"]),
            (&json!(12_000), &json!(7), &json!(2))
        );
        assert!(counts().is_unexplained() && !ComparisonCounts::default().is_unexplained());
    }

    #[test]
    fn a_list_for_people_ends_and_one_for_programs_does_not() {
        let kept = |format: OutputFormat, lists_all: bool| {
            let mut spool = DifferenceSpool::new(format, lists_all);
            for _ in 0..60 {
                spool.keep(&difference(DifferenceClass::OnlyHere)).unwrap();
                spool.keep(&difference(DifferenceClass::Departure("utc"))).unwrap();
            }
            (spool.kept, spool.left)
        };
        assert_eq!(kept(OutputFormat::Text, false), (50, 10));
        assert_eq!(kept(OutputFormat::Text, true), (120, 0));
        assert_eq!(kept(OutputFormat::Json, false), (120, 0));
    }
}
