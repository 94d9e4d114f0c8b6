//! The queries, by what they read.

mod alerts;
pub(crate) mod audit;
pub(crate) mod backload;
mod backlog;
mod database;
mod days;
pub(crate) mod files;
pub(crate) mod find;
mod grid;
mod incidents;
mod outbox;
mod schedule;
mod silences;
mod stats;
pub(crate) mod tasks;
mod token;
mod watch;
