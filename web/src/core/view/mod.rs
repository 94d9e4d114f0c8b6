//! How things are shown: as JSON to programs, as rows to pages.

pub(crate) mod alert;
pub(crate) mod backload;
pub(crate) mod file;
pub(crate) mod stats;
pub(crate) mod task;
pub(crate) mod time;
pub(crate) mod workflow;
