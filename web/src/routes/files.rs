//! Files that arrived: told, and listed with what they started.

use actix_web::HttpRequest;
use actix_web::http::StatusCode;
use actix_web::web::Payload;
use flowlord_domain::file_event::{Arrival, FileEventError, parse};
use flowlord_domain::{Attempt, TaskState};
use flowlord_messages::Code;
use flowlord_messages::files::{FileArrived, ListFiles, StartedTask, WatchedPlaces};

use crate::api::ApiRef;
use crate::extract::json_body;
use crate::params::{Params, day};
use crate::problem::{Answer, Problem};
use crate::routes::tasks::idempotency_key;
use crate::routes::{List, json};
use crate::view::file::{FileEventView, OutcomeView, PlaceView, RecordedView};
use crate::view::task::{TaskView, as_stored};

/// Records a file event and starts its tasks. What isn't about a new file is recorded, too, and answered like one:
/// who delivers it would else send it again.
pub(crate) async fn arrived(api: ApiRef, request: HttpRequest, payload: Payload) -> Answer {
    let body = json_body(&request, payload).await?;
    let key = idempotency_key(&request)?;
    let (mut file, ignored) = match parse(&body).map_err(unreadable)? {
        Arrival::File(file) => (file, String::new()),
        Arrival::Ignored { file, why } => (file, why),
    };
    if let Some(key) = key.filter(|_| file.version.is_empty()) {
        file.version = format!("key {key}");
    }
    let (path, told) = (file.path.clone(), ignored.clone());
    let recorded = api.deps.arrived.call(FileArrived { file, ignored }).await?;
    let tasks: Vec<Attempt> = recorded.tasks.iter().map(as_started).collect();
    json(
        StatusCode::OK,
        &RecordedView {
            event: recorded.event,
            path: &path,
            ignored: &told,
            phases: recorded.phases.iter().map(OutcomeView::from).collect(),
            tasks: tasks.iter().map(TaskView).collect(),
        },
    )
}

/// One that is kept waits for a person, not for a time.
fn as_started(StartedTask { task, held }: &StartedTask) -> Attempt {
    let stored = as_stored(task);
    if *held { Attempt { state: TaskState::Delayed, ..stored } } else { stored }
}

#[expect(clippy::needless_pass_by_value, reason = "as map_err hands it over")]
fn unreadable(err: FileEventError) -> Problem {
    let code = match err {
        FileEventError::Json(_) | FileEventError::NotAnObject => Code::InvalidJson,
        FileEventError::NoPath | FileEventError::Data(_) | FileEventError::TooLong { .. } => {
            Code::InvalidRequest
        }
    };
    Problem::new(code, err.to_string())
}

/// The watched places, and how they are.
pub(crate) async fn places(api: ApiRef) -> Answer {
    let places = api.deps.places.call(WatchedPlaces).await?;
    json(StatusCode::OK, &List { items: places.iter().map(PlaceView::from).collect(), next: None })
}

/// The events of a day, newest first.
pub(crate) async fn list(api: ApiRef, request: HttpRequest) -> Answer {
    let params = Params::parse(request.query_string(), &["date", "limit", "cursor"])?;
    let limit = params.limit()?;
    let date = params.date()?.unwrap_or_else(|| api.deps.clock.now().date_naive());
    let (from, to) = day(date);
    let query = ListFiles { from, to, after: params.cursor()?, limit: limit + 1 };
    let mut events = api.deps.files.call(query).await?;
    let more = events.len() > limit;
    events.truncate(limit);
    let next = events.last().filter(|_| more).map(|event| event.id.to_string());
    json(StatusCode::OK, &List { items: events.iter().map(FileEventView::from).collect(), next })
}
