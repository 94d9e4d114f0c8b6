//! Totals of a day.

use flowlord_messages::stats::ReadDayTotals;
use flowlord_web_core::view::stats::StatsView;

use crate::prelude::*;

pub(crate) fn routes() -> Vec<Route> {
    let counts = json!({"total": 7, "complete": 3, "error": 1, "alert": 1, "warn": 1, "running": 1});
    let example = json!({"date": "2026-03-02", "totals": counts, "hours": [], "tasks": []});
    vec![
        Route::view("/api/v1/stats", Role::Viewer, stats)
            .about("service", "Totals of a day")
            .says("In all, per hour, and by type and job, per hour of creation.")
            .query("date", "a UTC day; today unless given", day_schema())
            .answers::<StatsView<'_>>(200, "totals", example)
            .fails(&[Code::InvalidRequest]),
    ]
}

async fn stats(context: ContextRef, request: HttpRequest) -> Answer {
    let params = QueryParams::parse(request.query_string(), &["date"])?;
    let day = params.date()?.unwrap_or_else(|| context.deps.kit.now().date_naive());
    let stats = context.deps.view_reader.call(ReadDayTotals { day }).await?;
    json(StatusCode::OK, &StatsView::new(day, &stats))
}
