//! Helpers that keep the service well: [`retention`] removes old history, [`heartbeat`] tells a watcher elsewhere that
//! the service lives. Each is an actor of its own.

pub mod heartbeat;
pub mod retention;
