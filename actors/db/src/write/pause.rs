//! Phases that start nothing new.

use flowlord_domain::NewTask;
use flowlord_domain::workflow::TaskName;
use flowlord_messages::write::SetPaused;
use rusqlite::{OptionalExtension as _, params};

use crate::column::{self, micros, time};
use crate::job::Command;
use crate::store::{Store, Trouble};

impl Command for SetPaused {
    type Answer = Option<chrono::DateTime<chrono::Utc>>;

    fn apply(&mut self, store: &mut Store<'_>) -> Result<Self::Answer, Trouble> {
        if !self.paused {
            store
                .connection
                .prepare_cached(
                    "INSERT OR REPLACE INTO pause_ended (workflow, task, since, until)
                     SELECT workflow, task, since, max(since, ?3) FROM pause WHERE workflow = ?1 AND task = ?2",
                )?
                .execute(params![self.workflow, self.task, micros(self.now)])?;
            store
                .connection
                .prepare_cached("DELETE FROM pause WHERE workflow = ?1 AND task = ?2")?
                .execute([&self.workflow, &self.task])?;
            store.let_go(self)?;
            return Ok(None);
        }
        store
            .connection
            .prepare_cached("INSERT OR IGNORE INTO pause (workflow, task, since) VALUES (?1, ?2, ?3)")?
            .execute(params![self.workflow, self.task, micros(self.now)])?;
        let since = store
            .connection
            .prepare_cached("SELECT since FROM pause WHERE workflow = ?1 AND task = ?2")?
            .query_row([&self.workflow, &self.task], |row| row.get(0))?;
        Ok(Some(time(since)))
    }
}

impl Store<'_> {
    /// Whether the phase that a task is of starts nothing new.
    pub(crate) fn is_paused(&self, task: &NewTask) -> rusqlite::Result<bool> {
        if task.workflow.is_empty() {
            return Ok(false);
        }
        let name = TaskName { topic: task.topic.clone(), job: task.job.clone() }.to_string();
        self.connection
            .prepare_cached("SELECT 1 FROM pause WHERE workflow = ?1 AND task = ?2")?
            .exists([&task.workflow, &name])
    }

    /// What was kept for a phase is due: it comes in the order in which it was created.
    fn let_go(&mut self, phase: &SetPaused) -> rusqlite::Result<()> {
        let TaskName { topic, job } = TaskName::parse(&phase.task);
        let Some(queue) = self.known_queue(&topic, &job)? else { return Ok(()) };
        let workflow: Option<i64> = self
            .connection
            .prepare_cached("SELECT id FROM name WHERE text = ?1")?
            .query_row([&phase.workflow], |row| row.get(0))
            .optional()?;
        let let_go = self
            .connection
            .prepare_cached(
                "UPDATE task SET due = ?1 WHERE state = 1 AND due = ?2 AND queue = ?3 AND workflow = ?4",
            )?
            .execute(params![micros(phase.now), column::HELD, queue, workflow])?;
        if let_go > 0 {
            self.followers.delayed = self.followers.delayed.into_iter().chain([phase.now]).min();
        }
        Ok(())
    }
}
