//! The web actor and all HTTP: REST for workers and programs under `/api/v1`, pages for people.
//!
//! Everything that a request needs from elsewhere goes through the ports of [`Deps`]; there is no other way to the
//! database or to another actor.

mod actor;
mod api;
mod auth;
mod base;
mod doc;
mod extract;
mod finish;
mod guard;
mod hosts;
pub mod kept;
mod list;
mod live;
mod looking;
mod meter;
mod openapi;
mod pages;
mod params;
mod polls;
mod problem;
mod request_id;
mod route;
mod routes;
mod server;
mod socket;
mod tls;
mod trail;
mod values;
mod view;

#[cfg(test)]
mod tests;

pub use actor::{Config, Deps, Kept, Limits, Metrics, StartError, StopWeb, Unready, Web, bind};
pub use auth::{Access, Proxies, new_token};
pub use base::public_url;
pub use tls::{TlsError, TlsFiles};

/// The OpenAPI document, of a service whose paths are below a base path.
#[must_use]
pub fn openapi(version: &str, base: &str) -> serde_json::Value {
    openapi::document(&routes::table(), version, base)
}
