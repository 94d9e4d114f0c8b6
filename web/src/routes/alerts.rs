//! Alerts: listed, and taken care of.

use actix_web::HttpRequest;
use actix_web::http::StatusCode;
use actix_web::web::Payload;
use flowlord_domain::AlertKind;
use flowlord_messages::alerts::Acknowledge;
use flowlord_messages::read::{AlertFilter, ListAlerts};
use serde::Deserialize;

use crate::api::ApiRef;
use crate::extract::{json_body, object};
use crate::params::Params;
use crate::problem::{Answer, Problem};
use crate::routes::{List, json};
use crate::values::Span;
use crate::values::matching::{HOLDS, MatchText, by, note, until};
use crate::view::alert::{AlertView, Taken, TakenView};

const EXAMPLE: &str = r#"{"match":{"type":"load"},"for":"4h","by":"ada","note":"the disk is replaced"}"#;

const FILTERS: &[&str] = &["date", "from", "to", "type", "job", "workflow", "kind", "limit", "cursor"];

/// Newest first; of today unless asked otherwise.
pub(crate) async fn list(api: ApiRef, request: HttpRequest) -> Answer {
    let params = Params::parse(request.query_string(), FILTERS)?;
    let limit = params.limit()?;
    let (from, to) = params.period_or_day(api.deps.clock.now())?;
    let query = ListAlerts { from, to, filter: filter(&params)?, after: params.cursor()?, limit: limit + 1 };
    let mut alerts = api.deps.alerts.call(query).await?;
    let more = alerts.len() > limit;
    alerts.truncate(limit);
    let next = alerts.last().filter(|_| more).map(|alert| alert.row.to_string());
    json(StatusCode::OK, &List { items: alerts.iter().map(AlertView).collect(), next })
}

fn filter(params: &Params) -> Result<AlertFilter, Problem> {
    let texts = |name| params.many(name).map(str::to_owned).collect();
    let kinds = params.many("kind").map(kind).collect::<Result<_, _>>()?;
    Ok(AlertFilter { topics: texts("type"), jobs: texts("job"), workflows: texts("workflow"), kinds })
}

fn kind(text: &str) -> Result<AlertKind, Problem> {
    let found = AlertKind::ALL.into_iter().find(|kind| kind.as_str() == text);
    found.ok_or_else(|| {
        let known = AlertKind::ALL.map(AlertKind::as_str).join(", ");
        Problem::invalid(format!("`kind` is `{text}`: write one of {known}"))
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    #[serde(rename = "match", default)]
    matching: MatchText,
    r#for: Option<Span>,
    until: Option<String>,
    by: Option<String>,
    note: Option<String>,
}

/// Somebody takes care of what fails: repeats stop until something else does, or the time is over.
pub(crate) async fn acknowledge(api: ApiRef, request: HttpRequest, payload: Payload) -> Answer {
    Params::none(&request)?;
    let body = json_body(&request, payload).await?;
    let wanted: Wanted = object(&body, EXAMPLE)?;
    let now = api.deps.clock.now();
    let until = until(wanted.r#for, wanted.until.as_deref(), now)?.unwrap_or(now + HOLDS);
    let said = Acknowledge {
        route: None,
        matcher: wanted.matching.checked()?,
        until,
        by: by(wanted.by, &request)?,
        note: note("note", wanted.note)?.unwrap_or_default(),
    };
    log::info!("event=acknowledge match={:?} until={until} by={:?}", said.matcher.to_string(), said.by);
    let taken = api.deps.acknowledge.call(said).await?;
    json(StatusCode::OK, &Taken::new(until, taken.iter().map(TakenView).collect()))
}
