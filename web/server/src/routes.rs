//! The one list of all that is served.

use std::sync::Arc;

use actix_web::HttpRequest;
use actix_web::web::{PathConfig, ServiceConfig};
use flowlord_kernel::Code;
use flowlord_web_core::auth;
use flowlord_web_core::context::ContextRef;
use flowlord_web_core::problem::{Answer, Problem};
use flowlord_web_core::route::RouteTable;
use flowlord_web_core::router::RouterFactory;

pub(crate) fn table() -> RouteTable {
    let rooms = [flowlord_web_api::routes(), flowlord_web_compat::routes(), flowlord_web_pages::routes()];
    RouteTable::new(rooms.into_iter().flatten().collect())
}

pub(crate) fn configure(table: &Arc<RouteTable>, config: &mut ServiceConfig) {
    let unreadable =
        PathConfig::default().error_handler(|err, _| Problem::invalid(format!("the path can't be read: {err}")).into());
    config.app_data(unreadable);
    config.default_service(RouterFactory::new(table.clone(), &not_found));
}

async fn not_found(context: ContextRef, request: HttpRequest) -> Answer {
    // A mistyped address of a hook holds a token nevertheless.
    let path = auth::hooks::shown(request.match_info().as_str());
    let hint = if path.starts_with("/api/") { "the paths of the API begin with " } else { "begin at " };
    let begin = context.base.at(if path.starts_with("/api/") { "/api/v1/" } else { "/" });
    let detail = format!("there is nothing at {path}: {hint}{begin}");
    flowlord_web_pages::tell(&context, &request, Problem::new(Code::NotFound, detail))
}
