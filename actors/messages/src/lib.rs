//! Every message between flowlord's actors and every reply, and the only ways to send one.
//!
//! A call goes down (web → dispatch, ingest, … → DB owner) and waits with a timeout; a hint goes up and may be
//! dropped. Both go through a [`Port`], which bounds how many are under way. No actor's type appears here.

pub mod activity;
pub mod clock;
pub mod error;
pub mod fault;
pub mod guarded;
pub mod health;
pub mod lease;
pub mod mint;
pub mod port;
pub mod raiser;
pub mod stand_back;
pub mod timer;

pub mod alerts;
pub mod audit;
pub mod backload;
pub mod changes;
pub mod database;
pub mod dispatch;
pub mod files;
pub mod find;
pub mod grid;
pub mod hint;
pub mod ingest;
pub mod library;
pub mod notifier;
pub mod outbox;
pub mod read;
pub mod retention;
pub mod rowlog;
pub mod scheduler;
pub mod snapshot;
pub mod token;
pub mod watch;
pub mod write;

pub use activity::{Activity, Busy};
pub use clock::{Clock, SharedClock, SystemClock, Tick};
pub use error::{Code, Error, Result};
pub use guarded::{Guarded, Supervision, guarded};
pub use health::Ping;
pub use lease::LeaseToken;
pub use mint::Mint;
pub use port::{LatePort, Port};
pub use raiser::Raiser;
pub use stand_back::stand_back;
pub use timer::{Timer, Wakes};

#[cfg(test)]
mod tests;
