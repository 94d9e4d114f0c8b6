//! Totals of a day.

use actix_web::HttpRequest;
use actix_web::http::StatusCode;
use flowlord_messages::read::DayStats;

use crate::api::ApiRef;
use crate::params::Params;
use crate::problem::Answer;
use crate::routes::json;
use crate::view::stats::StatsView;

/// By hour, and by type and job.
pub(crate) async fn stats(api: ApiRef, request: HttpRequest) -> Answer {
    let params = Params::parse(request.query_string(), &["date"])?;
    let day = params.date()?.unwrap_or_else(|| api.deps.clock.now().date_naive());
    let stats = api.deps.stats.call(DayStats { day }).await?;
    json(StatusCode::OK, &StatsView::new(day, &stats))
}
