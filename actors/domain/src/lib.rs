//! What flowlord knows about tasks, workflows and alerts, as pure functions of (now, state, input).
//!
//! Nothing here reads a clock, draws a random number or does I/O: time is an argument, randomness and new ids
//! come from [`IdSource`].

#![warn(missing_docs)]

#[macro_use]
mod named_enum;

pub mod alert;
pub mod backload;
pub mod batch;
pub mod bom;
pub mod calendar;
pub mod check;
mod creation_rate;
pub mod cron;
pub mod dates;
pub mod deadlines;
pub mod decide;
pub mod duration;
pub mod envelope;
pub mod escalation;
pub mod expect;
pub mod file_event;
pub mod file_match;
pub mod finding;
pub mod foreign;
pub mod glob;
pub mod hex;
pub mod ids;
mod info_path;
pub mod join;
pub mod limits;
pub mod mark_complete;
pub mod phase_run;
pub mod plan;
pub mod query;
pub mod rerun;
pub mod retry;
pub mod role;
pub mod row_keys;
pub mod rows;
pub mod rule;
pub mod schedule;
pub mod search;
mod secret;
pub mod simulate;
pub mod summary;
pub mod task;
pub mod task_doc;
pub mod task_link;
pub mod task_time;
pub mod template;
pub mod waiting;
pub mod workflow;

pub use alert::{AlertKind, NewAlert};
pub use decide::TaskDecision;
pub use ids::IdSource;
pub use named_enum::NamedValue;
pub use role::Role;
pub use secret::Secret;
pub use task::{Attempt, CutTexts, LISTED_BYTES, NewTask, TaskLane, TaskResult, TaskState, Uid};
