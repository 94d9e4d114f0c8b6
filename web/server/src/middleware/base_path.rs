//! Takes the base path off a request.

use actix_web::Error;
use actix_web::HttpMessage as _;
use actix_web::body::BoxBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Uri;
use actix_web::middleware::Next;
use flowlord_web_core::context::ContextRef;

/// The address of a request as it came, where it isn't the one that is routed.
pub(crate) struct SentUri(pub(crate) Uri);

pub(crate) async fn without_base(
    context: ContextRef,
    mut request: ServiceRequest,
    next: Next<BoxBody>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    if let Some(routed) = context.base.routed(request.uri()) {
        // Both: the router compares the first, and handlers ask for the second.
        request.match_info_mut().get_mut().update(&routed);
        let sent = std::mem::replace(&mut request.head_mut().uri, routed);
        request.extensions_mut().insert(SentUri(sent));
    }
    next.call(request).await
}
