//! The queries, by what they read.

mod alerts;
mod backlog;
mod schedule;
mod stats;
mod tasks;
