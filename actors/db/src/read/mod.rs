//! The queries, by what they read.

mod alerts;
mod schedule;
mod stats;
mod tasks;
