//! `flowlord workers` and `flowlord queues`: who takes tasks, and what there is to take.

use std::process::ExitCode;

use chrono::{DateTime, Utc};
use clap::builder::styling::{AnsiColor, Style};
use serde::Deserialize;

use super::listing::{ListArgs, ListColumn, ListedRow, TimeFormat, print_list};
use super::tasks::task_name;

const WORKERS_EXAMPLES: &str = "\
Examples:
  flowlord workers --watch
  flowlord workers --json | jq -r '.items[] | select(.leased == 0) | .worker'

Workers that asked for tasks within a day, hold tasks, or gave results within the hour.";

const QUEUES_EXAMPLES: &str = "\
Examples:
  flowlord queues --watch
  flowlord queues --json | jq '.items[] | select(.workers == 0 and .ready > 0)'

Topics and jobs that have tasks without a result, and topics that workers ask for. Red: tasks are ready, and no worker
asked for them within five minutes.";

/// List workers
#[derive(Debug, clap::Args)]
#[command(after_help = WORKERS_EXAMPLES)]
pub(crate) struct WorkersArgs {
    #[command(flatten)]
    list: ListArgs,
}

/// List queues
#[derive(Debug, clap::Args)]
#[command(after_help = QUEUES_EXAMPLES)]
pub(crate) struct QueuesArgs {
    #[command(flatten)]
    list: ListArgs,
}

pub(super) fn list_workers(args: &WorkersArgs) -> anyhow::Result<ExitCode> {
    print_list::<ListedWorker>(&args.list, "/workers", Vec::new())
}

pub(super) fn list_queues(args: &QueuesArgs) -> anyhow::Result<ExitCode> {
    print_list::<ListedQueue>(&args.list, "/queues", Vec::new())
}

#[derive(Deserialize)]
struct ListedWorker {
    worker: String,
    topics: Vec<String>,
    last_seen: Option<DateTime<Utc>>,
    leased: u64,
    done_last_hour: u64,
    errors_last_hour: u64,
    address: Option<String>,
}

impl ListedRow for ListedWorker {
    const COLUMNS: &'static [ListColumn] = &[
        ListColumn::name("WORKER"),
        ListColumn::count("LEASED"),
        ListColumn::count("DONE/H"),
        ListColumn::count("ERRORS/H"),
        ListColumn::whole("LAST SEEN"),
        ListColumn::whole("ADDRESS").only_from_width(100),
        ListColumn::text("TOPICS"),
    ];

    fn cells(&self, times: &TimeFormat) -> Vec<String> {
        let [leased, done, errors] = [self.leased, self.done_last_hour, self.errors_last_hour].map(|n| n.to_string());
        let (seen, address) = (times.time_or_none(self.last_seen), self.address.clone().unwrap_or_default());
        vec![self.worker.clone(), leased, done, errors, seen, address, self.topics.join(" ")]
    }
}

#[derive(Deserialize)]
struct ListedQueue {
    topic: String,
    job: String,
    ready: u64,
    delayed: u64,
    leased: u64,
    oldest_ready: Option<DateTime<Utc>>,
    workers: u64,
}

impl ListedRow for ListedQueue {
    const COLUMNS: &'static [ListColumn] = &[
        ListColumn::name("QUEUE"),
        ListColumn::count("READY"),
        ListColumn::count("DELAYED"),
        ListColumn::count("LEASED"),
        ListColumn::count("WORKERS"),
        ListColumn::whole("OLDEST READY"),
    ];

    fn cells(&self, times: &TimeFormat) -> Vec<String> {
        let counts = [self.ready, self.delayed, self.leased, self.workers].map(|n| n.to_string());
        let queue = task_name(&self.topic, &self.job);
        [queue].into_iter().chain(counts).chain([times.time_or_none(self.oldest_ready)]).collect()
    }

    fn style(&self) -> Style {
        if self.ready > 0 && self.workers == 0 { AnsiColor::Red.on_default() } else { Style::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_that_nobody_serves_stands_out() {
        for (ready, workers, stands_out) in [(1, 0, true), (1, 1, false), (0, 0, false)] {
            let queue = ListedQueue {
                topic: "load".to_owned(),
                job: "daily".to_owned(),
                ready,
                delayed: 2,
                leased: 3,
                oldest_ready: None,
                workers,
            };
            assert_eq!(queue.style() != Style::new(), stands_out, "{ready} {workers}");
            let expected = ["load:daily".to_owned(), ready.to_string(), "2".to_owned(), "3".to_owned()];
            assert_eq!(queue.cells(&TimeFormat::of_now())[..4], expected);
        }
    }
}
