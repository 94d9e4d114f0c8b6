//! Backloads: remembered, moved on with the tasks that they create, stopped.

use flowlord_domain::Uid;
use flowlord_kernel::{Code, Error};
use flowlord_messages::backload::{
    BackloadState, Failure, MAX_FAILURES, MAX_UNFINISHED, SaveBackload, SetBackloadState, StoreBackloadChunk,
    StoredBackload,
};
use rusqlite::params;

use crate::column::{self, bits, micros};
use crate::job::Command;
use crate::read::backload::one;
use crate::store::{Store, Trouble};

/// How many finished ones are remembered.
const KEPT: usize = 1_000;

impl Command for SaveBackload {
    type Answer = i64;

    fn apply(&mut self, store: &mut Store<'_>) -> Result<i64, Trouble> {
        let unfinished: usize = store
            .connection
            .prepare_cached("SELECT count(*) FROM backload WHERE state < 2")?
            .query_row([], |row| row.get(0))?;
        if unfinished >= MAX_UNFINISHED {
            let detail = format!("{unfinished} backloads are unfinished: wait for one, or cancel one");
            return Err(Error::new(Code::Busy, detail).into());
        }
        store.forget_backloads()?;
        // One without tasks is done at once.
        let state = if self.total == 0 { BackloadState::Done } else { BackloadState::Running };
        let id = store
            .connection
            .prepare_cached(
                "INSERT INTO backload (requested, changed, state, total, next, digest, request, message)
                 VALUES (?1, ?1, ?2, ?3, 0, ?4, ?5, ?6)",
            )?
            .insert(params![
                micros(self.now),
                column::backload(state),
                self.total,
                bits(self.digest),
                self.order,
                self.message
            ])?;
        Ok(id)
    }
}

impl Command for StoreBackloadChunk {
    type Answer = Vec<Uid>;

    fn apply(&mut self, store: &mut Store<'_>) -> Result<Vec<Uid>, Trouble> {
        let moved = store
            .connection
            .prepare_cached(
                "UPDATE backload SET next = ?3, created = created + ?4, skipped = skipped + ?5,
                     failed = failed + ?6, changed = ?7, state = iif(?3 < total, 0, 3)
                 WHERE id = ?1 AND next = ?2 AND state = 0",
            )?
            .execute(params![
                self.id,
                self.from,
                self.next,
                self.tasks.len(),
                self.skipped,
                self.failed.len(),
                micros(self.now)
            ])?;
        if moved == 0 {
            let detail = format!("backload {} doesn't run, or isn't at its task {}", self.id, self.from);
            return Err(Error::new(Code::BackloadState, detail).into());
        }
        store.remember_failures(self.id, &self.failed)?;
        let uids = self.tasks.iter().map(|task| store.insert_task(task, self.now));
        Ok(uids.collect::<Result<_, _>>()?)
    }
}

impl Command for SetBackloadState {
    type Answer = StoredBackload;

    fn apply(&mut self, store: &mut Store<'_>) -> Result<StoredBackload, Trouble> {
        store
            .connection
            .prepare_cached(
                "UPDATE backload SET state = ?2, problem = ?3, changed = ?4 WHERE id = ?1 AND state < 2",
            )?
            .execute(params![self.id, column::backload(self.state), self.problem, micros(self.now)])?;
        let Some(stored) = one(store.connection, self.id)? else {
            let detail = format!("there is no backload {}; GET /api/v1/backloads lists them", self.id);
            return Err(Error::new(Code::BackloadUnknown, detail).into());
        };
        if stored.state != self.state {
            let detail = format!(
                "backload {} is {} already: ask for a new one, with only=missing for what is left",
                self.id,
                stored.state.as_str()
            );
            return Err(Error::new(Code::BackloadState, detail).into());
        }
        Ok(stored)
    }
}

impl Store<'_> {
    fn remember_failures(&self, id: i64, failed: &[Failure]) -> rusqlite::Result<()> {
        if failed.is_empty() {
            return Ok(());
        }
        let known: usize = self
            .connection
            .prepare_cached("SELECT count(*) FROM backload_failure WHERE backload = ?1")?
            .query_row([id], |row| row.get(0))?;
        let mut insert = self.connection.prepare_cached(
            "INSERT OR REPLACE INTO backload_failure (backload, number, time, why) VALUES (?1, ?2, ?3, ?4)",
        )?;
        for failure in failed.iter().take(MAX_FAILURES.saturating_sub(known)) {
            insert.execute(params![id, failure.index, failure.time.map(micros), failure.why])?;
        }
        Ok(())
    }

    fn forget_backloads(&self) -> rusqlite::Result<()> {
        let oldest: Option<i64> = self
            .connection
            .prepare_cached(
                "SELECT max(id) FROM
                     (SELECT id FROM backload WHERE state >= 2 ORDER BY id DESC LIMIT -1 OFFSET ?1)",
            )?
            .query_row([KEPT], |row| row.get(0))?;
        let Some(oldest) = oldest else { return Ok(()) };
        for sql in [
            "DELETE FROM backload_failure WHERE backload IN
                 (SELECT id FROM backload WHERE id <= ?1 AND state >= 2)",
            "DELETE FROM backload WHERE id <= ?1 AND state >= 2",
        ] {
            self.connection.prepare_cached(sql)?.execute([oldest])?;
        }
        Ok(())
    }
}
