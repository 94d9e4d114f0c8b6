//! The cluster's log, and the replica of each node: the leader's appends to it, a follower's applies it.
//!
//! The log is a row of numbered entries, each written once and only where none is. Who writes the next number leads; so
//! an entry is a change to apply, a sign of life, and a fence against a former leader, all in one. A follower that hears
//! nothing for [`TAKEOVER_SILENCE`] writes the next number itself.
//!
//! It is kept in the backup's place, where entries name segments that are sent every few seconds, or in a stream of NATS
//! JetStream, whose entries carry what each transaction changes, before that is committed.
//!
//! [`TAKEOVER_SILENCE`]: flowlord_messages::cluster::TAKEOVER_SILENCE

mod append;
mod cluster_log;
mod entry;
#[cfg(test)]
mod entry_tests;
mod follower;
mod join;
mod leader;
#[cfg(test)]
mod log_tests;
#[cfg(test)]
mod model_tests;
mod node_file;
mod place_log;
mod registry;
mod role_switch;
#[cfg(test)]
mod settle_tests;
mod stand_in;
mod stream_log;
#[cfg(test)]
mod tests;
mod workflow_source;

pub use cluster_log::ClusterLog;
pub use follower::{Follower, FollowerConfig, FollowerDeps};
pub use join::{JoinError, JoinedRole, LastEntry, Lead, NodeIdentity, OwnDatabase, join};
pub use leader::{Leader, LeaderConfig, LeaderDeps};
pub use node_file::NodeFile;
pub use place_log::PlaceLog;
pub use role_switch::{RoleChange, RoleSwitch};
pub use stand_in::StandIn;
pub use stream_log::{StreamConfig, StreamLog, StreamServers};
pub use workflow_source::WorkflowSource;
