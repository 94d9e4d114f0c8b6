//! What the rooms share: the context of requests, the table of routes, auth, request types, views.

pub(crate) mod answer;
pub(crate) mod audit_entry;
pub(crate) mod auth;
pub(crate) mod base_path;
pub(crate) mod connections;
pub(crate) mod context;
pub(crate) mod doc;
pub(crate) mod extract;
pub(crate) mod hang_up;
pub(crate) mod hosts;
pub(crate) mod limits;
pub(crate) mod live_events;
pub(crate) mod long_poll_limit;
pub(crate) mod openapi;
pub(crate) mod params;
pub(crate) mod problem;
pub(crate) mod request_id;
pub(crate) mod route;
pub(crate) mod table_sizes;
pub(crate) mod task_query;
pub(crate) mod use_cases;
pub(crate) mod values;
pub(crate) mod view;
