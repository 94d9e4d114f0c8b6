//! What the owner tells of its work.

use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};

/// Looked up once, then a few atomic operations a commit.
pub(crate) struct Meters {
    commands: Histogram,
    seconds: Histogram,
    pub(crate) failed: Counter,
    /// 1 while the database can be written.
    pub(crate) writable: Gauge,
}

impl Default for Meters {
    fn default() -> Self {
        Self {
            commands: histogram!("flowlord_commit_commands"),
            seconds: histogram!("flowlord_commit_seconds"),
            failed: counter!("flowlord_commit_failures_total"),
            writable: gauge!("flowlord_database_writable"),
        }
    }
}

impl Meters {
    /// One transaction.
    pub(crate) fn commit(&self, commands: usize, took: Duration) {
        self.commands.record(u32::try_from(commands).unwrap_or(u32::MAX));
        self.seconds.record(took);
    }
}
