//! A plan as text, and as JSON.

use chrono::{DateTime, SecondsFormat, Utc};
use chrono_tz::Tz;
use flowlord_domain::plan::{Plan, Planned, Step, What};
use serde_json::{Value, json};

use super::Format;
use crate::commands::out::Lines;

/// Prints slot by slot, as they come: a plan may be longer than the memory.
pub(super) fn plan(plan: Plan<'_>, zone: Tz, format: Format) -> anyhow::Result<()> {
    let mut out = Lines::new();
    match format {
        Format::Text => {
            for planned in plan {
                for line in lines(&planned, zone) {
                    out.text(&format!("{}{}\n", "  ".repeat(line.depth), line.text))?;
                }
            }
        }
        Format::Json => {
            let mut list = JsonList::default();
            for planned in plan {
                out.text(&list.next(&json(&planned, zone)))?;
            }
            out.text(list.end())?;
        }
    }
    Ok(out.finish()?)
}

/// A JSON array, an element a line.
#[derive(Default)]
pub(super) struct JsonList {
    any: bool,
}

impl JsonList {
    pub(super) fn next(&mut self, value: &Value) -> String {
        let start = if std::mem::replace(&mut self.any, true) { ",\n " } else { "[\n " };
        format!("{start}{value}")
    }

    pub(super) fn end(&self) -> &'static str {
        if self.any { "\n]\n" } else { "[]\n" }
    }
}

/// A line, and how far it is indented.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Line {
    pub(super) depth: usize,
    pub(super) text: String,
}

/// The lines of a task and of all that follows it.
pub(super) fn lines(planned: &Planned<'_>, zone: Tz) -> Vec<Line> {
    let head = |rest: &str| {
        let (time, phase) = (time(planned.at, zone), planned.phase);
        Line {
            depth: 0,
            text: format!("{time}  {}  {}  {rest}", phase.workflow, phase.task).trim_end().to_owned(),
        }
    };
    match &planned.what {
        What::Task(step) => {
            let mut lines = vec![head(&printable(&step.info))];
            followers(step, 1, &mut lines);
            lines
        }
        What::More(left) => vec![head(&format!("... and {left} more tasks: --most shows them"))],
        What::Problem(problem) => vec![head(&format!("! starts nothing: {}", printable(problem)))],
    }
}

fn followers(step: &Step, depth: usize, lines: &mut Vec<Line>) {
    for child in &step.children {
        let needs = match child.needs.as_slice() {
            [] => String::new(),
            needs => format!("  (if {} is set)", needs.join(" and ")),
        };
        let what = match &child.problem {
            Some(problem) => format!("! {problem}"),
            None => child.info.clone(),
        };
        let text = format!("{}  {}", child.task, printable(&what));
        lines.push(Line { depth, text: text.trim_end().to_owned() + &needs });
        followers(child, depth + 1, lines);
    }
    if step.cut {
        lines.push(Line { depth, text: "... and more: --most shows them".to_owned() });
    }
}

/// A template may hold anything; a line of the plan stays a line.
fn printable(text: &str) -> String {
    let escaped = |c: char| if c.is_control() { c.escape_default().collect() } else { c.to_string() };
    text.chars().map(escaped).collect()
}

fn time(at: DateTime<Utc>, zone: Tz) -> String {
    at.with_timezone(&zone).to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// One element of the array.
pub(super) fn json(planned: &Planned<'_>, zone: Tz) -> Value {
    let (at, phase) = (time(planned.at, zone), planned.phase);
    let mut value = json!({ "time": at, "workflow": phase.workflow, "task": phase.name() });
    match &planned.what {
        What::Task(step) => merge(&mut value, step),
        What::More(left) => value["more"] = json!(left),
        What::Problem(problem) => value["problem"] = json!(problem),
    }
    value
}

fn merge(value: &mut Value, step: &Step) {
    match &step.problem {
        Some(problem) => value["problem"] = json!(problem),
        None => {
            value["info"] = json!(step.info);
            value["meta"] = json!(step.meta);
        }
    }
    if !step.needs.is_empty() {
        value["needs"] = json!(step.needs);
    }
    if !step.children.is_empty() {
        let child = |child: &Step| {
            let mut value = json!({ "task": child.task });
            merge(&mut value, child);
            value
        };
        value["children"] = step.children.iter().map(child).collect();
    }
    if step.cut {
        value["cut"] = json!(true);
    }
}
