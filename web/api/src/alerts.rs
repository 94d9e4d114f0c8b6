//! Alerts: listed, and taken care of.

use flowlord_domain::AlertKind;
use flowlord_messages::alerts::{AcknowledgeAlerts, AlertFilter, ListAlerts};
use flowlord_web_core::values::BodyDuration;
use flowlord_web_core::values::matching::{AcknowledgedMatchDoc, HOLDS, MatchText, by, note, until};
use flowlord_web_core::view::alert::{AcknowledgedView, AlertView, TakenView};

use crate::prelude::*;

pub(crate) fn routes() -> Vec<Route> {
    let alert = json!({
        "alert": 3, "kind": "exhausted", "at": "2026-03-02T12:00:00Z", "uid": "064c0953867001", "id": "chain-1",
        "type": "load", "msg": "no disk", "at_once": false, "route": "default",
    });
    let acknowledged = json!({"route": "default", "tasks": ["load:daily"]});
    vec![
        Route::view("/api/v1/alerts", Role::Viewer, list)
            .about("alerts", "Alerts")
            .says("Newest first; those of today unless asked otherwise.")
            .query("date", "a UTC day", day_schema())
            .query("from", "raised at or after; a time, or a day", json!({"type": "string"}))
            .query("to", "raised before; a time, or a day", json!({"type": "string"}))
            .query("type", "topics", texts())
            .query("job", "jobs", texts())
            .query("workflow", "workflow files", texts())
            .query("kind", "why they were raised", named_values::<AlertKind>())
            .pages()
            .lists::<AlertView<'_>>("alerts", alert),
        Route::post("/api/v1/alerts/ack", Role::Operator, acknowledge)
            .audited(AuditAction::Acknowledge)
            .about("alerts", "Acknowledge failures")
            .says(
                "No notification repeats what fails now until something else fails or the time is over; an empty match \
                 means everything.",
            )
            .body::<AcknowledgeBody>("what to acknowledge, and for how long", example_of(EXAMPLE))
            .answers::<AcknowledgedView<'_>>(
                200,
                "what is acknowledged, by route",
                json!({"until": "2026-03-02T16:00:00Z", "items": [acknowledged]}),
            ),
    ]
}

const EXAMPLE: &str = r#"{"match":{"type":"load"},"for":"4h","by":"ada","note":"the disk is replaced"}"#;

const FILTERS: &[&str] = &["date", "from", "to", "type", "job", "workflow", "kind", "limit", "cursor"];

async fn list(context: ContextRef, request: HttpRequest) -> Answer {
    let params = QueryParams::parse(request.query_string(), FILTERS)?;
    let limit = params.limit()?;
    let (from, to) = params.period_or_day(context.deps.kit.now())?;
    let query = ListAlerts { from, to, filter: filter(&params)?, after: params.cursor()?, limit: limit + 1 };
    let mut alerts = context.deps.view_reader.call(query).await?;
    let next = cut_page(&mut alerts, limit, |alert| alert.row.to_string());
    json(StatusCode::OK, &List { items: alerts.iter().map(AlertView::from).collect(), next })
}

fn filter(params: &QueryParams) -> Result<AlertFilter, Problem> {
    Ok(AlertFilter {
        topics: params.texts("type")?,
        jobs: params.texts("job")?,
        workflows: params.texts("workflow")?,
        kinds: params.named("kind")?,
    })
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Acknowledge)]
pub(crate) struct AcknowledgeBody {
    #[serde(rename = "match", default)]
    #[schema(value_type = AcknowledgedMatchDoc)]
    matching: MatchText,
    #[schema(schema_with = limits::hold_time)]
    r#for: Option<BodyDuration>,
    #[schema(schema_with = limits::time)]
    until: Option<String>,
    #[schema(schema_with = limits::person_name)]
    by: Option<String>,
    #[schema(schema_with = limits::note)]
    note: Option<String>,
}

/// Somebody takes care of what fails: repeats stop until something else does, or the time is over.
async fn acknowledge(context: ContextRef, request: HttpRequest, payload: Payload) -> Answer {
    let wanted: AcknowledgeBody = strict_body(&request, payload, EXAMPLE).await?;
    let now = context.deps.kit.now();
    let until = until(wanted.r#for, wanted.until.as_deref(), now)?.unwrap_or(now + HOLDS);
    let matcher = wanted.matching.checked()?;
    if matcher.owner.is_some() {
        return Err(Problem::invalid("an acknowledgement can't name an owner: match by type, job or workflow"));
    }
    let said = AcknowledgeAlerts {
        // The body names none: alerts that match are meant wherever they are sent.
        route: None,
        matcher,
        until,
        by: by(wanted.by, &request)?,
        note: note("note", wanted.note)?.unwrap_or_default(),
    };
    log::info!("event=acknowledge match={:?} until={until} by={:?}", said.matcher.to_string(), said.by);
    let taken = context.deps.alerts.call(said).await?;
    json(StatusCode::OK, &AcknowledgedView::new(until, taken.iter().map(TakenView::from).collect()))
}
