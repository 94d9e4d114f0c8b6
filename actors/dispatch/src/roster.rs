//! The workers that asked for tasks lately, and when each topic was last asked for. Nobody writes it down: after a start it
//! fills by itself, as workers ask again.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use flowlord_messages::leases::{RequestLeases, SeenWorker};

/// A worker that didn't ask for so long is forgotten.
const MAX_SILENCE: TimeDelta = TimeDelta::days(1);

/// More workers, or topics and jobs, than this aren't remembered: names that change with each request must not fill the
/// memory.
const MAX_REMEMBERED: usize = 10_000;

#[derive(Debug)]
pub(crate) struct WorkerRoster {
    pub(crate) known_since: DateTime<Utc>,
    workers: HashMap<String, SeenWorker>,
    topics: HashMap<String, TopicDemand>,
    /// When what is too old was last looked for.
    cleaned: DateTime<Utc>,
}

/// When workers last asked for tasks of a topic.
#[derive(Debug, Default)]
struct TopicDemand {
    any_job: Option<DateTime<Utc>>,
    jobs: HashMap<String, DateTime<Utc>>,
}

impl WorkerRoster {
    pub(crate) fn new(now: DateTime<Utc>) -> Self {
        Self { known_since: now, workers: HashMap::new(), topics: HashMap::new(), cleaned: now }
    }

    pub(crate) fn note_request(&mut self, request: &RequestLeases, now: DateTime<Utc>) {
        // First, so that old names make room for new ones.
        self.forget_old(now);
        self.note_topics(request, now);
        let has_room = self.workers.len() < MAX_REMEMBERED;
        match self.workers.get_mut(&request.worker) {
            Some(seen) => {
                (seen.asked, seen.address) = (now, request.address);
                // Nearly always the same: no copy.
                if seen.topics != request.topics {
                    seen.topics.clone_from(&request.topics);
                }
            }
            None if has_room => {
                let RequestLeases { worker: name, topics, address, .. } = request;
                let seen = SeenWorker { name: name.clone(), topics: topics.clone(), asked: now, address: *address };
                self.workers.insert(name.clone(), seen);
            }
            None => {}
        }
    }

    fn note_topics(&mut self, request: &RequestLeases, now: DateTime<Utc>) {
        for filter in &request.topics {
            // `entry` would copy the name at each request.
            if !self.topics.contains_key(&filter.topic) {
                if self.topics.len() == MAX_REMEMBERED {
                    continue;
                }
                self.topics.insert(filter.topic.clone(), TopicDemand::default());
            }
            let Some(demand) = self.topics.get_mut(&filter.topic) else { continue };
            match &filter.job {
                None => demand.any_job = Some(now),
                Some(job) => demand.note_job(job, now),
            }
        }
    }

    /// When a worker last asked that takes tasks of this topic and job.
    pub(crate) fn last_asked(&self, topic: &str, job: &str) -> Option<DateTime<Utc>> {
        let demand = self.topics.get(topic)?;
        demand.any_job.into_iter().chain(demand.jobs.get(job).copied()).max()
    }

    /// All workers; those whose requests wait at the moment asked now.
    pub(crate) fn workers<'a>(&self, waiting: impl Iterator<Item = &'a str>, now: DateTime<Utc>) -> Vec<SeenWorker> {
        let mut workers = self.workers.clone();
        // A waiting request was sent some time ago, but its worker is there.
        for name in waiting {
            if let Some(seen) = workers.get_mut(name) {
                seen.asked = now;
            }
        }
        workers.into_values().collect()
    }

    /// Once a minute: it looks at all.
    fn forget_old(&mut self, now: DateTime<Utc>) {
        // `abs`, because the clock may have been set back by hours.
        if (now - self.cleaned).abs() < TimeDelta::minutes(1) {
            return;
        }
        self.cleaned = now;
        let oldest = now - MAX_SILENCE;
        self.workers.retain(|_, seen| seen.asked > oldest);
        self.topics.retain(|_, demand| {
            demand.jobs.retain(|_, asked| *asked > oldest);
            demand.any_job.is_some_and(|asked| asked > oldest) || !demand.jobs.is_empty()
        });
    }
}

impl TopicDemand {
    fn note_job(&mut self, job: &str, now: DateTime<Utc>) {
        let has_room = self.jobs.len() < MAX_REMEMBERED;
        match self.jobs.get_mut(job) {
            Some(asked) => *asked = now,
            None if has_room => drop(self.jobs.insert(job.to_owned(), now)),
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use flowlord_messages::leases::TopicFilter;
    use tokio::sync::oneshot;

    use super::*;

    fn noon() -> DateTime<Utc> {
        DateTime::from_timestamp(1_700_000_000, 0).unwrap()
    }

    fn request(worker: &str, topic: &str, job: Option<&str>) -> RequestLeases {
        RequestLeases {
            topics: vec![TopicFilter { topic: topic.to_owned(), job: job.map(str::to_owned) }],
            max: 1,
            worker: worker.to_owned(),
            lease: TimeDelta::seconds(60),
            wait: TimeDelta::zero(),
            address: Some([127, 0, 0, 1].into()),
            reply: oneshot::channel().0,
        }
    }

    #[test]
    fn a_queue_is_asked_for_by_its_job_and_by_its_whole_topic() {
        let mut roster = WorkerRoster::new(noon());
        let later = |seconds| noon() + TimeDelta::seconds(seconds);
        roster.note_request(&request("w1", "load", Some("daily")), later(1));
        roster.note_request(&request("w2", "load", None), later(2));
        roster.note_request(&request("w1", "load", Some("daily")), later(3));
        assert_eq!(roster.last_asked("load", "daily"), Some(later(3)));
        assert_eq!(roster.last_asked("load", "hourly"), Some(later(2)));
        assert_eq!(roster.last_asked("extract", ""), None);
    }

    #[test]
    fn a_worker_is_as_its_last_request_says_and_one_that_waits_asks_now() {
        let mut roster = WorkerRoster::new(noon());
        roster.note_request(&request("w1", "load", None), noon());
        roster.note_request(&request("w1", "extract", None), noon());
        roster.note_request(&request("w2", "load", None), noon());
        let now = noon() + TimeDelta::seconds(20);
        let mut workers = roster.workers(["w2"].into_iter(), now);
        workers.sort_by(|a, b| a.name.cmp(&b.name));
        let seen: Vec<_> = workers.iter().map(|w| (w.name.as_str(), w.topics[0].topic.as_str(), w.asked)).collect();
        assert_eq!(seen, [("w1", "extract", noon()), ("w2", "load", now)]);
    }

    #[test]
    fn names_without_end_are_bounded_and_forgotten_after_a_day() {
        let mut roster = WorkerRoster::new(noon());
        for n in 0..MAX_REMEMBERED + 5 {
            let name = format!("n{n}");
            roster.note_request(&request(&name, &name, None), noon());
            roster.note_request(&request("w", "jobs", Some(&name)), noon());
        }
        assert_eq!((roster.workers.len(), roster.topics.len()), (MAX_REMEMBERED, MAX_REMEMBERED));
        assert_eq!(roster.topics["jobs"].jobs.len(), MAX_REMEMBERED);
        roster.note_request(&request("new", "new", None), noon() + TimeDelta::days(2));
        assert_eq!((roster.workers.len(), roster.topics.len()), (1, 1));
    }
}
