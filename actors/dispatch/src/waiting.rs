//! Workers that wait for a task, those that waited longest first.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use flowlord_kernel::Result;
use flowlord_messages::leases::{LeaseGrant, LeaseRequest, RequestLeases, TopicFilter};
use tokio::sync::oneshot;

// When tasks became ready, not all who wait are asked for at once: if all of these got one, the next are.
pub(crate) const ASKED_AT_ONCE: usize = 32;

#[derive(Debug)]
pub(crate) struct WaitingWorker {
    pub(crate) wanted: LeaseRequest,
    pub(crate) reply: oneshot::Sender<Result<Vec<LeaseGrant>>>,
    deadline: DateTime<Utc>,
    pub(crate) since: DateTime<Utc>,
    /// The database is being asked for it.
    is_asked: bool,
    /// Tasks became ready meanwhile: what the database answers may be out of date.
    is_stale: bool,
}

#[derive(Debug, Default)]
pub(crate) struct WaitingWorkers {
    next_id: u64,
    waiters: BTreeMap<u64, WaitingWorker>,
    by_topic: HashMap<String, BTreeSet<u64>>,
    deadlines: BTreeSet<(DateTime<Utc>, u64)>,
    turn: usize,
}

impl WaitingWorkers {
    pub(crate) fn len(&self) -> usize {
        self.waiters.len()
    }

    /// All of them, those that waited longest first.
    pub(crate) fn ids(&self) -> Vec<u64> {
        self.waiters.keys().copied().collect()
    }

    /// The names of those whose side is open.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        let open = self.waiters.values().filter(|waiter| !waiter.reply.is_closed());
        open.map(|waiter| waiter.wanted.worker.as_str())
    }

    /// Whether a worker waits for tasks of this topic and job.
    pub(crate) fn has_worker_for(&self, topic: &str, job: &str) -> bool {
        let mut waiters = self.by_topic.get(topic).into_iter().flatten().filter_map(|id| self.waiters.get(id));
        waiters.any(|waiter| {
            let mut filters = waiter.wanted.topics.iter();
            !waiter.reply.is_closed() && filters.any(|filter| matches_filter(filter, topic, job))
        })
    }

    pub(crate) fn add_worker(&mut self, lease: RequestLeases, now: DateTime<Utc>) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        let mut topics = lease.topics;
        // Topics take turns at being first, so that a flooded one can't starve the others.
        self.turn = self.turn.wrapping_add(1);
        if !topics.is_empty() {
            let turn = self.turn % topics.len();
            topics.rotate_left(turn);
        }
        for filter in &topics {
            self.by_topic.entry(filter.topic.clone()).or_default().insert(id);
        }
        let deadline = now + lease.wait;
        self.deadlines.insert((deadline, id));
        let wanted = LeaseRequest { topics, max: lease.max, worker: lease.worker, lease: lease.lease, seed: 0 };
        self.waiters.insert(
            id,
            WaitingWorker { wanted, reply: lease.reply, deadline, since: now, is_asked: false, is_stale: false },
        );
        id
    }

    /// What these workers want, each once and with a seed of its own; notes that the database is being asked.
    pub(crate) fn begin_asking(
        &mut self,
        ids: Vec<u64>,
        mut seed: impl FnMut() -> u64,
    ) -> (Vec<u64>, Vec<LeaseRequest>) {
        let (mut asked, mut wanted) = (Vec::new(), Vec::new());
        for id in ids {
            // One that is named twice, or asked for already, would get two tasks.
            let Some(waiter) = self.waiters.get_mut(&id).filter(|waiter| !waiter.is_asked) else { continue };
            (waiter.is_asked, waiter.is_stale) = (true, false);
            asked.push(id);
            wanted.push(LeaseRequest { seed: seed(), ..waiter.wanted.clone() });
        }
        (asked, wanted)
    }

    /// The database had nothing for this worker. Answers whether its wait is over.
    pub(crate) fn end_asking(&mut self, id: u64, now: DateTime<Utc>) -> bool {
        self.waiters.get_mut(&id).is_some_and(|waiter| {
            waiter.is_asked = false;
            waiter.deadline <= now && !waiter.is_stale
        })
    }

    /// Those of `ids` that still wait and for which the database's answer was out of date.
    pub(crate) fn to_ask_again(&self, ids: &[u64]) -> Vec<u64> {
        let mut stale = ids.to_vec();
        stale.retain(|id| self.waiters.get(id).is_some_and(|waiter| waiter.is_stale && !waiter.is_asked));
        stale
    }

    /// The workers that waited longest for this topic and job and aren't being asked for. Forgets those that went away.
    pub(crate) fn longest_waiting(&mut self, topic: &str, job: &str) -> Vec<u64> {
        let mut longest = Vec::new();
        let mut gone = Vec::new();
        for id in self.by_topic.get(topic).into_iter().flatten() {
            let Some(waiter) = self.waiters.get_mut(id) else { continue };
            if !waiter.wanted.topics.iter().any(|filter| matches_filter(filter, topic, job)) {
                continue;
            }
            if waiter.reply.is_closed() {
                gone.push(*id);
            } else if waiter.is_asked {
                // Its answer may be of before these tasks: it is asked for again after it.
                waiter.is_stale = true;
            } else if longest.len() < ASKED_AT_ONCE {
                longest.push(*id);
            }
        }
        for id in gone {
            self.remove_worker(id);
        }
        longest
    }

    pub(crate) fn remove_worker(&mut self, id: u64) -> Option<WaitingWorker> {
        let waiter = self.waiters.remove(&id)?;
        self.deadlines.remove(&(waiter.deadline, id));
        for filter in &waiter.wanted.topics {
            if let Some(ids) = self.by_topic.get_mut(&filter.topic) {
                ids.remove(&id);
                if ids.is_empty() {
                    self.by_topic.remove(&filter.topic);
                }
            }
        }
        Some(waiter)
    }

    pub(crate) fn take_overdue(&mut self, now: DateTime<Utc>) -> Vec<WaitingWorker> {
        let overdue: Vec<_> = self.deadlines.iter().take_while(|(at, _)| *at <= now).map(|(_, id)| *id).collect();
        self.take_idle_of(overdue)
    }

    pub(crate) fn take_idle(&mut self) -> Vec<WaitingWorker> {
        let all = self.waiters.keys().copied().collect();
        self.take_idle_of(all)
    }

    fn take_idle_of(&mut self, ids: Vec<u64>) -> Vec<WaitingWorker> {
        // A task may be on its way to one being asked for: the database's answer ends its wait.
        let idle: Vec<_> = ids.into_iter().filter(|id| !self.waiters[id].is_asked).collect();
        idle.into_iter().filter_map(|id| self.remove_worker(id)).collect()
    }

    /// When the next wait is over, of those not being asked for.
    pub(crate) fn next_deadline(&self) -> Option<DateTime<Utc>> {
        self.deadlines.iter().find(|(_, id)| !self.waiters[id].is_asked).map(|(at, _)| *at)
    }
}

fn matches_filter(filter: &TopicFilter, topic: &str, job: &str) -> bool {
    filter.topic == topic && filter.job.as_deref().is_none_or(|only| only == job)
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    fn lease(topics: &[&str]) -> (RequestLeases, oneshot::Receiver<Result<Vec<LeaseGrant>>>) {
        let (reply, answer) = oneshot::channel();
        let topics = topics
            .iter()
            .map(|name| match name.split_once(':') {
                Some((topic, job)) => TopicFilter { topic: topic.to_owned(), job: Some(job.to_owned()) },
                None => TopicFilter { topic: (*name).to_owned(), job: None },
            })
            .collect();
        let seconds = TimeDelta::seconds;
        let lease = RequestLeases {
            topics,
            max: 1,
            worker: "w".to_owned(),
            lease: seconds(60),
            wait: seconds(30),
            address: None,
            reply,
        };
        (lease, answer)
    }

    fn noon() -> DateTime<Utc> {
        DateTime::from_timestamp(1_700_000_000, 0).unwrap()
    }

    #[test]
    fn the_longest_waiting_that_take_the_job_are_found_in_order() {
        let mut waiting = WaitingWorkers::default();
        let mut answers = Vec::new();
        for topics in [&["a"][..], &["a:x"], &["b"], &["a:y", "b"]] {
            let (lease, answer) = lease(topics);
            waiting.add_worker(lease, noon());
            answers.push(answer);
        }
        assert_eq!(waiting.longest_waiting("a", "y"), [0, 3]);
        assert_eq!(waiting.longest_waiting("a", "x"), [0, 1]);
        assert_eq!(waiting.longest_waiting("b", ""), [2, 3]);
        assert!(
            waiting.has_worker_for("a", "x") && waiting.has_worker_for("b", "") && !waiting.has_worker_for("c", "")
        );
        answers.remove(0);
        assert_eq!(waiting.names().count(), 3);
        assert!(!waiting.has_worker_for("a", "z"), "only a:x and a:y wait still");
        assert_eq!(waiting.longest_waiting("a", "y"), [3], "the first one went away");
        assert_eq!(waiting.len(), 3);
    }

    #[test]
    fn a_task_that_becomes_ready_while_the_database_is_asked_is_not_missed() {
        let mut waiting = WaitingWorkers::default();
        let (lease, _answer) = lease(&["a"]);
        let id = waiting.add_worker(lease, noon());
        waiting.begin_asking(vec![id], || 0);
        assert!(waiting.longest_waiting("a", "").is_empty(), "being asked for already");
        assert!(!waiting.end_asking(id, noon() + TimeDelta::hours(1)), "the answer is out of date");
        assert_eq!(waiting.to_ask_again(&[id]), [id]);
        waiting.begin_asking(vec![id], || 0);
        assert!(waiting.end_asking(id, noon() + TimeDelta::hours(1)), "nothing became ready meanwhile");
    }

    #[test]
    fn waits_end_in_order_but_not_while_the_database_is_asked() {
        let mut waiting = WaitingWorkers::default();
        let (first, _one) = lease(&["a"]);
        let (second, _two) = lease(&["a"]);
        let first = waiting.add_worker(first, noon());
        waiting.add_worker(second, noon() + TimeDelta::seconds(1));
        assert_eq!(waiting.next_deadline(), Some(noon() + TimeDelta::seconds(30)));
        waiting.begin_asking(vec![first], || 0);
        assert_eq!(waiting.next_deadline(), Some(noon() + TimeDelta::seconds(31)));
        assert_eq!(waiting.take_overdue(noon() + TimeDelta::seconds(40)).len(), 1);
        assert_eq!(waiting.len(), 1);
        assert_eq!(waiting.next_deadline(), None);
    }

    #[test]
    fn topics_take_turns_at_being_first() {
        let mut waiting = WaitingWorkers::default();
        let mut firsts = BTreeSet::new();
        let mut answers = Vec::new();
        for _ in 0..3 {
            let (lease, answer) = lease(&["a", "b", "c"]);
            let id = waiting.add_worker(lease, noon());
            firsts.insert(waiting.begin_asking(vec![id], || 0).1[0].topics[0].topic.clone());
            answers.push(answer);
        }
        assert_eq!(firsts.len(), 3);
    }
}
