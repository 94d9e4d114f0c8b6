//! What goes round every request: foreign pages kept out, panics answered, headers for browsers set.

use std::panic::AssertUnwindSafe;
use std::time::Instant;

use actix_web::body::BoxBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage as _, HttpResponse};
use flowlord_domain::query::Query;
use flowlord_kernel::Code;
use flowlord_web_core::auth::{admit, hooks, wants_page};
use flowlord_web_core::context::{ContextRef, WebContext};
use flowlord_web_core::problem::Problem;
use flowlord_web_core::request_id::X_REQUEST_ID;
use flowlord_web_pages::CONTENT_SECURITY_POLICY;
use futures_util::FutureExt as _;

use crate::middleware::audit::OpenEntry;
use crate::middleware::encoding::encode;
use crate::middleware::http_metrics::count_request;

const PAGE_HEADERS: [(HeaderName, &str); 5] = [
    (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
    (header::REFERRER_POLICY, "same-origin"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

pub(crate) async fn guard(
    context: ContextRef,
    request: ServiceRequest,
    next: Next<BoxBody>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let id = context.request_ids.of(request.headers());
    let found = context.routes.find(request.method(), request.match_info().as_str());
    let has_room = if found.is_watch() { Ok(()) } else { context.check_connections() };
    let let_in = match has_room.and_then(|()| context.hosts.check(&request, found.is_watch())) {
        Ok(()) => admit(&context, &request, &found).await,
        Err(refused) => Err(refused),
    };
    let caller = match let_in {
        Ok(caller) => caller,
        Err(problem) => return Ok(refuse_with_id(&context, request, problem, &id)),
    };
    let audited = OpenEntry::of(&request, &found, &caller);
    if caller.who.is_some() {
        request.extensions_mut().insert(caller.clone());
    }
    let begun = Instant::now();
    let answer = match AssertUnwindSafe(next.call(request)).catch_unwind().await {
        Ok(answer) => answer?,
        Err(_) => {
            // The panic itself was told by the panic hook.
            log::error!("event=handler_panicked request_id={id:?}");
            let detail = "the request failed; the log says why. A retry may not help";
            return Err(Problem::new(Code::Internal, detail).of(id, &context.base).into());
        }
    };
    count_request(answer.request().method(), &found, answer.status().as_u16(), begun.elapsed());
    log_request(&answer, &id);
    if let Some(audited) = audited {
        audited.store(&context, &caller, &answer).await;
    }
    let mut answer = encode(context.base.put(with_request_id(&context, answer, &id)));
    set_headers(answer.headers_mut(), &id);
    Ok(answer)
}

fn log_request(answer: &ServiceResponse<BoxBody>, id: &HeaderValue) {
    let (status, method) = (answer.status().as_u16(), answer.request().method());
    // As it is routed, and without the token that the address of a hook holds.
    let path = hooks::shown(answer.request().match_info().as_str());
    log::debug!("event=request status={status} method={method} path={path:?} request_id={id:?}");
    if answer.status().is_server_error() {
        log::warn!("event=request_failed status={status} method={method} path={path:?} request_id={id:?}");
    }
}

/// An answer whose problem names the request.
fn with_request_id(
    context: &WebContext,
    answer: ServiceResponse<BoxBody>,
    id: &HeaderValue,
) -> ServiceResponse<BoxBody> {
    let problem = answer.response().error().and_then(|err| err.as_error::<Problem>());
    match problem.map(|problem| problem.answer(Some(id), &context.base)) {
        Some(named) => answer.into_response(named),
        None => answer,
    }
}

/// Refuses what never comes to the guard.
pub(crate) fn refused(context: &WebContext, request: ServiceRequest, problem: Problem) -> ServiceResponse<BoxBody> {
    let id = context.request_ids.of(request.headers());
    refuse_with_id(context, request, problem, &id)
}

fn refuse_with_id(
    context: &WebContext,
    request: ServiceRequest,
    problem: Problem,
    id: &HeaderValue,
) -> ServiceResponse<BoxBody> {
    let refusal = refusal_response(context, problem, &request, id);
    let mut refused = context.base.put(request.into_response(refusal));
    set_headers(refused.headers_mut(), id);
    refused
}

/// A person is sent to the login page, or told on a page what they may not; a program gets the problem.
fn refusal_response(
    context: &WebContext,
    problem: Problem,
    request: &ServiceRequest,
    id: &HeaderValue,
) -> HttpResponse {
    match problem.code() {
        Code::Unauthorized
            if hooks::token(request.match_info().as_str()).is_none()
                && wants_page(request.method(), request.headers()) =>
        {
            let next = request.uri().path_and_query().map_or("/", |path| path.as_str());
            let mut query = Query::default();
            query.set_value("next", next);
            let login = format!("/login?{}", query.to_text());
            HttpResponse::SeeOther().insert_header((header::LOCATION, login)).finish()
        }
        Code::Unauthorized => {
            let mut answer = problem.answer(Some(id), &context.base);
            answer.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            answer
        }
        Code::Forbidden | Code::NotLeader => match flowlord_web_pages::tell(context, request.request(), problem) {
            Ok(page) => page,
            Err(problem) => problem.answer(Some(id), &context.base),
        },
        _ => problem.answer(Some(id), &context.base),
    }
}

fn set_headers(headers: &mut HeaderMap, id: &HeaderValue) {
    headers.insert(X_REQUEST_ID, id.clone());
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    // Workers get JSON all day, and no browser shows it as a page: the answers stay small.
    if headers.get(header::CONTENT_TYPE).is_none_or(|kind| kind != "application/json") {
        for (name, value) in PAGE_HEADERS {
            // A page may have a policy of its own.
            if !headers.contains_key(&name) {
                headers.insert(name, HeaderValue::from_static(value));
            }
        }
    }
}
