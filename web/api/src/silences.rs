//! Silences: made, listed, ended.

use flowlord_messages::silences::{AddSilence, ListSilences, RemoveSilence, Silence};
use flowlord_web_core::values::BodyDuration;
use flowlord_web_core::values::matching::{MatchDoc, MatchText, by, note, until};
use flowlord_web_core::view::alert::SilenceView;

use crate::prelude::*;

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::view("/api/v1/silences", Role::Viewer, list)
            .about("alerts", "Silences")
            .says("Newest first; those that hold, or with `all` also those that are over.")
            .query("all", "also those that are over", json!({"type": "string", "enum": ["true", "false"]}))
            .pages()
            .lists::<SilenceView<'_>>("silences", silence_example()),
        Route::post("/api/v1/silences", Role::Operator, add)
            .audited(AuditAction::Silence)
            .about("alerts", "Silence alerts")
            .says("Alerts that match are stored, and not told.")
            .body::<NewSilence>("which, and for how long", example_of(EXAMPLE))
            .answers::<SilenceView<'_>>(201, "the silence", silence_example())
            .fails(&[Code::TooManySilences]),
        Route::delete("/api/v1/silences/{id}", Role::Operator, remove)
            .audited(AuditAction::Silence)
            .about("alerts", "End a silence")
            .says("What it silenced isn't told afterwards.")
            .path("id", "its number", "7")
            .answers::<SilenceView<'_>>(200, "the silence as it ended", silence_example())
            .fails(&[Code::SilenceUnknown]),
    ]
}

const EXAMPLE: &str = r#"{"match":{"workflow":"etl/*"},"for":"4h","by":"ada","reason":"the source moves"}"#;

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewSilence {
    #[serde(rename = "match", default)]
    #[schema(value_type = MatchDoc)]
    matching: MatchText,
    #[schema(schema_with = limits::hold_time)]
    r#for: Option<BodyDuration>,
    #[schema(schema_with = limits::time)]
    until: Option<String>,
    #[schema(schema_with = limits::person_name)]
    by: Option<String>,
    #[schema(required, schema_with = limits::reason)]
    reason: Option<String>,
}

async fn add(context: ContextRef, request: HttpRequest, payload: Payload) -> Answer {
    let wanted: NewSilence = strict_body(&request, payload, EXAMPLE).await?;
    let now = context.deps.kit.now();
    let until = until(wanted.r#for, wanted.until.as_deref(), now)?;
    let silence = AddSilence {
        now,
        matcher: wanted.matching.checked()?,
        until: required("for", until, "how long the silence lasts, like \"4h\", or an end as `until`")?,
        by: by(wanted.by, &request)?,
        reason: required("reason", note("reason", wanted.reason)?, "why these alerts are not to be sent")?,
    };
    let silence = context.deps.writer.call(silence).await?;
    let Silence { id, until, by, matcher, .. } = &silence;
    log::info!("event=silence_added id={id} match={:?} until={until} by={by:?}", matcher.to_string());
    json(StatusCode::CREATED, &SilenceView::new(&silence, now))
}

async fn list(context: ContextRef, request: HttpRequest) -> Answer {
    let params = QueryParams::parse(request.query_string(), &["all", "limit", "cursor"])?;
    let limit = params.limit()?;
    let now = context.deps.kit.now();
    let at = (!params.switch("all")?).then_some(now);
    let mut silences =
        context.deps.view_reader.call(ListSilences { at, after: params.cursor()?, limit: limit + 1 }).await?;
    let next = cut_page(&mut silences, limit, |silence| silence.id.to_string());
    let items = silences.iter().map(|silence| SilenceView::new(silence, now)).collect();
    json(StatusCode::OK, &List { items, next })
}

async fn remove(context: ContextRef, id: Path<String>) -> Answer {
    let number = id.parse().map_err(|_| {
        let detail = format!("there is no silence `{id}`: GET /api/v1/silences lists the active ones");
        Problem::new(Code::SilenceUnknown, detail)
    })?;
    let now = context.deps.kit.now();
    let silence = context.deps.writer.call(RemoveSilence { now, id: number }).await?;
    log::info!("event=silence_ended id={number}");
    json(StatusCode::OK, &SilenceView::new(&silence, now))
}

fn silence_example() -> Value {
    json!({
        "id": 7, "match": {"workflow": "etl/*"}, "from": "2026-03-02T12:00:00Z", "until": "2026-03-02T16:00:00Z",
        "by": "ada", "reason": "the source moves", "holds": true,
    })
}
