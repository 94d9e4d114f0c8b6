//! All that is served, with what goes round it.

use actix_web::body::BoxBody;
use actix_web::dev::{ServiceFactory, ServiceRequest, ServiceResponse};
use actix_web::middleware::from_fn;
use actix_web::{App, Error};
use flowlord_web_core::context::ContextRef;

use crate::middleware::request_guard::guard;
use crate::routes;

pub(crate) fn app(
    context: ContextRef,
) -> App<
    impl ServiceFactory<ServiceRequest, Config = (), Response = ServiceResponse<BoxBody>, Error = Error, InitError = ()>,
> {
    App::new()
        .app_data(context.clone())
        .wrap(from_fn(guard))
        .configure(move |config| routes::configure(&context.routes, config))
}
