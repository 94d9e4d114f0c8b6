//! Backloads: what a request is read as, which tasks it makes, what it is answered.

use std::sync::Arc;

use chrono::Datelike as _;
use flowlord_domain::backload::{
    BackloadOrder, BackloadPlan, BackloadPlanError, BackloadRequest, BackloadRequestError, MetaLists, TaskChunk,
    parse_time as read_time,
};
use flowlord_domain::query::Query;
use flowlord_domain::rule::BatchStep;
use flowlord_domain::workflow::{Phase, Workflows};
use flowlord_web_compat::backload::{answer, status};
use serde_json::{Value, json};

use crate::case::{Case, TestIds, Verdict, at, go_time, is_elsewhere};
use crate::departures::{self, Departure};
use crate::masks::is_like;
use crate::meta_files::{is_outside, rows};
use crate::results::{plain_workflows, workflows};
use crate::spelling;

const NOW: &str = "2024-01-15T10:17:23Z";

pub(crate) fn parse_time(case: &Case<'_>) -> Verdict {
    let text = case.input.as_str().expect("a text");
    let (expected, got) = (case.expected.as_str().expect("a time"), read_time(text));
    let same = got.map_or(expected == go_time(None), |got| got == at(expected));
    if !same && got.is_none() && !(1970..=9999).contains(&at(expected).year()) {
        return Verdict::Departs(departures::BACKLOAD_YEARS);
    }
    Verdict::of(&(true, expected), &(same, expected))
}

pub(crate) fn meta_unmarshal(case: &Case<'_>) -> Verdict {
    let text = case.input.as_str().expect("a text");
    // As in a request, where null is as if left out.
    let read = serde_json::from_str::<Option<MetaLists>>(text).map(Option::unwrap_or_default);
    let got = read.as_ref().map(|meta| {
        json!(meta.0.iter().map(|(key, values)| (key, values.as_texts())).collect::<std::collections::BTreeMap<_, _>>())
    });
    match got {
        Ok(got) if case.error.is_none() && as_map(case.expected) == got => Verdict::Same,
        Ok(got) if mixed(&serde_json::from_str(text).expect("JSON")) => {
            let list = |value: &Value| if value.is_array() { value.clone() } else { json!([value]) };
            let written: Value = serde_json::from_str(&text.replace("null", "\"\"")).expect("JSON");
            let all = written.as_object().expect("an object").iter().map(|(k, v)| (k.clone(), list(v)));
            Verdict::departs(departures::MIXED_META, &Value::Object(all.collect()), &got)
        }
        Ok(got) => Verdict::of(&(case.error, case.expected), &(None, &got)),
        Err(err) => Verdict::holds(case.error.is_some(), err),
    }
}

/// A map of lists; Go writes null for one that nothing was ever put into.
fn as_map(value: &Value) -> Value {
    if value.is_null() { json!({}) } else { value.clone() }
}

/// Whether lists stand beside what is for every row.
fn mixed(meta: &Value) -> bool {
    let values = || meta.as_object().into_iter().flat_map(serde_json::Map::values);
    values().any(Value::is_array) && values().any(|value| value.is_string() || value.is_null())
}

/// What a request came to.
struct Planned {
    request: BackloadRequest,
    order: BackloadOrder,
    answer: Value,
    count: usize,
}

/// Why it came to nothing.
enum Refusal {
    Request(BackloadRequestError),
    /// No row has a key that the template names.
    RowKey,
    Other(String),
}

fn plan(case: &Case<'_>, workflows: &Workflows) -> Result<Planned, Refusal> {
    let other = |err: &dyn std::fmt::Display| Refusal::Other(err.to_string());
    let request: BackloadRequest = serde_json::from_str(case.text("body")).map_err(|err| other(&err))?;
    let resolved = request.resolve_order(workflows, at(NOW)).map_err(Refusal::Request)?;
    let rows = resolved.order.meta_file.as_deref().map(|path| rows(case.setup, path)).transpose();
    let rows = rows.map_err(|err| other(&err))?;
    let plan = BackloadPlan::new(resolved.order, rows.map(Arc::new)).map_err(|err| match err {
        BackloadPlanError::MissingKeys { .. } => Refusal::RowKey,
        err => other(&err),
    })?;
    let TaskChunk { tasks, .. } = plan.make_chunk(0, usize::MAX, at(NOW), "host", &mut TestIds::default());
    let tasks: Vec<_> = tasks.into_iter().map(|(_, task)| task).collect();
    let text = answer(&status(request.execute, &resolved.message), plan.count(), &tasks, &[]);
    let answer = serde_json::from_str(&text).expect("JSON");
    Ok(Planned { request, order: plan.order().clone(), answer, count: tasks.len() })
}

pub(crate) fn backload(case: &Case<'_>) -> Verdict {
    let code = case.expected["code"].as_u64().expect("a code");
    let planned = match plan(case, &workflows(case.setup)) {
        Ok(planned) => planned,
        Err(refusal) => return refused(case, code, refusal),
    };
    let (expected, got) = (seen(case.expected), ours(case.expected, &planned.answer));
    if code == 200 && is_like(&expected, &got) {
        return Verdict::Same;
    }
    departs(case, code, &planned).unwrap_or_else(|| Verdict::like(&json!([200, expected]), &json!([code, got])))
}

/// What the reference refuses, too, or what only we do, by a rule.
fn refused(case: &Case<'_>, code: u64, refusal: Refusal) -> Verdict {
    let why = match refusal {
        Refusal::Request(BackloadRequestError::Time { text, .. }) if code == 200 => {
            let rule = match text.get(..4).and_then(|year| year.parse::<i32>().ok()) {
                Some(year) if year < 1970 && text.len() >= 10 => departures::BACKLOAD_YEARS,
                _ => departures::UNREADABLE,
            };
            return Verdict::departs(rule, &None, &read_time(&text));
        }
        Refusal::RowKey if code == 200 => return Verdict::Departs(departures::ROW_KEY),
        Refusal::Other(_) if code == 200 && meta_file(case).is_some_and(|path| is_outside(&path)) => {
            return Verdict::Departs(departures::OUTSIDE);
        }
        Refusal::RowKey => "a key that no row has".to_owned(),
        Refusal::Request(err) => err.to_string(),
        Refusal::Other(why) => why,
    };
    Verdict::holds(code == 400, why)
}

/// The meta file that a request names.
fn meta_file(case: &Case<'_>) -> Option<String> {
    let request: BackloadRequest = serde_json::from_str(case.text("body")).ok()?;
    Some(request.meta_file).filter(|path| !path.is_empty())
}

/// What is expected of the answer, as of our time.
fn seen(expected: &Value) -> Value {
    let text = expected.to_string().replace("<TODAY>", "2024-01-15").replace("<HOUR>", "10");
    let mut seen: Value = serde_json::from_str(&text).expect("JSON");
    let parts = seen.as_object_mut().expect("an object");
    for other in ["code", "content_type", "sent_count", "sent_topic"] {
        parts.remove(other);
    }
    seen
}

/// The parts of our answer that a case shows.
fn ours(expected: &Value, answer: &Value) -> Value {
    let plain = |task: &Value| {
        json!({
            "type": task["type"], "job": task["job"].as_str().unwrap_or_default(), "info": task["info"],
            "meta": task["meta"],
        })
    };
    let tasks: Option<Vec<Value>> = answer["Tasks"].as_array().map(|tasks| tasks.iter().map(plain).collect());
    let some = tasks.as_deref().unwrap_or_default();
    let mut ours = json!({"status": answer["Status"], "count": answer["Count"]});
    for (name, part) in [
        ("tasks", json!(tasks)),
        ("tasks_first_3", json!(some.iter().take(3).collect::<Vec<_>>())),
        ("tasks_last_3", json!(some.iter().skip(some.len().saturating_sub(3)).collect::<Vec<_>>())),
    ] {
        if expected.get(name).is_some() {
            ours[name] = part;
        }
    }
    ours
}

/// The departures that what a phase says, or a value of a row, leads to.
fn of_values(case: &Case<'_>, code: u64, planned: &Planned, tasks: &[Value], meta: &Value) -> Option<Verdict> {
    let Planned { request, order, answer, .. } = planned;
    let wanted = case.expected["count"].as_u64().and_then(|count| usize::try_from(count).ok());
    let counts = (code, wanted, Some(tasks.len()));
    let departs = |rule, it: bool| {
        Some(Verdict::departs(rule, &(200, wanted, wanted, true), &(counts.0, counts.1, counts.2, it)))
    };
    if !request.by.is_empty() && BatchStep::parse(&request.by).is_none() {
        let told = answer["Status"].as_str().is_some_and(|status| status.ends_with("using default day iterator"));
        return departs(departures::BY, told);
    }
    let workflows = workflows(case.setup);
    if let Some(phase) = workflows.phase_for(&request.workflow, &order.topic, &order.job) {
        let by_path = workflows.phase_for("", &order.topic, &order.job);
        if by_path != Some(phase) {
            return departs(departures::OWN_FILE, order.workflow == phase.workflow);
        }
        if let Some(rule) = spelling::of_rule(&phase.rule_text) {
            let plain = plan(case, &plain_workflows(case.setup)).ok().map(|plain| ours(case.expected, &plain.answer));
            return Some(Verdict::departs(rule, &plain, &Some(ours(case.expected, answer))));
        }
    }
    let infos = || tasks.iter().filter_map(|task| task["info"].as_str());
    let tokens = ["{ts}", "{UUID}", "{uuid}"];
    if tokens.iter().any(|token| order.template.contains(token)) {
        let left = infos().any(|info| !info.contains('#') && tokens.iter().any(|token| info.contains(token)));
        return departs(departures::TOKENS, !left);
    }
    if meta.to_string().contains("{meta:") {
        return departs(departures::EXPAND_ONCE, true);
    }
    let expected = case.expected.to_string();
    if expected.contains("i~") {
        return departs(departures::JSON_TEXT, !infos().any(|info| info.contains("i~")));
    }
    let is_long = |text: &str| text.split(|c: char| !c.is_ascii_digit()).any(|digits| digits.len() > 15);
    (order.meta_file.is_some() && infos().any(is_long)).then(|| departs(departures::DIGITS, true)).flatten()
}

/// By which rule we answer otherwise, and whether we do as it says.
fn departs(case: &Case<'_>, code: u64, planned: &Planned) -> Option<Verdict> {
    let Planned { request, order, answer, count } = planned;
    let tasks = answer["Tasks"].as_array().map(Vec::as_slice).unwrap_or_default();
    let holds = |rule: Departure, it: bool| Some(Verdict::departs(rule, &(true, *count), &(it, tasks.len())));
    let body: Value = serde_json::from_str(case.text("body")).expect("JSON");
    let meta = body.as_object().and_then(|body| body.iter().rfind(|(key, _)| key.eq_ignore_ascii_case("meta")));
    let body_meta = meta.map_or(&Value::Null, |(_, meta)| meta);
    if case.expected["body"].as_str().is_some_and(|body| body.starts_with("issue writing to producer")) {
        return holds(departures::ONE_ANSWER, code == 500 && request.execute && *count > 0);
    }
    if meta.is_some_and(|(_, meta)| mixed(meta)) {
        return holds(departures::MIXED_META, code == 400 && *count > 0);
    }
    let phase = workflows(case.setup).phase_for(&request.workflow, &order.topic, &order.job).cloned();
    let is_unread = |phase: &Phase| phase.rule.problems.iter().any(|problem| problem.key.starts_with("meta"));
    if code == 400 && phase.as_ref().is_some_and(is_unread) {
        return holds(departures::OWN_ROWS, *count > 0);
    }
    if code == 400 && !request.template.is_empty() {
        return holds(departures::OWN_TEMPLATE, order.template == request.template && *count > 0);
    }
    let times = [&request.at, &request.from, &request.to];
    let has_zone = |time: &&&String| time.len() > 19 && is_elsewhere(time);
    if times.iter().any(|time| has_zone(&time)) {
        let first = tasks.first().map(|task| Query::parse_lenient(task["meta"].as_str().unwrap_or_default()));
        let hour = order.from.format("%Y-%m-%dT%H").to_string();
        return holds(departures::UTC, first.is_none_or(|meta| meta.first_value("cron") == Some(&hour)));
    }
    if request.task.contains(':') {
        let named = request.task.split_once(':') == Some((&order.topic, &order.job));
        return holds(departures::TASK_WITH_JOB, named);
    }
    if order.by == BatchStep::Month && order.from.day() > 28 {
        let day = |task: &Value| {
            let meta = Query::parse_lenient(task["meta"].as_str().unwrap_or_default());
            meta.first_value("cron").and_then(read_time).map(|time| time.day())
        };
        let clamped = |day: Option<u32>| day.is_some_and(|day| (28..=order.from.day()).contains(&day));
        return holds(departures::MONTHS, tasks.iter().map(day).all(clamped));
    }
    if order.to < order.from {
        let first = tasks.first().is_some_and(|task| {
            task["meta"].as_str().is_some_and(|meta| meta.contains(&order.from.format("cron=%Y-%m-%dT%H").to_string()))
        });
        return holds(departures::REVERSED, first);
    }
    if let Some(verdict) = of_values(case, code, planned, tasks, body_meta) {
        return Some(verdict);
    }
    let values = |task: &Value| Query::parse(task["meta"].as_str().unwrap_or_default()).ok();
    let special = |value: &str| value.contains(['&', '+', '%', ';']);
    if tasks.iter().filter_map(values).any(|meta| meta.pairs().any(|(_, value)| special(value))) {
        return holds(departures::ENCODED, tasks.iter().all(|task| values(task).is_some()));
    }
    None
}
