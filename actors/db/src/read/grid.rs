//! What became of slots, and how tasks ended by the hour. Everything is looked up by key, and bounded.

use std::ops::Range;

use chrono::{DateTime, TimeDelta, Utc};
use flowlord_domain::workflow::TaskName;
use flowlord_domain::{TaskResult, Uid};
use flowlord_messages::grid::{
    MAX_HOURS, MAX_LOOKED_AT, MAX_SLOTS, PhaseSlots, ReadHours, ReadSlots, SlotOutcome,
};
use flowlord_messages::read::Counts;
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::column::{self, micros, time};
use crate::reader::Query;
use crate::write::rollup::hour;

/// The tasks of a slot were made within this time of its first one.
const MADE_WITHIN: TimeDelta = TimeDelta::seconds(60);

/// A chain in which so many attempts follow a failed one went on with the task's children: it was completed.
const LATER: usize = 500;

impl Query for ReadSlots {
    type Answer = Vec<PhaseSlots>;

    fn read(&self, connection: &Connection) -> rusqlite::Result<Self::Answer> {
        let mut reading = Reading { connection, slots: MAX_SLOTS, tasks: MAX_LOOKED_AT, named: self.named };
        let range = micros(self.from)..micros(self.to);
        self.phases.iter().map(|(workflow, task)| reading.phase(workflow, task, &range)).collect()
    }
}

/// A look at slots, and how much of it is left.
struct Reading<'a> {
    connection: &'a Connection,
    slots: usize,
    tasks: usize,
    named: usize,
}

impl Reading<'_> {
    fn phase(&mut self, workflow: &str, task: &str, range: &Range<i64>) -> rusqlite::Result<PhaseSlots> {
        let id: Option<i64> = self
            .connection
            .prepare_cached("SELECT id FROM phase WHERE workflow = ?1 AND task = ?2")?
            .query_row([workflow, task], |row| row.get(0))
            .optional()?;
        let Some(id) = id else { return Ok(PhaseSlots::default()) };
        let crons = self
            .connection
            .prepare_cached("SELECT text, since FROM cron WHERE phase = ?1")?
            .query_map([id], |row| Ok((row.get(0)?, time(row.get(1)?))))?
            .collect::<rusqlite::Result<_>>()?;
        let mut slots = self.recorded(id, range)?;
        let all = slots.len();
        self.slots -= all;
        let queue = self.queue(task)?;
        let mut cut = None;
        for slot in &mut slots {
            match (queue, self.tasks) {
                (Some(queue), 1..) => self.look_at(slot, queue)?,
                (Some(_), 0) => cut = cut.or(Some(slot.at + TimeDelta::microseconds(1))),
                (None, _) => {}
            }
        }
        if self.slots == 0 {
            cut = cut.or(slots.last().map(|slot| slot.at));
        }
        Ok(PhaseSlots { slots, crons, cut })
    }

    fn recorded(&self, phase: i64, range: &Range<i64>) -> rusqlite::Result<Vec<SlotOutcome>> {
        self.connection
            .prepare_cached(
                "SELECT at, started, tasks FROM slot
                 WHERE phase = ?1 AND at >= ?2 AND at < ?3 ORDER BY at DESC LIMIT ?4",
            )?
            .query_map(params![phase, range.start, range.end, self.slots], |row| {
                let started = row.get::<_, Option<i64>>(1)?.map(Uid);
                let tasks: Option<i64> = row.get(2)?;
                Ok(SlotOutcome {
                    at: time(row.get(0)?),
                    started,
                    // Of a slot of before it isn't known: one at least.
                    tasks: tasks.map(i64::unsigned_abs).or(started.map(|_| 1)),
                    counts: Counts::default(),
                    named: Vec::new(),
                })
            })?
            .collect()
    }

    fn queue(&self, task: &str) -> rusqlite::Result<Option<i64>> {
        let TaskName { topic, job } = TaskName::parse(task);
        queue(self.connection, &topic, &job)
    }

    /// The tasks of a slot were created one after the other: a range of ids, in which tasks of others may be.
    fn look_at(&mut self, slot: &mut SlotOutcome, queue: i64) -> rusqlite::Result<()> {
        let (Some(first), Some(wanted)) = (slot.started, slot.tasks) else { return Ok(()) };
        let until = first.created() + MADE_WITHIN;
        let mut tasks = self.connection.prepare_cached(
            "SELECT uid, queue, retry, parent IS NULL, result, chain FROM task
             WHERE uid >= ?1 AND uid < ?2 ORDER BY uid LIMIT ?3",
        )?;
        let mut rows = tasks.query(params![first.0, micros(until), self.tasks])?;
        let mut read = 0;
        while let Some(row) = rows.next()?
            && slot.counts.total < wanted
        {
            read += 1;
            let is_first = row.get::<_, i64>(1)? == queue && row.get::<_, i64>(2)? == 0 && row.get(3)?;
            if !is_first {
                continue;
            }
            let mut result: Option<TaskResult> = row.get::<_, Option<i64>>(4)?.map(column::result_of);
            if matches!(result, Some(TaskResult::Error | TaskResult::Alert)) {
                result = self.last_of(&row.get::<_, String>(5)?, queue)?;
            }
            count(&mut slot.counts, result);
            if slot.named.len() < self.named {
                slot.named.push(Uid(row.get(0)?));
            }
        }
        self.tasks = self.tasks.saturating_sub(read.max(1));
        Ok(())
    }

    /// How the newest attempt of a chain ended that is of this topic and job.
    fn last_of(&self, chain: &str, queue: i64) -> rusqlite::Result<Option<TaskResult>> {
        let newest = self
            .connection
            .prepare_cached(
                "SELECT result FROM
                     (SELECT queue, result FROM task WHERE chain = ?1 ORDER BY uid DESC LIMIT ?2)
                 WHERE queue = ?3 LIMIT 1",
            )?
            .query_row(params![chain, LATER, queue], |row| {
                Ok(row.get::<_, Option<i64>>(0)?.map(column::result_of))
            })
            .optional()?;
        Ok(newest.unwrap_or(Some(TaskResult::Complete)))
    }
}

fn count(counts: &mut Counts, result: Option<TaskResult>) {
    counts.total += 1;
    match result {
        Some(TaskResult::Complete) => counts.complete += 1,
        Some(TaskResult::Error) => counts.error += 1,
        Some(TaskResult::Alert) => counts.alert += 1,
        Some(TaskResult::Warn) => counts.warn += 1,
        None => {}
    }
}

fn queue(connection: &Connection, topic: &str, job: &str) -> rusqlite::Result<Option<i64>> {
    connection
        .prepare_cached("SELECT id FROM queue WHERE topic = ?1 AND job = ?2")?
        .query_row([topic, job], |row| row.get(0))
        .optional()
}

impl Query for ReadHours {
    type Answer = Vec<Vec<(DateTime<Utc>, Counts)>>;

    fn read(&self, connection: &Connection) -> rusqlite::Result<Self::Answer> {
        let most = i64::try_from(MAX_HOURS / self.queues.len().max(1)).unwrap_or(i64::MAX).max(1);
        let to = hour(Uid::at(self.to - TimeDelta::microseconds(1)));
        let from = hour(Uid::at(self.from)).max(to - most + 1);
        let of = |(topic, job): &(String, String)| match queue(connection, topic, job)? {
            Some(queue) => hours(connection, queue, from..to + 1, self.newest),
            None => Ok(Vec::new()),
        };
        self.queues.iter().map(of).collect()
    }
}

/// Newest first. Each hour is looked up: the rollups are ordered by hour, with all topics in between.
fn hours(
    connection: &Connection,
    queue: i64,
    range: Range<i64>,
    newest: bool,
) -> rusqlite::Result<Vec<(DateTime<Utc>, Counts)>> {
    let mut one = connection.prepare_cached(
        "SELECT total, complete, error, alert, warn FROM rollup WHERE hour = ?1 AND queue = ?2",
    )?;
    let mut found = Vec::new();
    for hour in range.rev() {
        let counts = one
            .query_row([hour, queue], |row| {
                let count = |index| row.get::<_, i64>(index).map(|value| value.max(0).unsigned_abs());
                Ok(Counts {
                    total: count(0)?,
                    complete: count(1)?,
                    error: count(2)?,
                    alert: count(3)?,
                    warn: count(4)?,
                })
            })
            .optional()?;
        found.extend(counts.map(|counts| (DateTime::UNIX_EPOCH + TimeDelta::hours(hour), counts)));
        if newest && !found.is_empty() {
            break;
        }
    }
    Ok(found)
}
