//! Attempts.

use chrono::{DateTime, SubsecRound as _, Utc};
use flowlord_domain::query::Query;
use flowlord_domain::{TaskResult, Uid};
use rusqlite::{OptionalExtension as _, params};

use super::Fate;
use super::old::Row;
use crate::column::{self, micros};
use crate::store::Store;

const SECOND: i64 = 1_000_000;

/// So many of one second are looked past to find a place.
const MOST_OF_A_SECOND: i64 = SECOND;

pub(super) fn take(store: &mut Store<'_>, row: &Row) -> rusqlite::Result<Fate> {
    let (topic, job) = (row.text("type"), row.text("job"));
    if topic.is_empty() {
        return Ok(Fate::Left("`type` is empty"));
    }
    let Ok(Some(created)) = row.time("created") else {
        return Ok(Fate::Left("`created` isn't a time"));
    };
    let Ok(result) = row.text("result").trim().to_ascii_lowercase().parse::<TaskResult>() else {
        return Ok(Fate::Left(unfinished(&row.text("result"))));
    };
    if !Uid::at(created).is_writable() {
        return Ok(Fate::Left("`created` isn't between 1970 and 4253"));
    }
    let (Ok(started), Ok(ended)) = (row.time("started"), row.time("ended")) else {
        return Ok(Fate::Left("`started` or `ended` isn't a time"));
    };
    let queue = store.queue(&topic, &job)?;
    let chain = chain(row, created);
    if known(store, queue, &chain, created)? {
        return Ok(Fate::Known);
    }
    let ended = ended.or(started).unwrap_or(created);
    let done = Done { queue, chain, created, started: started.unwrap_or(ended), ended, result };
    let Some(uid) = insert(store, row, &done)? else {
        return Ok(Fate::Left("a million others were created in the same second"));
    };
    store.rollups.created(uid, queue);
    let run_millis = (micros(done.ended) - micros(done.started)).max(0) / 1_000;
    store.rollups.ended(uid, queue, result, run_millis);
    Ok(Fate::Taken)
}

/// What is left out could be run twice, or never: whoever starts it anew decides.
fn unfinished(result: &str) -> &'static str {
    match result.trim() {
        "" | "running" => "it is unfinished: a backload with only=missing starts it anew",
        _ => "`result` isn't complete, error, warn or alert",
    }
}

struct Done {
    queue: i64,
    chain: String,
    created: DateTime<Utc>,
    started: DateTime<Utc>,
    ended: DateTime<Utc>,
    result: TaskResult,
}

/// A task without an id is a chain of its own, the same each time.
fn chain(row: &Row, created: DateTime<Utc>) -> String {
    match row.text("id") {
        id if id.is_empty() => format!("imported-{}", micros(created)),
        id => id,
    }
}

/// There a chain, a type and job and a second make one attempt; here it may lie some microseconds later. Times with
/// fractions are few enough to be looked for closely.
fn known(store: &Store<'_>, queue: i64, chain: &str, created: DateTime<Utc>) -> rusqlite::Result<bool> {
    let from = micros(created);
    let within = if created == created.trunc_subsecs(0) { SECOND } else { 1_000 };
    let same = "SELECT 1 FROM task INDEXED BY task_chain
        WHERE chain = ?1 AND uid >= ?2 AND uid < ?3 AND queue = ?4 LIMIT 1";
    let mut same = store.connection.prepare_cached(same)?;
    Ok(same.query_row(params![chain, from, from + within, queue], |_| Ok(())).optional()?.is_some())
}

/// At the instant of its creation, or as soon after as is free.
fn insert(store: &mut Store<'_>, row: &Row, done: &Done) -> rusqlite::Result<Option<Uid>> {
    let meta = row.text("meta");
    let parsed = Query::lenient(&meta);
    let retry: u32 = ["retry", "retried"].iter().find_map(|key| parsed.first(key)?.parse().ok()).unwrap_or(0);
    let workflow = store.name(parsed.first("workflow").unwrap_or_default())?;
    let (info, msg) = (row.text("info"), row.text("msg"));
    let first = micros(done.created);
    let mut uid = first;
    while uid < first + MOST_OF_A_SECOND {
        let inserted = store
            .connection
            .prepare_cached(
                "INSERT OR IGNORE INTO task (uid, queue, state, lane, due, delivery, expired, retry, workflow, result,
                     started, ended, chain, info, meta, msg)
                 VALUES (?1, ?2, 3, 0, ?3, 1, 0, ?4, ?5, ?6, ?7, ?3, ?8, ?9, ?10, ?11)",
            )?
            .execute(params![
                uid,
                done.queue,
                micros(done.ended),
                retry,
                workflow,
                column::result(done.result),
                micros(done.started),
                done.chain,
                info,
                meta,
                msg,
            ])?;
        if inserted == 1 {
            return Ok(Some(Uid(uid)));
        }
        uid = after_the_last(store, first, uid)?;
    }
    Ok(None)
}

/// Many are created in the same second: not each of them is looked at.
fn after_the_last(store: &Store<'_>, first: i64, taken: i64) -> rusqlite::Result<i64> {
    let last = "SELECT max(uid) FROM task WHERE uid >= ?1 AND uid < ?2";
    let mut last = store.connection.prepare_cached(last)?;
    let last: Option<i64> = last.query_row([first, first + SECOND], |row| row.get(0))?;
    Ok(last.unwrap_or(taken).max(taken) + 1)
}
