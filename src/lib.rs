//! flowlord: a task orchestrator in one container.
//!
//! The binary is thin over [`App`], which starts every actor, wires them by ports, and stops them in order.

pub mod app;
pub mod config;
mod limits;
mod metrics;
pub mod recovery;
pub mod running;

pub use app::App;
pub use config::Config;
pub use flowlord_kernel::ActorEnvironment;
