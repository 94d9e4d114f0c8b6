//! Files that arrive: what is read of them, which phases take them, which tasks start.

use chrono::{DateTime, Datelike as _, Utc};
use flowlord_domain::NewTask;
use flowlord_domain::file_event::{Arrival, FileEvent, Headers, parse};
use flowlord_domain::file_match::{Effect, FileMatch, matches, needed};
use flowlord_domain::query::Query;
use serde_json::{Value, json};

use crate::case::{Case, TestIds, Verdict, at, go_time};
use crate::departures;
use crate::results::workflows;

const NOW: &str = "2024-01-15T10:17:23Z";

pub(crate) fn file_match(case: &Case<'_>) -> Verdict {
    let arrivals = match parse(case.text("event").as_bytes(), &Headers::default()) {
        Ok(arrivals) => arrivals,
        Err(err) => return Verdict::holds(case.error.is_some(), err),
    };
    let file = match <[Arrival; 1]>::try_from(arrivals) {
        Ok([Arrival::File(file)]) => file,
        Ok([Arrival::Ignored { why, .. }]) => return Verdict::holds(case.error.is_some(), why),
        Err(several) => {
            return Verdict::holds(false, format!("one event of the reference is {several:?} here"));
        }
    };
    let workflows = workflows(case.setup);
    let found = matches(&workflows, &file.path);
    let (expected, got) = (read(case.expected), ours(&file, &found));
    if expected != got || found.is_empty() != case.error.is_some() {
        return Verdict::of(&(case.error.is_some(), expected), &(found.is_empty(), got));
    }
    let all = case.expected["tasks"].as_array().expect("tasks");
    let (expected, tasks) = (at_once(all, &found), tasks(&file, &found));
    if expected != tasks {
        return departs(&file, &expected, &tasks).unwrap_or_else(|| Verdict::of(&expected, &tasks));
    }
    if expected.len() < all.len() { Verdict::Departs(departures::COUNT) } else { Verdict::Same }
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
        "names": message["task_names"].as_array().cloned().unwrap_or_default(),
    })
}

fn ours(file: &FileEvent, found: &[FileMatch<'_>]) -> Value {
    let names: Vec<_> = found.iter().map(|found| found.key.task.clone()).collect();
    json!({
        "path": file.path, "size": file.size, "linecnt": file.linecnt, "bytecnt": file.bytecnt,
        "checksum": file.checksum, "created": file.created, "modified": go_time(file.created_at()),
        "time": go_time(file.time()), "names": names,
    })
}

/// The tasks that start at once.
fn tasks(file: &FileEvent, found: &[FileMatch<'_>]) -> Vec<Value> {
    let start = |found: &FileMatch<'_>, waiting: &[String]| {
        found.effect(&file.path, waiting, "host", &mut TestIds::default(), at(NOW)).expect("an effect")
    };
    let task = |found| match start(found, &[]) {
        Effect::Start(task) => Some(plain(&task)),
        Effect::Wait => {
            let waiting: Vec<_> = (1..needed(&found.phase.rule)).map(|n| format!("/{n}")).collect();
            let last = start(found, &waiting);
            assert!(matches!(last, Effect::Start(_)), "the last of them starts a task: {last:?}");
            None
        }
        Effect::Waits => unreachable!("nothing waits"),
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
    let of_one = tasks.iter().zip(found).filter(|(_, found)| needed(&found.phase.rule) == 1);
    of_one.map(|(task, _)| task.clone()).collect()
}

/// By which rule we start other tasks, and whether we do as it says.
fn departs(file: &FileEvent, expected: &[Value], tasks: &[Value]) -> Option<Verdict> {
    let same = |name: &str| expected.iter().map(|task| &task[name]).eq(tasks.iter().map(|task| &task[name]));
    if file.time().is_some_and(|time: DateTime<Utc>| time.year() < 1000) && same("meta") {
        return Some(Verdict::Departs(departures::YEARS));
    }
    if file.path.contains("{meta:") && same("meta") {
        let once = tasks.iter().any(|task| task["info"].as_str().is_some_and(|info| info.contains("{meta:")));
        return Some(Verdict::departs(departures::EXPAND_ONCE, &true, &once));
    }
    if file.path.contains(['&', '+', '%', ';']) && same("info") {
        let reads_back = |task: &Value| {
            let meta = Query::parse(task["meta"].as_str().unwrap_or_default());
            meta.is_ok_and(|meta| meta.first("file") == Some(&file.path))
        };
        return Some(Verdict::departs(departures::ENCODED, &true, &tasks.iter().all(reads_back)));
    }
    None
}
