//! What the codes of problem documents mean.

use actix_web::HttpRequest;
use askama::Template;
use flowlord_domain::Role;
use flowlord_kernel::Code;
use flowlord_web_core::context::ContextRef;
use flowlord_web_core::problem::Answer;
use flowlord_web_core::route::Route;

use crate::{NavigationSection, PageLayout, html};

pub(crate) fn routes() -> Vec<Route> {
    vec![Route::get("/api/docs/errors", Role::Viewer, errors_page)]
}

#[derive(Template)]
#[template(path = "errors.html")]
struct ErrorsPage<'a> {
    layout: PageLayout,
    codes: &'a [Code],
}

/// The page that the `type` of every problem points to.
pub(crate) async fn errors_page(context: ContextRef, request: HttpRequest) -> Answer {
    html(&ErrorsPage { layout: PageLayout::new(&context, &request, NavigationSection::Other), codes: Code::ALL })
}
