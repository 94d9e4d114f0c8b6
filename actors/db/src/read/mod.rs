//! The queries, by what they read.

mod alerts;
pub(crate) mod backload;
mod backlog;
pub(crate) mod files;
mod outbox;
mod schedule;
mod stats;
mod tasks;
mod token;
