//! Files that arrived: told, and listed with what they started.

use flowlord_domain::TaskState;
use flowlord_domain::file_event::{EventHeaders, FileArrival, FileEventError, parse_file_events};
use flowlord_messages::files::{
    FileArrived, FilePhaseOutcome, ListFileEvents, ReadWatchedPlaces, RecordedFile, StartedTask,
};
use flowlord_web_core::extract::event_body;
use flowlord_web_core::openapi::json_of;
use flowlord_web_core::openapi::one_or_array;
use flowlord_web_core::params::day;
use flowlord_web_core::view::file::{FileEventView, OutcomeView, PlaceView, RecordedView};
use futures_util::{StreamExt as _, TryStreamExt as _};

use crate::prelude::*;
use crate::tasks::idempotency_key;

pub(crate) fn routes() -> Vec<Route> {
    let place = json!({"place": "/srv/in", "looked_at": "2026-03-02T12:00:00Z", "files": 3});
    vec![
        list_route(),
        arrived_route(),
        Route::view("/api/v1/files/places", Role::Viewer, places)
            .about("workflows", "Watched places")
            .lists::<PlaceView<'_>>("how they are", place),
    ]
}

// So many records of one body may share a commit.
const AT_ONCE: usize = 16;

/// Records what the headers of a request and its body tell of files, and starts their tasks.
pub(crate) async fn arrived(context: ContextRef, request: HttpRequest, payload: Payload) -> Answer {
    let body = event_body(&request, payload).await?;
    let key = idempotency_key(&request)?;
    let stated = EventHeaders::from_lookup(|name| request.headers().get(name)?.to_str().ok());
    let arrivals = parse_file_events(&body, &stated).map_err(unreadable)?;
    let records = arrivals.into_iter().zip(0_usize..).map(|(arrival, nth)| {
        // Of several each has a key of its own.
        let key = key.map(|key| if nth == 0 { key.to_owned() } else { format!("{key} {nth}") });
        record(&context, arrival, key)
    });
    // In their order, so that files that wait for each other are counted as they came.
    let recorded: Vec<_> = futures_util::stream::iter(records).buffered(AT_ONCE).try_collect().await?;
    match recorded.as_slice() {
        [one] => json(StatusCode::OK, &RecordedView::from(one)),
        several => {
            let items = several.iter().map(RecordedView::from).collect();
            json(StatusCode::OK, &List { items, next: None })
        }
    }
}

async fn record(context: &ContextRef, arrival: FileArrival, key: Option<String>) -> Result<RecordedAnswer, Problem> {
    // What isn't about a new file is recorded, too, and answered like one: its sender would else send it again.
    let (mut file, ignored) = match arrival {
        FileArrival::File(file) => (file, String::new()),
        FileArrival::Ignored { file, why } => (file, why),
    };
    // Where nothing tells versions of a file apart, the key does: the same report sent again counts once.
    if let Some(key) = key.filter(|_| file.version.is_empty()) {
        file.version = format!("key {key}");
    }
    let (path, arrived) = (file.path.clone(), FileArrived { file, ignored: ignored.clone() });
    let RecordedFile { event, phases, tasks } = context.deps.files.call(arrived).await?;
    Ok(RecordedAnswer { event, path, ignored, phases, tasks: tasks.into_iter().map(as_started).collect() })
}

/// A record that is on disk, with what it started.
struct RecordedAnswer {
    event: i64,
    path: String,
    /// Why it started nothing; empty when it may.
    ignored: String,
    phases: Vec<FilePhaseOutcome>,
    tasks: Vec<Attempt>,
}

impl<'a> From<&'a RecordedAnswer> for RecordedView<'a> {
    fn from(RecordedAnswer { event, path, ignored, phases, tasks }: &'a RecordedAnswer) -> Self {
        let phases = phases.iter().map(OutcomeView::from).collect();
        Self { event: *event, path, ignored, phases, tasks: tasks.iter().map(TaskView).collect() }
    }
}

fn as_started(StartedTask { task, held }: StartedTask) -> Attempt {
    let stored = task.into_attempt();
    // A paused phase holds it, so it isn't ready, although no time is set.
    if held { Attempt { state: TaskState::Delayed, ..stored } } else { stored }
}

#[expect(clippy::needless_pass_by_value, reason = "as map_err hands it over")]
fn unreadable(err: FileEventError) -> Problem {
    let code = match err {
        FileEventError::Json(_) | FileEventError::NotAnObject => Code::InvalidJson,
        FileEventError::NoPath
        | FileEventError::Data(_)
        | FileEventError::TooMany(_)
        | FileEventError::TooLong { .. } => Code::InvalidRequest,
    };
    Problem::new(code, err.to_string())
}

async fn places(context: ContextRef) -> Answer {
    let places = context.deps.files.call(ReadWatchedPlaces).await?;
    json(StatusCode::OK, &List { items: places.iter().map(PlaceView::from).collect(), next: None })
}

async fn list(context: ContextRef, request: HttpRequest) -> Answer {
    let params = QueryParams::parse(request.query_string(), &["date", "limit", "cursor"])?;
    let limit = params.limit()?;
    let date = params.date()?.unwrap_or_else(|| context.deps.kit.now().date_naive());
    let (from, to) = day(date);
    let query = ListFileEvents { from, to, after: params.cursor()?, limit: limit + 1 };
    let mut events = context.deps.view_reader.call(query).await?;
    let next = cut_page(&mut events, limit, |event| event.id.to_string());
    json(StatusCode::OK, &List { items: events.iter().map(FileEventView::from).collect(), next })
}

fn list_route() -> Route {
    let event = json!({
        "event": 5, "at": "2026-03-02T12:00:00Z", "source": "api", "path": "s3://bucket/in/2026-03-02.csv",
        "size": 1024, "checksum": "", "created": "", "linecnt": 0, "bytecnt": 0,
        "task_time": "2026-03-02T00:00:00Z", "phases": [],
    });
    Route::view("/api/v1/files", Role::Viewer, list)
        .about("workflows", "File events of a day")
        .says("Newest first, with what each started.")
        .query("date", "a UTC day; today unless given", day_schema())
        .pages()
        .lists::<FileEventView<'_>>("file events", event)
}

fn arrived_route() -> Route {
    let recorded = json!({"event": 5, "path": "s3://bucket/in/2026-03-02.csv", "phases": [], "tasks": []});
    Route::post("/api/v1/files", Role::Worker, arrived)
        .about("workflows", "Report a file")
        .says(
            "Stat JSON, an object notification of GCS, S3 or MinIO, an event of EventBridge, or any of them in a \
             CloudEvent, a Pub/Sub push or a message of SNS or SQS. An event that is not about a new file is recorded \
             and answered like one, with `ignored`. Several records are answered as `items`, each like one.",
        )
        .header(
            "Idempotency-Key",
            "tells versions of a file apart where nothing else does",
            json_of(limits::idempotency_key()),
        )
        .body_of(
            "the event, or several",
            |_| one_or_array(json!({"type": "object"})),
            json!({"path": "s3://bucket/in/2026-03-02.csv", "size": 1024}),
        )
        .answers_of(200, "what it started", SchemaRegistry::one_or_list::<RecordedView<'_>>, recorded)
}
