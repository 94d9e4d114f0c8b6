//! The web actor and all HTTP: REST for workers and programs under `/api/v1`, pages for people.
//!
//! Everything that a request needs from elsewhere goes through the ports of [`Deps`]; there is no other way to the
//! database or to another actor.
//!
//! | room | holds | knows |
//! |---|---|---|
//! | `core` | context, routes, auth, request types, views, use cases | |
//! | `api` | REST handlers | core |
//! | `pages` | pages | core |
//! | `compat` | what programs of the reference system ask for | core |
//! | `server` | the actor, the HTTP server, the middleware, the list of all routes | everything |

mod api;
pub mod compat;
mod core;
mod pages;
mod server;

#[cfg(test)]
mod tests;

pub use self::core::auth::{Access, Proxies, new_token};
pub use self::core::base_path::public_url;
pub use self::core::context::{Config, Deps, Kept, Limits, Metrics, TlsFiles};
pub use server::actor::{StartError, StopWeb, Unready, Web, bind};
pub use server::tls::TlsError;

/// The OpenAPI document, of a service whose paths are below a base path.
#[must_use]
pub fn openapi(version: &str, base: &str) -> serde_json::Value {
    core::openapi::document(&server::routes::table(), version, base)
}
