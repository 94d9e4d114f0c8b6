//! A result and all that follows from it: one command, one transaction.

use flowlord_domain::foreign::ForeignTask;
use flowlord_domain::{NewTask, TaskDecision, TaskResult};
use flowlord_messages::results::{AppliedResult, ApplyOutcomes, ResultClaim};

use crate::column::DONE;
use crate::tables::overlap::TaskOrigin;
use crate::tables::prelude::*;
use crate::tables::tasks::elsewhere::{DoneElsewhere, foreign_digest, is_recorded};
use crate::tables::tasks::later_attempt;
use crate::writer::context::answer_each;

impl WriteCommand for ApplyOutcomes {
    fn apply_to(&self, context: &mut WriteContext<'_>) -> CommandResult<Self::Answer> {
        // Refusals write nothing before they refuse, so the others of the command stand.
        let finished = self.outcomes.iter().map(|(claim, decision)| context.finish_task(claim, decision, self.now));
        finished.map(answer_each).collect()
    }
}

impl WriteContext<'_> {
    fn finish_task(
        &mut self,
        claim: &ResultClaim,
        decision: &TaskDecision,
        now: DateTime<Utc>,
    ) -> CommandResult<AppliedResult> {
        let uid = claim.uid();
        let row = match claim {
            ResultClaim::Lease(lease) | ResultClaim::TimedOut(lease) => self.require_lease(*lease)?,
            ResultClaim::Task(uid) => self.require_task(*uid)?,
            ResultClaim::Foreign(task) => return self.adopt_task(task, decision, now),
            ResultClaim::Person { uid, seen } => return self.complete_by_person(*uid, *seen, decision, now),
        };
        if row.state == DONE {
            return self.compare_result(uid, decision);
        }
        let cancelled;
        let decision = if row.cancelled {
            // It may have been cancelled after the decision.
            cancelled = decision.as_cancelled();
            &cancelled
        } else {
            decision
        };
        // A worker may send its own start; else the lease's counts, and a task never leased ran no time.
        let started = decision.started.map(micros).or(row.started).unwrap_or(micros(decision.ended));
        self.store_result(uid, decision, started)?;
        self.note_freed(&row);
        let run_millis = (micros(decision.ended) - started).max(0) / 1_000;
        self.totals.add_ended(uid, row.queue, decision.result, run_millis);
        // One that is tried again isn't over.
        if decision.retry.is_none() {
            self.count_at_backload(row.origin.backload, None, Some(decision.result))?;
        }
        self.learn_values(uid, &decision.learned)?;
        self.store_followers(uid, decision, row.origin, now)?;
        self.start_waiting_slot(row.origin, now)?;
        Ok(AppliedResult { duplicate: false })
    }

    /// Completes an attempt in place of its worker.
    fn complete_by_person(
        &mut self,
        uid: Uid,
        seen: Option<TaskResult>,
        decision: &TaskDecision,
        now: DateTime<Utc>,
    ) -> CommandResult<AppliedResult> {
        let row = self.require_task(uid)?;
        let result = self.result_of(uid)?;
        if result == Some(TaskResult::Complete) {
            return Err(CommandError::refused(Code::AlreadyFinished, "the task is complete already"));
        }
        if result != seen {
            let detail = "the task got a result meanwhile: read it again before you mark it complete";
            return Err(CommandError::refused(Code::AlreadyFinished, detail));
        }
        self.refuse_tried_again(uid)?;
        let started = decision.started.map(micros).or(row.started).unwrap_or(micros(decision.ended));
        self.store_result(uid, decision, started)?;
        self.note_freed(&row);
        // Without the lease on the row its worker hears that it is lost, whatever it sends.
        self.run_sql("UPDATE task SET cancelled = 0, lease = NULL WHERE uid = ?1", [uid.0])?;
        match result {
            Some(before) => self.totals.change_result(uid, row.queue, before, decision.result),
            None => {
                let run_millis = (micros(decision.ended) - started).max(0) / 1_000;
                self.totals.add_ended(uid, row.queue, decision.result, run_millis);
            }
        }
        self.count_at_backload(row.origin.backload, result, Some(decision.result))?;
        self.learn_values(uid, &decision.learned)?;
        self.store_followers(uid, decision, row.origin, now)?;
        self.start_waiting_slot(row.origin, now)?;
        Ok(AppliedResult { duplicate: false })
    }

    /// Its children would start for both: once for this attempt, and once for the later one.
    fn refuse_tried_again(&self, uid: Uid) -> CommandResult<()> {
        let Some(later) = later_attempt(self.connection, uid)? else { return Ok(()) };
        let code = if self.require_task(later)?.state == DONE { Code::AlreadyFinished } else { Code::TaskUnfinished };
        let detail = format!("the task {uid} was tried again, as {later}: mark that one complete");
        Err(CommandError::refused(code, detail))
    }

    /// Records a task that nobody created here, together with its result. The first result of it stands.
    fn adopt_task(
        &mut self,
        task: &ForeignTask,
        decision: &TaskDecision,
        now: DateTime<Utc>,
    ) -> CommandResult<AppliedResult> {
        // Also one that came twice within this transaction.
        if is_recorded(self.connection, &foreign_digest(task))? {
            return Ok(AppliedResult { duplicate: true });
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
            return Err(CommandError::refused(Code::InvalidRequest, detail));
        };
        self.learn_values(uid, &decision.learned)?;
        // Its children and retry name it as their parent: under another id they follow it there.
        if uid == task.first_uid() {
            self.store_followers(uid, decision, TaskOrigin::default(), now)
        } else {
            self.store_followers(uid, &decision.with_uid(uid), TaskOrigin::default(), now)
        }?;
        Ok(AppliedResult { duplicate: false })
    }

    fn store_followers(
        &mut self,
        uid: Uid,
        decision: &TaskDecision,
        origin: TaskOrigin,
        now: DateTime<Utc>,
    ) -> CommandResult<()> {
        let mut children = Vec::with_capacity(decision.children.len());
        for child in &decision.children {
            // Asked before the first of them starts: several may have the same info.
            if !decision.only_failed_children || !self.is_done_or_under_way(child)? {
                children.push(child);
            }
        }
        for child in children {
            self.start_task(child, now)?;
        }
        for arrival in &decision.arrivals {
            self.count_arrival(arrival, uid, now)?;
        }
        if let Some(retry) = &decision.retry {
            // A pause starts nothing new, but tasks that were created before it continue with their retries.
            self.insert_task_of(retry, origin, now)?;
        }
        self.insert_alerts(&decision.alerts)
    }

    /// Whether the newest attempt of the same task in the same chain didn't fail.
    fn is_done_or_under_way(&mut self, task: &NewTask) -> rusqlite::Result<bool> {
        let Some(queue) = self.known_queue(&task.topic, &task.job)? else { return Ok(false) };
        let newest: Option<Option<TaskResult>> = self.find_row(
            "SELECT result FROM task WHERE chain = ?1 AND +queue = ?2 AND +info = ?3 ORDER BY uid DESC LIMIT 1",
            params![task.id, queue, task.info],
            |row| row.optional_result(0),
        )?;
        Ok(newest.is_some_and(|result| !matches!(result, Some(TaskResult::Error | TaskResult::Alert))))
    }

    fn store_result(&self, uid: Uid, decision: &TaskDecision, started: i64) -> rusqlite::Result<()> {
        self.run_sql(
            "UPDATE task SET state = 3, due = ?2, result = ?3, started = ?4, ended = ?2, meta = ?5, msg = ?6,
                 given_up = ?7
             WHERE uid = ?1",
            params![
                uid.0,
                micros(decision.ended),
                decision.result.to_column(),
                started,
                decision.meta,
                decision.msg,
                decision.given_up,
            ],
        )
    }

    /// A result for a task that has one: the same again is fine, another one isn't.
    fn compare_result(&self, uid: Uid, decision: &TaskDecision) -> CommandResult<AppliedResult> {
        let same = self.read_value(
            "SELECT result = ?2 AND msg = ?3 AND meta = ?4 FROM task WHERE uid = ?1",
            params![uid.0, decision.result.to_column(), decision.msg, decision.meta],
        )?;
        if same {
            return Ok(AppliedResult { duplicate: true });
        }
        let detail = "the task already has another result, which is kept; to change it, rerun the task";
        Err(CommandError::refused(Code::AlreadyFinished, detail))
    }
}
