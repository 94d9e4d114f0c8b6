//! Files: events, what they started, which wait, and which were seen.

use flowlord_domain::file_event::FileEvent;
use flowlord_domain::file_match::FilePhase;
use flowlord_messages::files::{
    FileMatchEffect, FileMatchState, FilePhaseOutcome, FileRecordOutcome, KeepWatchedPlaces, ListFileEvents,
    NewFileMatch, ReadSeenFiles, ReadWaitingFiles, RecordFile, SaveSeenFiles, SeenFile, SeenPlace, StoredFileEvent,
    StoredFileMatch, WaitingFile,
};

use crate::tables::prelude::*;

impl WriteCommand for RecordFile {
    fn apply_to(&self, context: &mut WriteContext<'_>) -> CommandResult<FileRecordOutcome> {
        // All phases are judged before an event is written: `Changed` is an answer, which undoes nothing.
        let mut phases = Vec::with_capacity(self.matches.len());
        for found in &self.matches {
            let phase = context.file_phase_id(&found.phase)?;
            let before = context.find_taken(&self.file.path, &self.file.version, phase)?;
            if before.is_none() {
                let waiting = waiting_files(context.connection, phase)?;
                // The effect was decided on outside of the transaction: other files may wait by now.
                if !waiting.iter().map(|file| file.event).eq(found.waiting.iter().copied()) {
                    return Ok(FileRecordOutcome::Changed);
                }
            }
            phases.push((phase, before));
        }
        let event = context.insert_file_event(self)?;
        let mut outcomes = Vec::with_capacity(phases.len());
        for (found, (phase, before)) in self.matches.iter().zip(phases) {
            let outcome = match before {
                Some(uid) => StoredFileMatch { state: FileMatchState::Repeated, uid, held: false },
                None => context.apply_match(phase, found, self)?,
            };
            let StoredFileMatch { state, uid, .. } = outcome;
            let why = match &found.effect {
                FileMatchEffect::Fail { why, .. } => why.as_str(),
                FileMatchEffect::Start(_) | FileMatchEffect::Wait | FileMatchEffect::WaitsAlready => "",
            };
            context.run_sql(
                "INSERT INTO file_match (event, phase, state, uid, why) VALUES (?1, ?2, ?3, ?4, ?5)",
                params![event, phase, state.to_column(), uid.map(|uid| uid.0), why],
            )?;
            outcomes.push(outcome);
        }
        if let Some(SeenFile { place, path, etag }) = &self.seen {
            let place = context.file_place_id(place)?;
            context.store_seen(place, path, etag)?;
        }
        Ok(FileRecordOutcome::Stored(event, outcomes))
    }
}

impl WriteCommand for SaveSeenFiles {
    fn apply_to(&self, context: &mut WriteContext<'_>) -> CommandResult<()> {
        let place = context.file_place_id(&self.place)?;
        for (path, etag) in &self.seen {
            context.store_seen(place, path, etag)?;
        }
        for path in &self.left {
            context.run_sql("DELETE FROM file_seen WHERE place = ?1 AND path = ?2", params![place, path])?;
        }
        if let Some(since) = self.since {
            context.run_sql(
                "UPDATE file_place SET since = coalesce(since, ?2) WHERE id = ?1",
                params![place, micros(since)],
            )?;
        }
        Ok(())
    }
}

impl WriteCommand for KeepWatchedPlaces {
    fn apply_to(&self, context: &mut WriteContext<'_>) -> CommandResult<()> {
        let known: Vec<String> = context.read_rows("SELECT location FROM file_place", [], |row| row.get(0))?;
        // Its files go with it by the foreign key: one watched again later begins as new.
        for place in known.iter().filter(|known| !self.places.contains(known)) {
            context.run_sql("DELETE FROM file_place WHERE location = ?1", [place])?;
        }
        Ok(())
    }
}

impl WriteContext<'_> {
    pub(crate) fn file_phase_id(&self, phase: &FilePhase) -> rusqlite::Result<i64> {
        let FilePhase { workflow, task, pattern, nth } = phase;
        self.run_sql(
            "INSERT OR IGNORE INTO file_phase (workflow, task, pattern, nth) VALUES (?1, ?2, ?3, ?4)",
            params![workflow, task, pattern, nth],
        )?;
        self.read_value(
            "SELECT id FROM file_phase WHERE workflow = ?1 AND task = ?2 AND pattern = ?3 AND nth = ?4",
            params![workflow, task, pattern, nth],
        )
    }

    fn file_place_id(&self, location: &str) -> rusqlite::Result<i64> {
        self.run_sql("INSERT OR IGNORE INTO file_place (location) VALUES (?1)", [location])?;
        self.read_value("SELECT id FROM file_place WHERE location = ?1", [location])
    }

    fn store_seen(&self, place: i64, path: &str, etag: &str) -> rusqlite::Result<()> {
        self.run_sql(
            "INSERT OR REPLACE INTO file_seen (place, path, etag) VALUES (?1, ?2, ?3)",
            params![place, path, etag],
        )
    }

    /// Whether the phase took this version of the file before, and the task that it became part of.
    fn find_taken(&self, path: &str, version: &str, phase: i64) -> rusqlite::Result<Option<Option<Uid>>> {
        // Nothing tells its versions apart: such an event starts tasks each time.
        if version.is_empty() {
            return Ok(None);
        }
        // Started or waiting (`state < 2`): where it failed, the same version may try again.
        self.find_row(
            "SELECT uid FROM file_event JOIN file_match ON file_match.event = file_event.id
             WHERE path = ?1 AND version = ?2 AND phase = ?3 AND state < 2 LIMIT 1",
            params![path, version, phase],
            |row| row.optional_uid(0),
        )
    }

    fn insert_file_event(&self, record: &RecordFile) -> rusqlite::Result<i64> {
        let RecordFile { now, file, source, ignored, .. } = record;
        let stat = serde_json::to_string(file).unwrap_or_default();
        self.insert_row(
            "INSERT INTO file_event (at, source, path, version, stat, ignored)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![micros(*now), source.to_column(), file.path, file.version, stat, ignored],
        )
    }

    fn apply_match(&mut self, phase: i64, found: &NewFileMatch, record: &RecordFile) -> CommandResult<StoredFileMatch> {
        let state = match &found.effect {
            FileMatchEffect::Start(task) => {
                let (uid, held) = self.start_task(task, record.now)?;
                self.run_sql(
                    "UPDATE file_match SET state = 0, uid = ?2 WHERE phase = ?1 AND state = 1",
                    params![phase, uid.0],
                )?;
                return Ok(StoredFileMatch { state: FileMatchState::Started, uid: Some(uid), held });
            }
            FileMatchEffect::Wait => FileMatchState::Waiting,
            FileMatchEffect::WaitsAlready => FileMatchState::Repeated,
            FileMatchEffect::Fail { alert, .. } => {
                self.insert_alerts(std::slice::from_ref(alert))?;
                FileMatchState::Failed
            }
        };
        Ok(StoredFileMatch { state, uid: None, held: false })
    }
}

fn waiting_files(connection: &Connection, phase: i64) -> rusqlite::Result<Vec<WaitingFile>> {
    connection.read_rows(
        "SELECT event, path FROM file_match JOIN file_event ON file_event.id = event
         WHERE phase = ?1 AND state = 1 ORDER BY event",
        [phase],
        |row| Ok(WaitingFile { event: row.get(0)?, path: row.get(1)? }),
    )
}

impl ReadQuery for ReadWaitingFiles {
    fn read_from(&self, connection: &Connection) -> rusqlite::Result<Self::Answer> {
        self.phases.iter().map(|phase| find_waiting(connection, phase)).collect()
    }
}

fn find_waiting(connection: &Connection, phase: &FilePhase) -> rusqlite::Result<Vec<WaitingFile>> {
    let FilePhase { workflow, task, pattern, nth } = phase;
    let known = connection.find_value(
        "SELECT id FROM file_phase WHERE workflow = ?1 AND task = ?2 AND pattern = ?3 AND nth = ?4",
        params![workflow, task, pattern, nth],
    )?;
    known.map_or(Ok(Vec::new()), |phase| waiting_files(connection, phase))
}

impl ReadQuery for ListFileEvents {
    fn read_from(&self, connection: &Connection) -> rusqlite::Result<Self::Answer> {
        let mut events = connection.read_rows(
            "SELECT id, at, source, version, stat, ignored FROM file_event
             WHERE at >= ?1 AND at < ?2
                 AND (?3 IS NULL OR (at, id) < ((SELECT at FROM file_event WHERE id = ?3), ?3))
             ORDER BY at DESC, id DESC LIMIT ?4",
            params![micros(self.from), micros(self.to), self.after, self.limit],
            read_event,
        )?;
        let mut outcomes = connection.prepare_cached(
            "SELECT workflow, task, pattern, nth, state, uid, why
             FROM file_match JOIN file_phase ON file_phase.id = phase WHERE event = ?1 ORDER BY phase",
        )?;
        for event in &mut events {
            event.phases = outcomes.query_map([event.id], read_outcome)?.collect::<rusqlite::Result<_>>()?;
        }
        Ok(events)
    }
}

fn read_event(row: &Row<'_>) -> rusqlite::Result<StoredFileEvent> {
    let stat: String = row.get(4)?;
    let file: FileEvent = serde_json::from_str(&stat).unwrap_or_default();
    Ok(StoredFileEvent {
        id: row.get(0)?,
        at: row.time(1)?,
        file: FileEvent { version: row.get(3)?, ..file },
        source: row.enum_value(2)?,
        ignored: row.get(5)?,
        phases: Vec::new(),
    })
}

fn read_outcome(row: &Row<'_>) -> rusqlite::Result<FilePhaseOutcome> {
    let phase = FilePhase { workflow: row.get(0)?, task: row.get(1)?, pattern: row.get(2)?, nth: row.get(3)? };
    Ok(FilePhaseOutcome { phase, state: row.enum_value(4)?, uid: row.optional_uid(5)?, why: row.get(6)? })
}

impl ReadQuery for ReadSeenFiles {
    fn read_from(&self, connection: &Connection) -> rusqlite::Result<SeenPlace> {
        let found: Option<(i64, Option<i64>)> =
            connection.find_row("SELECT id, since FROM file_place WHERE location = ?1", [&self.place], |row| {
                row.try_into()
            })?;
        let Some((place, since)) = found else { return Ok(SeenPlace::default()) };
        let files =
            connection.read_rows("SELECT path, etag FROM file_seen WHERE place = ?1", [place], |row| row.try_into())?;
        Ok(SeenPlace { since: since.map(from_micros), files })
    }
}
