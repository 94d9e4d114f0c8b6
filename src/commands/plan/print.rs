//! A plan as text, and as JSON.

use chrono::{DateTime, SecondsFormat, Utc};
use chrono_tz::Tz;
use flowlord_domain::plan::{PlannedOutcome, PlannedSlot, PlannedTask, SlotPlan};
use serde_json::{Value, json};

use crate::commands::out::{OutputFormat, StdoutLines};

pub(super) fn print_plan(plan: SlotPlan<'_>, zone: Tz, format: OutputFormat) -> anyhow::Result<()> {
    // Slot by slot, as they come: a plan may be longer than the memory.
    let mut out = StdoutLines::new();
    match format {
        OutputFormat::Text => {
            for planned in plan {
                for line in plan_lines(&planned, zone) {
                    out.text(&format!("{}{}\n", "  ".repeat(line.depth), line.text))?;
                }
            }
        }
        OutputFormat::Json => {
            let mut list = JsonList::default();
            for planned in plan {
                out.text(&list.next(&planned_json(&planned, zone)))?;
            }
            out.text(list.end())?;
        }
    }
    Ok(out.finish()?)
}

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

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct PlanLine {
    pub(super) depth: usize,
    pub(super) text: String,
}

/// The lines of a task and of all that follows it.
pub(super) fn plan_lines(planned: &PlannedSlot<'_>, zone: Tz) -> Vec<PlanLine> {
    let rest = match &planned.what {
        PlannedOutcome::Task(step) => printable(&step.info),
        PlannedOutcome::More(left) => format!("... and {left} more tasks: --most shows them"),
        PlannedOutcome::Problem(problem) => format!("! starts nothing: {}", printable(problem)),
    };
    let (time, phase) = (time_text(planned.at, zone), planned.phase);
    let text = format!("{time}  {}  {}  {rest}", phase.workflow, phase.task);
    let mut lines = vec![PlanLine { depth: 0, text: text.trim_end().to_owned() }];
    if let PlannedOutcome::Task(step) = &planned.what {
        lines[0].text.push_str(&words_of_expected(step));
        add_followers(step, 1, &mut lines);
    }
    lines
}

fn add_followers(step: &PlannedTask, depth: usize, lines: &mut Vec<PlanLine>) {
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
        lines.push(PlanLine { depth, text: text.trim_end().to_owned() + &needs + &words_of_expected(child) });
        add_followers(child, depth + 1, lines);
    }
    if step.cut {
        lines.push(PlanLine { depth, text: "... and more: --most shows them".to_owned() });
    }
}

fn words_of_expected(step: &PlannedTask) -> String {
    if step.expects.is_empty() {
        String::new()
    } else {
        format!("  (expects {})", printable(&step.expects.join(" and ")))
    }
}

fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        // A template may hold anything; a line of the plan stays a line.
        if c.is_control() { out.extend(c.escape_default()) } else { out.push(c) }
    }
    out
}

fn time_text(at: DateTime<Utc>, zone: Tz) -> String {
    at.with_timezone(&zone).to_rfc3339_opts(SecondsFormat::Secs, true)
}

pub(super) fn planned_json(planned: &PlannedSlot<'_>, zone: Tz) -> Value {
    let (at, phase) = (time_text(planned.at, zone), planned.phase);
    let mut value = json!({ "time": at, "workflow": phase.workflow, "task": phase.task_name() });
    match &planned.what {
        PlannedOutcome::Task(step) => merge_step(&mut value, step),
        PlannedOutcome::More(left) => value["more"] = json!(left),
        PlannedOutcome::Problem(problem) => value["problem"] = json!(problem),
    }
    value
}

fn child_json(child: &PlannedTask) -> Value {
    let mut value = json!({ "task": child.task });
    merge_step(&mut value, child);
    value
}

fn merge_step(value: &mut Value, step: &PlannedTask) {
    match &step.problem {
        Some(problem) => value["problem"] = json!(problem),
        None => {
            value["info"] = json!(step.info);
            value["meta"] = json!(step.meta);
        }
    }
    if !step.expects.is_empty() {
        value["expects"] = json!(step.expects);
    }
    if !step.needs.is_empty() {
        value["needs"] = json!(step.needs);
    }
    if !step.children.is_empty() {
        value["children"] = step.children.iter().map(child_json).collect();
    }
    if step.cut {
        value["cut"] = json!(true);
    }
}
