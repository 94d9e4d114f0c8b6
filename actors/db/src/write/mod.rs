//! The commands, by what they write.

mod alerts;
mod audit;
mod backload;
mod create;
mod files;
mod history;
mod lease;
mod outbox;
mod outcome;
mod pause;
mod rerun;
pub(crate) mod rollup;
mod route;
mod silence;
mod token;
mod watch;
mod workflows;
