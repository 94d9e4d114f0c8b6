//! Backloads: what the backload actor answers, what it has stored, and what it asks of the readers.

use std::sync::Arc;

use actix::Message;
use chrono::{DateTime, TimeDelta, Utc};
use flowlord_domain::backload::{BackloadPlan, BackloadRequest, TaskSelection};
use flowlord_domain::{NewTask, Uid, named_enum};
use tokio::sync::oneshot;

use flowlord_kernel::Result;

/// How many backloads may be unfinished at a time.
pub const MAX_UNFINISHED_BACKLOADS: usize = 100;

/// How many tasks somebody may wait for.
pub const MAX_AWAITED_TASKS: usize = 10_000;

/// How many failures of one backload are remembered.
pub const MAX_BACKLOAD_FAILURES: usize = 1_000;

named_enum! {
    /// Where a backload stands.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum BackloadState {
        // A row has the place of its state in here: new ones go to the end.
        /// Its tasks are being created.
        Running = "running",
        /// It waits until it is resumed.
        Paused = "paused",
        /// It was given up, with those of its tasks that waited unless they are to stay.
        Cancelled = "cancelled",
        /// All its tasks were created, or it is known why not.
        Done = "done",
    }
}

/// A backload as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredBackload {
    /// The row id, growing.
    pub id: i64,
    /// When it was asked for.
    pub requested: DateTime<Utc>,
    /// When it last got on, or changed its state.
    pub changed: DateTime<Utc>,
    /// Whether it runs, waits or is over.
    pub state: BackloadState,
    /// JSON of a [`flowlord_domain::backload::BackloadOrder`].
    pub order: String,
    /// What was taken for what the request left open.
    pub message: String,
    /// The digest of its plan, to tell when its meta file changed.
    pub digest: u64,
    /// How many tasks its range has.
    pub total: usize,
    /// The number of the first task that wasn't dealt with yet.
    pub next: usize,
    /// How many were created.
    pub created: usize,
    /// How many its `only` left out.
    pub skipped: usize,
    /// How many could not be created.
    pub failed: usize,
    /// How many of those that were created ended, retries included; none where that wasn't counted.
    pub finished: Option<usize>,
    /// How many of these ended by a failure.
    pub unsuccessful: usize,
    /// Why it was paused, if not by a person; empty for no reason.
    pub problem: String,
}

impl StoredBackload {
    /// How many of its tasks end in an hour, on average since it was asked for; none before the first.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "far fewer tasks than that")]
    pub fn hourly_rate(&self, now: DateTime<Utc>) -> Option<f64> {
        let finished = self.finished.filter(|finished| *finished > 0)?;
        // What ends at once has no rate of its own.
        let seconds = (now - self.requested).num_milliseconds().max(1_000) as f64 / 1e3;
        Some(finished as f64 * 3_600.0 / seconds)
    }

    /// When all its tasks will have ended at that rate; none when they have, or when it doesn't go on.
    #[must_use]
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "an estimate")]
    pub fn expected_end(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        if matches!(self.state, BackloadState::Paused | BackloadState::Cancelled) {
            return None;
        }
        let waiting = self.created.saturating_sub(self.finished?);
        let left = self.total.saturating_sub(self.next) + waiting;
        let seconds = left as f64 * 3_600.0 / self.hourly_rate(now)?;
        // Casts of floats stop at the largest number; beyond the end of time there is none.
        (left > 0).then(|| now.checked_add_signed(TimeDelta::try_seconds(seconds as i64)?)).flatten()
    }
}

/// A task of a backload that could not be created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackloadFailure {
    /// The number of the task in its plan, from 0.
    pub index: usize,
    /// The time that it is about.
    pub time: Option<DateTime<Utc>>,
    /// What keeps it from being created.
    pub why: String,
}

/// Looks up what a request leaves open, and reads its rows.
#[derive(Debug, Message)]
#[rtype(result = "Result<Arc<PlannedBackload>>")]
pub struct PlanBackload {
    /// As the client sent it.
    pub request: BackloadRequest,
}

/// A backload that may be looked at or carried out.
#[derive(Debug)]
pub struct PlannedBackload {
    /// Its tasks, by their numbers.
    pub plan: BackloadPlan,
    /// What was taken for what the request leaves open.
    pub message: String,
}

/// Begins to create the tasks of a plan.
#[derive(Debug, Message)]
#[rtype(result = "Result<StartedBackload>")]
pub struct ExecuteBackload {
    /// As [`PlanBackload`] answered it.
    pub planned: Arc<PlannedBackload>,
    /// Whether somebody waits for the tasks: then they are stored without regard to how many are queued, and told.
    pub wait: bool,
}

/// A backload that was stored and runs.
#[derive(Debug)]
pub struct StartedBackload {
    /// The row id of the backload.
    pub id: i64,
    /// What became of its tasks, where somebody waits. Nothing comes when the actor restarts: the backload goes on
    /// nevertheless.
    pub done: Option<oneshot::Receiver<FinishedBackload>>,
}

/// What became of the tasks of a backload.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FinishedBackload {
    /// Those that are stored, with their final ids.
    pub created: Vec<NewTask>,
    /// Those that could not be created.
    pub failed: Vec<BackloadFailure>,
    /// How many its `only` left out.
    pub skipped: usize,
    /// Why the others have to wait; none when there are no others.
    pub problem: Option<String>,
}

/// Pauses, resumes or cancels a backload. Answers how it stands then.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Result<StoredBackload>")]
pub struct ChangeBackload {
    /// The row id of the backload.
    pub id: i64,
    /// Where it is to stand: running, paused or cancelled.
    pub to: BackloadState,
    /// Whether tasks of it that wait are cancelled, too; only where it is cancelled itself.
    pub end_tasks: bool,
}

/// Lets the chunk under way be stored and begins no other; unfinished backloads go on at the next start.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Result<()>")]
pub struct StopBackloads;

/// To the DB owner: remembers a new backload, which runs from then on. Answers its id; refused with `busy` when too
/// many are unfinished.
#[derive(Debug, Message)]
#[rtype(result = "Result<i64>")]
pub struct SaveBackload {
    /// The sender's time, UTC: SQL reads no clock.
    pub now: DateTime<Utc>,
    /// JSON of a [`flowlord_domain::backload::BackloadOrder`].
    pub order: String,
    /// What was taken for what the request left open.
    pub message: String,
    /// The digest of its plan.
    pub digest: u64,
    /// How many tasks its range has.
    pub total: usize,
}

/// To the DB owner: creates the next tasks of a backload and moves it on, in one transaction: so a crash neither
/// loses nor doubles one. Answers the final ids; refused with `backload_state` when it doesn't run any more or isn't
/// where the caller believes.
#[derive(Debug, Message)]
#[rtype(result = "Result<Vec<Uid>>")]
pub struct StoreBackloadChunk {
    /// The sender's time, UTC: SQL reads no clock.
    pub now: DateTime<Utc>,
    /// The row id of the backload.
    pub id: i64,
    /// The number of the task at which the caller believes it to be.
    pub from: usize,
    /// Where it stands then.
    pub next: usize,
    /// The tasks of these numbers that could be made.
    pub tasks: Vec<NewTask>,
    /// How many its `only` left out.
    pub skipped: usize,
    /// Those that could not be made.
    pub failed: Vec<BackloadFailure>,
}

/// To the DB owner: changes where an unfinished backload stands. Refused with `backload_state` when it is finished; one
/// whose tasks were all created can still be cancelled while some of them haven't ended.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<StoredBackload>")]
pub struct SetBackloadState {
    /// The sender's time, UTC: SQL reads no clock.
    pub now: DateTime<Utc>,
    /// The row id of the backload.
    pub id: i64,
    /// Where it is to stand.
    pub state: BackloadState,
    /// Why, if not because a person wants it.
    pub problem: String,
}

/// To the DB owner: cancels tasks of a backload that wait, some at a time. Answers how many.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<usize>")]
pub struct EndBackloadTasks {
    /// The sender's time, UTC: SQL reads no clock.
    pub now: DateTime<Utc>,
    /// The row id of the backload.
    pub id: i64,
    /// At most this many.
    pub limit: usize,
}

/// To the readers: one backload and the first failures of it; none where there is no such one.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Result<Option<(StoredBackload, Vec<BackloadFailure>)>>")]
pub struct ReadBackload {
    /// The row id of the backload.
    pub id: i64,
}

/// To the readers: a page of backloads, newest first.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Result<Vec<StoredBackload>>")]
pub struct ReadBackloads {
    /// Only those that run.
    pub running: bool,
    /// Only what comes after this one.
    pub after: Option<i64>,
    /// At most this many.
    pub limit: usize,
}

/// To the readers: which of some tasks of one topic and job an `only` chooses, and how many are queued already.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<BackloadCheck>")]
pub struct CheckBackload {
    /// The topic; `type` on the wire.
    pub topic: String,
    /// The job; empty for none.
    pub job: String,
    /// Which of them the request wants.
    pub only: TaskSelection,
    /// Info and meta of the tasks.
    pub tasks: Vec<(String, String)>,
    /// Queued tasks are counted up to this many.
    pub count_to: usize,
}

/// What [`CheckBackload`] answers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BackloadCheck {
    /// Which of the tasks are wanted.
    pub wanted: Vec<bool>,
    /// How many backloaded tasks of the topic and job are ready.
    pub ready: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(state: BackloadState, finished: Option<usize>) -> StoredBackload {
        StoredBackload {
            id: 1,
            requested: DateTime::UNIX_EPOCH,
            changed: DateTime::UNIX_EPOCH,
            state,
            order: String::new(),
            message: String::new(),
            digest: 0,
            total: 100,
            next: 60,
            created: 50,
            skipped: 10,
            failed: 0,
            finished,
            unsuccessful: 0,
            problem: String::new(),
        }
    }

    #[test]
    fn the_end_is_expected_by_what_ended_so_far() {
        let now = DateTime::UNIX_EPOCH + TimeDelta::minutes(10);
        let told = |state, finished| {
            let stored = stored(state, finished);
            (stored.hourly_rate(now), stored.expected_end(now).map(|at| (at - now).num_minutes()))
        };
        // 10 of 10 minutes, 80 are left: 40 to be created, and 40 that were.
        assert_eq!(told(BackloadState::Running, Some(10)), (Some(60.0), Some(80)));
        assert_eq!(told(BackloadState::Paused, Some(10)), (Some(60.0), None));
        assert_eq!(told(BackloadState::Cancelled, Some(10)), (Some(60.0), None));
        for finished in [None, Some(0)] {
            assert_eq!(told(BackloadState::Running, finished), (None, None));
        }
        let over = StoredBackload { next: 100, ..stored(BackloadState::Done, Some(50)) };
        assert_eq!(over.expected_end(now), None);
        assert!(stored(BackloadState::Running, Some(1)).hourly_rate(DateTime::UNIX_EPOCH).unwrap().is_finite());
    }
}
