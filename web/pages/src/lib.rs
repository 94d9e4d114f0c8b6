//! Pages for people. They are complete without any script; with it they change by themselves.
//!
//! A page is a struct with a template that extends `base.html` and has a `PageLayout` in its field `layout`. `rendered`
//! makes a handler of the function that makes the page, and answers problems as a page, too. What several pages need:
//!
//! | what | where |
//! |---|---|
//! | links that keep the other parameters | `PageLink` |
//! | the day that is shown, its calendar | `ShownDay`, `PageLayout::with_picker` |
//! | parts that can't be read | `PageLayout::read` |
//! | times and spans | `when` |
//! | what a form did, told after its redirect | `Notice` |
//! | figures, long cells, sortable heads, pagers | `parts` |
//! | the chart of a day | `chart` |
//! | the rows of tasks, which are alike wherever tasks are listed | `rows` |
//!
//! Scripts find their work by attributes; docs/pages.md lists them.

mod about;
mod again;
mod alerts;
mod assets;
mod audit;
mod backload;
mod calendar;
mod chart;
mod choice;
mod demo_slack;
mod docs;
mod errors;
mod files;
mod layout;
mod link;
mod linked;
mod login;
mod notice;
mod parts;
mod prelude;
mod repeats;
mod rows;
mod slack;
mod sort;
mod start;
mod task;
mod tasks;
mod when;
mod workers;
mod workflow;

use actix_web::ResponseError as _;
use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_TYPE, HeaderValue};
use flowlord_web_core::auth::wants_page;
use flowlord_web_core::extract::form_body;
use flowlord_web_core::route::ServeRoute;

use crate::prelude::*;

pub(crate) use calendar::ShownDay;
pub(crate) use layout::{NavigationSection, PageLayout};
pub(crate) use link::PageLink;
pub use notice::Notice;

/// For everything that isn't JSON: nothing from elsewhere, no script and no style in the page itself.
pub const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; connect-src 'self'; \
     style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

pub fn routes() -> Vec<Route> {
    let modules: &[fn() -> Vec<Route>] = &[
        start::routes,
        tasks::routes,
        task::routes,
        alerts::routes,
        files::routes,
        workflow::routes,
        backload::routes,
        workers::routes,
        demo_slack::routes,
        audit::routes,
        about::routes,
        docs::routes,
        errors::routes,
        login::routes,
        assets::routes,
    ];
    modules.iter().flat_map(|routes| routes()).collect()
}

const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");

pub(crate) fn html(page: &impl Template) -> Answer {
    let page =
        page.render().map_err(|err| Problem::new(Code::Internal, format!("the page can't be rendered: {err}")))?;
    Ok(HttpResponse::Ok().insert_header((CONTENT_TYPE, HTML)).body(page))
}

/// The handler of a page that its address makes.
pub(crate) fn rendered<T: Template>(
    page: impl AsyncFn(&WebContext, &HttpRequest) -> Result<T, Problem> + Copy + Send + Sync + 'static,
) -> impl ServeRoute<(ContextRef, HttpRequest)> {
    // A handler owns what it is given, so that the page can borrow it.
    move |context: ContextRef, request: HttpRequest| async move {
        answer(&context, &request, page(&context, &request)).await
    }
}

/// Answers a page, or the problem that keeps it from being made: as a page to a browser, as a document to a program.
pub(crate) async fn answer<T: Template>(
    context: &WebContext,
    request: &HttpRequest,
    page: impl Future<Output = Result<T, Problem>>,
) -> Answer {
    let mut answer = match page.await {
        Ok(page) => html(&page)?,
        Err(problem) => tell(context, request, problem)?,
    };
    // This page told it: the next one must not tell it again.
    if Notice::of(request).is_some() {
        notice::clear_notice(&mut answer);
    }
    Ok(answer)
}

pub(crate) async fn form_fields(request: &HttpRequest, payload: Payload) -> Result<Query, Problem> {
    let body = form_body(request, payload).await?;
    Ok(Query::parse_lenient(&String::from_utf8_lossy(&body)))
}

#[derive(Template)]
#[template(path = "problem.html")]
struct ProblemPage<'a> {
    layout: PageLayout,
    status: StatusCode,
    title: &'a str,
    detail: &'a str,
    code: &'a str,
}

pub fn tell(context: &WebContext, request: &HttpRequest, problem: Problem) -> Answer {
    // The server makes a problem document of the error.
    if !wants_page(request.method(), request.headers()) {
        return Err(problem);
    }
    let code = problem.code();
    let page = ProblemPage {
        layout: PageLayout::new(context, request, NavigationSection::Other),
        status: problem.status_code(),
        title: code.title(),
        detail: problem.detail(),
        code: code.as_str(),
    };
    let mut answer = html(&page)?;
    *answer.status_mut() = problem.status_code();
    answer.extensions_mut().insert(code);
    if let Some(seconds) = code.retry_after() {
        answer.headers_mut().insert(actix_web::http::header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    Ok(answer)
}
