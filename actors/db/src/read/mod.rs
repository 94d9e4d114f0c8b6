//! The queries, by what they read.

mod alerts;
mod backlog;
mod outbox;
mod schedule;
mod stats;
mod tasks;
