//! Backloads: remembered, moved on with the tasks that they create, stopped; and what is there already of such tasks.

use std::collections::HashMap;

use flowlord_domain::TaskResult;
use flowlord_domain::backload::{TaskSelection, slot_of_meta};
use flowlord_messages::backloads::{
    BackloadCheck, BackloadFailure, BackloadState, CheckBackload, EndBackloadTasks, MAX_BACKLOAD_FAILURES,
    MAX_UNFINISHED_BACKLOADS, ReadBackload, ReadBackloads, SaveBackload, SetBackloadState, StoreBackloadChunk,
    StoredBackload,
};

use crate::tables::overlap::TaskOrigin;
use crate::tables::prelude::*;

const KEPT_BACKLOADS: usize = 1_000;

impl WriteCommand for SaveBackload {
    fn apply_to(&self, context: &mut WriteContext<'_>) -> CommandResult<i64> {
        let unfinished: usize = context.read_value("SELECT count(*) FROM backload WHERE state < 2", [])?;
        if unfinished >= MAX_UNFINISHED_BACKLOADS {
            let detail = format!("{unfinished} backloads are unfinished: wait for one, or cancel one");
            return Err(CommandError::refused(Code::Busy, detail));
        }
        context.forget_backloads()?;
        // One without tasks is done at once.
        let state = if self.total == 0 { BackloadState::Done } else { BackloadState::Running };
        Ok(context.insert_row(
            "INSERT INTO backload (requested, changed, state, total, next, digest, request, message, finished)
             VALUES (?1, ?1, ?2, ?3, 0, ?4, ?5, ?6, 0)",
            params![micros(self.now), state.to_column(), self.total, to_signed(self.digest), self.order, self.message],
        )?)
    }
}

impl WriteCommand for StoreBackloadChunk {
    fn apply_to(&self, context: &mut WriteContext<'_>) -> CommandResult<Vec<Uid>> {
        // Guarded by `next`: a chunk that comes twice, or after a pause, is refused whole, with its tasks.
        let moved = context.change_rows(
            "UPDATE backload SET next = ?3, created = created + ?4, skipped = skipped + ?5,
                 failed = failed + ?6, changed = ?7, state = iif(?3 < total, 0, 3)
             WHERE id = ?1 AND next = ?2 AND state = 0",
            params![self.id, self.from, self.next, self.tasks.len(), self.skipped, self.failed.len(), micros(self.now)],
        )?;
        if moved == 0 {
            let detail = format!("backload {} is not running, or is not at its task {}", self.id, self.from);
            return Err(CommandError::refused(Code::BackloadState, detail));
        }
        context.store_failures(self.id, &self.failed)?;
        let origin = TaskOrigin { backload: Some(self.id), slot: None };
        let uids = self.tasks.iter().map(|task| context.insert_task_of(task, origin, self.now));
        Ok(uids.collect::<Result<_, _>>()?)
    }
}

impl WriteCommand for SetBackloadState {
    fn apply_to(&self, context: &mut WriteContext<'_>) -> CommandResult<StoredBackload> {
        context.run_sql(
            // One whose tasks are all created can be cancelled as long as some of them haven't ended.
            "UPDATE backload SET state = ?2, problem = ?3, changed = ?4
             WHERE id = ?1 AND (state < 2 OR state = 3 AND ?2 = 2 AND finished < created)",
            params![self.id, self.state.to_column(), self.problem, micros(self.now)],
        )?;
        let Some(stored) = find_backload(context.connection, self.id)? else {
            let detail = format!("there is no backload {}; GET /api/v1/backloads lists them", self.id);
            return Err(CommandError::refused(Code::BackloadUnknown, detail));
        };
        if stored.state != self.state {
            let detail = format!(
                "backload {} is {} already: create a new one, with only=missing for the rest",
                self.id,
                stored.state.as_str()
            );
            return Err(CommandError::refused(Code::BackloadState, detail));
        }
        Ok(stored)
    }
}

impl WriteCommand for EndBackloadTasks {
    fn apply_to(&self, context: &mut WriteContext<'_>) -> CommandResult<usize> {
        let waiting: Vec<i64> = context.read_rows(
            "SELECT uid FROM task INDEXED BY task_backload WHERE backload = ?1 AND state < 2 LIMIT ?2",
            params![self.id, self.limit],
            |row| row.get(0),
        )?;
        for uid in &waiting {
            let held = context.require_task(Uid(*uid))?;
            context.end_cancelled(Uid(*uid), &held, Some("cancelled: its backload was cancelled"), self.now)?;
        }
        Ok(waiting.len())
    }
}

fn is_failure(result: Option<TaskResult>) -> bool {
    matches!(result, Some(TaskResult::Error | TaskResult::Alert))
}

impl WriteContext<'_> {
    /// Counts at its backload that a task stands otherwise than before: with this result, or to be done again.
    pub(crate) fn count_at_backload(
        &self,
        backload: Option<i64>,
        before: Option<TaskResult>,
        after: Option<TaskResult>,
    ) -> rusqlite::Result<()> {
        let Some(id) = backload else { return Ok(()) };
        let finished = i64::from(after.is_some()) - i64::from(before.is_some());
        let unsuccessful = i64::from(is_failure(after)) - i64::from(is_failure(before));
        self.run_sql(
            "UPDATE backload SET finished = finished + ?2, unsuccessful = unsuccessful + ?3 WHERE id = ?1",
            params![id, finished, unsuccessful],
        )
    }

    fn store_failures(&self, id: i64, failed: &[BackloadFailure]) -> rusqlite::Result<()> {
        if failed.is_empty() {
            return Ok(());
        }
        let known: usize = self.read_value("SELECT count(*) FROM backload_failure WHERE backload = ?1", [id])?;
        // Only the first are kept: a template that is wrong fails for every time of a year.
        for failure in failed.iter().take(MAX_BACKLOAD_FAILURES.saturating_sub(known)) {
            self.run_sql(
                "INSERT OR REPLACE INTO backload_failure (backload, number, time, why) VALUES (?1, ?2, ?3, ?4)",
                params![id, failure.index, failure.time.map(micros), failure.why],
            )?;
        }
        Ok(())
    }

    fn forget_backloads(&self) -> rusqlite::Result<()> {
        let oldest: Option<i64> = self.read_value(
            "SELECT max(id) FROM
                 (SELECT id FROM backload WHERE state >= 2 ORDER BY id DESC LIMIT -1 OFFSET ?1)",
            [KEPT_BACKLOADS],
        )?;
        let Some(oldest) = oldest else { return Ok(()) };
        self.run_sql(
            "DELETE FROM backload_failure WHERE backload IN
                 (SELECT id FROM backload WHERE id <= ?1 AND state >= 2)",
            [oldest],
        )?;
        self.run_sql("DELETE FROM backload WHERE id <= ?1 AND state >= 2", [oldest])
    }
}

macro_rules! BACKLOAD_COLUMNS {
    () => {
        "SELECT id, requested, changed, state, request, message, digest, total, next, created, skipped, failed, problem,
             finished, unsuccessful
         FROM backload"
    };
}

fn read_stored(row: &Row<'_>) -> rusqlite::Result<StoredBackload> {
    Ok(StoredBackload {
        id: row.get(0)?,
        requested: row.time(1)?,
        changed: row.time(2)?,
        state: row.enum_value(3)?,
        order: row.get(4)?,
        message: row.get(5)?,
        digest: to_unsigned(row.get(6)?),
        total: row.get(7)?,
        next: row.get(8)?,
        created: row.get(9)?,
        skipped: row.get(10)?,
        failed: row.get(11)?,
        problem: row.get(12)?,
        finished: row.get(13)?,
        unsuccessful: row.get(14)?,
    })
}

fn find_backload(connection: &Connection, id: i64) -> rusqlite::Result<Option<StoredBackload>> {
    connection.find_row(concat!(BACKLOAD_COLUMNS!(), " WHERE id = ?1"), [id], read_stored)
}

impl ReadQuery for ReadBackload {
    fn read_from(&self, connection: &Connection) -> rusqlite::Result<Self::Answer> {
        let Some(stored) = find_backload(connection, self.id)? else { return Ok(None) };
        let failures = connection.read_rows(
            "SELECT number, time, why FROM backload_failure WHERE backload = ?1 ORDER BY number LIMIT ?2",
            params![self.id, MAX_BACKLOAD_FAILURES],
            |row| Ok(BackloadFailure { index: row.get(0)?, time: row.optional_time(1)?, why: row.get(2)? }),
        )?;
        Ok(Some((stored, failures)))
    }
}

impl ReadQuery for ReadBackloads {
    fn read_from(&self, connection: &Connection) -> rusqlite::Result<Self::Answer> {
        let sql = if self.running {
            concat!(BACKLOAD_COLUMNS!(), " WHERE state < 2 AND state = ?3 AND id < ?1 ORDER BY id DESC LIMIT ?2")
        } else {
            concat!(BACKLOAD_COLUMNS!(), " WHERE id < ?1 AND ?3 IS NOT NULL ORDER BY id DESC LIMIT ?2")
        };
        let running = BackloadState::Running.to_column();
        connection.read_rows(sql, params![self.after.unwrap_or(i64::MAX), self.limit, running], read_stored)
    }
}

impl ReadQuery for CheckBackload {
    fn read_from(&self, connection: &Connection) -> rusqlite::Result<BackloadCheck> {
        let Some(queue) = find_queue(connection, &self.topic, &self.job)? else {
            // Nothing of this topic ever ran: all is missing and nothing failed.
            return Ok(BackloadCheck { wanted: vec![self.only != TaskSelection::Failed; self.tasks.len()], ready: 0 });
        };
        let ready = connection.read_value(
            "SELECT count(*) FROM
                 (SELECT 1 FROM task WHERE state = 0 AND queue = ?1 AND lane = 1 LIMIT ?2)",
            params![queue, self.count_to],
        )?;
        let wanted = match self.only {
            TaskSelection::All => vec![true; self.tasks.len()],
            only => choose_tasks(connection, queue, only, &self.tasks)?,
        };
        Ok(BackloadCheck { wanted, ready })
    }
}

/// Each info is looked up once, newest attempt first, by the index over queue and info: only where a template names
/// no time are there attempts of other times among them. Of several tasks that are the same only the first is wanted.
fn choose_tasks(
    connection: &Connection,
    queue: i64,
    only: TaskSelection,
    tasks: &[(String, String)],
) -> rusqlite::Result<Vec<bool>> {
    let mut by_info: HashMap<&str, HashMap<Option<String>, usize>> = HashMap::new();
    for (number, (info, meta)) in tasks.iter().enumerate() {
        by_info.entry(info).or_default().entry(slot_of_meta(meta)).or_insert(number);
    }
    let mut wanted = vec![false; tasks.len()];
    let mut attempts =
        connection.prepare_cached("SELECT meta, result FROM task WHERE queue = ?1 AND info = ?2 ORDER BY uid DESC")?;
    for (info, mut open) in by_info {
        let mut rows = attempts.query(params![queue, info])?;
        while !open.is_empty()
            && let Some(row) = rows.next()?
        {
            let Some(number) = open.remove(&slot_of_meta(&row.get::<_, String>(0)?)) else { continue };
            let result = row.optional_result(1)?;
            let failed = matches!(result, Some(TaskResult::Error | TaskResult::Alert));
            wanted[number] = only == TaskSelection::Failed && failed;
        }
        for number in open.into_values() {
            wanted[number] = only == TaskSelection::Missing;
        }
    }
    Ok(wanted)
}
