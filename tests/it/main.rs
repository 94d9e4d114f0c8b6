//! The whole program from outside: over HTTP, on a virtual clock or as a process of its own.

// All of it is test code, helpers too: lints that spare tests look for this.
#![cfg(test)]

mod access;
mod alert_kinds;
mod alerts;
mod architecture;
mod backload;
mod base_path;
mod bodies;
mod bridge;
mod browser;
mod cluster;
mod commands;
#[cfg(target_os = "linux")]
mod compose;
mod damage;
mod documents;
mod events;
mod expectations;
mod files;
mod flips;
mod import;
mod joins;
mod kept;
mod language;
mod leader_changes;
mod leases;
mod library;
mod limits;
mod logs;
mod long_texts;
mod metrics;
mod nats;
mod operations;
mod overlap;
mod owners;
mod panics;
mod pauses;
mod process;
mod reruns;
mod results;
mod secrets;
mod security;
mod shadow;
mod shipping;
mod signals;
mod simulate;
mod slack;
mod snapshots;
mod stdio;
mod support;
mod terminal;
mod time;
mod trouble;
mod upgrade;
mod waiting;
