//! Tasks: created, found by id and by chain, run again, cancelled.

pub(crate) mod elsewhere;
pub(crate) mod row;

use chrono::TimeDelta;
use flowlord_domain::foreign::ForeignTask;
use flowlord_domain::limits::OverlapRule;
use flowlord_domain::{Attempt, NewTask, TaskResult};
use flowlord_messages::tasks::{
    CancelTasks, ChainStart, CreateTasks, CreatedTasks, FindKnownTasks, FindLaterAttempts, IdempotencyKey, KnownTask,
    ReadAttempts, ReadChain, ReadChainStart, RerunTasks,
};

use crate::column::{DELAYED, DONE, HELD, LEASED, READY};
use crate::tables::leases::HeldTask;
use crate::tables::overlap::TaskOrigin;
use crate::tables::prelude::*;
use crate::tables::tasks::elsewhere::{foreign_digest, is_recorded};
use crate::tables::tasks::row::{ATTEMPT_COLUMNS, LISTED_COLUMNS, read_attempt, read_listed};
use crate::writer::context::answer_each;

const KEYS_KEPT: TimeDelta = TimeDelta::hours(24);

impl WriteCommand for CreateTasks {
    fn apply_to(&self, context: &mut WriteContext<'_>) -> CommandResult<CreatedTasks> {
        if let Some(key) = &self.idempotency
            && let Some(uids) = context.find_repeated(key, self.now)?
        {
            return Ok(CreatedTasks { uids, repeated: true });
        }
        let uids = match &self.slot {
            Some(slot) if self.overlap != OverlapRule::Run => context.place_slot(self, slot)?,
            slot => {
                let uids = self.tasks.iter().map(|task| context.insert_task(task, self.now));
                let uids = uids.collect::<Result<Vec<_>, _>>()?;
                // After the tasks, since it names the first of them; a slot that is taken undoes them.
                if let Some(slot) = slot {
                    context.take_slot(slot, &uids)?;
                }
                uids
            }
        };
        if let Some(key) = &self.idempotency {
            context.save_key(key, self.now, &uids)?;
        }
        context.insert_alerts(&self.alerts)?;
        Ok(CreatedTasks { uids, repeated: false })
    }
}

impl WriteCommand for RerunTasks {
    fn apply_to(&self, context: &mut WriteContext<'_>) -> CommandResult<Self::Answer> {
        self.tasks.iter().map(|task| answer_each(context.rerun_task(task, self.now))).collect()
    }
}

impl WriteCommand for CancelTasks {
    fn apply_to(&self, context: &mut WriteContext<'_>) -> CommandResult<Self::Answer> {
        self.uids.iter().map(|uid| answer_each(context.cancel_task(*uid, &self.msg, self.now))).collect()
    }
}

impl WriteContext<'_> {
    /// Stores a task that starts by itself: kept as long as its phase is paused. Answers whether it is, too.
    pub(crate) fn start_task(&mut self, task: &NewTask, now: DateTime<Utc>) -> rusqlite::Result<(Uid, bool)> {
        if !self.is_paused(task)? {
            return Ok((self.insert_task(task, now)?, false));
        }
        let kept = NewTask { not_before: Some(from_micros(HELD)), ..task.clone() };
        Ok((self.insert_task(&kept, now)?, true))
    }

    /// Stores a task under the first free id at or after its own.
    pub(crate) fn insert_task(&mut self, task: &NewTask, now: DateTime<Utc>) -> rusqlite::Result<Uid> {
        self.insert_task_of(task, TaskOrigin::default(), now)
    }

    /// The same for a task that may be of a backload or of a slot.
    pub(crate) fn insert_task_of(
        &mut self,
        task: &NewTask,
        origin: TaskOrigin,
        now: DateTime<Utc>,
    ) -> rusqlite::Result<Uid> {
        let queue = self.queue_id(&task.topic, &task.job)?;
        let workflow = self.name_id(&task.workflow)?;
        let delayed = task.not_before.filter(|at| *at > now);
        let (state, due) = match delayed {
            Some(at) => (DELAYED, at),
            None => (READY, now),
        };
        let mut insert = self.connection.prepare_cached(
            "INSERT OR IGNORE INTO task (uid, queue, state, lane, due, delivery, expired, retry, workflow, parent, chain,
                 info, meta, msg, backload)
             VALUES (?1, ?2, ?3, ?4, ?5, 0, 0, ?6, ?7, ?8, ?9, ?10, ?11, '', ?12)",
        )?;
        // The next free one is near: only what was created in the same microsecond collides.
        let mut uid = task.uid;
        loop {
            let stored = insert.execute(params![
                uid.0,
                queue,
                state,
                task.lane.to_column(),
                micros(due),
                task.retry,
                workflow,
                task.parent.map(|parent| parent.0),
                task.id,
                task.info,
                task.meta,
                origin.backload,
            ])?;
            if stored == 1 {
                break;
            }
            uid.0 += 1;
        }
        drop(insert);
        if let Some((phase, at)) = origin.slot {
            self.run_sql("UPDATE task SET slot_phase = ?2, slot_at = ?3 WHERE uid = ?1", [uid.0, phase, at])?;
        }
        self.totals.add_created(uid, queue);
        match delayed {
            Some(at) => self.effects.note_delayed(at),
            None => self.effects.note_ready(&task.topic, &task.job),
        }
        Ok(uid)
    }

    fn find_repeated(&self, key: &IdempotencyKey, now: DateTime<Utc>) -> CommandResult<Option<Vec<Uid>>> {
        // Here, where the table grows, so that it needs no timer.
        self.run_sql("DELETE FROM idempotency WHERE at < ?1", [micros(now - KEYS_KEPT)])?;
        let found: Option<(i64, Vec<u8>)> =
            self.find_row("SELECT digest, uids FROM idempotency WHERE key = ?1", [&key.key], |row| row.try_into())?;
        match found {
            None => Ok(None),
            Some((digest, uids)) if digest == to_signed(key.digest) => Ok(Some(unpack_uids(&uids))),
            Some(_) => {
                let detail = "the Idempotency-Key was already used with another body; use a new key for a new request";
                Err(CommandError::refused(Code::IdempotencyConflict, detail))
            }
        }
    }

    fn save_key(&self, key: &IdempotencyKey, now: DateTime<Utc>, uids: &[Uid]) -> rusqlite::Result<()> {
        let packed: Vec<u8> = uids.iter().flat_map(|uid| uid.0.to_be_bytes()).collect();
        self.run_sql(
            "INSERT INTO idempotency (key, at, digest, uids) VALUES (?1, ?2, ?3, ?4)",
            params![key.key, micros(now), to_signed(key.digest), packed],
        )
    }

    fn rerun_task(&mut self, task: &NewTask, now: DateTime<Utc>) -> CommandResult<Uid> {
        let before = task.parent.unwrap_or(task.uid);
        let held = self.require_task(before)?;
        if held.state != DONE {
            let detail = format!("the task {before} has no result yet: wait for it, or cancel it first");
            return Err(CommandError::refused(Code::TaskUnfinished, detail));
        }
        let later = later_attempt(self.connection, before)?;
        if let Some(uid) = later
            && self.require_task(uid)?.state != DONE
        {
            let detail = format!("the task {before} was already rerun, as {uid}: wait for it, or cancel it");
            return Err(CommandError::refused(Code::TaskUnfinished, detail));
        }
        let result = self.result_of(later.unwrap_or(before))?;
        self.count_at_backload(held.origin.backload, result, None)?;
        let uid = self.insert_task_of(task, held.origin, now)?;
        // No dead letter any more: people took it up.
        self.run_sql("UPDATE task SET given_up = 0 WHERE uid = ?1", [before.0])?;
        Ok(uid)
    }

    fn cancel_task(&mut self, uid: Uid, msg: &str, now: DateTime<Utc>) -> CommandResult<()> {
        let task = self.require_task(uid)?;
        match task.state {
            DONE => {
                let detail = "the task already has a result: there is nothing to cancel";
                return Err(CommandError::refused(Code::AlreadyFinished, detail));
            }
            // Its worker is asked to stop, and has the last word.
            LEASED => self.run_sql("UPDATE task SET cancelled = 1 WHERE uid = ?1", [uid.0])?,
            _ => self.end_cancelled(uid, &task, Some(msg), now)?,
        }
        Ok(())
    }

    pub(crate) fn result_of(&self, uid: Uid) -> rusqlite::Result<Option<TaskResult>> {
        self.read_row("SELECT result FROM task WHERE uid = ?1", [uid.0], |row| row.optional_result(0))
    }

    pub(crate) fn require_task(&self, uid: Uid) -> CommandResult<HeldTask> {
        self.find_task(uid)?.ok_or_else(|| CommandError::refused(Code::TaskUnknown, format!("there is no task {uid}")))
    }

    /// Ends a task that somebody cancelled and nobody works on.
    pub(crate) fn end_cancelled(
        &mut self,
        uid: Uid,
        task: &HeldTask,
        msg: Option<&str>,
        now: DateTime<Utc>,
    ) -> rusqlite::Result<()> {
        self.run_sql(
            "UPDATE task SET state = 3, due = ?2, result = ?3, ended = ?2, cancelled = 1,
                 msg = coalesce(?4, iif(msg = '', 'cancelled', 'cancelled: ' || msg)) WHERE uid = ?1",
            params![uid.0, micros(now), TaskResult::Warn.to_column(), msg],
        )?;
        self.count_at_backload(task.origin.backload, None, Some(TaskResult::Warn))?;
        let run_millis = task.started.map_or(0, |started| (micros(now) - started).max(0) / 1_000);
        self.totals.add_ended(uid, task.queue, TaskResult::Warn, run_millis);
        self.note_freed(task);
        self.start_waiting_slot(task.origin, now)
    }
}

fn unpack_uids(packed: &[u8]) -> Vec<Uid> {
    packed.as_chunks().0.iter().map(|bytes| Uid(i64::from_be_bytes(*bytes))).collect()
}

impl ReadQuery for ReadAttempts {
    fn read_from(&self, connection: &Connection) -> rusqlite::Result<Self::Answer> {
        let by_id = concat!(ATTEMPT_COLUMNS!(), " WHERE task.uid = ?1");
        self.uids.iter().map(|uid| connection.find_row(by_id, [uid.0], read_attempt)).collect()
    }
}

impl ReadQuery for FindKnownTasks {
    fn read_from(&self, connection: &Connection) -> rusqlite::Result<Self::Answer> {
        self.tasks.iter().map(|(uid, task)| find_known(connection, *uid, task)).collect()
    }
}

/// A uid names its task. Without one, what was created here has an instant of its own, which comes back as it was; and so
/// has what was created elsewhere, as it is shown here.
fn find_known(connection: &Connection, uid: Option<Uid>, task: &ForeignTask) -> rusqlite::Result<KnownTask> {
    if is_recorded(connection, &foreign_digest(task))? {
        return Ok(KnownTask::Recorded);
    }
    let at = uid.unwrap_or(task.first_uid());
    let is_here = connection.has_row(
        "SELECT 1 FROM task JOIN queue ON queue.id = task.queue WHERE uid = ?1 AND
             (?2 OR topic = ?3 AND job = ?4 AND chain = ?5
                 -- Several of elsewhere may have been created at a whole second.
                 AND (foreign_digest IS NULL OR uid % 1000000 <> 0))",
        params![at.0, uid.is_some(), task.topic, task.job, task.chain],
    )?;
    Ok(if is_here { KnownTask::Created(at) } else { KnownTask::Unknown })
}

impl ReadQuery for ReadChain {
    fn read_from(&self, connection: &Connection) -> rusqlite::Result<Self::Answer> {
        let sql = concat!(ATTEMPT_COLUMNS!(), " WHERE chain = ?1 ORDER BY task.uid");
        connection.read_rows(sql, [&self.id], read_attempt)
    }
}

impl ReadQuery for ReadChainStart {
    fn read_from(&self, connection: &Connection) -> rusqlite::Result<ChainStart> {
        let sql = concat!(LISTED_COLUMNS!(), " WHERE chain = ?1 ORDER BY task.uid LIMIT ?2");
        let attempts: Vec<Attempt> =
            connection.read_rows(sql, params![self.id, self.limit], |row| read_listed(connection, row))?;
        // Only the index is read for the rest.
        let last = attempts.last().filter(|_| attempts.len() >= self.limit);
        let more = last.map(|last| {
            connection
                .read_value("SELECT count(*) FROM task WHERE chain = ?1 AND uid > ?2", params![self.id, last.uid.0])
        });
        Ok(ChainStart { more: more.transpose()?.unwrap_or(0), attempts })
    }
}

impl ReadQuery for FindLaterAttempts {
    fn read_from(&self, connection: &Connection) -> rusqlite::Result<Self::Answer> {
        self.uids.iter().map(|uid| later_attempt(connection, *uid)).collect()
    }
}

/// The newest attempt of the same task after one: of the same chain, topic, job and info.
pub(crate) fn later_attempt(connection: &Connection, uid: Uid) -> rusqlite::Result<Option<Uid>> {
    connection.read_row(
        "SELECT max(later.uid) FROM task JOIN task AS later
             -- By the chain: the same info may stand in any number of tasks.
             ON later.chain = task.chain AND +later.queue = task.queue AND +later.info = task.info
         WHERE task.uid = ?1 AND later.uid > ?1",
        [uid.0],
        |row| row.optional_uid(0),
    )
}
