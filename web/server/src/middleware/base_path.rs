//! Takes the base path off a request.

use actix_web::Error;
use actix_web::body::BoxBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::middleware::Next;
use flowlord_web_core::context::ContextRef;

pub(crate) async fn without_base(
    context: ContextRef,
    mut request: ServiceRequest,
    next: Next<BoxBody>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    if let Some(routed) = context.base.routed(request.uri()) {
        // Both: the router compares the first, and handlers ask for the second.
        request.match_info_mut().get_mut().update(&routed);
        request.head_mut().uri = routed;
    }
    next.call(request).await
}
