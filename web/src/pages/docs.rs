//! The API, described by itself.

use actix_web::HttpRequest;
use actix_web::http::StatusCode;
use askama::Template;
use flowlord_domain::Role;
use serde_json::json;

use crate::core::answer::json;
use crate::core::context::ApiRef;
use crate::core::openapi::{self, Operation, TAGS};
use crate::core::problem::Answer;
use crate::core::route::Route;
use crate::pages::{Layout, Section, html};

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::view("/api/v1/openapi.json", Role::Viewer, document).documented(describe_document),
        Route::get("/api/docs", Role::Viewer, page),
    ]
}

/// The OpenAPI document.
pub(crate) async fn document(api: ApiRef) -> Answer {
    json(StatusCode::OK, &openapi::document(&api.routes, &api.config.version, &api.base.at("")))
}

/// Operations about the same.
struct Group {
    name: &'static str,
    says: &'static str,
    operations: Vec<Operation>,
}

#[derive(Template)]
#[template(path = "docs.html")]
struct DocsPage<'a> {
    layout: Layout<'a>,
    groups: Vec<Group>,
    base: String,
}

/// The same for people, without any script.
pub(crate) async fn page(api: ApiRef, request: HttpRequest) -> Answer {
    let mut all = api.routes.operations();
    let groups = TAGS.map(|(name, says)| {
        let (of_it, others) = all.drain(..).partition(|operation| operation.tag == name);
        all = others;
        Group { name, says, operations: of_it }
    });
    html(&DocsPage {
        layout: Layout::new(&api, &request, Section::Other),
        groups: groups.into(),
        base: api.base.at(""),
    })
}

fn describe_document(operation: Operation) -> Operation {
    operation.about("service", "This document").answers(
        200,
        "the document",
        json!({"type": "object"}),
        json!({"openapi": "3.1.0"}),
    )
}
