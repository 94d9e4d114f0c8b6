//! What REST handlers, pages and the paths of the reference system do alike, by noun. It knows none of them.

pub(crate) mod audit_log;
pub(crate) mod backloads;
pub(crate) mod health;
pub(crate) mod live_events;
pub(crate) mod tasks;
pub(crate) mod workflows;
