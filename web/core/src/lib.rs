//! What the crates of the web share: the context of requests, the table of routes, auth, request types, views. It knows
//! none of them.
//!
//! Everything that a request needs from elsewhere goes through the ports of [`context::Deps`]; there is no other way to the
//! database or to another actor.

pub mod answer;
pub mod audit_entry;
pub mod auth;
pub mod base_path;
pub mod cluster;
pub mod connections;
pub mod context;
pub mod demo_slack;
pub mod doc;
pub mod extract;
pub mod hang_up;
pub mod hosts;
pub mod limits;
pub mod live_events;
pub mod log_stream;
pub mod log_text;
pub mod long_poll_limit;
pub mod openapi;
pub mod own_writes;
pub mod params;
pub mod problem;
pub mod request_id;
pub mod route;
pub mod router;
pub mod table_sizes;
pub mod task_query;
pub mod use_cases;
pub mod values;
pub mod view;
