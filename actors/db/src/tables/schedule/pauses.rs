//! Phases that start nothing new.

use flowlord_domain::NewTask;
use flowlord_domain::workflow::TaskName;
use flowlord_messages::schedule::SetPaused;

use crate::column::HELD;
use crate::tables::prelude::*;

impl WriteCommand for SetPaused {
    fn apply_to(&self, context: &mut WriteContext<'_>) -> CommandResult<Self::Answer> {
        if !self.paused {
            context.run_sql(
                // At least as late as its beginning: a clock that was set back would make a pause of negative length.
                "INSERT OR REPLACE INTO pause_ended (workflow, task, since, until)
                 SELECT workflow, task, since, max(since, ?3) FROM pause WHERE workflow = ?1 AND task = ?2",
                params![self.workflow, self.task, micros(self.now)],
            )?;
            context.run_sql("DELETE FROM pause WHERE workflow = ?1 AND task = ?2", [&self.workflow, &self.task])?;
            context.release_kept(self)?;
            return Ok(None);
        }
        context.run_sql(
            "INSERT OR IGNORE INTO pause (workflow, task, since) VALUES (?1, ?2, ?3)",
            params![self.workflow, self.task, micros(self.now)],
        )?;
        let since = "SELECT since FROM pause WHERE workflow = ?1 AND task = ?2";
        context.read_row(since, [&self.workflow, &self.task], |row| row.optional_time(0)).map_err(Into::into)
    }
}

impl WriteContext<'_> {
    /// Whether the phase that a task is of starts nothing new.
    pub(crate) fn is_paused(&self, task: &NewTask) -> rusqlite::Result<bool> {
        if task.workflow.is_empty() {
            return Ok(false);
        }
        let name = TaskName { topic: task.topic.clone(), job: task.job.clone() }.to_string();
        self.has_row("SELECT 1 FROM pause WHERE workflow = ?1 AND task = ?2", [&task.workflow, &name])
    }

    /// What was kept for a phase is due: it comes in the order in which it was created.
    fn release_kept(&mut self, phase: &SetPaused) -> rusqlite::Result<()> {
        let TaskName { topic, job } = TaskName::parse(&phase.task);
        let Some(queue) = self.known_queue(&topic, &job)? else { return Ok(()) };
        let workflow: Option<i64> = self.find_value("SELECT id FROM name WHERE text = ?1", [&phase.workflow])?;
        let released = self.change_rows(
            "UPDATE task SET due = ?1 WHERE state = 1 AND due = ?2 AND queue = ?3 AND workflow = ?4",
            params![micros(phase.now), HELD, queue, workflow],
        )?;
        if released > 0 {
            self.effects.note_delayed(phase.now);
        }
        Ok(())
    }
}
