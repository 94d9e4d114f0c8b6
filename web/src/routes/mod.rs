//! What is served where.

pub(crate) mod alerts;
pub(crate) mod assets;
pub(crate) mod audit;
pub(crate) mod backload;
pub(crate) mod chains;
pub(crate) mod docs;
pub(crate) mod errors;
pub(crate) mod events;
pub(crate) mod files;
pub(crate) mod health;
pub(crate) mod hooks;
pub(crate) mod incidents;
pub(crate) mod kept;
pub(crate) mod lease;
pub(crate) mod login;
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
use actix_web::{FromRequest, Handler, HttpRequest, HttpResponse, Resource, Responder, Scope, guard};
use flowlord_messages::Code;
use serde::Serialize;

use crate::api::ApiRef;
use crate::auth;
use crate::pages;
use crate::problem::{Answer, Problem};
use crate::view::time::Stamp;

/// Registers everything; what workers ask for comes first, since paths are looked up in this order.
pub(crate) fn configure(config: &mut ServiceConfig) {
    config
        .app_data(
            PathConfig::default()
                .error_handler(|err, _| Problem::invalid(format!("the path can't be read: {err}")).into()),
        )
        .service(api())
        .configure(others);
}

/// REST.
pub(crate) fn api() -> Scope {
    web::scope("/api/v1")
        .service(post("/lease", lease::lease))
        .service(
            only("/tasks", "GET, HEAD, POST")
                .route(web::post().to(tasks::create))
                .route(web::route().guard(reads()).to(tasks::list)),
        )
        .service(post("/lease/{lease}/result", lease::result))
        .service(post("/lease/{lease}/heartbeat", lease::heartbeat))
        .service(post("/lease/{lease}/release", lease::release))
        .service(post("/results", results::results))
        .service(post("/tasks/rerun", rerun::many))
        .service(post("/tasks/{uid}/rerun", rerun::one))
        .service(post("/tasks/{uid}/cancel", rerun::cancel))
        .service(get("/tasks/{uid}", tasks::one))
        .service(get("/chains/{id}", chains::chain))
        .service(get("/workflows", workflows::list))
        .service(post("/workflows/refresh", workflows::refresh))
        .service(get("/workflows/{file:.*}", workflows::one))
        .service(post("/phases/pause", phases::pause))
        .service(post("/phases/resume", phases::resume))
        .service(get("/alerts", alerts::list))
        .service(post("/alerts/ack", alerts::acknowledge))
        .service(get("/incidents", incidents::list))
        .service(
            only("/silences", "GET, HEAD, POST")
                .route(web::post().to(silences::add))
                .route(web::route().guard(reads()).to(silences::list)),
        )
        .service(only("/silences/{id}", "DELETE").route(web::delete().to(silences::remove)))
        .service(
            only("/files", "GET, HEAD, POST")
                .route(web::post().to(files::arrived))
                .route(web::route().guard(reads()).to(files::list)),
        )
        .service(get("/files/places", files::places))
        .service(
            only("/snapshots", "GET, HEAD, POST")
                .route(web::post().to(snapshots::take))
                .route(web::route().guard(reads()).to(snapshots::list)),
        )
        .service(
            only("/tokens", "GET, HEAD, POST")
                .route(web::post().to(tokens::add))
                .route(web::route().guard(reads()).to(tokens::list)),
        )
        .service(only("/tokens/{name}", "DELETE").route(web::delete().to(tokens::remove)))
        .service(post("/backload", backload::create))
        .service(get("/backloads", backload::list))
        .service(get("/backloads/{id}", backload::one))
        .service(post("/backloads/{id}/{change:pause|resume|cancel}", backload::change))
        .service(get("/audit", audit::list))
        .service(get("/stats", stats::stats))
        .service(get("/events", events::events))
        .service(get("/openapi.json", docs::document))
}

/// Pages, health, and what is kept.
fn others(config: &mut ServiceConfig) {
    config
        .configure(pages)
        .service(get("/healthz", health::alive))
        .service(get("/readyz", health::ready))
        .service(get("/status", health::status))
        .service(
            only("/login", "GET, HEAD, POST")
                .route(web::post().to(login::login))
                .route(web::route().guard(reads()).to(login::form)),
        )
        .service(post("/logout", login::logout))
        .service(get("/metrics", metrics::metrics))
        .service(post("/slack/interactive", slack::interactive))
        .service(post("/hooks/{token}/files", hooks::files))
        .service(post("/hooks/{token}/results", hooks::results))
        .configure(kept)
        .service(get("/api/docs", docs::page))
        .service(get("/api/docs/errors", errors::errors))
        .service(get("/assets/{build}/{name:.*}", assets::asset))
        .default_service(web::to(not_found));
}

/// What people look at, under the paths of the reference system.
fn pages(config: &mut ServiceConfig) {
    config
        .service(get("/", pages::start::start))
        .service(
            only("/web/task", "GET, HEAD, POST")
                .route(web::post().to(pages::tasks::again))
                .route(web::route().guard(reads()).to(pages::tasks::tasks)),
        )
        .service(
            only("/web/task/{uid}", "GET, HEAD, POST")
                .route(web::post().to(pages::task::act))
                .route(web::route().guard(reads()).to(pages::task::task)),
        )
        .service(
            only("/web/alert", "GET, HEAD, POST")
                .route(web::post().to(pages::alerts::act))
                .route(web::route().guard(reads()).to(pages::alerts::alerts)),
        )
        .service(get("/web/files", pages::files::files))
        .service(get("/web/workflow", pages::workflow::page))
        .service(post("/web/workflow/refresh", pages::workflow::refresh))
        .service(post("/web/workflow/{change:pause|resume}", pages::workflow::change))
        .service(
            only("/web/backload", "GET, HEAD, POST")
                .route(web::post().to(pages::backload::execute))
                .route(web::route().guard(reads()).to(pages::backload::page)),
        )
        .service(post("/web/backload/{id}/{change:pause|resume|cancel}", pages::backload::change))
        .service(get("/web/audit", pages::audit::audit))
        .service(get("/web/about", pages::about::page));
}

/// What the reference system has, for programs that were written for it.
fn kept(config: &mut ServiceConfig) {
    config
        .service(get("/info", kept::info))
        .service(get("/recap", kept::recap))
        .service(get("/task/{id:.*}", kept::task))
        .service(get_or_post("/refresh", kept::refresh))
        .service(get_or_post("/notify", kept::notify))
        .service(post("/backload", backload::kept))
        .service(post("/rerun", rerun::kept))
        .service(get("/workflow", kept::workflow_root))
        .service(get("/workflow/{path:.*}", kept::workflow));
}

/// A path that is read only.
fn get<F, Args>(path: &str, handler: F) -> Resource
where
    F: Handler<Args>,
    Args: FromRequest + 'static,
    F::Output: Responder + 'static,
{
    only(path, "GET, HEAD").route(web::route().guard(reads()).to(handler))
}

/// A path that is posted to only.
fn post<F, Args>(path: &str, handler: F) -> Resource
where
    F: Handler<Args>,
    Args: FromRequest + 'static,
    F::Output: Responder + 'static,
{
    only(path, "POST").route(web::post().to(handler))
}

/// A path that does something however it is asked, as in the reference system.
fn get_or_post<F, Args>(path: &str, handler: F) -> Resource
where
    F: Handler<Args>,
    Args: FromRequest + 'static,
    F::Output: Responder + 'static,
{
    only(path, "GET, POST").route(web::route().guard(guard::Any(guard::Get()).or(guard::Post())).to(handler))
}

/// A path that refuses all methods but those of its routes.
fn only(path: &str, methods: &'static str) -> Resource {
    #[cfg(test)]
    crate::tests::documented::register(path, methods);
    web::resource(path).default_service(web::to(move |request: HttpRequest| async move {
        let path = auth::hooks::shown(request.path());
        let detail = format!("{} {path} isn't possible: the path takes {methods}", request.method());
        Answer::Err(Problem::new(Code::MethodNotAllowed, detail).allowing(methods))
    }))
}

fn reads() -> impl guard::Guard {
    guard::Any(guard::Get()).or(guard::Head())
}

async fn not_found(api: ApiRef, request: HttpRequest) -> Answer {
    let path = auth::hooks::shown(request.path());
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
