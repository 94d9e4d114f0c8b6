//! What goes round every request.

pub(crate) mod audit;
pub(crate) mod base_path;
pub(crate) mod encoding;
pub(crate) mod forward;
pub(crate) mod http_metrics;
pub(crate) mod request_guard;
pub(crate) mod view_pool;
