//! Commands and queries, by what they write and read.

pub(crate) mod alerts;
pub(crate) mod audit;
pub(crate) mod backloads;
mod changelog;
mod database;
mod deadlines;
pub(crate) mod files;
mod history;
mod joins;
mod learned;
pub(crate) mod leases;
mod limits;
mod outbox;
pub(crate) mod overlap;
mod prelude;
mod results;
mod schedule;
pub(crate) mod silences;
mod stats;
pub(crate) mod tasks;
mod tokens;
mod workflows;
