//! What REST handlers, pages and the paths of the reference system do alike, by noun. It knows none of them.

pub mod attention;
pub mod audit_log;
pub mod backloads;
pub mod cluster;
pub mod health;
pub mod live_events;
pub mod logs;
pub mod pauses;
pub mod phases;
pub mod tasks;
pub mod waiting;
pub mod workers;
pub mod workflows;
