//! Files that were heard of, with the tasks that they started.

use chrono::{DateTime, SecondsFormat, Utc};
use flowlord_domain::file_event::FileEvent;
use flowlord_domain::file_match::FilePhase;
use rusqlite::params;

use super::RowFate;
use super::alerts::own_instant;
use super::old::OldRow;
use crate::sql::CachedSql as _;
use crate::writer::context::WriteContext;

pub(super) fn take_row(context: &mut WriteContext<'_>, row: &OldRow) -> rusqlite::Result<RowFate> {
    let path = row.text_of("path");
    if path.is_empty() {
        return Ok(RowFate::Left("`path` is empty"));
    }
    let Ok(Some(received)) = row.time_of("received_at") else {
        return Ok(RowFate::Left("`received_at` isn't a time"));
    };
    let Ok(modified) = row.time_of("last_modified") else {
        return Ok(RowFate::Left("`last_modified` isn't a time"));
    };
    let at = own_instant(received, row.number);
    let known = "SELECT 1 FROM file_event WHERE at = ?1 AND path = ?2 LIMIT 1";
    if context.has_row(known, params![at, path])? {
        return Ok(RowFate::Known);
    }
    let stat = FileEvent {
        path: path.clone(),
        size: row.number_of("size").unwrap_or_default(),
        created: modified.map_or_else(String::new, |at| at.to_rfc3339_opts(SecondsFormat::Secs, true)),
        ..FileEvent::default()
    };
    let event = context.insert_row(
        "INSERT INTO file_event (at, source, path, version, stat, ignored) VALUES (?1, 0, ?2, '', ?3, '')",
        params![at, path, serde_json::to_string(&stat).unwrap_or_default()],
    )?;
    insert_started(context, row, event, received)?;
    Ok(RowFate::Taken)
}

/// The tasks that it started. Which phases they were of isn't known there: their names stand for them.
fn insert_started(
    context: &mut WriteContext<'_>,
    row: &OldRow,
    event: i64,
    received: DateTime<Utc>,
) -> rusqlite::Result<()> {
    let (names, ids) = (text_list(row, "task_names"), text_list(row, "task_ids"));
    for (nth, name) in names.iter().enumerate() {
        let phase = FilePhase {
            workflow: String::new(),
            task: name.clone(),
            pattern: String::new(),
            // Several tasks of one name are told apart by their place.
            nth: names.iter().take(nth).filter(|before| *before == name).count(),
        };
        let phase = context.file_phase_id(&phase)?;
        let uid = match ids.get(nth) {
            Some(id) => first_attempt(context, name, id, received)?,
            None => None,
        };
        context.run_sql(
            "INSERT INTO file_match (event, phase, state, uid) VALUES (?1, ?2, 0, ?3)",
            params![event, phase, uid],
        )?;
    }
    Ok(())
}

fn text_list(row: &OldRow, column: &str) -> Vec<String> {
    serde_json::from_str(&row.text_of(column)).unwrap_or_default()
}

fn first_attempt(
    context: &mut WriteContext<'_>,
    name: &str,
    chain: &str,
    received: DateTime<Utc>,
) -> rusqlite::Result<Option<i64>> {
    let (topic, job) = name.split_once(':').unwrap_or((name, ""));
    let Some(queue) = context.known_queue(topic, job)? else { return Ok(None) };
    let first = "SELECT min(uid) FROM task INDEXED BY task_chain WHERE chain = ?1 AND uid >= ?2 AND queue = ?3";
    // A task's time is of whole seconds there: it may seem older than the file that started it.
    let since = (received - chrono::TimeDelta::seconds(1)).timestamp_micros();
    context.read_value(first, params![chain, since, queue])
}
