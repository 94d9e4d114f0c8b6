//! What the owner tells of its work.

use std::time::Duration;

use metrics::{Counter, Histogram, counter, histogram};

/// Looked up once, then a few atomic operations a commit.
pub(crate) struct Meters {
    commands: Histogram,
    seconds: Histogram,
    pub(crate) failed: Counter,
}

impl Default for Meters {
    fn default() -> Self {
        Self {
            commands: histogram!("flowlord_commit_commands"),
            seconds: histogram!("flowlord_commit_seconds"),
            failed: counter!("flowlord_commit_failures_total"),
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
