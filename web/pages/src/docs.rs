//! The API, described by itself.

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use flowlord_web_core::answer::json;
use flowlord_web_core::openapi;
use serde_json::json;

use crate::prelude::*;
use crate::{CONTENT_SECURITY_POLICY, NavigationSection, PageLayout, html};

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::view("/api/v1/openapi.json", Role::Viewer, openapi_document)
            .about("service", "This document")
            .asks_nobody()
            .answers_object(200, "the document", json!({"openapi": "3.1.0"})),
        Route::get("/api/docs", Role::Viewer, docs_page),
    ]
}

pub(crate) async fn openapi_document(context: ContextRef) -> Answer {
    json(StatusCode::OK, &openapi::document(&context.routes, &context.config.version, &context.base.at("")))
}

#[derive(Template)]
#[template(path = "docs.html")]
struct DocsPage {
    layout: PageLayout,
}

/// The same for people: a console that reads the document and sends requests.
pub(crate) async fn docs_page(context: ContextRef, request: HttpRequest) -> Answer {
    let mut page = html(&DocsPage { layout: PageLayout::new(&context, &request, NavigationSection::Other) })?;
    // The icons of the console stand in its styles as `data:` addresses; nothing else is relaxed, and only here.
    let policy = CONTENT_SECURITY_POLICY.replace("img-src 'self'", "img-src 'self' data:");
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        page.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    Ok(page)
}
