//! Workers, and the queues that they take tasks from.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use chrono::{DateTime, TimeDelta, Utc};
use flowlord_messages::leases::{ReadWorkerLeases, ReadWorkers, SeenWorker, TopicFilter};
use flowlord_messages::results::ReadWorkerResults;
use flowlord_messages::stats::{QueueLoad, ReadBacklog};

use crate::context::WebContext;
use crate::problem::Problem;

/// A worker that was seen within this time counts for the queues that it takes tasks from.
const SEEN_LATELY: TimeDelta = TimeDelta::minutes(5);

/// What is known of a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerActivity {
    pub name: String,
    /// The topics that it last asked for.
    pub topics: Vec<TopicFilter>,
    /// When it last asked for tasks, or gave a sign of life about one.
    pub last_seen: Option<DateTime<Utc>>,
    pub address: Option<IpAddr>,
    /// The tasks that it holds.
    pub leased: u64,
    /// Its results within the last hour, and how many of them are `error` or `alert`.
    pub done_last_hour: u64,
    pub errors_last_hour: u64,
}

impl WorkerActivity {
    fn unseen(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            topics: Vec::new(),
            last_seen: None,
            address: None,
            leased: 0,
            done_last_hour: 0,
            errors_last_hour: 0,
        }
    }
}

/// A queue, and how many workers were there for it lately.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueActivity {
    pub load: QueueLoad,
    pub workers: u64,
}

/// Workers that asked, held tasks or gave results lately, by name.
pub async fn list_workers(context: &WebContext) -> Result<Vec<WorkerActivity>, Problem> {
    let deps = &context.deps;
    let (seen, leases, results) = tokio::join!(
        deps.dispatch.call(ReadWorkers),
        deps.view_reader.call(ReadWorkerLeases),
        deps.ingest.call(ReadWorkerResults),
    );
    let mut workers: BTreeMap<String, WorkerActivity> = seen?
        .into_iter()
        .map(|SeenWorker { name, topics, asked, address }| {
            let unseen = WorkerActivity::unseen(&name);
            (name, WorkerActivity { topics, last_seen: Some(asked), address, ..unseen })
        })
        .collect();
    // Also those that have worked since before the service started, and didn't ask yet.
    for held in leases? {
        let worker = entry_of(&mut workers, &held.worker);
        worker.leased += held.leased;
        worker.last_seen = worker.last_seen.max(held.last_beat);
    }
    for counts in results? {
        let worker = entry_of(&mut workers, &counts.worker);
        (worker.done_last_hour, worker.errors_last_hour) = (counts.done, counts.errors);
    }
    Ok(workers.into_values().collect())
}

fn entry_of<'a>(workers: &'a mut BTreeMap<String, WorkerActivity>, name: &str) -> &'a mut WorkerActivity {
    workers.entry(name.to_owned()).or_insert_with_key(|name| WorkerActivity::unseen(name))
}

/// Queues that have tasks, and topics that workers ask for, by topic and job.
pub async fn list_queues(context: &WebContext) -> Result<Vec<QueueActivity>, Problem> {
    let now = context.deps.kit.now();
    let (backlog, seen) =
        tokio::join!(context.deps.view_reader.call(ReadBacklog), context.deps.dispatch.call(ReadWorkers));
    let (mut queues, lately) = (backlog?.queues, now - SEEN_LATELY);
    let demand = WorkerDemand::of_workers(seen?.iter().filter(|worker| worker.asked >= lately));
    let known: BTreeSet<String> = queues.iter().map(|queue| queue.topic.clone()).collect();
    // A topic without tasks is listed, too: people see that its workers are there.
    let idle = demand.topics.keys().filter(|topic| !known.contains(*topic));
    queues.extend(idle.map(|topic| QueueLoad { topic: topic.clone(), ..QueueLoad::default() }).collect::<Vec<_>>());
    // Pages of the list need one fixed order.
    queues.sort_by(|a, b| (&a.topic, &a.job).cmp(&(&b.topic, &b.job)));
    let activity = |load: QueueLoad| QueueActivity { workers: demand.workers_for(&load), load };
    Ok(queues.into_iter().map(activity).collect())
}

/// How many workers take tasks of a topic: of any job, and of some.
#[derive(Debug, Default)]
struct WorkerDemand {
    topics: HashMap<String, JobDemand>,
}

#[derive(Debug, Default)]
struct JobDemand {
    any_job: u64,
    jobs: HashMap<String, u64>,
}

impl WorkerDemand {
    fn of_workers<'a>(workers: impl Iterator<Item = &'a SeenWorker>) -> Self {
        let mut demand = Self::default();
        for worker in workers {
            let whole: BTreeSet<_> =
                worker.topics.iter().filter(|filter| filter.job.is_none()).map(|filter| &filter.topic).collect();
            for topic in &whole {
                demand.topics.entry((*topic).clone()).or_default().any_job += 1;
            }
            // A worker counts once for a queue, however it names it.
            let jobs = worker.topics.iter().filter(|filter| !whole.contains(&filter.topic));
            let jobs: BTreeSet<_> = jobs.filter_map(|filter| Some((&filter.topic, filter.job.as_ref()?))).collect();
            for (topic, job) in jobs {
                *demand.topics.entry(topic.clone()).or_default().jobs.entry(job.clone()).or_default() += 1;
            }
        }
        demand
    }

    fn workers_for(&self, queue: &QueueLoad) -> u64 {
        let demand = self.topics.get(&queue.topic);
        demand.map_or(0, |demand| demand.any_job + demand.jobs.get(&queue.job).copied().unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worker(topics: &[(&str, &str)]) -> SeenWorker {
        let filter = |(topic, job): &(&str, &str)| TopicFilter {
            topic: (*topic).to_owned(),
            job: Some((*job).to_owned()).filter(|job| !job.is_empty()),
        };
        let topics = topics.iter().map(filter).collect();
        SeenWorker { name: "w".to_owned(), topics, asked: DateTime::UNIX_EPOCH, address: None }
    }

    #[test]
    fn a_worker_counts_once_for_each_queue_that_it_takes() {
        let workers = [
            worker(&[("load", ""), ("load", "daily")]),
            worker(&[("load", "daily"), ("load", "daily")]),
            worker(&[("extract", "")]),
        ];
        let demand = WorkerDemand::of_workers(workers.iter());
        let count = |topic: &str, job: &str| {
            demand.workers_for(&QueueLoad { topic: topic.to_owned(), job: job.to_owned(), ..QueueLoad::default() })
        };
        let counts = [count("load", "daily"), count("load", "hourly"), count("extract", "x"), count("report", "")];
        assert_eq!(counts, [2, 1, 1, 0]);
    }
}
