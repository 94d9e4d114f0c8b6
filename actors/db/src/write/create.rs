//! Tasks come to be.

use chrono::{DateTime, TimeDelta, Utc};
use flowlord_domain::{NewTask, Uid};
use flowlord_kernel::{Code, Error};
use flowlord_messages::write::{
    CreateTasks, Created, IdempotencyKey, PromoteDue, Promoted, RecordMissed, SaveCrons, SlotKey,
};
use rusqlite::{OptionalExtension as _, params};

use crate::column::{self, micros, time};
use crate::job::Command;
use crate::store::{Store, Trouble};

/// How many delayed tasks one command moves, so that a flood of them doesn't hold up the others.
const PROMOTED_AT_ONCE: usize = 500;

/// How long a key is remembered.
const KEYS_KEPT: TimeDelta = TimeDelta::hours(24);

impl Command for CreateTasks {
    type Answer = Created;

    fn apply(&mut self, store: &mut Store<'_>) -> Result<Created, Trouble> {
        if let Some(key) = &self.idempotency
            && let Some(uids) = store.repeated(key, self.now)?
        {
            return Ok(Created { uids, repeated: true });
        }
        let uids =
            self.tasks.iter().map(|task| store.insert_task(task, self.now)).collect::<Result<Vec<_>, _>>()?;
        if let Some(slot) = &self.slot {
            store.take_slot(slot, &uids)?;
        }
        if let Some(key) = &self.idempotency {
            store.remember(key, self.now, &uids)?;
        }
        store.insert_alerts(&self.alerts)?;
        Ok(Created { uids, repeated: false })
    }
}

impl Command for RecordMissed {
    type Answer = ();

    fn apply(&mut self, store: &mut Store<'_>) -> Result<(), Trouble> {
        let mut new = 0;
        for slot in &self.slots {
            let phase = store.phase(&slot.workflow, &slot.task)?;
            new += store
                .connection
                .prepare_cached("INSERT OR IGNORE INTO slot (phase, at) VALUES (?1, ?2)")?
                .execute(params![phase, micros(slot.at)])?;
        }
        // When the same comes again because nobody heard the answer, it was told.
        if new > 0 {
            store.insert_alerts(&self.alerts)?;
        }
        Ok(())
    }
}

impl Command for SaveCrons {
    type Answer = ();

    fn apply(&mut self, store: &mut Store<'_>) -> Result<(), Trouble> {
        for cron in &self.removed {
            let phase = store.phase(&cron.workflow, &cron.task)?;
            store
                .connection
                .prepare_cached("DELETE FROM cron WHERE phase = ?1 AND text = ?2")?
                .execute(params![phase, cron.cron])?;
        }
        for (cron, since) in &self.added {
            let phase = store.phase(&cron.workflow, &cron.task)?;
            store
                .connection
                .prepare_cached("INSERT OR REPLACE INTO cron (phase, text, since) VALUES (?1, ?2, ?3)")?
                .execute(params![phase, cron.cron, micros(*since)])?;
        }
        Ok(())
    }
}

impl Command for PromoteDue {
    type Answer = Promoted;

    fn apply(&mut self, store: &mut Store<'_>) -> Result<Promoted, Trouble> {
        let due = {
            let mut statement = store.connection.prepare_cached(
                "SELECT task.uid, topic, job FROM task JOIN queue ON queue.id = task.queue
                 WHERE state = 1 AND due <= ?1 ORDER BY due LIMIT ?2",
            )?;
            let rows = statement.query_map(params![micros(self.now), PROMOTED_AT_ONCE], |row| {
                Ok((row.get::<_, i64>(0)?, row.get(1)?, row.get(2)?))
            })?;
            rows.collect::<rusqlite::Result<Vec<(i64, String, String)>>>()?
        };
        let count = due.len();
        for (uid, topic, job) in due {
            // `due` stays: it is since when the task is ready, and so its place in the line.
            store.connection.prepare_cached("UPDATE task SET state = 0 WHERE uid = ?1")?.execute([uid])?;
            store.followers.ready.insert((topic, job));
        }
        let next: Option<i64> = store
            .connection
            .prepare_cached("SELECT min(due) FROM task WHERE state = 1 AND due < ?1")?
            .query_row([column::HELD], |row| row.get(0))?;
        Ok(Promoted { count, next: next.map(time) })
    }
}

impl Store<'_> {
    /// Stores a task that starts by itself: kept as long as its phase is paused. Answers whether it is, too.
    pub(crate) fn start_task(&mut self, task: &NewTask, now: DateTime<Utc>) -> rusqlite::Result<(Uid, bool)> {
        if !self.is_paused(task)? {
            return Ok((self.insert_task(task, now)?, false));
        }
        let kept = NewTask { not_before: Some(time(column::HELD)), ..task.clone() };
        Ok((self.insert_task(&kept, now)?, true))
    }

    /// Stores a task under the first free id at or after its own.
    pub(crate) fn insert_task(&mut self, task: &NewTask, now: DateTime<Utc>) -> rusqlite::Result<Uid> {
        let queue = self.queue(&task.topic, &task.job)?;
        let workflow = self.name(&task.workflow)?;
        let delayed = task.not_before.filter(|at| *at > now);
        let (state, due) = match delayed {
            Some(at) => (column::DELAYED, at),
            None => (column::READY, now),
        };
        let mut insert = self.connection.prepare_cached(
            "INSERT OR IGNORE INTO task (uid, queue, state, lane, due, delivery, expired, retry, workflow, parent, chain,
                 info, meta, msg)
             VALUES (?1, ?2, ?3, ?4, ?5, 0, 0, ?6, ?7, ?8, ?9, ?10, ?11, '')",
        )?;
        let mut uid = task.uid;
        loop {
            let stored = insert.execute(params![
                uid.0,
                queue,
                state,
                column::lane(task.lane),
                micros(due),
                task.retry,
                workflow,
                task.parent.map(|parent| parent.0),
                task.id,
                task.info,
                task.meta,
            ])?;
            if stored == 1 {
                break;
            }
            uid.0 += 1;
        }
        drop(insert);
        self.rollups.created(uid, queue);
        match delayed {
            Some(at) => self.followers.delayed = self.followers.delayed.into_iter().chain([at]).min(),
            None => self.now_ready(&task.topic, &task.job),
        }
        Ok(uid)
    }

    /// Notes that a task of this topic and job is ready.
    pub(crate) fn now_ready(&mut self, topic: &str, job: &str) {
        self.followers.ready.insert((topic.to_owned(), job.to_owned()));
    }

    pub(crate) fn take_slot(&mut self, slot: &SlotKey, started: &[Uid]) -> Result<(), Trouble> {
        let phase = self.phase(&slot.workflow, &slot.task)?;
        let taken = self
            .connection
            .prepare_cached("INSERT OR IGNORE INTO slot (phase, at, started, tasks) VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![phase, micros(slot.at), started.first().map(|uid| uid.0), started.len()])?;
        if taken == 1 {
            return Ok(());
        }
        let detail = format!("{} of {} was recorded for {} before", slot.task, slot.workflow, slot.at);
        Err(Error::new(Code::SlotTaken, detail).into())
    }

    fn repeated(&self, key: &IdempotencyKey, now: DateTime<Utc>) -> Result<Option<Vec<Uid>>, Trouble> {
        let forget = "DELETE FROM idempotency WHERE at < ?1";
        self.connection.prepare_cached(forget)?.execute([micros(now - KEYS_KEPT)])?;
        let found: Option<(i64, Vec<u8>)> = self
            .connection
            .prepare_cached("SELECT digest, uids FROM idempotency WHERE key = ?1")?
            .query_row([&key.key], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        match found {
            None => Ok(None),
            Some((digest, uids)) if digest == column::bits(key.digest) => Ok(Some(unpack(&uids))),
            Some(_) => {
                let detail =
                    "the Idempotency-Key came with another body before; use a new key for a new request";
                Err(Error::new(Code::IdempotencyConflict, detail).into())
            }
        }
    }

    fn remember(&self, key: &IdempotencyKey, now: DateTime<Utc>, uids: &[Uid]) -> rusqlite::Result<()> {
        let packed: Vec<u8> = uids.iter().flat_map(|uid| uid.0.to_be_bytes()).collect();
        self.connection
            .prepare_cached("INSERT INTO idempotency (key, at, digest, uids) VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![key.key, micros(now), column::bits(key.digest), packed])
            .map(drop)
    }
}

fn unpack(packed: &[u8]) -> Vec<Uid> {
    packed.as_chunks().0.iter().map(|bytes| Uid(i64::from_be_bytes(*bytes))).collect()
}
