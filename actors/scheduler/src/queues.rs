//! What waits to be stored: a queue for each name, in order, one of each under way at a time.
//!
//! So what is stored of a name has no holes: after a crash its last recorded slot tells where to go on.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::gap::{SlotGap, SlotWrite};
use crate::plan::DueWork;
use crate::slot::SlotName;

// Ten thousand phases due at once are stored in a few rounds, and the database keeps room for results.
const MAX_WRITES: usize = 256;

#[derive(Debug)]
enum QueuedStep {
    Write(SlotWrite),
    Gap(SlotGap),
}

#[derive(Debug, Default)]
pub(crate) struct WriteQueues {
    // A name in here is either in `turn`, or in `failed`, or has a write under way.
    queues: HashMap<Arc<SlotName>, VecDeque<QueuedStep>>,
    turn: VecDeque<Arc<SlotName>>,
    failed: Vec<Arc<SlotName>>,
    under_way: usize,
}

impl WriteQueues {
    pub(crate) fn add_due(&mut self, due: DueWork) {
        let (name, step) = match due {
            DueWork::Slot(slot) => (Arc::clone(&slot.name), QueuedStep::Write(SlotWrite::Start(slot))),
            DueWork::Gap(gap) => (Arc::clone(&gap.name), QueuedStep::Gap(gap)),
        };
        let queue = self.queues.entry(Arc::clone(&name)).or_insert_with(|| {
            self.turn.push_back(name);
            VecDeque::new()
        });
        queue.push_back(step);
    }

    /// The next write, if one more may be under way.
    pub(crate) fn next_write(&mut self, now: DateTime<Utc>) -> Option<SlotWrite> {
        while self.under_way < MAX_WRITES {
            let name = self.turn.pop_front()?;
            let write = self.queues.get_mut(&name).and_then(|queue| take_write(queue, now));
            if write.is_some() {
                self.under_way += 1;
                return write;
            }
            self.queues.remove(&name);
        }
        None
    }

    pub(crate) fn end_write(&mut self, name: &Arc<SlotName>) {
        self.under_way = self.under_way.saturating_sub(1);
        match self.queues.get(name) {
            Some(queue) if !queue.is_empty() => self.turn.push_back(Arc::clone(name)),
            _ => drop(self.queues.remove(name)),
        }
    }

    /// A write failed: it comes first when its queue may try again.
    pub(crate) fn hold_failed(&mut self, write: SlotWrite) {
        self.under_way = self.under_way.saturating_sub(1);
        let name = Arc::clone(write.slot_name());
        self.queues.entry(Arc::clone(&name)).or_default().push_front(QueuedStep::Write(write));
        self.failed.push(name);
    }

    pub(crate) fn retry_failed(&mut self) {
        self.turn.extend(self.failed.drain(..));
    }

    /// True when nothing is under way or could be sent.
    pub(crate) fn is_idle(&self) -> bool {
        self.under_way == 0 && self.turn.is_empty()
    }
}

fn take_write(queue: &mut VecDeque<QueuedStep>, now: DateTime<Utc>) -> Option<SlotWrite> {
    loop {
        match queue.pop_front()? {
            QueuedStep::Write(write) => return Some(write),
            QueuedStep::Gap(gap) => {
                // Worked out only now: thousands of names may have gaps of a thousand slots.
                for write in gap.slot_writes(now).into_iter().rev() {
                    queue.push_front(QueuedStep::Write(write));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::tests::{at, plan};

    fn text(write: &SlotWrite) -> String {
        match write {
            SlotWrite::Start(slot) => format!("{} {}", slot.name.task, slot.at.format("%H:%M")),
            SlotWrite::Missed(missed) => format!("{} missed {}", missed.name.task, missed.slots.len()),
        }
    }

    fn queues() -> WriteQueues {
        let mut plan = plan(&[("a", "cron=0 * * * *"), ("b", "cron=0 * * * *")], at("11:30:00"));
        let mut queues = WriteQueues::default();
        for due in plan.take_due(at("14:00:00")) {
            queues.add_due(due);
        }
        queues
    }

    #[test]
    fn one_of_each_name_at_a_time_in_order() {
        let mut queues = queues();
        let now = at("14:00:00");
        let (a, b) = (queues.next_write(now).unwrap(), queues.next_write(now).unwrap());
        assert_eq!((text(&a), text(&b)), ("a missed 2".to_owned(), "b missed 2".to_owned()));
        assert!(queues.next_write(now).is_none());
        queues.end_write(a.slot_name());
        let next = queues.next_write(now).unwrap();
        assert_eq!(text(&next), "a 14:00");
        queues.end_write(next.slot_name());
        queues.end_write(b.slot_name());
        let last = queues.next_write(now).unwrap();
        assert!(!queues.is_idle());
        queues.end_write(last.slot_name());
        assert!(queues.is_idle() && queues.queues.is_empty());
    }

    #[test]
    fn what_failed_comes_first_once_it_may_try_again() {
        let mut queues = queues();
        let now = at("14:00:00");
        let (a, b) = (queues.next_write(now).unwrap(), queues.next_write(now).unwrap());
        queues.hold_failed(a);
        queues.end_write(b.slot_name());
        assert_eq!(text(&queues.next_write(now).unwrap()), "b 14:00");
        assert!(queues.next_write(now).is_none());
        queues.retry_failed();
        assert_eq!(text(&queues.next_write(now).unwrap()), "a missed 2");
    }

    #[test]
    fn only_so_many_are_under_way() {
        let names: Vec<_> = (0..MAX_WRITES + 9).map(|n| format!("t{n}")).collect();
        let phases: Vec<_> = names.iter().map(|name| (name.as_str(), "cron=0 * * * *")).collect();
        let mut plan = plan(&phases, at("11:30:00"));
        let mut queues = WriteQueues::default();
        for due in plan.take_due(at("12:00:00")) {
            queues.add_due(due);
        }
        let mut under_way: Vec<_> = std::iter::from_fn(|| queues.next_write(at("12:00:00"))).collect();
        assert_eq!(under_way.len(), MAX_WRITES);
        for write in under_way.drain(..) {
            queues.end_write(write.slot_name());
        }
        assert_eq!(std::iter::from_fn(|| queues.next_write(at("12:00:00"))).count(), 9);
    }
}
