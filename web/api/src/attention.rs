//! What needs somebody now, as the first lines of the overview say it.

use flowlord_domain::workflow::Finding;
use flowlord_messages::workflows::ReadLoadedWorkflows;
use flowlord_web_core::use_cases::attention::{OpenIncident, StuckQueue, broken_files, read_attention};
use flowlord_web_core::view::alert::AlertView;
use flowlord_web_core::view::workflow::FindingDoc;

use crate::prelude::*;

pub(crate) fn routes() -> Vec<Route> {
    let incident = json!({
        "route": "default", "opened": "2026-03-02T12:00:00Z", "alerts": 3, "tasks": ["load:daily"], "acknowledged_by": null,
    });
    let queue = json!({
        "topic": "sql", "job": "", "ready": 3, "oldest_ready": "2026-03-02T05:00:00Z",
        "text": "no worker has asked for `sql` since 05:12 UTC",
    });
    let example = json!({
        "broken": {"count": 1, "incidents": [incident], "files": []},
        "late": {"count": 0, "items": []},
        "stuck": {"count": 1, "items": [queue]},
    });
    vec![
        Route::view("/api/v1/attention", Role::Viewer, attention)
            .about("alerts", "What needs somebody now")
            .says(
                "Is anything broken, late or stuck? Broken: incidents that are open, and workflow files with an error. Late: \
                 tasks that missed a deadline within a day and still have no result, each with its newest alert. Stuck: queues \
                 whose ready tasks no worker asks for. Where all three counts are 0, nothing needs anybody.",
            )
            .answers::<AttentionView<'_>>(200, "the three answers", example),
    ]
}

/// The answers to three questions.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Attention)]
struct AttentionView<'a> {
    #[schema(inline)]
    broken: BrokenView<'a>,
    #[schema(inline)]
    late: CountedItems<AlertView<'a>>,
    #[schema(inline)]
    stuck: CountedItems<StuckQueueView<'a>>,
}

#[derive(Debug, Serialize, ToSchema)]
struct BrokenView<'a> {
    /// Of both.
    count: usize,
    #[schema(inline)]
    incidents: Vec<OpenIncidentView<'a>>,
    /// The first error of each workflow file that has one.
    #[schema(value_type = Vec<FindingDoc>)]
    files: Vec<&'a Finding>,
}

#[derive(Debug, Serialize, ToSchema)]
struct CountedItems<T> {
    count: usize,
    /// At most 100.
    items: Vec<T>,
}

impl<T> CountedItems<T> {
    fn of(items: impl IntoIterator<Item: Into<T>>) -> Self {
        let items: Vec<T> = items.into_iter().map(Into::into).collect();
        Self { count: items.len(), items }
    }
}

/// An incident that isn't over.
#[derive(Debug, Serialize, ToSchema)]
struct OpenIncidentView<'a> {
    route: &'a str,
    opened: DateTime<Utc>,
    alerts: u64,
    /// What fails, as `type` or `type:job`.
    tasks: &'a [String],
    #[schema(required)]
    acknowledged_by: Option<&'a str>,
}

impl<'a> From<&'a OpenIncident> for OpenIncidentView<'a> {
    fn from(OpenIncident { route, opened, alerts, tasks, acknowledged_by }: &'a OpenIncident) -> Self {
        Self { route, opened: *opened, alerts: *alerts, tasks, acknowledged_by: acknowledged_by.as_deref() }
    }
}

/// A queue whose ready tasks no worker asks for.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = StuckQueue)]
struct StuckQueueView<'a> {
    topic: &'a str,
    /// Empty for tasks without one.
    job: &'a str,
    ready: u64,
    /// Since when the oldest ready task is ready.
    #[schema(required)]
    oldest_ready: Option<DateTime<Utc>>,
    /// Since when no worker has asked.
    text: &'a str,
}

impl<'a> From<&'a StuckQueue> for StuckQueueView<'a> {
    fn from(StuckQueue { load, text }: &'a StuckQueue) -> Self {
        Self { topic: &load.topic, job: &load.job, ready: load.ready, oldest_ready: load.oldest_ready, text }
    }
}

async fn attention(context: ContextRef) -> Answer {
    let workflows = context.deps.library.call(ReadLoadedWorkflows);
    let (current, attention) = tokio::join!(workflows, read_attention(&context));
    // What can't be read fails the request, unlike on the page: a program would take its absence for
    // "nothing".
    let (current, incidents) = (current?, attention.incidents?);
    let (late, stuck) = (attention.late?, attention.stuck?);
    let files = broken_files(&current);
    let incidents: Vec<OpenIncidentView<'_>> = incidents.iter().map(OpenIncidentView::from).collect();
    let broken = BrokenView { count: incidents.len() + files.len(), incidents, files };
    json(StatusCode::OK, &AttentionView { broken, late: CountedItems::of(&late), stuck: CountedItems::of(&stuck) })
}
