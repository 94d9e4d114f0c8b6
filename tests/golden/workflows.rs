//! Workflow files, what a slot starts, what a batch expands to.

use std::collections::BTreeMap;

use chrono::{DateTime, Datelike, TimeDelta, Utc};
use chrono_tz::Tz;
use flowlord_domain::batch::{Batch, rows_of};
use flowlord_domain::query::Query;
use flowlord_domain::rule::By;
use flowlord_domain::schedule::slot_tasks_with;
use flowlord_domain::template::Row;
use flowlord_domain::workflow::{Phase, WorkflowFile};
use flowlord_domain::{Lane, NewTask};
use serde_json::{Value, json};

use crate::case::{Case, TestIds, Verdict, at, is_elsewhere};
use crate::departures;
use crate::results::{rows, workflows};
use crate::rules::toml_text;

const NOW: &str = "2024-01-15T10:17:23Z";

pub(crate) fn job_run(case: &Case<'_>) -> Verdict {
    let text = format!(
        "[[phase]]\ntask = {}\nrule = {}\ntemplate = {}\n",
        toml_text(case.text("task")),
        toml_text(case.text("rule")),
        toml_text(case.text("template"))
    );
    let file = WorkflowFile::parse("wf.toml", &text, "", Tz::UTC).expect("a file");
    let phase = &file.phases[0];
    let got = slot_tasks_with(phase, at(NOW), "host", &mut TestIds::default(), at(NOW), &rows);
    let failed = case.expected["alerts"].as_array().is_some_and(|alerts| !alerts.is_empty());
    let tasks = match got {
        Err(e) => return Verdict::holds(failed, e),
        Ok(tasks) => tasks,
    };
    let sent = case.expected["sent"].as_array().expect("sent");
    let wanted: Vec<Value> = sent
        .iter()
        .map(|task| {
            json!([task["type"], task["job"], hours(&task["info"]), hours(&task["meta"]), task["has_id"]])
        })
        .collect();
    let got: Vec<Value> =
        tasks.iter().map(|t| json!([t.topic, t.job, t.info, t.meta, !t.id.is_empty()])).collect();
    Verdict::of(&(failed, wanted), &(false, got))
}

/// Writes `<H+n>` as the hour n hours from now.
fn hours(text: &Value) -> Value {
    let mut text = text.as_str().unwrap_or_default().to_owned();
    while let Some((start, rest)) = text.split_once("<H") {
        let (number, end) = rest.split_once('>').expect("a mask");
        let hour = at(NOW) + TimeDelta::hours(number.parse().expect("a number"));
        text = format!("{start}{}{end}", hour.format("%Y-%m-%dT%H"));
    }
    json!(text)
}

/// The rows of a case: the lists of its meta, then the lines of its file.
fn rows_of_case(case: &Case<'_>) -> Result<Option<Vec<Row>>, String> {
    if case.input["metafile"].is_string() {
        return rows(case.text("metafile")).map(Some);
    }
    let texts = |list: &Value| -> Vec<String> {
        list.as_array().into_iter().flatten().map(|v| v.as_str().unwrap_or_default().to_owned()).collect()
    };
    let meta = case.input["meta"].as_object();
    let lists: BTreeMap<String, Vec<String>> =
        meta.into_iter().flatten().map(|(key, list)| (key.clone(), texts(list))).collect();
    let mut all = rows_of(&lists).map_err(|e| e.to_string())?;
    let lines = texts(&case.input["metafile_rows"]);
    all.extend(Row::from_json_lines(&lines.join("\n")).map_err(|e| e.to_string())?);
    // A file without lines leaves no trace in the case but an empty result.
    let empty_file = case.expected.as_array().is_some_and(Vec::is_empty);
    Ok((!all.is_empty() || empty_file).then_some(all))
}

pub(crate) fn batch_range(case: &Case<'_>) -> Verdict {
    let rows = match rows_of_case(case) {
        Ok(rows) => rows,
        Err(e) => return Verdict::holds(case.error.is_some(), e),
    };
    let batch = Batch {
        topic: case.text("task"),
        job: case.text("job"),
        workflow: case.text("workflow"),
        template: case.text("template"),
        from: at(case.text("start")),
        to: at(case.text("end")),
        by: By::parse(case.text("by")).unwrap_or_default(),
        rows: rows.as_deref(),
        lane: Lane::Backload,
        limit: 100_000,
    };
    let tasks = batch.tasks(at(NOW), "host", &mut TestIds::default());
    let got: Vec<Value> = tasks
        .iter()
        .map(|t| json!({ "type": t.topic, "job": t.job, "info": t.info, "meta": t.meta }))
        .collect();
    if case.error.is_none() && json!(got) == *case.expected {
        return Verdict::Same;
    }
    batch_departures(case, &batch, &tasks).unwrap_or_else(|| Verdict::of(case.expected, &json!(got)))
}

fn batch_departures(case: &Case<'_>, batch: &Batch<'_>, tasks: &[NewTask]) -> Option<Verdict> {
    let times = flowlord_domain::batch::times(batch.from, batch.to, batch.by, batch.limit);
    let row_count = batch.rows.map_or(1, |rows| rows.len().max(1));
    let full = (times.len() * row_count, times.first() == Some(&batch.from));
    let got = (tasks.len(), true);
    let zone =
        case.input["zone"].is_string() || is_elsewhere(case.text("start")) || is_elsewhere(case.text("end"));
    let rule = if zone {
        departures::UTC
    } else if batch.from.year() < 1000 {
        departures::YEARS
    } else if batch.by == By::Month && batch.from.day() > 28 {
        let clamped = times.iter().all(|time| time.day() <= batch.from.day() && time.day() >= 28);
        return Some(Verdict::departs(departures::MONTHS, &true, &clamped));
    } else if batch.to < batch.from && !walks_the_same(batch, &times) {
        departures::REVERSED
    } else {
        return encoded(case, tasks);
    };
    Some(Verdict::departs(rule, &full, &got))
}

/// The reference walks up from the lower end, and turns that round.
fn walks_the_same(batch: &Batch<'_>, times: &[DateTime<Utc>]) -> bool {
    let up = flowlord_domain::batch::times(batch.to, batch.from, batch.by, batch.limit);
    up.iter().rev().eq(times)
}

/// The same tasks, with the meta written so that it reads back; or JSON values written as JSON.
fn encoded(case: &Case<'_>, tasks: &[NewTask]) -> Option<Verdict> {
    let expected = case.expected.as_array()?;
    let same_infos =
        expected.iter().map(|task| task["info"].as_str()).eq(tasks.iter().map(|t| Some(t.info.as_str())));
    if case.expected.to_string().contains("i~") {
        let json = !tasks.iter().any(|task| task.info.contains("i~"));
        return Some(Verdict::departs(departures::JSON_TEXT, &true, &json));
    }
    let input = case.input.to_string();
    let long = |text: &str| text.split(|c: char| !c.is_ascii_digit()).any(|digits| digits.len() > 15);
    if long(&input) && !same_infos {
        let kept = tasks.iter().any(|task| long(&task.info));
        return Some(Verdict::departs(departures::DIGITS, &true, &kept));
    }
    let nested = |name: &str| case.input[name].to_string().contains("{meta:");
    if nested("meta") || nested("metafile_rows") {
        return Some(Verdict::departs(departures::EXPAND_ONCE, &expected.len(), &tasks.len()));
    }
    let special = |text: &str| text.contains(['&', '+', '%', ';']);
    // Rows and lists alike: any value that needs an escape.
    let any = special(case.text("job"))
        || special(case.text("workflow"))
        || tasks.iter().any(|task| Query::lenient(&task.meta).pairs().any(|(_, value)| special(value)));
    let reads_back = tasks.iter().all(|task| {
        let meta = Query::parse(&task.meta);
        meta.is_ok_and(|meta| meta.pairs().all(|(key, value)| key != "job" || value == task.job))
            && Query::lenient(&task.meta).encode() == task.meta
    });
    any.then(|| Verdict::departs(departures::ENCODED, &(true, true), &(same_infos, reads_back)))
}

pub(crate) fn get_children(case: &Case<'_>) -> Verdict {
    if let Some(text) = case.input["toml"].as_str() {
        return from_toml(case, text);
    }
    let all = workflows(case.setup);
    if let Some(search) = case.input["search"].as_array() {
        let text = |n: usize| search[n].as_str().unwrap_or_default();
        return Verdict::of(case.expected, &found(all.phase_for("", text(0), text(1))));
    }
    let meta = Query::lenient(case.text("meta"));
    let job =
        if case.text("job").is_empty() { meta.first("job").unwrap_or_default() } else { case.text("job") };
    let (workflow, topic) = (meta.first("workflow").unwrap_or_default(), case.text("type"));
    let children: Vec<Value> =
        all.children(workflow, topic, job).map(|phase| fields(phase, &phase.name())).collect();
    let got = found(all.phase_for(workflow, topic, job));
    if case.expected["get"] == got && case.expected["children"] == json!(children) {
        return Verdict::Same;
    }
    let own = all.phase(workflow, &format!("{topic}:{job}")).or_else(|| all.phase(workflow, topic));
    let by_path = found(all.phase_for("", topic, job));
    let same_children = case.expected["children"] == json!(children);
    if case.expected["get"] == by_path && same_children && got["file_path"] == workflow {
        return Verdict::departs(departures::OWN_FILE, &found(own), &got);
    }
    if own.is_some_and(|phase| phase.cyclic) {
        let left = all.children(workflow, topic, job).filter(|phase| phase.cyclic).count();
        return Verdict::departs(departures::CIRCLE, &0, &left);
    }
    Verdict::of(case.expected, &json!({ "children": children, "get": got }))
}

fn fields(phase: &Phase, task: &str) -> Value {
    json!({
        "dependsOn": phase.depends_on_text,
        "retry": phase.retry,
        "rule": phase.rule_text,
        "task": task,
        "template": phase.template,
    })
}

fn status(phase: &Phase) -> String {
    phase.rule.status(phase.depends_on.is_some()).unwrap_or_default()
}

fn found(phase: Option<&Phase>) -> Value {
    let mut found = match phase {
        Some(phase) => fields(phase, &phase.name()),
        None => json!({ "dependsOn": "", "retry": 0, "rule": "", "task": "", "template": "" }),
    };
    found["file_path"] = json!(phase.map(|phase| phase.workflow.clone()).unwrap_or_default());
    found["status"] = json!(phase.map_or_else(|| "not found".to_owned(), status));
    found
}

fn from_toml(case: &Case<'_>, text: &str) -> Verdict {
    let file = match WorkflowFile::parse("w.toml", text, "", Tz::UTC) {
        Ok(file) => file,
        Err(findings) => return Verdict::holds(case.error.is_some(), findings),
    };
    let got: Vec<Value> = file
        .phases
        .iter()
        .map(|phase| {
            let mut fields = fields(phase, &phase.task_text);
            fields["status"] = json!(status(phase));
            fields
        })
        .collect();
    if json!(got) == *case.expected {
        return Verdict::Same;
    }
    let count = case.expected.as_array().map_or(0, Vec::len);
    let lower = text.to_lowercase();
    if lower.contains("depends_on") {
        let read = file.phases.iter().any(|phase| phase.depends_on.is_some());
        return Verdict::departs(departures::DEPENDS_ON, &(true, count), &(read, got.len()));
    }
    if text.contains("[[phase]]") && text.contains("[[Phase]]") {
        let all = lower.matches("[[phase]]").count();
        return Verdict::departs(departures::PHASE_LISTS, &all, &got.len());
    }
    if case.expected.as_array().into_iter().flatten().any(|phase| phase["retry"].as_i64() < Some(0)) {
        let none = file.phases.iter().any(|phase| phase.retry == 0);
        return Verdict::departs(departures::RETRY_BELOW_0, &(true, count), &(none, got.len()));
    }
    Verdict::of(case.expected, &json!(got))
}
