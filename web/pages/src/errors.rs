//! What the codes of problem documents mean.

use crate::prelude::*;
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
