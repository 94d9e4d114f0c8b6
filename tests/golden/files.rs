//! Files that arrive: what is read of them, which phases take them, which tasks start.

use chrono::{DateTime, Datelike as _, Utc};
use flowlord_domain::NewTask;
use flowlord_domain::file_event::{EventHeaders, FileArrival, FileEvent, parse_file_events};
use flowlord_domain::file_match::{FileEffect, FileMatch, files_per_task, match_phases};
use flowlord_domain::query::Query;
use flowlord_domain::workflow::Workflows;
use serde_json::{Value, json};

use crate::case::{Case, TestIds, Verdict, at, go_time, list};
use crate::departures;
use crate::masks::is_like;
use crate::results::{is_special, plain_workflows, workflows};
use crate::spelling;

const NOW: &str = "2024-01-15T10:17:23Z";

pub(crate) fn file_match(case: &Case<'_>) -> Verdict {
    let arrivals = match parse_file_events(case.text("event").as_bytes(), &EventHeaders::default()) {
        Ok(arrivals) => arrivals,
        Err(err) => return Verdict::holds(case.error.is_some(), err),
    };
    let file = match <[FileArrival; 1]>::try_from(arrivals) {
        Ok([FileArrival::File(file)]) => file,
        Ok([FileArrival::Ignored { why, .. }]) => return Verdict::holds(case.error.is_some(), why),
        Err(several) => {
            return Verdict::holds(false, format!("one event of the reference is {several:?} here"));
        }
    };
    let workflows = workflows(case.setup);
    let found = match_phases(&workflows, &file.path);
    let (expected, got) = (read(case.expected), ours(&file, &found));
    let all = list(&case.expected["tasks"]);
    if expected != got || found.is_empty() != case.error.is_some() {
        return spelled(case, &file, &workflows)
            .unwrap_or_else(|| Verdict::of(&(case.error.is_some(), expected), &(found.is_empty(), got)));
    }
    let (expected, tasks) = (at_once(all, &found), tasks(&file, &found));
    let mut rule = (expected.len() < all.len()).then_some(departures::COUNT);
    let mut pairs = expected.iter().zip(&tasks);
    let wrong = pairs.find_map(|(expected, got)| match one(&file, expected, got, &found) {
        Verdict::Same => None,
        Verdict::Departs(by) => {
            rule = Some(by);
            None
        }
        wrong @ Verdict::Wrong(_) => Some(wrong),
    });
    match wrong {
        None if expected.len() != tasks.len() => Verdict::of(&expected, &tasks),
        None => rule.map_or(Verdict::Same, Verdict::Departs),
        Some(wrong) => spelled(case, &file, &workflows).unwrap_or(wrong),
    }
}

/// Phases whose rule is spelled otherwise take the file as they do by the plain rule.
fn spelled(case: &Case<'_>, file: &FileEvent, workflows: &Workflows) -> Option<Verdict> {
    let plain = plain_workflows(case.setup);
    let (ours, as_plain) = (match_phases(workflows, &file.path), match_phases(&plain, &file.path));
    let rule = spelling::of_phases(ours.iter().map(|found| found.phase))?;
    let names = |found: &[FileMatch<'_>]| -> Vec<String> { found.iter().map(|found| found.key.task.clone()).collect() };
    Some(Verdict::departs(rule, &names(&as_plain), &names(&ours)))
}

/// What the reference keeps of the event.
fn read(expected: &Value) -> Value {
    let (stat, message) = (&expected["stat"], &expected["file_messages"][0]);
    let number = |name: &str| stat[name].as_i64().unwrap_or_default();
    let created = stat["created"].as_str().filter(|created| *created != go_time(None));
    json!({
        "path": stat["path"], "size": number("size"), "linecnt": number("linecnt"), "bytecnt": number("bytecnt"),
        "checksum": stat["checksum"].as_str().unwrap_or_default(), "created": created.unwrap_or_default(),
        "modified": message["last_modified"], "time": message["task_time"],
        "names": list(&message["task_names"]),
    })
}

fn ours(file: &FileEvent, found: &[FileMatch<'_>]) -> Value {
    let names: Vec<_> = found.iter().map(|found| found.key.task.clone()).collect();
    json!({
        "path": file.path, "size": file.size, "linecnt": file.linecnt, "bytecnt": file.bytecnt,
        "checksum": file.checksum, "created": file.created, "modified": go_time(file.created_at()),
        "time": go_time(file.time_of_path()), "names": names,
    })
}

/// The tasks that start at once.
fn tasks(file: &FileEvent, found: &[FileMatch<'_>]) -> Vec<Value> {
    let start = |found: &FileMatch<'_>, waiting: &[String]| {
        found.effect_of_file(&file.path, waiting, "host", &mut TestIds::default(), at(NOW)).expect("an effect")
    };
    let task = |found| match start(found, &[]) {
        FileEffect::Start(task) => Some(plain(&task)),
        FileEffect::Wait => {
            let waiting: Vec<_> = (1..files_per_task(&found.phase.rule)).map(|n| format!("/{n}")).collect();
            let last = start(found, &waiting);
            assert!(matches!(last, FileEffect::Start(_)), "the last of them starts a task: {last:?}");
            None
        }
        FileEffect::Waits => unreachable!("nothing waits"),
    };
    found.iter().filter_map(task).collect()
}

fn plain(task: &NewTask) -> Value {
    json!({
        "info": task.info, "job": task.job, "meta": task.meta, "topic": task.topic, "type": task.topic,
    })
}

/// The tasks of the phases that don't count.
fn at_once(tasks: &[Value], found: &[FileMatch<'_>]) -> Vec<Value> {
    let of_one = tasks.iter().zip(found).filter(|(_, found)| files_per_task(&found.phase.rule) == 1);
    of_one.map(|(task, _)| task.clone()).collect()
}

/// One task: the same, or by which rule it is another one, and whether it is as the rule says.
fn one(file: &FileEvent, expected: &Value, got: &Value, found: &[FileMatch<'_>]) -> Verdict {
    if is_like(expected, got) {
        return Verdict::Same;
    }
    let same = |name: &str| expected[name] == got[name];
    let text = |name: &str| got[name].as_str().unwrap_or_default();
    let phase = found.iter().map(|found| found.phase).find(|phase| phase.task.topic == text("type"));
    let mut values: Vec<&str> = vec![&file.path];
    values.extend(phase.into_iter().flat_map(|phase| phase.rule.query.pairs()).map(|(_, value)| value));
    let template = phase.map(|phase| phase.template.as_str()).unwrap_or_default();
    if file.time_of_path().is_some_and(|time: DateTime<Utc>| time.year() < 1000) && same("meta") {
        return Verdict::Departs(departures::YEARS);
    }
    if values.iter().any(|value| value.contains("{meta:")) && same("meta") {
        return Verdict::departs(departures::EXPAND_ONCE, &true, &text("info").contains("{meta:"));
    }
    let tokens = ["{ts}", "{UUID}", "{uuid}"];
    if tokens.iter().any(|token| template.contains(token)) && same("meta") {
        let left = tokens.iter().any(|token| text("info").contains(token)) && !text("info").contains('#');
        return Verdict::departs(departures::TOKENS, &false, &left);
    }
    if values.iter().any(|value| is_special(value)) && same("info") {
        let meta = Query::parse(text("meta"));
        let reads_back = meta.is_ok_and(|meta| meta.first_value("file") == Some(&file.path));
        return Verdict::departs(departures::ENCODED, &true, &reads_back);
    }
    Verdict::of(expected, got)
}
