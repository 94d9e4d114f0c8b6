//! Attempts.

use chrono::SubsecRound as _;
use flowlord_domain::foreign::ForeignTask;
use flowlord_domain::{TaskResult, Uid};
use rusqlite::params;

use super::RowFate;
use super::old::OldRow;
use crate::column::micros;
use crate::sql::CachedSql as _;
use crate::tables::tasks::elsewhere::{DoneElsewhere, foreign_digest, is_recorded};
use crate::writer::context::WriteContext;

const SECOND: i64 = 1_000_000;

pub(super) fn take_row(context: &mut WriteContext<'_>, row: &OldRow) -> rusqlite::Result<RowFate> {
    let (topic, job) = (row.text_of("type"), row.text_of("job"));
    if topic.is_empty() {
        return Ok(RowFate::Left("`type` is empty"));
    }
    let Ok(Some(created)) = row.time_of("created") else {
        return Ok(RowFate::Left("`created` isn't a time"));
    };
    let Ok(result) = row.text_of("result").trim().to_ascii_lowercase().parse::<TaskResult>() else {
        return Ok(RowFate::Left(why_left(&row.text_of("result"))));
    };
    if !Uid::at(created).is_writable() {
        return Ok(RowFate::Left("`created` isn't between 1970 and 4253"));
    }
    let (Ok(started), Ok(ended)) = (row.time_of("started"), row.time_of("ended")) else {
        return Ok(RowFate::Left("`started` or `ended` isn't a time"));
    };
    let (id, info, meta, msg) = (row.text_of("id"), row.text_of("info"), row.text_of("meta"), row.text_of("msg"));
    // Without an id it is a chain of its own, the same each time.
    let chain = if id.is_empty() { format!("imported-{}", micros(created)) } else { id.clone() };
    let task = ForeignTask { topic, job, id, chain, info, meta, created };
    if is_known(context, &task)? {
        return Ok(RowFate::Known);
    }
    let ended = ended.or(started).unwrap_or(created);
    let done = DoneElsewhere {
        task: &task,
        delivery: 1,
        result,
        started: started.unwrap_or(ended),
        ended,
        meta: &task.meta,
        msg: &msg,
        given_up: false,
    };
    Ok(match context.insert_done_elsewhere(&done)? {
        Some(_) => RowFate::Taken,
        None => RowFate::Left("millions of others were created in the same minute"),
    })
}

/// A task that is left out may have run, or not: who starts it anew decides.
fn why_left(result: &str) -> &'static str {
    match result.trim() {
        "" | "running" => "it is unfinished: a backload with only=missing creates it again",
        _ => "`result` isn't complete, error, warn or alert",
    }
}

/// There a chain, a type and job and a second make one attempt; here it may lie some microseconds later. Times with
/// fractions are few enough to be looked for closely.
fn is_known(context: &mut WriteContext<'_>, task: &ForeignTask) -> rusqlite::Result<bool> {
    let (queue, from) = (context.queue_id(&task.topic, &task.job)?, micros(task.created));
    let within = if task.created == task.created.trunc_subsecs(0) { SECOND } else { 1_000 };
    let same = "SELECT 1 FROM task INDEXED BY task_chain
        WHERE chain = ?1 AND uid >= ?2 AND uid < ?3 AND queue = ?4 LIMIT 1";
    Ok(context.has_row(same, params![task.chain, from, from + within, queue])?
        || is_recorded(context.connection, &foreign_digest(task))?)
}
