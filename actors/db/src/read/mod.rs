//! The queries, by what they read.

mod alerts;
pub(crate) mod backload;
mod backlog;
mod outbox;
mod schedule;
mod stats;
mod tasks;
mod token;
