//! How fast the tasks of a backload are created.

use chrono::TimeDelta;

use crate::duration::parse_duration;

/// The most tasks of one rate; a chunk has no more.
const MAX_TASKS: usize = 1_000_000;

/// So many tasks in so long a time: `100/1m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CreationRate {
    /// How many.
    pub tasks: usize,
    /// In how long.
    pub per: TimeDelta,
}

impl CreationRate {
    /// Reads it; none for what is none.
    pub fn parse(text: &str) -> Option<Self> {
        let (tasks, per) = text.split_once('/')?;
        let tasks = tasks.trim().parse().ok().filter(|tasks| (1..=MAX_TASKS).contains(tasks))?;
        let span = TimeDelta::seconds(1)..=TimeDelta::days(1);
        Some(Self { tasks, per: parse_duration(per.trim()).ok().filter(|per| span.contains(per))? })
    }

    /// How long to wait after so many tasks.
    pub fn pause_after(self, tasks: usize) -> TimeDelta {
        let [all, tasks] = [self.tasks, tasks].map(|count| i64::try_from(count).unwrap_or(i64::MAX));
        // Multiplied before it is divided, or fractions of a millisecond would be lost.
        let millis = self.per.num_milliseconds().saturating_mul(tasks) / all;
        TimeDelta::try_milliseconds(millis).unwrap_or(self.per)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_a_count_and_a_duration() {
        let rate = CreationRate::parse("100/1m").unwrap();
        assert_eq!(rate, CreationRate { tasks: 100, per: TimeDelta::minutes(1) });
        let pauses = [0, 1, 50, 500].map(|tasks| rate.pause_after(tasks).num_milliseconds());
        assert_eq!(pauses, [0, 600, 30_000, 300_000]);
        for wrong in ["", "100", "0/1m", "-1/1m", "1/0s", "1/2d", "x/1m", "1/soon", "1000001/1m"] {
            assert_eq!(CreationRate::parse(wrong), None, "{wrong}");
        }
    }
}
