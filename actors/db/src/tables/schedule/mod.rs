//! What starts when: slots, crons, delayed tasks, and the phases that are paused.

mod pauses;
mod slots;

use flowlord_messages::schedule::{
    CronKey, LastSlot, PausedPhase, PromoteDue, PromotedTasks, ReadLastSlots, ReadPaused, ReadSchedule, RecordMissed,
    SaveCrons, ScheduleInput, SlotKey,
};

use crate::column::QUEUED;
use crate::tables::prelude::*;

/// How many delayed tasks one command moves, so that a flood of them doesn't hold up the others.
const PROMOTED_AT_ONCE: usize = 500;

impl WriteCommand for RecordMissed {
    fn apply_to(&self, context: &mut WriteContext<'_>) -> CommandResult<()> {
        let mut new = 0;
        for slot in &self.slots {
            let phase = context.phase_id(&slot.workflow, &slot.task)?;
            new += context.change_rows(
                "INSERT OR IGNORE INTO slot (phase, at) VALUES (?1, ?2)",
                params![phase, micros(slot.at)],
            )?;
        }
        // When the same comes again because nobody heard the answer, it was told.
        if new > 0 {
            context.insert_alerts(&self.alerts)?;
        }
        Ok(())
    }
}

impl WriteCommand for SaveCrons {
    fn apply_to(&self, context: &mut WriteContext<'_>) -> CommandResult<()> {
        for cron in &self.removed {
            let phase = context.phase_id(&cron.workflow, &cron.task)?;
            context.run_sql("DELETE FROM cron WHERE phase = ?1 AND text = ?2", params![phase, cron.cron])?;
        }
        for (cron, since) in &self.added {
            let phase = context.phase_id(&cron.workflow, &cron.task)?;
            context.run_sql(
                "INSERT OR REPLACE INTO cron (phase, text, since) VALUES (?1, ?2, ?3)",
                params![phase, cron.cron, micros(*since)],
            )?;
        }
        Ok(())
    }
}

impl WriteCommand for PromoteDue {
    fn apply_to(&self, context: &mut WriteContext<'_>) -> CommandResult<PromotedTasks> {
        let due: Vec<(i64, String, String)> = context.read_rows(
            "SELECT task.uid, topic, job FROM task JOIN queue ON queue.id = task.queue
             WHERE state = 1 AND due <= ?1 ORDER BY due LIMIT ?2",
            params![micros(self.now), PROMOTED_AT_ONCE],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
        )?;
        let count = due.len();
        for (uid, topic, job) in due {
            // `due` stays: it is since when the task is ready, and so its place in the line.
            context.run_sql("UPDATE task SET state = 0 WHERE uid = ?1", [uid])?;
            context.effects.ready.insert((topic, job));
        }
        Ok(PromotedTasks { count, next: next_due(context.connection)? })
    }
}

/// When the earliest delayed task is due; what a pause or an earlier slot keeps isn't.
fn next_due(connection: &Connection) -> rusqlite::Result<Option<DateTime<Utc>>> {
    // The state is written out: a partial index is used only where its condition is seen to hold.
    let earliest = "SELECT min(due) FROM task WHERE state = 1 AND due < ?1";
    connection.read_row(earliest, [QUEUED], |row| row.optional_time(0))
}

impl ReadQuery for ReadSchedule {
    fn read_from(&self, connection: &Connection) -> rusqlite::Result<ScheduleInput> {
        let last_slots = connection.read_rows(
            "SELECT workflow, task, (SELECT max(at) FROM slot WHERE phase = phase.id) AS last FROM phase
             WHERE last IS NOT NULL",
            [],
            |row| Ok(SlotKey { workflow: row.get(0)?, task: row.get(1)?, at: row.time(2)? }),
        )?;
        let crons = connection.read_rows(
            "SELECT workflow, task, text, since FROM cron JOIN phase ON phase.id = cron.phase",
            [],
            |row| {
                let key = CronKey { workflow: row.get(0)?, task: row.get(1)?, cron: row.get(2)? };
                Ok((key, row.time(3)?))
            },
        )?;
        let (next_due, paused) = (next_due(connection)?, ReadPaused.read_from(connection)?);
        Ok(ScheduleInput { last_slots, crons, next_due, paused })
    }
}

impl ReadQuery for ReadPaused {
    fn read_from(&self, connection: &Connection) -> rusqlite::Result<Self::Answer> {
        connection.read_rows("SELECT workflow, task, since FROM pause ORDER BY workflow, task", [], |row| {
            Ok(PausedPhase { workflow: row.get(0)?, task: row.get(1)?, since: row.time(2)? })
        })
    }
}

impl ReadQuery for ReadLastSlots {
    fn read_from(&self, connection: &Connection) -> rusqlite::Result<Self::Answer> {
        // From the end of each phase's slots, so that none costs more than the slots that it missed since it started.
        connection.read_rows(
            "SELECT workflow, task,
                 (SELECT at FROM slot WHERE phase = phase.id AND at >= ?1 AND at < ?2 AND skipped = 0
                  ORDER BY at DESC LIMIT 1) AS last,
                 (SELECT at FROM slot WHERE phase = phase.id AND at >= ?1 AND at < ?2
                 AND started IS NOT NULL
                  ORDER BY at DESC LIMIT 1)
             FROM phase WHERE last IS NOT NULL",
            params![micros(self.from), micros(self.to)],
            |row| {
                Ok(LastSlot {
                    key: SlotKey { workflow: row.get(0)?, task: row.get(1)?, at: row.time(2)? },
                    started: row.optional_time(3)?,
                })
            },
        )
    }
}

impl WriteContext<'_> {
    pub(crate) fn take_slot(&mut self, slot: &SlotKey, started: &[Uid]) -> CommandResult<()> {
        let phase = self.phase_id(&slot.workflow, &slot.task)?;
        let taken = self.change_rows(
            "INSERT OR IGNORE INTO slot (phase, at, started, tasks) VALUES (?1, ?2, ?3, ?4)",
            params![phase, micros(slot.at), started.first().map(|uid| uid.0), started.len()],
        )?;
        // The key refuses it a second time, and with it the whole command: its tasks are undone.
        if taken == 1 {
            return Ok(());
        }
        let detail = format!("{} of {} was already recorded for {}", slot.task, slot.workflow, slot.at);
        Err(CommandError::refused(Code::SlotTaken, detail))
    }
}
