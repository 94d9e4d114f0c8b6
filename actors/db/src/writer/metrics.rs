//! What the owner measures of its work.

use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};

/// Looked up once, then a few atomic operations a commit.
pub(super) struct WriterMetrics {
    commands: Histogram,
    seconds: Histogram,
    pub(super) failures: Counter,
    pub(super) writable: Gauge,
}

impl Default for WriterMetrics {
    fn default() -> Self {
        Self {
            commands: histogram!("flowlord_commit_commands"),
            seconds: histogram!("flowlord_commit_seconds"),
            failures: counter!("flowlord_commit_failures_total"),
            writable: gauge!("flowlord_database_writable"),
        }
    }
}

impl WriterMetrics {
    pub(super) fn record_commit(&self, commands: usize, took: Duration) {
        self.commands.record(u32::try_from(commands).unwrap_or(u32::MAX));
        self.seconds.record(took);
    }
}
