//! Slots of one phase that must not run beside each other: which one starts, waits or is left out.
//!
//! The tasks of such slots know them, and so do their retries: the end of the last one starts the next slot, in the same
//! transaction.

use flowlord_domain::limits::SlotPlacement;
use flowlord_messages::schedule::SlotKey;
use flowlord_messages::tasks::CreateTasks;

use crate::column::{DELAYED, HELD, QUEUED};
use crate::tables::prelude::*;

/// What the later attempts of a task take over from it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct TaskOrigin {
    /// The backload that it is of.
    pub(crate) backload: Option<i64>,
    /// The phase and the slot that it is of, where its phase's slots must not overlap.
    pub(crate) slot: Option<(i64, i64)>,
}

impl WriteContext<'_> {
    /// Stores the tasks of a slot as the ones before it allow.
    pub(crate) fn place_slot(&mut self, create: &CreateTasks, slot: &SlotKey) -> CommandResult<Vec<Uid>> {
        let phase = self.phase_id(&slot.workflow, &slot.task)?;
        let is_open =
            self.has_row("SELECT 1 FROM task INDEXED BY task_slot WHERE slot_phase = ?1 AND state < 3", [phase])?;
        let placement = create.overlap.place_slot(is_open);
        if placement == SlotPlacement::Skip {
            self.take_slot(slot, &[])?;
            self.run_sql("UPDATE slot SET skipped = 1 WHERE phase = ?1 AND at = ?2", params![phase, micros(slot.at)])?;
            return Ok(Vec::new());
        }
        let origin = TaskOrigin { backload: None, slot: Some((phase, micros(slot.at))) };
        let uids = create.tasks.iter().map(|task| self.insert_task_of(task, origin, create.now));
        let uids = uids.collect::<Result<Vec<_>, _>>()?;
        // Before any other is dropped: a slot that is taken undoes all of it.
        self.take_slot(slot, &uids)?;
        if placement == SlotPlacement::Replace {
            self.drop_waiting(phase, create.now)?;
        }
        if placement != SlotPlacement::Start {
            for uid in &uids {
                self.run_sql("UPDATE task SET state = ?2, due = ?3 WHERE uid = ?1", params![uid.0, DELAYED, QUEUED])?;
            }
        }
        Ok(uids)
    }

    /// Ends the tasks of slots that wait: a newer one takes their place.
    fn drop_waiting(&mut self, phase: i64, now: DateTime<Utc>) -> CommandResult<()> {
        let waiting: Vec<i64> = self.read_rows(
            "SELECT uid FROM task INDEXED BY task_slot WHERE slot_phase = ?1 AND state < 3 AND due = ?2",
            params![phase, QUEUED],
            |row| row.get(0),
        )?;
        for uid in waiting {
            let task = self.require_task(Uid(uid))?;
            let why = "skipped: a later slot came before the one before it had ended (overlap=latest)";
            self.end_cancelled(Uid(uid), &task, Some(why), now)?;
        }
        Ok(())
    }

    /// A task ended: where it was the last one of its slot, the slot that has waited longest starts.
    pub(crate) fn start_waiting_slot(&mut self, origin: TaskOrigin, now: DateTime<Utc>) -> rusqlite::Result<()> {
        let Some((phase, _)) = origin.slot else { return Ok(()) };
        let is_open = "SELECT 1 FROM task INDEXED BY task_slot WHERE slot_phase = ?1 AND state < 3 AND due <> ?2";
        if self.has_row(is_open, params![phase, QUEUED])? {
            return Ok(());
        }
        // What a pause keeps starts when that is over.
        let started = self.change_rows(
            "UPDATE task INDEXED BY task_slot
             SET due = iif(EXISTS (SELECT 1 FROM pause JOIN phase USING (workflow, task) WHERE phase.id = ?1), ?4, ?3)
             WHERE slot_phase = ?1 AND state < 3 AND due = ?2 AND slot_at =
                 (SELECT min(slot_at) FROM task INDEXED BY task_slot
                  WHERE slot_phase = ?1 AND state < 3 AND due = ?2)",
            params![phase, QUEUED, micros(now), HELD],
        )?;
        if started > 0 {
            self.effects.note_delayed(now);
        }
        Ok(())
    }
}
