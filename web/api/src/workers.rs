//! Workers, and the queues that they take tasks from.

use std::net::IpAddr;

use flowlord_messages::leases::TopicFilter;
use flowlord_web_core::use_cases::workers::{QueueActivity, WorkerActivity, list_queues, list_workers};

use crate::prelude::*;

pub(crate) fn routes() -> Vec<Route> {
    let worker = json!({
        "worker": "w1", "topics": ["load", "report:daily"], "last_seen": "2026-03-02T12:00:00Z", "leased": 1,
        "done_last_hour": 40, "errors_last_hour": 2, "address": "10.0.0.7",
    });
    let queue = json!({
        "topic": "load", "job": "daily", "ready": 3, "delayed": 0, "leased": 1, "oldest_ready": "2026-03-02T11:58:00Z",
        "workers": 2,
    });
    vec![
        Route::view("/api/v1/workers", Role::Viewer, workers)
            .about("work", "List workers")
            .says(
                "Workers that asked for tasks within a day, hold tasks, or gave results within the hour, by name. Kept in \
                 memory: after a start of the service the list fills as workers ask, and the hour begins anew.",
            )
            .pages()
            .lists::<WorkerView<'_>>("workers", worker),
        Route::view("/api/v1/queues", Role::Viewer, queues)
            .about("work", "List queues")
            .says("Topics and jobs that have tasks without a result, and topics that workers ask for.")
            .pages()
            .lists::<QueueView<'_>>("queues", queue),
    ]
}

/// A worker.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Worker)]
struct WorkerView<'a> {
    worker: &'a str,
    /// What it last asked for, as `topic` or `topic:job`.
    topics: Vec<String>,
    /// When it last asked for tasks, or gave a sign of life about one.
    #[schema(required)]
    last_seen: Option<DateTime<Utc>>,
    /// The tasks that it holds.
    leased: u64,
    done_last_hour: u64,
    /// Those that are `error` or `alert`.
    errors_last_hour: u64,
    /// Where it last asked from.
    #[schema(required, value_type = Option<String>)]
    address: Option<IpAddr>,
}

impl<'a> From<&'a WorkerActivity> for WorkerView<'a> {
    fn from(worker: &'a WorkerActivity) -> Self {
        Self {
            worker: &worker.name,
            topics: worker.topics.iter().map(TopicFilter::to_string).collect(),
            last_seen: worker.last_seen,
            leased: worker.leased,
            done_last_hour: worker.done_last_hour,
            errors_last_hour: worker.errors_last_hour,
            address: worker.address,
        }
    }
}

/// A queue.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Queue)]
struct QueueView<'a> {
    topic: &'a str,
    /// Empty for tasks without one.
    job: &'a str,
    ready: u64,
    delayed: u64,
    leased: u64,
    /// Since when the oldest ready task is ready.
    #[schema(required)]
    oldest_ready: Option<DateTime<Utc>>,
    /// Workers that asked for its tasks within five minutes.
    workers: u64,
}

impl<'a> From<&'a QueueActivity> for QueueView<'a> {
    fn from(QueueActivity { load, workers }: &'a QueueActivity) -> Self {
        Self {
            topic: &load.topic,
            job: &load.job,
            ready: load.ready,
            delayed: load.delayed,
            leased: load.leased,
            oldest_ready: load.oldest_ready,
            workers: *workers,
        }
    }
}

async fn workers(context: ContextRef, request: HttpRequest) -> Answer {
    let params = QueryParams::parse(request.query_string(), &["limit", "cursor"])?;
    let (limit, after) = (params.limit()?, params.cursor::<String>()?.unwrap_or_default());
    let mut workers = list_workers(&context).await?;
    // The cursor is a name: a number would skip workers when the list changes between two pages.
    workers.retain(|worker| worker.name > after);
    let next = cut_page(&mut workers, limit, |worker| worker.name.clone());
    json(StatusCode::OK, &List { items: workers.iter().map(WorkerView::from).collect(), next })
}

async fn queues(context: ContextRef, request: HttpRequest) -> Answer {
    let params = QueryParams::parse(request.query_string(), &["limit", "cursor"])?;
    let (limit, after) = (params.limit()?, params.cursor::<String>()?.unwrap_or_default());
    // `:` is in no topic, so this is the order of the list.
    let (topic, job) = after.split_once(':').unwrap_or((&after, ""));
    let mut queues = list_queues(&context).await?;
    if !after.is_empty() {
        queues.retain(|queue| (queue.load.topic.as_str(), queue.load.job.as_str()) > (topic, job));
    }
    let next = cut_page(&mut queues, limit, |queue| format!("{}:{}", queue.load.topic, queue.load.job));
    json(StatusCode::OK, &List { items: queues.iter().map(QueueView::from).collect(), next })
}
