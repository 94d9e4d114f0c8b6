//! What the paths of the reference system need from elsewhere.

pub(crate) use actix_web::http::StatusCode;
pub(crate) use actix_web::http::header::{CONTENT_TYPE, HeaderValue};
pub(crate) use actix_web::web::Payload;
pub(crate) use actix_web::{HttpRequest, HttpResponse};
pub(crate) use chrono::{DateTime, Utc};
pub(crate) use flowlord_domain::{Attempt, Role, TaskResult};
pub(crate) use flowlord_kernel::Code;
pub(crate) use flowlord_messages::audit::AuditAction;
pub(crate) use flowlord_web_core::answer::json_text;
pub(crate) use flowlord_web_core::context::ContextRef;
pub(crate) use flowlord_web_core::extract::{json_body, object};
pub(crate) use flowlord_web_core::problem::{Answer, Problem};
pub(crate) use flowlord_web_core::route::Route;
pub(crate) use serde::Serialize;
pub(crate) use serde_json::json;
