//! Queues, with the workers that take tasks from them.

use flowlord_messages::leases::TopicFilter;
use flowlord_web_core::use_cases::workers::{QueueActivity, WorkerActivity, list_queues, list_workers};

use super::when::{ShownTime, span};
use super::{NavigationSection, PageLayout, PageLink, rendered};
use crate::prelude::*;

pub(crate) fn routes() -> Vec<Route> {
    vec![Route::view("/web/workers", Role::Viewer, rendered(workers_page))]
}

/// Of more, the page shows the first: the list as JSON has all.
const MAX_ROWS: usize = 200;

#[derive(Template)]
#[template(path = "workers.html")]
struct WorkersPage {
    layout: PageLayout,
    queues: Vec<QueueRow>,
    more_queues: usize,
    workers: Vec<WorkerRow>,
    more_workers: usize,
}

struct QueueRow {
    name: String,
    tasks: String,
    ready: u64,
    delayed: u64,
    leased: u64,
    oldest_age: String,
    workers: u64,
    /// Ready tasks that nobody takes.
    is_stuck: bool,
}

struct WorkerRow {
    name: String,
    topics: String,
    last_seen: Option<ShownTime>,
    address: String,
    leased: u64,
    done: u64,
    errors: u64,
}

async fn workers_page(context: &WebContext, request: &HttpRequest) -> Result<WorkersPage, Problem> {
    QueryParams::parse(request.query_string(), &["date"])?;
    let layout = PageLayout::live(context, request, NavigationSection::Workers);
    let (queues, workers) = tokio::join!(list_queues(context), list_workers(context));
    let (mut queues, mut workers) = (queues?, workers?);
    let now = context.deps.kit.now();
    // What needs somebody comes first.
    queues.sort_by_key(|queue| std::cmp::Reverse((QueueRow::is_stuck(queue), queue.load.ready)));
    // A worker that was seen long ago is most likely gone, so it goes last.
    workers.sort_by_key(|worker| std::cmp::Reverse(worker.last_seen));
    let [more_queues, more_workers] = [queues.len(), workers.len()].map(|rows| rows.saturating_sub(MAX_ROWS));
    Ok(WorkersPage {
        layout,
        queues: queues.iter().take(MAX_ROWS).map(|queue| QueueRow::new(queue, now)).collect(),
        more_queues,
        workers: workers.iter().take(MAX_ROWS).map(WorkerRow::new).collect(),
        more_workers,
    })
}

impl QueueRow {
    fn is_stuck(queue: &QueueActivity) -> bool {
        // A worker that is busy with a long task may not have asked lately.
        queue.load.ready > 0 && queue.workers == 0 && queue.load.leased == 0
    }

    fn new(queue: &QueueActivity, now: DateTime<Utc>) -> Self {
        let load = &queue.load;
        let link = PageLink::to("/web/task").with("type", &load.topic).with("result", "running");
        Self {
            name: line_key(&load.topic, &load.job),
            tasks: if load.job.is_empty() { link.href() } else { link.with("job", &load.job).href() },
            ready: load.ready,
            delayed: load.delayed,
            leased: load.leased,
            oldest_age: load.oldest_ready.map(|since| span(now - since)).unwrap_or_default(),
            workers: queue.workers,
            is_stuck: Self::is_stuck(queue),
        }
    }
}

impl WorkerRow {
    fn new(worker: &WorkerActivity) -> Self {
        let topics: Vec<_> = worker.topics.iter().map(TopicFilter::to_string).collect();
        Self {
            name: worker.name.clone(),
            topics: topics.join(", "),
            last_seen: worker.last_seen.map(ShownTime::full),
            address: worker.address.map(|address| address.to_string()).unwrap_or_default(),
            leased: worker.leased,
            done: worker.done_last_hour,
            errors: worker.errors_last_hour,
        }
    }
}
