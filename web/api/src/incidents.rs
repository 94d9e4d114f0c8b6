//! Incidents, with what happened in each.

use std::fmt;
use std::str::FromStr;

use flowlord_messages::alerts::ListIncidents;
use flowlord_web_core::view::alert::IncidentView;

use crate::prelude::*;

pub(crate) fn routes() -> Vec<Route> {
    let incident =
        json!({"route": "default", "opened": "2026-03-02T12:00:00Z", "closed": null, "alerts": 3, "steps": []});
    vec![
        Route::view("/api/v1/incidents", Role::Viewer, list)
            .about("alerts", "Incidents")
            .says("Newest first, with the notifications of each; those of today by default.")
            .query("date", "a UTC day", day_schema())
            .query("from", "not closed before; a time, or a day", json!({"type": "string"}))
            .query("to", "opened before; a time, or a day", json!({"type": "string"}))
            .pages()
            .lists::<IncidentView<'_>>("incidents", incident),
    ]
}

/// Where the next page begins: after the incident of this opening and route.
struct IncidentCursor(DateTime<Utc>, String);

impl FromStr for IncidentCursor {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (micros, route) = text.split_once('.').ok_or(())?;
        let opened = micros.parse().ok().and_then(DateTime::from_timestamp_micros).ok_or(())?;
        Ok(Self(opened, route.to_owned()))
    }
}

impl fmt::Display for IncidentCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0.timestamp_micros(), self.1)
    }
}

async fn list(context: ContextRef, request: HttpRequest) -> Answer {
    let params = QueryParams::parse(request.query_string(), &["date", "from", "to", "limit", "cursor"])?;
    let limit = params.limit()?;
    let (from, to) = params.period_or_day(context.deps.kit.now())?;
    let after = params.cursor::<IncidentCursor>()?.map(|IncidentCursor(opened, route)| (opened, route));
    let query = ListIncidents { from, to, after, limit: limit + 1 };
    let mut incidents = context.deps.view_reader.call(query).await?;
    // Routes may open incidents at the same instant, so the time alone is no place to go on from.
    let next =
        cut_page(&mut incidents, limit, |incident| IncidentCursor(incident.opened, incident.route.clone()).to_string());
    json(StatusCode::OK, &List { items: incidents.iter().map(IncidentView::from).collect(), next })
}
