//! Files: what was heard of them, which wait, which were seen.

use flowlord_domain::Uid;
use flowlord_domain::file_event::FileEvent;
use flowlord_domain::file_match::FilePhase;
use flowlord_messages::files::{
    ListFiles, PhaseOutcome, ReadSeen, ReadWaiting, SeenPlace, StoredFileEvent, WaitingFile,
};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use crate::column::{self, micros, time};
use crate::reader::Query;

/// The files that wait for a phase, oldest first.
pub(crate) fn waiting(connection: &Connection, phase: i64) -> rusqlite::Result<Vec<WaitingFile>> {
    connection
        .prepare_cached(
            "SELECT event, path FROM file_match JOIN file_event ON file_event.id = event
             WHERE phase = ?1 AND state = 1 ORDER BY event",
        )?
        .query_map([phase], |row| Ok(WaitingFile { event: row.get(0)?, path: row.get(1)? }))?
        .collect()
}

impl Query for ReadWaiting {
    type Answer = Vec<Vec<WaitingFile>>;

    fn read(&self, connection: &Connection) -> rusqlite::Result<Self::Answer> {
        let mut find = connection.prepare_cached(
            "SELECT id FROM file_phase WHERE workflow = ?1 AND task = ?2 AND pattern = ?3 AND nth = ?4",
        )?;
        let of_phase = |FilePhase { workflow, task, pattern, nth }: &FilePhase| {
            let row = params![workflow, task, pattern, nth];
            match find.query_row(row, |row| row.get(0)).optional()? {
                Some(phase) => waiting(connection, phase),
                None => Ok(Vec::new()),
            }
        };
        self.phases.iter().map(of_phase).collect()
    }
}

impl Query for ListFiles {
    type Answer = Vec<StoredFileEvent>;

    fn read(&self, connection: &Connection) -> rusqlite::Result<Self::Answer> {
        let mut events = connection
            .prepare_cached(
                "SELECT id, at, source, version, stat, ignored FROM file_event
                 WHERE at >= ?1 AND at < ?2
                     AND (?3 IS NULL OR (at, id) < ((SELECT at FROM file_event WHERE id = ?3), ?3))
                 ORDER BY at DESC, id DESC LIMIT ?4",
            )?
            .query_map(params![micros(self.from), micros(self.to), self.after, self.limit], event)?
            .collect::<rusqlite::Result<Vec<_>>>()?;
        let mut outcomes = connection.prepare_cached(
            "SELECT workflow, task, pattern, nth, state, uid, why
             FROM file_match JOIN file_phase ON file_phase.id = phase WHERE event = ?1 ORDER BY phase",
        )?;
        for event in &mut events {
            event.phases = outcomes.query_map([event.id], outcome)?.collect::<rusqlite::Result<_>>()?;
        }
        Ok(events)
    }
}

fn event(row: &Row<'_>) -> rusqlite::Result<StoredFileEvent> {
    let stat: String = row.get(4)?;
    let file: FileEvent = serde_json::from_str(&stat).unwrap_or_default();
    Ok(StoredFileEvent {
        id: row.get(0)?,
        at: time(row.get(1)?),
        file: FileEvent { version: row.get(3)?, ..file },
        source: column::source_of(row.get(2)?),
        ignored: row.get(5)?,
        phases: Vec::new(),
    })
}

fn outcome(row: &Row<'_>) -> rusqlite::Result<PhaseOutcome> {
    let phase =
        FilePhase { workflow: row.get(0)?, task: row.get(1)?, pattern: row.get(2)?, nth: row.get(3)? };
    let uid: Option<i64> = row.get(5)?;
    Ok(PhaseOutcome { phase, state: column::matched_of(row.get(4)?), uid: uid.map(Uid), why: row.get(6)? })
}

impl Query for ReadSeen {
    type Answer = SeenPlace;

    fn read(&self, connection: &Connection) -> rusqlite::Result<SeenPlace> {
        let found: Option<(i64, Option<i64>)> = connection
            .prepare_cached("SELECT id, since FROM file_place WHERE location = ?1")?
            .query_row([&self.place], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let Some((place, since)) = found else { return Ok(SeenPlace::default()) };
        let files = connection
            .prepare_cached("SELECT path, etag FROM file_seen WHERE place = ?1")?
            .query_map([place], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<rusqlite::Result<_>>()?;
        Ok(SeenPlace { since: since.map(time), files })
    }
}
