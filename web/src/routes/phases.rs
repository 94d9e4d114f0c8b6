//! Phases: paused, and let go on.

use actix_web::HttpRequest;
use actix_web::http::StatusCode;
use actix_web::web::Payload;
use flowlord_messages::scheduler::PausePhase;
use serde::{Deserialize, Serialize};

use crate::api::{Api, ApiRef};
use crate::extract::{json_body, object};
use crate::params::Params;
use crate::problem::Answer;
use crate::routes::json;
use crate::values::required;
use crate::view::time::Stamp;

const EXAMPLE: &str = r#"{"workflow":"etl/daily.toml","task":"load:hourly"}"#;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PhaseBody {
    workflow: Option<String>,
    task: Option<String>,
}

#[derive(Serialize)]
struct PhaseAnswer<'a> {
    workflow: &'a str,
    task: &'a str,
    paused: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    paused_since: Option<Stamp>,
}

/// Lets a phase start nothing new.
pub(crate) async fn pause(api: ApiRef, request: HttpRequest, payload: Payload) -> Answer {
    set(&api, request, payload, true).await
}

/// Lets it go on.
pub(crate) async fn resume(api: ApiRef, request: HttpRequest, payload: Payload) -> Answer {
    set(&api, request, payload, false).await
}

async fn set(api: &Api, request: HttpRequest, payload: Payload, paused: bool) -> Answer {
    Params::none(&request)?;
    let body = json_body(&request, payload).await?;
    let phase: PhaseBody = object(&body, EXAMPLE)?;
    let workflow = required("workflow", phase.workflow, "the workflow file, like \"etl/daily.toml\"")?;
    let task = required("task", phase.task, "the phase, like \"load:hourly\"")?;
    let ask = PausePhase { workflow: workflow.clone(), task: task.clone(), paused };
    let since = api.deps.pause.call(ask).await?;
    let (paused, paused_since) = (since.is_some(), since.map(Stamp));
    json(StatusCode::OK, &PhaseAnswer { workflow: &workflow, task: &task, paused, paused_since })
}
