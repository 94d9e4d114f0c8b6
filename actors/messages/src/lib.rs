//! Every message between flowlord's actors and every reply, one file per noun, and a client for each actor.
//!
//! A call goes down (web → dispatch, ingest, … → DB owner) and waits with a timeout; a hint goes up and may be
//! dropped. Both go through a [`Port`](flowlord_kernel::Port), which bounds how many are under way. No actor's type
//! appears here.

#![warn(missing_docs)]

mod alert_sender;
pub mod alerts;
pub mod audit;
pub mod backloads;
pub mod changelog;
pub mod clients;
pub mod cluster;
pub mod database;
pub mod deadlines;
pub mod deps;
pub mod events;
pub mod files;
pub mod history;
pub mod joins;
pub mod learned;
pub mod leases;
pub mod logs;
pub mod outbox;
pub mod results;
pub mod schedule;
pub mod silences;
pub mod snapshots;
pub mod stats;
pub mod tasks;
#[cfg(test)]
mod tests;
pub mod tokens;
pub mod workflows;

pub use alert_sender::AlertSender;
pub use leases::LeaseToken;
