//! Totals of a day.

use actix_web::HttpRequest;
use actix_web::http::StatusCode;
use flowlord_domain::Role;
use flowlord_kernel::Code;
use flowlord_messages::stats::DayStats;
use serde_json::json;

use crate::core::answer::json;
use crate::core::context::ContextRef;
use crate::core::openapi::{Operation, schema};
use crate::core::params::Params;
use crate::core::problem::Answer;
use crate::core::route::Route;
use crate::core::view::stats::StatsView;

pub(crate) fn routes() -> Vec<Route> {
    vec![Route::view("/api/v1/stats", Role::Viewer, stats).documented(describe_stats)]
}

/// By hour, and by type and job.
pub(crate) async fn stats(context: ContextRef, request: HttpRequest) -> Answer {
    let params = Params::parse(request.query_string(), &["date"])?;
    let day = params.date()?.unwrap_or_else(|| context.deps.kit.now().date_naive());
    let stats = context.deps.view_reader.call(DayStats { day }).await?;
    json(StatusCode::OK, &StatsView::new(day, &stats))
}

fn describe_stats(operation: Operation) -> Operation {
    let counts = json!({"total": 7, "complete": 3, "error": 1, "alert": 1, "warn": 1, "running": 1});
    operation
        .about("service", "Totals of a day")
        .says("In all, per hour, and by type and job, per hour of creation.")
        .query("date", "a UTC day; today unless given", json!({"type": "string", "format": "date"}))
        .answers(
            200,
            "totals",
            schema("Stats"),
            json!({"date": "2026-03-02", "totals": counts, "hours": [], "tasks": []}),
        )
        .fails(&[Code::InvalidRequest])
        .asks()
}
