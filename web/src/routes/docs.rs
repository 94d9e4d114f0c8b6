//! The API, described by itself.

use actix_web::http::StatusCode;

use crate::api::ApiRef;
use crate::openapi;
use crate::problem::Answer;
use crate::routes::json;

/// The OpenAPI document.
pub(crate) async fn document(api: ApiRef) -> Answer {
    json(StatusCode::OK, &openapi::document(&api.config.version))
}
