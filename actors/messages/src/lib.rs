//! Every message between flowlord's actors and every reply, and a client for each actor.
//!
//! A call goes down (web → dispatch, ingest, … → DB owner) and waits with a timeout; a hint goes up and may be
//! dropped. Both go through a [`Port`](flowlord_kernel::Port), which bounds how many are under way. No actor's type
//! appears here.

mod alert_sender;
pub mod alerts;
pub mod audit;
pub mod backload;
pub mod changes;
pub mod clients;
pub mod database;
pub mod dispatch;
pub mod files;
pub mod find;
pub mod grid;
pub mod hint;
pub mod ingest;
pub mod lease;
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

pub use alert_sender::AlertSender;
pub use lease::LeaseToken;
