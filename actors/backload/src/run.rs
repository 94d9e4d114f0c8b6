//! A backload that runs, and somebody who waits for it.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use flowlord_domain::backload::BackloadPlan;
use flowlord_messages::backloads::FinishedBackload;
use tokio::sync::oneshot;

use crate::chunk::StoredChunk;

// The whole answer is in memory until it is sent.
const MAX_KEPT_BYTES: usize = 16 * 1024 * 1024;

#[derive(Debug)]
pub(crate) struct BackloadRun {
    pub(crate) id: i64,
    pub(crate) plan: Arc<BackloadPlan>,
    /// The number of the first task that isn't stored yet.
    pub(crate) next: usize,
    /// Nothing is done for it before.
    pub(crate) not_before: Option<DateTime<Utc>>,
    /// How often in a row its chunk could not be stored.
    pub(crate) failures: u32,
    pub(crate) waiter: Option<BackloadWaiter>,
}

impl BackloadRun {
    pub(crate) fn new(id: i64, plan: Arc<BackloadPlan>, next: usize) -> Self {
        Self { id, plan, next, not_before: None, failures: 0, waiter: None }
    }

    pub(crate) fn is_due(&self, now: DateTime<Utc>) -> bool {
        self.not_before.is_none_or(|at| at <= now)
    }

    /// Moves on, and keeps what was stored for the one who waits.
    pub(crate) fn advance(&mut self, stored: StoredChunk) {
        (self.next, self.failures) = (stored.next, 0);
        let Some(waiter) = &mut self.waiter else { return };
        waiter.add_chunk(stored);
        if waiter.kept_bytes > MAX_KEPT_BYTES {
            self.dismiss_waiter("the answer would be too large");
        }
    }

    /// Answers the one who waits; the backload itself goes on.
    pub(crate) fn dismiss_waiter(&mut self, problem: &str) {
        if let Some(waiter) = self.waiter.take() {
            waiter.answer(Some(problem.to_owned()));
        }
    }
}

/// Somebody who waits for the tasks of a backload.
#[derive(Debug)]
pub(crate) struct BackloadWaiter {
    reply: oneshot::Sender<FinishedBackload>,
    finished: FinishedBackload,
    kept_bytes: usize,
}

impl BackloadWaiter {
    pub(crate) fn new(reply: oneshot::Sender<FinishedBackload>) -> Self {
        Self { reply, finished: FinishedBackload::default(), kept_bytes: 0 }
    }

    fn add_chunk(&mut self, stored: StoredChunk) {
        self.kept_bytes += stored.tasks.iter().map(|task| task.info.len() + task.meta.len()).sum::<usize>();
        self.finished.created.extend(stored.tasks);
        self.finished.failed.extend(stored.failed);
        self.finished.skipped += stored.skipped;
    }

    pub(crate) fn answer(self, problem: Option<String>) {
        let _nobody_waits_any_more = self.reply.send(FinishedBackload { problem, ..self.finished });
    }
}
