//! What nearly every page needs from elsewhere.

pub(crate) use actix_web::web::{Path, Payload};
pub(crate) use actix_web::{HttpRequest, HttpResponse};
pub(crate) use askama::Template;
pub(crate) use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
pub(crate) use flowlord_domain::query::Query;
pub(crate) use flowlord_domain::summary::line_key;
pub(crate) use flowlord_domain::{Attempt, Role, Uid};
pub(crate) use flowlord_kernel::Code;
pub(crate) use flowlord_messages::audit::AuditAction;
pub(crate) use flowlord_web_core::context::{ContextRef, WebContext};
pub(crate) use flowlord_web_core::params::{QueryParams, day};
pub(crate) use flowlord_web_core::problem::{Answer, Problem};
pub(crate) use flowlord_web_core::route::Route;
