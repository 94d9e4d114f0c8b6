//! Files wherever they are: a local folder, S3 and what speaks like it, and GCS, behind one type.
//!
//! No actor: whoever needs files opens a [`Store`] of its own through [`Stores`]. What goes wrong says what to change.

mod connect;
mod error;
mod location;
mod store;
#[cfg(test)]
mod tests;
mod trace;
mod watch;

pub use connect::{Gcs, Hidden, S3, StoreConfig, Stores};
pub use error::{Error, Result};
pub use location::Location;
pub use store::{Content, Level, MOST_OBJECTS, Object, Store};
pub use watch::Watch;
