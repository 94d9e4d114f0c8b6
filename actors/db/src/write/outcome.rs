//! A result and all that follows from it: one command, one transaction.

use chrono::{DateTime, Utc};
use flowlord_domain::foreign::ForeignTask;
use flowlord_domain::{Decision, Uid};
use flowlord_kernel::{Code, Error};
use flowlord_messages::write::{Applied, ApplyOutcomes, Claim};
use rusqlite::params;

use crate::column::{self, DONE, micros};
use crate::foreign::{DoneElsewhere, digest, is_recorded};
use crate::job::Command;
use crate::store::{Store, Trouble};

impl Command for ApplyOutcomes {
    type Answer = Vec<flowlord_kernel::Result<Applied>>;

    fn apply(&mut self, store: &mut Store<'_>) -> Result<Self::Answer, Trouble> {
        let mut answers = Vec::with_capacity(self.outcomes.len());
        for (claim, decision) in &self.outcomes {
            match store.finish(claim, decision, self.now) {
                Ok(applied) => answers.push(Ok(applied)),
                // Refusals write nothing before they refuse, so the others of the command stand.
                Err(Trouble::Refused(error)) => answers.push(Err(error)),
                Err(trouble) => return Err(trouble),
            }
        }
        Ok(answers)
    }
}

impl Store<'_> {
    fn finish(&mut self, claim: &Claim, decision: &Decision, now: DateTime<Utc>) -> Result<Applied, Trouble> {
        let uid = claim.uid();
        let row = match claim {
            Claim::Lease(lease) => self.held(*lease)?,
            Claim::Task(_) => self
                .task(uid)?
                .ok_or_else(|| Error::new(Code::TaskUnknown, format!("there is no task {uid}")))?,
            Claim::Foreign(task) => return self.adopt(task, decision, now),
        };
        if row.state == DONE {
            return self.again(uid, decision);
        }
        let started = decision.started.map(micros).or(row.started).unwrap_or(micros(decision.ended));
        self.record(uid, decision, started)?;
        let run_millis = (micros(decision.ended) - started).max(0) / 1_000;
        self.rollups.ended(uid, row.queue, decision.result, run_millis);
        self.follow(decision, now)?;
        Ok(Applied { duplicate: false })
    }

    /// Records a task that nobody created here, together with its result. The first result of it stands.
    fn adopt(
        &mut self,
        task: &ForeignTask,
        decision: &Decision,
        now: DateTime<Utc>,
    ) -> Result<Applied, Trouble> {
        // Also one that came twice within this transaction.
        if is_recorded(self.connection, &digest(task))? {
            return Ok(Applied { duplicate: true });
        }
        let done = DoneElsewhere {
            task,
            delivery: 0,
            result: decision.result,
            started: decision.started.unwrap_or(decision.ended),
            ended: decision.ended,
            meta: &decision.meta,
            msg: &decision.msg,
            given_up: decision.given_up,
        };
        let Some(uid) = self.insert_done_elsewhere(&done)? else {
            let detail = "millions of tasks were created in the minute after `created`: there is no id left";
            return Err(Error::new(Code::InvalidRequest, detail).into());
        };
        if uid == task.uid() { self.follow(decision, now) } else { self.follow(&decision.moved(uid), now) }?;
        Ok(Applied { duplicate: false })
    }

    /// What follows from a result.
    fn follow(&mut self, decision: &Decision, now: DateTime<Utc>) -> Result<(), Trouble> {
        for child in &decision.children {
            self.start_task(child, now)?;
        }
        if let Some(retry) = &decision.retry {
            self.insert_task(retry, now)?;
        }
        self.insert_alerts(&decision.alerts)
    }

    fn record(&self, uid: Uid, decision: &Decision, started: i64) -> rusqlite::Result<()> {
        self.connection
            .prepare_cached(
                "UPDATE task SET state = 3, due = ?2, result = ?3, started = ?4, ended = ?2, meta = ?5, msg = ?6,
                     given_up = ?7
                 WHERE uid = ?1",
            )?
            .execute(params![
                uid.0,
                micros(decision.ended),
                column::result(decision.result),
                started,
                decision.meta,
                decision.msg,
                decision.given_up,
            ])
            .map(drop)
    }

    /// A result for a task that has one: the same again is fine, another one isn't.
    fn again(&self, uid: Uid, decision: &Decision) -> Result<Applied, Trouble> {
        let same = self
            .connection
            .prepare_cached("SELECT result = ?2 AND msg = ?3 AND meta = ?4 FROM task WHERE uid = ?1")?
            .query_row(
                params![uid.0, column::result(decision.result), decision.msg, decision.meta],
                |row| row.get(0),
            )?;
        if same {
            return Ok(Applied { duplicate: true });
        }
        let detail = "the task has another result already, which stands; to change it, rerun the task";
        Err(Error::new(Code::AlreadyFinished, detail).into())
    }
}
