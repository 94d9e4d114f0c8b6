//! What REST handlers have in common: bodies in which nothing is passed over.

use serde::de::DeserializeOwned;

use crate::prelude::*;

/// Reads what a person asks for, all of which stands in the body.
pub(crate) async fn strict_body<Body: DeserializeOwned>(
    request: &HttpRequest,
    payload: Payload,
    example: &str,
) -> Result<Body, Problem> {
    // A parameter would do nothing, and its sender would think that it did.
    QueryParams::none(request)?;
    object(&json_body(request, payload).await?, example)
}
