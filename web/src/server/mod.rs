//! The actor, the HTTP server and what goes round its requests.

pub(crate) mod actor;
pub(crate) mod app;
pub(crate) mod http_server;
pub(crate) mod live_feed;
pub(crate) mod middleware;
pub(crate) mod routes;
pub(crate) mod socket;
pub(crate) mod tls;
