//! `POST /backload`: what would be created, or was.
//!
//! An answer may have a million tasks, so it is written piece by piece.

use flowlord_domain::NewTask;
use flowlord_messages::backload::Failure;
use serde::Serialize;

use super::{compact, time};

/// Task JSON as the reference system wrote it.
#[derive(Serialize)]
struct Task<'a> {
    #[serde(rename = "type")]
    topic: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    job: &'a str,
    info: &'a str,
    created: String,
    id: &'a str,
    meta: &'a str,
}

/// Beyond what the reference system tells: only there when something failed.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Failed<'a> {
    index: usize,
    reason: &'a str,
}

/// The status of a dry run, or of one in which all went well.
#[must_use]
pub fn status(executed: bool, message: &str) -> String {
    format!("{}: {message}", if executed { "Executed" } else { "DRY RUN ONLY" })
}

/// Begins an answer; the count is told at its end when it isn't known before.
pub(crate) fn begin(status: &str, count: Option<usize>) -> String {
    let count = count.map(|count| format!(r#""Count":{count},"#)).unwrap_or_default();
    format!(r#"{{"Status":{},{count}"Tasks":"#, compact(&status))
}

/// Some more tasks; `first` is set for the first ones of an answer.
pub(crate) fn tasks(tasks: &[NewTask], first: bool) -> String {
    let written = tasks.iter().map(|task| {
        compact(&Task {
            topic: &task.topic,
            job: &task.job,
            info: &task.info,
            created: time(task.uid.created()),
            id: &task.id,
            meta: &task.meta,
        })
    });
    let mut text = String::new();
    for (number, task) in written.enumerate() {
        text.push(if first && number == 0 { '[' } else { ',' });
        text.push_str(&task);
    }
    text
}

/// Ends an answer: as Go does, no tasks are `null`.
pub(crate) fn end(any: bool, count: Option<usize>, failed: &[Failure]) -> String {
    let mut text = if any { "]" } else { "null" }.to_owned();
    if let Some(count) = count {
        text.push_str(&format!(r#","Count":{count}"#));
    }
    if !failed.is_empty() {
        let failed: Vec<_> = failed.iter().map(|f| Failed { index: f.index, reason: &f.why }).collect();
        text.push_str(&format!(r#","Failed":{}"#, compact(&failed)));
    }
    text + "}"
}

/// A whole answer.
#[must_use]
pub fn answer(status: &str, count: usize, created: &[NewTask], failed: &[Failure]) -> String {
    begin(status, Some(count)) + &tasks(created, true) + &end(!created.is_empty(), None, failed)
}
