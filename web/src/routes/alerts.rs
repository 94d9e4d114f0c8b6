//! The alerts of a day.

use actix_web::HttpRequest;
use actix_web::http::StatusCode;
use flowlord_messages::read::ListAlerts;

use crate::api::ApiRef;
use crate::params::{Params, day};
use crate::problem::Answer;
use crate::routes::{List, json};
use crate::view::alert::AlertView;

/// Newest first.
pub(crate) async fn list(api: ApiRef, request: HttpRequest) -> Answer {
    let params = Params::parse(request.query_string(), &["date", "limit", "cursor"])?;
    let limit = params.limit()?;
    let date = params.date()?.unwrap_or_else(|| api.deps.clock.now().date_naive());
    let (from, to) = day(date);
    let query = ListAlerts { from, to, after: params.cursor()?, limit: limit + 1 };
    let mut alerts = api.deps.alerts.call(query).await?;
    let more = alerts.len() > limit;
    alerts.truncate(limit);
    let next = alerts.last().filter(|_| more).map(|alert| alert.row.to_string());
    json(StatusCode::OK, &List { items: alerts.iter().map(AlertView).collect(), next })
}
