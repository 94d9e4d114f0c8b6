//! How much work is under way in the whole process.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Counts the calls, hints and timers under way. A stop waits for it to reach zero, and so does a test's clock
/// before it moves on.
#[derive(Debug, Clone, Default)]
pub struct WorkCounter(Arc<WorkCounters>);

#[derive(Debug, Default)]
struct WorkCounters {
    busy: AtomicUsize,
    begun: AtomicU64,
}

/// One piece of work under way, until dropped. Hand it over rather than dropping it before the next begins, so
/// that zero means idle.
#[derive(Debug)]
pub struct WorkGuard(Arc<WorkCounters>);

impl WorkCounter {
    /// Begins a piece of work.
    #[must_use]
    pub fn begin(&self) -> WorkGuard {
        // Before the other count: who looks in between sees work, and doesn't take it for idleness.
        self.0.busy.fetch_add(1, Ordering::SeqCst);
        self.0.begun.fetch_add(1, Ordering::SeqCst);
        WorkGuard(Arc::clone(&self.0))
    }

    /// Tells this count from those of other services in the process.
    #[cfg(feature = "faults")]
    pub(crate) fn identity(&self) -> usize {
        Arc::as_ptr(&self.0) as usize
    }

    /// Whether nothing is under way, and how many pieces of work were ever begun.
    #[must_use]
    pub fn idle(&self) -> (bool, u64) {
        // Read before the other: work that begins and ends in between then shows as a higher number at the next look.
        let begun = self.0.begun.load(Ordering::SeqCst);
        (self.0.busy.load(Ordering::SeqCst) == 0, begun)
    }
}

impl Drop for WorkGuard {
    fn drop(&mut self) {
        self.0.busy.fetch_sub(1, Ordering::SeqCst);
    }
}
