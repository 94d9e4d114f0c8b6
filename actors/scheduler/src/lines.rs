//! What waits to be stored: a line for each name, in order, one of each under way at a time.
//!
//! So what is stored of a name has no holes: after a crash its last recorded slot tells where to go on.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::gap::{Gap, Write};
use crate::plan::{Due, Name};

/// How many writes may be under way. Ten thousand phases due at once are stored in a few rounds, and the
/// database keeps room for results.
const UNDER_WAY: usize = 256;

#[derive(Debug)]
enum Step {
    Write(Write),
    Gap(Gap),
}

/// All that waits, and how much is under way.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    /// A name in here is either in `turn`, or in `resting`, or has a write under way.
    lines: HashMap<Arc<Name>, VecDeque<Step>>,
    turn: VecDeque<Arc<Name>>,
    resting: Vec<Arc<Name>>,
    under_way: usize,
}

impl Lines {
    pub(crate) fn add(&mut self, due: Due) {
        let (name, step) = match due {
            Due::Slot(slot) => (Arc::clone(&slot.name), Step::Write(Write::Start(slot))),
            Due::Gap(gap) => (Arc::clone(&gap.name), Step::Gap(gap)),
        };
        let line = self.lines.entry(Arc::clone(&name)).or_insert_with(|| {
            self.turn.push_back(name);
            VecDeque::new()
        });
        line.push_back(step);
    }

    /// The next write, if one more may be under way.
    pub(crate) fn next(&mut self, now: DateTime<Utc>) -> Option<Write> {
        while self.under_way < UNDER_WAY {
            let name = self.turn.pop_front()?;
            let write = self.lines.get_mut(&name).and_then(|line| take(line, now));
            if write.is_some() {
                self.under_way += 1;
                return write;
            }
            self.lines.remove(&name);
        }
        None
    }

    /// A write of this name is done.
    pub(crate) fn done(&mut self, name: &Arc<Name>) {
        self.under_way = self.under_way.saturating_sub(1);
        match self.lines.get(name) {
            Some(line) if !line.is_empty() => self.turn.push_back(Arc::clone(name)),
            _ => drop(self.lines.remove(name)),
        }
    }

    /// A write failed: it comes first when its line is woken.
    pub(crate) fn rest(&mut self, write: Write) {
        self.under_way = self.under_way.saturating_sub(1);
        let name = Arc::clone(write.name());
        self.lines.entry(Arc::clone(&name)).or_default().push_front(Step::Write(write));
        self.resting.push(name);
    }

    /// Lets what failed try again.
    pub(crate) fn wake(&mut self) {
        self.turn.extend(self.resting.drain(..));
    }

    /// Whether nothing is under way or could be.
    pub(crate) fn is_idle(&self) -> bool {
        self.under_way == 0 && self.turn.is_empty()
    }
}

/// The first write of a line. What a gap comes to is worked out only now: there may be many.
fn take(line: &mut VecDeque<Step>, now: DateTime<Utc>) -> Option<Write> {
    loop {
        match line.pop_front()? {
            Step::Write(write) => return Some(write),
            Step::Gap(gap) => {
                for write in gap.writes(now).into_iter().rev() {
                    line.push_front(Step::Write(write));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::tests::{at, plan};

    fn text(write: &Write) -> String {
        match write {
            Write::Start(slot) => format!("{} {}", slot.name.task, slot.at.format("%H:%M")),
            Write::Missed(missed) => format!("{} missed {}", missed.name.task, missed.slots.len()),
        }
    }

    fn lines() -> Lines {
        let mut plan = plan(&[("a", "cron=0 * * * *"), ("b", "cron=0 * * * *")], at("11:30:00"));
        let mut lines = Lines::default();
        for due in plan.due(at("14:00:00")) {
            lines.add(due);
        }
        lines
    }

    #[test]
    fn one_of_each_name_at_a_time_in_order() {
        let mut lines = lines();
        let now = at("14:00:00");
        let (a, b) = (lines.next(now).unwrap(), lines.next(now).unwrap());
        assert_eq!((text(&a), text(&b)), ("a missed 2".to_owned(), "b missed 2".to_owned()));
        assert!(lines.next(now).is_none());
        lines.done(a.name());
        let next = lines.next(now).unwrap();
        assert_eq!(text(&next), "a 14:00");
        lines.done(next.name());
        lines.done(b.name());
        let last = lines.next(now).unwrap();
        assert!(!lines.is_idle());
        lines.done(last.name());
        assert!(lines.is_idle() && lines.lines.is_empty());
    }

    #[test]
    fn what_failed_comes_first_once_it_may_try_again() {
        let mut lines = lines();
        let now = at("14:00:00");
        let (a, b) = (lines.next(now).unwrap(), lines.next(now).unwrap());
        lines.rest(a);
        lines.done(b.name());
        assert_eq!(text(&lines.next(now).unwrap()), "b 14:00");
        assert!(lines.next(now).is_none());
        lines.wake();
        assert_eq!(text(&lines.next(now).unwrap()), "a missed 2");
    }

    #[test]
    fn only_so_many_are_under_way() {
        let names: Vec<_> = (0..UNDER_WAY + 9).map(|n| format!("t{n}")).collect();
        let phases: Vec<_> = names.iter().map(|name| (name.as_str(), "cron=0 * * * *")).collect();
        let mut plan = plan(&phases, at("11:30:00"));
        let mut lines = Lines::default();
        for due in plan.due(at("12:00:00")) {
            lines.add(due);
        }
        let mut under_way: Vec<_> = std::iter::from_fn(|| lines.next(at("12:00:00"))).collect();
        assert_eq!(under_way.len(), UNDER_WAY);
        for write in under_way.drain(..) {
            lines.done(write.name());
        }
        assert_eq!(std::iter::from_fn(|| lines.next(at("12:00:00"))).count(), 9);
    }
}
