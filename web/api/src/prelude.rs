//! What nearly every handler needs.

pub(crate) use actix_web::http::StatusCode;
pub(crate) use actix_web::http::header::{CONTENT_TYPE, HeaderValue};
pub(crate) use actix_web::web::{Path, Payload};
pub(crate) use actix_web::{HttpRequest, HttpResponse};
pub(crate) use chrono::{DateTime, TimeDelta, Utc};
pub(crate) use flowlord_domain::{Attempt, Role};
pub(crate) use flowlord_kernel::Code;
pub(crate) use flowlord_messages::audit::AuditAction;
pub(crate) use flowlord_web_core::answer::{List, cut_page, json};
pub(crate) use flowlord_web_core::context::{ContextRef, WebContext};
pub(crate) use flowlord_web_core::extract::{json_body, object};
pub(crate) use flowlord_web_core::limits;
pub(crate) use flowlord_web_core::openapi::{
    SchemaRegistry, day_schema, example_of, named_values, task_example, texts,
};
pub(crate) use flowlord_web_core::params::QueryParams;
pub(crate) use flowlord_web_core::problem::{Answer, Problem};
pub(crate) use flowlord_web_core::route::Route;
pub(crate) use flowlord_web_core::values::required;
pub(crate) use flowlord_web_core::view::task::TaskView;
pub(crate) use serde::{Deserialize, Serialize};
pub(crate) use serde_json::{Value, json};
pub(crate) use utoipa::ToSchema;

pub(crate) use crate::conventions::strict_body;
