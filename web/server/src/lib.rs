//! The web actor, the HTTP server and what goes round its requests: TLS, the middleware, the feed of live events.
//!
//! It alone knows all crates of the web, and gathers their routes into one table.

mod actor;
mod app;
mod http_server;
mod live_feed;
mod middleware;
mod routes;
mod socket;
mod tls;

#[cfg(test)]
mod tests;

pub use actor::{StartError, StopWeb, TurnUnready, WebActor, bind};
pub use tls::TlsError;

/// The OpenAPI document, of a service whose paths are below a base path.
#[must_use]
pub fn openapi(version: &str, base: &str) -> serde_json::Value {
    flowlord_web_core::openapi::document(&routes::table(), version, base)
}
