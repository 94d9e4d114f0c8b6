//! Workflow files, what a slot starts, what a batch expands to.

use std::collections::BTreeMap;

use chrono::{DateTime, Datelike, TimeDelta, Utc};
use chrono_tz::Tz;
use flowlord_domain::batch::{TaskBatch, cut_to_hour};
use flowlord_domain::query::Query;
use flowlord_domain::rows::zip_lists;
use flowlord_domain::rule::BatchStep;
use flowlord_domain::schedule::{CreateError, slot_tasks_with};
use flowlord_domain::task_time::cron_text;
use flowlord_domain::template::MetaRow;
use flowlord_domain::workflow::{Phase, WorkflowFile, Workflows};
use flowlord_domain::{NewTask, TaskLane};
use serde_json::{Value, json};

use crate::case::{Case, TestIds, Verdict, at, at_or_zero, is_elsewhere, list};
use crate::departures;
use crate::masks::is_like;
use crate::meta_files::rows;
use crate::results::{is_special, plain_workflows, workflows};
use crate::rules::toml_text;
use crate::spelling;

const NOW: &str = "2024-01-15T10:17:23Z";

pub(crate) fn job_run(case: &Case<'_>) -> Verdict {
    let rule = case.text("rule");
    let phase = job_phase(case, rule);
    let got = job_tasks(case, &phase);
    let failed = !list(&case.expected["alerts"]).is_empty() || case.error.is_some();
    let tasks = match got {
        Err(CreateError::MissingKeys { .. }) if !failed => return Verdict::Departs(departures::ROW_KEY),
        Err(e) => return Verdict::holds(failed, e),
        Ok(tasks) => tasks,
    };
    let wanted: Vec<Value> = list(&case.expected["sent"])
        .iter()
        .map(|task| {
            let job = task["job"].as_str().unwrap_or_default();
            json!([task["type"], job, hours(&task["info"]), hours(&task["meta"]), task["has_id"]])
        })
        .collect();
    let got: Vec<Value> = tasks.iter().map(|t| json!([t.topic, t.job, t.info, t.meta, !t.id.is_empty()])).collect();
    let same = Verdict::like(&json!([failed, wanted]), &json!([false, got]));
    if matches!(same, Verdict::Same) || failed {
        return same;
    }
    job_departures(case, &phase, &tasks, &wanted).unwrap_or(same)
}

fn job_phase(case: &Case<'_>, rule: &str) -> Phase {
    let text = format!(
        "[[phase]]\ntask = {}\nrule = {}\ntemplate = {}\n",
        toml_text(case.text("task")),
        toml_text(rule),
        toml_text(case.text("template"))
    );
    let file = WorkflowFile::parse("wf.toml", &text, "", Tz::UTC).expect("a file");
    file.phases[0].clone()
}

fn job_tasks(case: &Case<'_>, phase: &Phase) -> Result<Vec<NewTask>, CreateError> {
    let files = |path: &str| rows(case.setup, path);
    slot_tasks_with(phase, at(NOW), "host", &mut TestIds::default(), at(NOW), &files)
}

/// By which rule a slot starts other tasks, and whether we do as it says.
fn job_departures(case: &Case<'_>, phase: &Phase, tasks: &[NewTask], wanted: &[Value]) -> Option<Verdict> {
    let texts = |tasks: &[NewTask]| -> Vec<(String, String)> {
        tasks.iter().map(|task| (task.info.clone(), task.meta.clone())).collect()
    };
    if let Some(rule) = spelling::of_rule(&phase.rule_text) {
        let plain = job_tasks(case, &job_phase(case, &spelling::plain_rule(&phase.rule_text)));
        return Some(Verdict::departs(rule, &plain.map(|plain| texts(&plain)), &Ok(texts(tasks))));
    }
    if phase.rule_text.contains('#') {
        let kept = phase.rule.query.pairs().any(|(key, value)| key.contains('#') || value.contains('#'));
        return Some(Verdict::departs(departures::HASH, &true, &kept));
    }
    let from = cut_to_hour(at(NOW) + phase.rule.offset);
    if phase.rule.span < TimeDelta::zero() {
        let first = tasks.first().is_some_and(|task| task.meta.contains(&format!("cron={}", cron_text(from))));
        return Some(Verdict::departs(departures::REVERSED, &true, &first));
    }
    let infos: Vec<&str> = wanted.iter().filter_map(|task| task[2].as_str()).collect();
    of_values(case.text("template"), &phase.rule.meta, &infos, tasks)
}

/// The departures that the values of a template's tokens lead to.
fn of_values(
    template: &str,
    lists: &BTreeMap<String, Vec<String>>,
    infos: &[&str],
    tasks: &[NewTask],
) -> Option<Verdict> {
    if ["{ts}", "{UUID}", "{uuid}"].iter().any(|token| template.contains(token)) {
        let left = tasks.iter().filter(|task| ["{ts}", "{UUID}", "{uuid}"].iter().any(|t| task.info.contains(t)));
        let left = left.filter(|task| !task.info.contains('#')).count();
        return Some(Verdict::departs(departures::TOKENS, &(infos.len(), 0), &(tasks.len(), left)));
    }
    if lists.values().flatten().any(|value| value.contains("{meta:")) {
        return Some(Verdict::departs(departures::EXPAND_ONCE, &infos.len(), &tasks.len()));
    }
    let same_infos = infos.iter().copied().eq(tasks.iter().map(|task| task.info.as_str()));
    let values = |task: &NewTask| Query::parse_lenient(&task.meta).pairs().any(|(_, value)| is_special(value));
    tasks.iter().any(|task| is_special(&task.job) || values(task)).then(|| {
        let reads_back = tasks.iter().all(reads_back);
        Verdict::departs(departures::ENCODED, &(true, true), &(same_infos, reads_back))
    })
}

fn reads_back(task: &NewTask) -> bool {
    let meta = Query::parse(&task.meta);
    meta.is_ok_and(|meta| meta.pairs().all(|(key, value)| key != "job" || value == task.job))
        && Query::parse_lenient(&task.meta).to_text() == task.meta
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
fn rows_of_case(case: &Case<'_>) -> Result<Option<Vec<MetaRow>>, String> {
    if case.input["metafile"].is_string() {
        return rows(case.setup, case.text("metafile")).map(Some);
    }
    let texts = |list: &Value| -> Vec<String> {
        list.as_array().into_iter().flatten().map(|v| v.as_str().unwrap_or_default().to_owned()).collect()
    };
    let meta = case.input["meta"].as_object();
    let lists: BTreeMap<String, Vec<String>> =
        meta.into_iter().flatten().map(|(key, list)| (key.clone(), texts(list))).collect();
    let mut all = zip_lists(&lists).map_err(|e| e.to_string())?;
    let lines = texts(&case.input["metafile_rows"]);
    all.extend(MetaRow::from_json_lines(&lines.join("\n")).map_err(|e| e.to_string())?);
    // A file without lines may leave no trace in the case but an empty result.
    let empty_file = case.input["metafile_rows"].is_array() || (case.error.is_none() && list(case.expected).is_empty());
    Ok((!all.is_empty() || empty_file).then_some(all))
}

pub(crate) fn batch_range(case: &Case<'_>) -> Verdict {
    let rows = match rows_of_case(case) {
        Ok(rows) => rows,
        Err(e) => return Verdict::holds(case.error.is_some(), e),
    };
    let batch = TaskBatch {
        topic: case.text("task"),
        job: case.text("job"),
        workflow: case.text("workflow"),
        template: case.text("template"),
        from: at_or_zero(case.text("start")),
        to: at_or_zero(case.text("end")),
        by: BatchStep::parse(case.text("by")).unwrap_or_default(),
        rows: rows.as_deref(),
        lane: TaskLane::Backload,
        limit: 100_000,
    };
    let tasks = batch.all_tasks(at(NOW), "host", &mut TestIds::default());
    let got: Vec<Value> =
        tasks.iter().map(|t| json!({ "type": t.topic, "job": t.job, "info": t.info, "meta": t.meta })).collect();
    if case.error.is_none() && is_like(case.expected, &json!(got)) {
        return Verdict::Same;
    }
    batch_departures(case, &batch, &tasks).unwrap_or_else(|| Verdict::like(case.expected, &json!(got)))
}

fn batch_departures(case: &Case<'_>, batch: &TaskBatch<'_>, tasks: &[NewTask]) -> Option<Verdict> {
    let times = flowlord_domain::batch::times_of_range(batch.from, batch.to, batch.by, batch.limit);
    let row_count = batch.rows.map_or(1, |rows| rows.len().max(1));
    let full = (times.len() * row_count, times.first() == Some(&batch.from));
    let got = (tasks.len(), true);
    let elsewhere = |name: &str| Some(case.text(name)).filter(|text| !text.is_empty()).is_some_and(is_elsewhere);
    let zone = case.input["zone"].is_string() || elsewhere("start") || elsewhere("end");
    let rule = if zone {
        departures::UTC
    } else if batch.from.year() < 1000 {
        departures::YEARS
    } else if batch.by == BatchStep::Month && batch.from.day() > 28 {
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
fn walks_the_same(batch: &TaskBatch<'_>, times: &[DateTime<Utc>]) -> bool {
    let up = flowlord_domain::batch::times_of_range(batch.to, batch.from, batch.by, batch.limit);
    up.iter().rev().eq(times)
}

/// The same tasks, with the meta written so that it reads back; or JSON values written as JSON.
fn encoded(case: &Case<'_>, tasks: &[NewTask]) -> Option<Verdict> {
    let expected = list(case.expected);
    let same_infos = expected.iter().map(|task| task["info"].as_str()).eq(tasks.iter().map(|t| Some(t.info.as_str())));
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
    let infos: Vec<&str> = expected.iter().filter_map(|task| task["info"].as_str()).collect();
    of_values(case.text("template"), &BTreeMap::new(), &infos, tasks)
}

pub(crate) fn get_children(case: &Case<'_>) -> Verdict {
    if let Some(text) = case.input["toml"].as_str() {
        return from_toml(case, text);
    }
    let all = workflows(case.setup);
    let got = looked_up(case, &all);
    if is_like(case.expected, &got) {
        return Verdict::Same;
    }
    let meta = Query::parse_lenient(case.text("meta"));
    let (topic, job) = name_of(case);
    let workflow = meta.first_value("workflow").unwrap_or_default();
    let own = all.phase_named(workflow, &format!("{topic}:{job}")).or_else(|| all.phase_named(workflow, &topic));
    let by_path = found(all.phase_for("", &topic, &job));
    let same_children = is_like(&case.expected["children"], &got["children"]);
    if case.input["search"].is_null()
        && is_like(&case.expected["get"], &by_path)
        && same_children
        && got["get"]["file_path"] == workflow
    {
        return Verdict::departs(departures::OWN_FILE, &found(own), &got["get"]);
    }
    if own.is_some_and(|phase| phase.is_cyclic) {
        let left = all.children_of(workflow, &topic, &job).filter(|phase| phase.is_cyclic).count();
        return Verdict::departs(departures::CIRCLE, &0, &left);
    }
    let follows = |phase: &Phase| phase.depends_on.as_ref().is_some_and(|parent| parent.topic == topic);
    let named = all.phases().filter(|phase| phase.task.topic == topic || follows(phase));
    if let Some(rule) = spelling::of_phases(named) {
        let plain = looked_up(case, &plain_workflows(case.setup));
        return Verdict::departs(rule, &without_rules(plain), &without_rules(got));
    }
    Verdict::like(case.expected, &got)
}

/// Topic and job of the task, or what is searched for.
fn name_of(case: &Case<'_>) -> (String, String) {
    if !case.input["search"].is_null() {
        let text = |n: usize| case.input["search"][n].as_str().unwrap_or_default().to_owned();
        return (text(0), text(1));
    }
    let meta = Query::parse_lenient(case.text("meta"));
    let job = match case.text("job") {
        "" => meta.first_value("job").unwrap_or_default(),
        job => job,
    };
    (case.text("type").to_owned(), job.to_owned())
}

/// The phase of that name, and for a task the phases that follow it.
fn looked_up(case: &Case<'_>, all: &Workflows) -> Value {
    let (topic, job) = name_of(case);
    if !case.input["search"].is_null() {
        return found(all.phase_for("", &topic, &job));
    }
    let meta = Query::parse_lenient(case.text("meta"));
    let workflow = meta.first_value("workflow").unwrap_or_default();
    let children: Vec<Value> =
        all.children_of(workflow, &topic, &job).map(|phase| fields(phase, &phase.task_name())).collect();
    json!({ "children": children, "get": found(all.phase_for(workflow, &topic, &job)) })
}

/// What was found, but for how its rules are spelled.
fn without_rules(mut found: Value) -> Value {
    found["rule"].take();
    found["get"]["rule"].take();
    let children = found["children"].as_array_mut().into_iter().flatten();
    children.for_each(|child| drop(child["rule"].take()));
    found
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
    phase.rule.why_never_started(phase.depends_on.is_some()).unwrap_or_default()
}

fn found(phase: Option<&Phase>) -> Value {
    let mut found = match phase {
        Some(phase) => fields(phase, &phase.task_name()),
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
    let got = json!(got);
    if case.error.is_none() && is_like(case.expected, &got) {
        return Verdict::Same;
    }
    toml_departures(case, text, &file, &got).unwrap_or_else(|| Verdict::like(case.expected, &got))
}

fn toml_departures(case: &Case<'_>, text: &str, file: &WorkflowFile, got: &Value) -> Option<Verdict> {
    let expected = list(case.expected);
    let count = (expected.len(), file.phases.len());
    match spelling::of_file(text) {
        Some(rule) if rule == departures::PHASE_LISTS => {
            let all = text.to_lowercase().matches("[[phase]]").count();
            return Some(Verdict::departs(rule, &all, &count.1));
        }
        Some(rule) => {
            let read = file.phases.iter().any(|phase| phase.depends_on.is_some());
            return Some(Verdict::departs(rule, &(true, count.0), &(read, count.1)));
        }
        None => {}
    }
    if expected.iter().any(|phase| phase["retry"].as_i64() < Some(0)) {
        let none = file.phases.iter().any(|phase| phase.retry == 0);
        return Some(Verdict::departs(departures::RETRY_BELOW_0, &(true, count.0), &(none, count.1)));
    }
    if let Some(rule) = spelling::of_phases(&file.phases) {
        let plain = spelling::plain_file(text, &file.phases);
        let plain = WorkflowFile::parse("w.toml", &plain, "", Tz::UTC).ok()?;
        let statuses = |file: &WorkflowFile| -> Vec<String> { file.phases.iter().map(status).collect() };
        return Some(Verdict::departs(rule, &(count.0, statuses(&plain)), &(count.1, statuses(file))));
    }
    // Of a key that stands twice, in two cases, the reference takes either.
    let twice: Vec<&str> =
        ["task", "rule", "template", "dependsOn", "retry"].into_iter().filter(|key| spellings(text, key) > 1).collect();
    let without = |list: &Value| -> Vec<Value> {
        let mut list = list.as_array().cloned().unwrap_or_default();
        list.iter_mut().for_each(|phase| twice.iter().for_each(|key| drop(phase[*key].take())));
        list
    };
    (!twice.is_empty()).then(|| Verdict::of(&without(case.expected), &without(got)))
}

/// In how many cases a key is written.
fn spellings(text: &str, key: &str) -> usize {
    let words = text.lines().filter_map(|line| line.split_once('=')).map(|(word, _)| word.trim());
    words.filter(|word| word.eq_ignore_ascii_case(key)).collect::<std::collections::BTreeSet<_>>().len()
}
