//! What became of slots. Everything is looked up by key, and bounded.

use std::ops::Range;

use chrono::TimeDelta;
use flowlord_domain::TaskResult;
use flowlord_domain::workflow::TaskName;
use flowlord_messages::schedule::{MAX_SLOT_TASKS, MAX_SLOTS, PhaseSlots, ReadSlots, SlotOutcome};
use flowlord_messages::stats::ResultCounts;

use crate::tables::prelude::*;

/// The tasks of a slot were made within this time of its first one.
const MADE_WITHIN: TimeDelta = TimeDelta::seconds(60);

/// A chain in which so many attempts follow a failed one went on with the task's children: it was completed.
const MAX_LATER_ATTEMPTS: usize = 500;

impl ReadQuery for ReadSlots {
    fn read_from(&self, connection: &Connection) -> rusqlite::Result<Self::Answer> {
        let mut reader = SlotReader { connection, slots: MAX_SLOTS, tasks: MAX_SLOT_TASKS, named: self.named };
        let range = micros(self.from)..micros(self.to);
        self.phases.iter().map(|(workflow, task)| reader.read_phase(workflow, task, &range)).collect()
    }
}

struct SlotReader<'a> {
    connection: &'a Connection,
    slots: usize,
    tasks: usize,
    named: usize,
}

impl SlotReader<'_> {
    fn read_phase(&mut self, workflow: &str, task: &str, range: &Range<i64>) -> rusqlite::Result<PhaseSlots> {
        let id: Option<i64> =
            self.connection.find_value("SELECT id FROM phase WHERE workflow = ?1 AND task = ?2", [workflow, task])?;
        let Some(id) = id else { return Ok(PhaseSlots::default()) };
        let crons = self
            .connection
            .read_rows("SELECT text, since FROM cron WHERE phase = ?1", [id], |row| Ok((row.get(0)?, row.time(1)?)))?;
        let mut slots = self.read_slots(id, range)?;
        let all = slots.len();
        self.slots -= all;
        let TaskName { topic, job } = TaskName::parse(task);
        let queue = find_queue(self.connection, &topic, &job)?;
        let mut cut = None;
        for slot in &mut slots {
            match (queue, self.tasks) {
                (Some(queue), 1..) => self.read_tasks(slot, queue)?,
                (Some(_), 0) => cut = cut.or(Some(slot.at + TimeDelta::microseconds(1))),
                (None, _) => {}
            }
        }
        if self.slots == 0 {
            cut = cut.or(slots.last().map(|slot| slot.at));
        }
        Ok(PhaseSlots { slots, crons, cut })
    }

    fn read_slots(&self, phase: i64, range: &Range<i64>) -> rusqlite::Result<Vec<SlotOutcome>> {
        self.connection.read_rows(
            "SELECT at, started, tasks, skipped FROM slot
             WHERE phase = ?1 AND at >= ?2 AND at < ?3 ORDER BY at DESC LIMIT ?4",
            params![phase, range.start, range.end, self.slots],
            |row| {
                let started = row.optional_uid(1)?;
                let tasks: Option<i64> = row.get(2)?;
                Ok(SlotOutcome {
                    at: row.time(0)?,
                    started,
                    // Of a slot of before it isn't known: one at least.
                    tasks: tasks.map(i64::unsigned_abs).or(started.map(|_| 1)),
                    is_skipped: row.get(3)?,
                    counts: ResultCounts::default(),
                    named: Vec::new(),
                })
            },
        )
    }

    /// The tasks of a slot were created one after the other: a range of ids, in which tasks of others may be.
    fn read_tasks(&mut self, slot: &mut SlotOutcome, queue: i64) -> rusqlite::Result<()> {
        let (Some(first), Some(wanted)) = (slot.started, slot.tasks) else { return Ok(()) };
        let until = first.created_at() + MADE_WITHIN;
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
            let mut result = row.optional_result(4)?;
            // A retry may have completed it: only what failed costs a look along its chain.
            if matches!(result, Some(TaskResult::Error | TaskResult::Alert)) {
                result = self.last_result(&row.get::<_, String>(5)?, queue)?;
            }
            count_result(&mut slot.counts, result);
            if slot.named.len() < self.named {
                slot.named.push(Uid(row.get(0)?));
            }
        }
        // At least one, so that slots whose tasks are gone use up the bound as well.
        self.tasks = self.tasks.saturating_sub(read.max(1));
        Ok(())
    }

    /// How the newest attempt of a chain ended that is of this topic and job.
    fn last_result(&self, chain: &str, queue: i64) -> rusqlite::Result<Option<TaskResult>> {
        let newest = self.connection.find_row(
            "SELECT result FROM
                 (SELECT queue, result FROM task WHERE chain = ?1 ORDER BY uid DESC LIMIT ?2)
             WHERE queue = ?3 LIMIT 1",
            params![chain, MAX_LATER_ATTEMPTS, queue],
            |row| row.optional_result(0),
        )?;
        Ok(newest.unwrap_or(Some(TaskResult::Complete)))
    }
}

fn count_result(counts: &mut ResultCounts, result: Option<TaskResult>) {
    counts.total += 1;
    match result {
        Some(TaskResult::Complete) => counts.complete += 1,
        Some(TaskResult::Error) => counts.error += 1,
        Some(TaskResult::Alert) => counts.alert += 1,
        Some(TaskResult::Warn) => counts.warn += 1,
        None => {}
    }
}
