//! How things are shown: as JSON to programs, as rows to pages.

pub mod alert;
pub mod backload;
pub mod file;
pub mod stats;
pub mod task;
pub mod workflow;
