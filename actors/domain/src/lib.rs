//! What flowlord knows about tasks, workflows and alerts, as pure functions of (now, state, input).
//!
//! Nothing here reads a clock, draws a random number or does I/O: time is an argument, randomness and new ids
//! come from [`Ids`].

pub mod alert;
pub mod decide;
pub mod ids;
pub mod task;

pub use alert::{AlertKind, NewAlert};
pub use decide::Decision;
pub use ids::Ids;
pub use task::{Attempt, Lane, NewTask, TaskResult, TaskState, Uid};
