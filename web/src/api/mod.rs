//! What is served where.

pub(crate) mod alerts;
pub(crate) mod audit;
pub(crate) mod backload;
pub(crate) mod chains;
pub(crate) mod events;
pub(crate) mod files;
pub(crate) mod health;
pub(crate) mod hooks;
pub(crate) mod incidents;
pub(crate) mod lease;
pub(crate) mod metrics;
pub(crate) mod phases;
pub(crate) mod rerun;
pub(crate) mod results;
pub(crate) mod silences;
pub(crate) mod slack;
pub(crate) mod snapshots;
pub(crate) mod stats;
pub(crate) mod tasks;
pub(crate) mod tokens;
pub(crate) mod workflows;

use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_TYPE, HeaderValue};
use actix_web::web::{self, PathConfig, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use flowlord_messages::Code;
use serde::Serialize;

use crate::core::auth;
use crate::core::context::ApiRef;
use crate::core::problem::{Answer, Problem};
use crate::core::route::{Route, RouteTable};
use crate::core::view::time::Stamp;
use crate::{compat, pages};

/// Everything that is served.
pub(crate) fn table() -> RouteTable {
    let modules: &[fn() -> Vec<Route>] = &[
        lease::routes,
        results::routes,
        tasks::routes,
        hooks::routes,
        chains::routes,
        files::routes,
        rerun::routes,
        workflows::routes,
        phases::routes,
        backload::routes,
        alerts::routes,
        incidents::routes,
        silences::routes,
        stats::routes,
        events::routes,
        audit::routes,
        snapshots::routes,
        tokens::routes,
        health::routes,
        metrics::routes,
        compat::handlers::routes,
        pages::routes,
        slack::routes,
    ];
    RouteTable::new(modules.iter().flat_map(|routes| routes()).collect())
}

/// Registers everything with a thread of the server.
pub(crate) fn configure(table: &RouteTable, config: &mut ServiceConfig) {
    let unreadable = PathConfig::default()
        .error_handler(|err, _| Problem::invalid(format!("the path can't be read: {err}")).into());
    config.app_data(unreadable);
    table.register(config);
    config.default_service(web::to(not_found));
}

async fn not_found(api: ApiRef, request: HttpRequest) -> Answer {
    let path = auth::hooks::shown(request.match_info().as_str());
    let hint = if path.starts_with("/api/") { "the paths of the API begin with " } else { "begin at " };
    let begin = api.base.at(if path.starts_with("/api/") { "/api/v1/" } else { "/" });
    let detail = format!("there is nothing at {path}: {hint}{begin}");
    pages::tell(&api, &request, Problem::new(Code::NotFound, detail))
}

/// A list and where its next page begins.
#[derive(Debug, Serialize)]
pub(crate) struct List<T> {
    pub(crate) items: Vec<T>,
    pub(crate) next: Option<String>,
}

/// The same of a list of which a page looks at so much, and says how far it came.
#[derive(Debug, Serialize)]
pub(crate) struct LookedList<T> {
    pub(crate) items: Vec<T>,
    pub(crate) next: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) looked_until: Option<Stamp>,
}

/// Answers JSON.
pub(crate) fn json(status: StatusCode, value: &impl Serialize) -> Answer {
    let mut body = Vec::with_capacity(512);
    serde_json::to_writer(&mut body, value)
        .map_err(|err| Problem::new(Code::Internal, format!("the answer can't be written: {err}")))?;
    Ok(json_text(status, body))
}

/// Answers JSON that was written already.
pub(crate) fn json_text(
    status: StatusCode,
    body: impl actix_web::body::MessageBody + 'static,
) -> HttpResponse {
    HttpResponse::build(status)
        .insert_header((CONTENT_TYPE, HeaderValue::from_static("application/json")))
        .body(body)
}
