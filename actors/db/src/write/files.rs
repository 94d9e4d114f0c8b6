//! Files: what was heard of them, what they started, which wait, and which were seen.

use flowlord_domain::Uid;
use flowlord_domain::file_match::FilePhase;
use flowlord_messages::files::{
    KeepPlaces, MatchEffect, MatchState, NewMatch, RecordFile, RecordedRow, SaveSeen, SeenFile, StoredMatch,
};
use rusqlite::{OptionalExtension as _, params};

use crate::column::{self, micros};
use crate::job::Command;
use crate::read::files::waiting;
use crate::store::{Store, Trouble};

impl Command for RecordFile {
    type Answer = RecordedRow;

    fn apply(&mut self, store: &mut Store<'_>) -> Result<RecordedRow, Trouble> {
        let mut phases = Vec::with_capacity(self.matches.len());
        for found in &self.matches {
            let phase = store.file_phase(&found.phase)?;
            let before = store.taken(&self.file.path, &self.file.version, phase)?;
            let decided_on = || found.waiting.iter().copied();
            if before.is_none() && !waiting(store.connection, phase)?.iter().map(|w| w.event).eq(decided_on())
            {
                return Ok(RecordedRow::Changed);
            }
            phases.push((phase, before));
        }
        let event = store.insert_event(self)?;
        let mut outcomes = Vec::with_capacity(phases.len());
        for (found, (phase, before)) in self.matches.iter().zip(phases) {
            let outcome = match before {
                Some(uid) => StoredMatch { state: MatchState::Repeated, uid, held: false },
                None => store.carry_out(phase, found, self)?,
            };
            let StoredMatch { state, uid, .. } = outcome;
            let why = match &found.effect {
                MatchEffect::Fail { why, .. } => why.as_str(),
                MatchEffect::Start(_) | MatchEffect::Wait | MatchEffect::Waits => "",
            };
            store
                .connection
                .prepare_cached(
                    "INSERT INTO file_match (event, phase, state, uid, why) VALUES (?1, ?2, ?3, ?4, ?5)",
                )?
                .execute(params![event, phase, column::matched(state), uid.map(|uid| uid.0), why])?;
            outcomes.push(outcome);
        }
        if let Some(SeenFile { place, path, etag }) = &self.seen {
            let place = store.file_place(place)?;
            store.see(place, path, etag)?;
        }
        Ok(RecordedRow::Stored(event, outcomes))
    }
}

impl Command for SaveSeen {
    type Answer = ();

    fn apply(&mut self, store: &mut Store<'_>) -> Result<(), Trouble> {
        let place = store.file_place(&self.place)?;
        for (path, etag) in &self.seen {
            store.see(place, path, etag)?;
        }
        for path in &self.left {
            store
                .connection
                .prepare_cached("DELETE FROM file_seen WHERE place = ?1 AND path = ?2")?
                .execute(params![place, path])?;
        }
        if let Some(since) = self.since {
            store
                .connection
                .prepare_cached("UPDATE file_place SET since = coalesce(since, ?2) WHERE id = ?1")?
                .execute(params![place, micros(since)])?;
        }
        Ok(())
    }
}

impl Command for KeepPlaces {
    type Answer = ();

    fn apply(&mut self, store: &mut Store<'_>) -> Result<(), Trouble> {
        let known = store
            .connection
            .prepare_cached("SELECT location FROM file_place")?
            .query_map([], |row| row.get(0))?
            .collect::<rusqlite::Result<Vec<String>>>()?;
        for place in known.iter().filter(|known| !self.places.contains(known)) {
            store
                .connection
                .prepare_cached("DELETE FROM file_place WHERE location = ?1")?
                .execute([place])?;
        }
        Ok(())
    }
}

impl Store<'_> {
    pub(crate) fn file_phase(&self, phase: &FilePhase) -> rusqlite::Result<i64> {
        let FilePhase { workflow, task, pattern, nth } = phase;
        self.connection
            .prepare_cached(
                "INSERT OR IGNORE INTO file_phase (workflow, task, pattern, nth) VALUES (?1, ?2, ?3, ?4)",
            )?
            .execute(params![workflow, task, pattern, nth])?;
        self.connection
            .prepare_cached(
                "SELECT id FROM file_phase WHERE workflow = ?1 AND task = ?2 AND pattern = ?3 AND nth = ?4",
            )?
            .query_row(params![workflow, task, pattern, nth], |row| row.get(0))
    }

    fn file_place(&self, location: &str) -> rusqlite::Result<i64> {
        self.connection
            .prepare_cached("INSERT OR IGNORE INTO file_place (location) VALUES (?1)")?
            .execute([location])?;
        self.connection
            .prepare_cached("SELECT id FROM file_place WHERE location = ?1")?
            .query_row([location], |row| row.get(0))
    }

    fn see(&self, place: i64, path: &str, etag: &str) -> rusqlite::Result<()> {
        self.connection
            .prepare_cached("INSERT OR REPLACE INTO file_seen (place, path, etag) VALUES (?1, ?2, ?3)")?
            .execute(params![place, path, etag])
            .map(drop)
    }

    /// Whether the phase took this version of the file before, and the task that it became part of.
    fn taken(&self, path: &str, version: &str, phase: i64) -> rusqlite::Result<Option<Option<Uid>>> {
        if version.is_empty() {
            return Ok(None);
        }
        self.connection
            .prepare_cached(
                "SELECT uid FROM file_event JOIN file_match ON file_match.event = file_event.id
                 WHERE path = ?1 AND version = ?2 AND phase = ?3 AND state < 2 LIMIT 1",
            )?
            .query_row(params![path, version, phase], |row| Ok(row.get::<_, Option<i64>>(0)?.map(Uid)))
            .optional()
    }

    fn insert_event(&self, record: &RecordFile) -> rusqlite::Result<i64> {
        let RecordFile { now, file, source, ignored, .. } = record;
        let stat = serde_json::to_string(file).unwrap_or_default();
        self.connection
            .prepare_cached(
                "INSERT INTO file_event (at, source, path, version, stat, ignored)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .insert(params![micros(*now), column::source(*source), file.path, file.version, stat, ignored])
    }

    fn carry_out(
        &mut self,
        phase: i64,
        found: &NewMatch,
        record: &RecordFile,
    ) -> Result<StoredMatch, Trouble> {
        let without = |state| StoredMatch { state, uid: None, held: false };
        Ok(match &found.effect {
            MatchEffect::Start(task) => {
                let (uid, held) = self.start_task(task, record.now)?;
                self.connection
                    .prepare_cached(
                        "UPDATE file_match SET state = 0, uid = ?2 WHERE phase = ?1 AND state = 1",
                    )?
                    .execute(params![phase, uid.0])?;
                StoredMatch { state: MatchState::Started, uid: Some(uid), held }
            }
            MatchEffect::Wait => without(MatchState::Waiting),
            MatchEffect::Waits => without(MatchState::Repeated),
            MatchEffect::Fail { alert, .. } => {
                self.insert_alerts(std::slice::from_ref(alert))?;
                without(MatchState::Failed)
            }
        })
    }
}
