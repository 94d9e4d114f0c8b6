//! How many results each worker gave lately.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use flowlord_domain::TaskResult;
use flowlord_messages::results::WorkerResults;

const PART_SECONDS: i64 = 300;
const PARTS: usize = 12;

/// More workers than this aren't counted: names that change with each result must not fill the memory.
const MAX_WORKERS: usize = 10_000;

#[derive(Debug, Default)]
pub(crate) struct WorkerCounts(HashMap<String, HourCounts>);

/// Results of the last hour, in parts of five minutes; the place of a part is its number modulo [`PARTS`].
#[derive(Debug, Default)]
struct HourCounts {
    parts: [ResultCount; PARTS],
    newest: i64,
}

#[derive(Debug, Clone, Copy, Default)]
struct ResultCount {
    done: u32,
    errors: u32,
}

impl WorkerCounts {
    pub(crate) fn note_result(&mut self, worker: &str, result: TaskResult, now: DateTime<Utc>) {
        let part = part_of(now);
        if !self.0.contains_key(worker) {
            // Only where it is full: to search all at each new name would be slow.
            if self.0.len() >= MAX_WORKERS {
                self.0.retain(|_, counts| counts.newest > part - PARTS as i64);
            }
            if worker.is_empty() || self.0.len() >= MAX_WORKERS {
                return;
            }
            self.0.insert(worker.to_owned(), HourCounts::default());
        }
        if let Some(counts) = self.0.get_mut(worker) {
            let count = counts.part_at(part);
            count.done += 1;
            count.errors += u32::from(matches!(result, TaskResult::Error | TaskResult::Alert));
        }
    }

    /// The workers that gave any result within the last hour.
    pub(crate) fn last_hour(&mut self, now: DateTime<Utc>) -> Vec<WorkerResults> {
        let part = part_of(now);
        self.0.retain(|_, counts| {
            // For its effect: parts that are too old become empty.
            counts.part_at(part);
            counts.parts.iter().any(|count| count.done > 0)
        });
        let sums = self.0.iter().map(|(worker, counts)| {
            let done = counts.parts.iter().map(|count| u64::from(count.done)).sum();
            let errors = counts.parts.iter().map(|count| u64::from(count.errors)).sum();
            WorkerResults { worker: worker.clone(), done, errors }
        });
        sums.collect()
    }
}

fn part_of(now: DateTime<Utc>) -> i64 {
    now.timestamp().div_euclid(PART_SECONDS)
}

impl HourCounts {
    /// The counts of a part; those that are an hour older become none. After the clock was set back, the newest ones.
    fn part_at(&mut self, part: i64) -> &mut ResultCount {
        // At most once around: after a long silence each part is emptied once.
        let passed = (part - self.newest).clamp(0, PARTS as i64);
        for nth in 0..passed {
            self.parts[Self::place_of(part - nth)] = ResultCount::default();
        }
        // Never backwards, or parts would be emptied again when the clock catches up.
        self.newest = self.newest.max(part);
        &mut self.parts[Self::place_of(self.newest)]
    }

    fn place_of(part: i64) -> usize {
        usize::try_from(part.rem_euclid(PARTS as i64)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    fn at(minutes: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_700_000_100, 0).unwrap() + TimeDelta::minutes(minutes)
    }

    fn counts_at(counts: &mut WorkerCounts, minutes: i64) -> Vec<(String, u64, u64)> {
        let mut all: Vec<_> = counts
            .last_hour(at(minutes))
            .into_iter()
            .map(|counts| (counts.worker, counts.done, counts.errors))
            .collect();
        all.sort();
        all
    }

    #[test]
    fn results_count_for_an_hour() {
        let mut counts = WorkerCounts::default();
        counts.note_result("a", TaskResult::Complete, at(0));
        counts.note_result("a", TaskResult::Error, at(30));
        counts.note_result("a", TaskResult::Warn, at(30));
        counts.note_result("b", TaskResult::Alert, at(40));
        counts.note_result("", TaskResult::Complete, at(40));
        assert_eq!(counts_at(&mut counts, 54), [("a".to_owned(), 3, 1), ("b".to_owned(), 1, 1)]);
        assert_eq!(counts_at(&mut counts, 61), [("a".to_owned(), 2, 1), ("b".to_owned(), 1, 1)]);
        assert_eq!(counts_at(&mut counts, 91), [("b".to_owned(), 1, 1)]);
        counts.note_result("b", TaskResult::Complete, at(300));
        assert_eq!(counts_at(&mut counts, 300), [("b".to_owned(), 1, 0)]);
        counts.note_result("b", TaskResult::Complete, at(200));
        assert_eq!(counts_at(&mut counts, 200), [("b".to_owned(), 2, 0)], "the clock was set back");
    }

    #[test]
    fn names_without_end_are_bounded() {
        let mut counts = WorkerCounts::default();
        (0..MAX_WORKERS + 5).for_each(|n| counts.note_result(&n.to_string(), TaskResult::Complete, at(0)));
        assert_eq!(counts.0.len(), MAX_WORKERS);
        counts.note_result("new", TaskResult::Complete, at(120));
        assert_eq!(counts.0.len(), 1);
    }
}
