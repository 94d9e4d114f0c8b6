//! The web with stubs behind its ports: every route, every error that it can answer, the pages.

mod access;
mod alerts;
mod audit_page;
mod backload;
pub(crate) mod documented;
mod events;
mod files;
mod hooks;
mod kept;
mod lease;
mod metrics;
mod other_pages;
mod pages;
mod reads;
mod requests;
mod rerun;
mod rerun_pages;
mod results;
mod roles;
mod server;
mod slack;
mod snapshots;
mod statuses;
pub(crate) mod stub;
mod task_pages;
mod tasks;
mod trail;
