//! The limits as workers see them: which leases are theirs beyond doubt, and when they got them.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::workload::{LIMITS, RATE_INTERVAL, RATE_TASKS, RATED};

/// A task in a worker's hands.
#[derive(Debug, Clone)]
pub(super) struct HeldTask {
    pub(super) uid: String,
    pub(super) topic: String,
    /// The service ends the lease no sooner: the time of the request, and the length that it asked for.
    pub(super) until: Instant,
}

/// What all workers have in hand: each lease from its answer until its result or release is sent, or it may have expired.
#[derive(Debug, Default)]
pub(super) struct HeldTasks {
    by_lease: HashMap<String, HeldTask>,
    /// When a task with a rate was asked for, and when it was there.
    starts: Vec<(Instant, Instant)>,
    /// The most of each limit that were in hand at once.
    most: [usize; LIMITS.len()],
    pub(super) violations: Vec<String>,
}

impl HeldTasks {
    pub(super) fn note_grant(&mut self, lease: &str, task: HeldTask, asked: Instant, now: Instant) {
        // Those that may have expired prove nothing: the service may give their tasks and places to others.
        self.by_lease.retain(|_, held| held.until > now);
        if self.by_lease.values().any(|held| held.uid == task.uid) {
            self.violations.push(format!("two workers have {} {}", task.topic, task.uid));
        }
        if task.topic == RATED {
            // When it started isn't known better: somewhere between the two.
            self.starts.push((asked, now));
        }
        let topic = task.topic.clone();
        self.by_lease.insert(lease.to_owned(), task);
        for (limit, most) in LIMITS.iter().zip(&mut self.most).filter(|(limit, _)| limit.topics.contains(&&*topic)) {
            let count = self.by_lease.values().filter(|held| limit.topics.contains(&&*held.topic)).count();
            *most = count.max(*most);
            if count > limit.most {
                self.violations.push(format!("{count} of {:?} are at work, {} may be", limit.topics, limit.most));
            }
        }
    }

    /// A heartbeat that was answered: it holds for longer.
    pub(super) fn note_extension(&mut self, lease: &str, until: Instant) {
        if let Some(held) = self.by_lease.get_mut(lease) {
            held.until = held.until.max(until);
        }
    }

    /// Its result or release is about to be sent: from then on its place may be another's.
    pub(super) fn note_end(&mut self, lease: &str) {
        self.by_lease.remove(lease);
    }

    /// Until when a lease can't be lost; none for one that ended.
    pub(super) fn held_until(&self, lease: &str) -> Option<Instant> {
        self.by_lease.get(lease).map(|held| held.until)
    }

    pub(super) fn most_at_once(&self) -> [usize; LIMITS.len()] {
        self.most
    }

    /// Finds a stretch of time in which more tasks started than the rate allows.
    pub(super) fn check_rate(&mut self) {
        // Answers are noted by many workers, and not in the order in which they came.
        self.starts.sort_unstable_by_key(|(_, got)| *got);
        let ends = self.starts.iter().enumerate();
        let exceeded = ends.filter_map(|(last, (_, end))| busiest_before(&self.starts[..=last], *end)).next();
        self.violations.extend(exceeded);
    }
}

/// What began at some time and was there by `end`, where that is more than the rate allows.
fn busiest_before(starts: &[(Instant, Instant)], end: Instant) -> Option<String> {
    let mut asked: Vec<Instant> = starts.iter().map(|(asked, _)| *asked).collect();
    asked.sort_unstable_by(|a, b| b.cmp(a));
    // From the latest on: the first `nth + 1` of them all started between `begin` and `end`.
    let (nth, begin) = asked.iter().enumerate().find(|(nth, begin)| *nth >= allowed(end - **begin))?;
    Some(format!("{} of {RATED} started within {:?}", nth + 1, end - *begin))
}

/// How many tasks of the rate may start in a time.
fn allowed(time: Duration) -> usize {
    RATE_TASKS + usize::try_from(time.as_micros() / RATE_INTERVAL.as_micros()).unwrap_or(usize::MAX / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn held(uid: &str, topic: &str, until: Instant) -> HeldTask {
        HeldTask { uid: uid.to_owned(), topic: topic.to_owned(), until }
    }

    #[test]
    fn what_is_answered_or_expired_takes_no_place_and_one_more_is_a_violation() {
        let (now, mut all) = (Instant::now(), HeldTasks::default());
        all.note_grant("a", held("1", "both", now + SECOND), now, now);
        all.note_grant("b", held("2", "both", now + SECOND), now, now);
        all.note_end("a");
        all.note_grant("c", held("3", "both", now + 3 * SECOND), now, now);
        all.note_extension("c", now + 9 * SECOND);
        all.note_grant("d", held("2", "both", now + 9 * SECOND), now, now + SECOND);
        assert_eq!((all.violations.len(), all.most_at_once()), (0, [0, 2]));
        all.note_grant("e", held("4", "both", now + 9 * SECOND), now, now + 4 * SECOND);
        assert_eq!(all.violations, [r#"3 of ["both"] are at work, 2 may be"#]);
        all.note_grant("f", held("4", "two", now + 9 * SECOND), now, now + 4 * SECOND);
        assert_eq!(all.violations[1], "two workers have two 4");
    }

    #[test]
    fn more_starts_than_a_rate_allows_are_found() {
        let begin = Instant::now();
        let run = |count: u32, pause: Duration| {
            let mut all = HeldTasks::default();
            for nth in 0..count {
                let at = begin + pause * nth;
                all.note_grant(&nth.to_string(), held(&nth.to_string(), RATED, at + SECOND), at, at);
            }
            all.check_rate();
            all.violations.len()
        };
        assert_eq!((run(50, Duration::ZERO), run(51, Duration::ZERO)), (0, 1));
        assert_eq!((run(300, RATE_INTERVAL), run(300, RATE_INTERVAL / 2)), (0, 1));
    }
}
