//! Tasks that a person has run again, or ended.

use chrono::{DateTime, Utc};
use flowlord_domain::{NewTask, TaskResult, Uid};
use flowlord_kernel::{Code, Error};
use flowlord_messages::write::{CancelTask, RerunTasks};
use rusqlite::params;

use crate::column::{self, DONE, LEASED, micros};
use crate::job::Command;
use crate::read::tasks::later;
use crate::store::{Store, Trouble};
use crate::write::lease::Held;

impl Command for RerunTasks {
    type Answer = Vec<flowlord_kernel::Result<Uid>>;

    fn apply(&mut self, store: &mut Store<'_>) -> Result<Self::Answer, Trouble> {
        let mut answers = Vec::with_capacity(self.tasks.len());
        for task in &self.tasks {
            match store.rerun(task, self.now) {
                Ok(uid) => answers.push(Ok(uid)),
                // A refusal wrote nothing.
                Err(Trouble::Refused(error)) => answers.push(Err(error)),
                Err(trouble) => return Err(trouble),
            }
        }
        Ok(answers)
    }
}

impl Command for CancelTask {
    type Answer = ();

    fn apply(&mut self, store: &mut Store<'_>) -> Result<(), Trouble> {
        let task = store.existing(self.uid)?;
        match task.state {
            DONE => {
                let detail = "the task has its result already: there is nothing to cancel";
                return Err(Error::new(Code::AlreadyFinished, detail).into());
            }
            // Its worker is asked to stop, and has the last word.
            LEASED => {
                let mark = "UPDATE task SET cancelled = 1 WHERE uid = ?1";
                store.connection.prepare_cached(mark)?.execute([self.uid.0])?;
            }
            _ => store.end_cancelled(self.uid, &task, Some(&self.msg), self.now)?,
        }
        Ok(())
    }
}

impl Store<'_> {
    fn rerun(&mut self, task: &NewTask, now: DateTime<Utc>) -> Result<Uid, Trouble> {
        let before = task.parent.unwrap_or(task.uid);
        if self.existing(before)?.state != DONE {
            let detail = format!("the task {before} has no result yet: wait for it, or cancel it first");
            return Err(Error::new(Code::TaskUnfinished, detail).into());
        }
        if let Some(uid) = later(self.connection, before)?
            && self.existing(uid)?.state != DONE
        {
            let detail =
                format!("the task {before} runs again already, as {uid}: wait for that, or cancel it");
            return Err(Error::new(Code::TaskUnfinished, detail).into());
        }
        let uid = self.insert_task(task, now)?;
        let mark = "UPDATE task SET given_up = 0 WHERE uid = ?1";
        self.connection.prepare_cached(mark)?.execute([before.0])?;
        Ok(uid)
    }

    fn existing(&self, uid: Uid) -> Result<Held, Trouble> {
        let missing = || Error::new(Code::TaskUnknown, format!("there is no task {uid}")).into();
        self.task(uid)?.ok_or_else(missing)
    }

    /// Ends a task that somebody cancelled and nobody works on.
    pub(crate) fn end_cancelled(
        &mut self,
        uid: Uid,
        task: &Held,
        msg: Option<&str>,
        now: DateTime<Utc>,
    ) -> rusqlite::Result<()> {
        self.connection
            .prepare_cached(
                "UPDATE task SET state = 3, due = ?2, result = ?3, ended = ?2, cancelled = 1,
                     msg = coalesce(?4, iif(msg = '', 'cancelled', 'cancelled: ' || msg)) WHERE uid = ?1",
            )?
            .execute(params![uid.0, micros(now), column::result(TaskResult::Warn), msg])?;
        let run_millis = task.started.map_or(0, |started| (micros(now) - started).max(0) / 1_000);
        self.rollups.ended(uid, task.queue, TaskResult::Warn, run_millis);
        Ok(())
    }
}
