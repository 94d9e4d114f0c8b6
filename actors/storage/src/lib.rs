//! Files wherever they are: a local folder, S3 and what speaks like it, and GCS, behind one type.
//!
//! No actor: a user of files opens a [`Store`] of its own through [`Stores`]. Each error says what to change.

mod connect;
mod entry;
mod error;
mod listing;
mod location;
mod sift;
mod store;
#[cfg(test)]
mod tests;
mod trace;
mod walk;
mod watch;

pub use connect::{Gcs, Hidden, HmacKey, S3, StoreConfig, Stores};
pub use entry::{FolderLevel, Listing, Object, Skipped, SkippedEntry, is_hidden};
pub use error::{Error, Result};
pub use listing::list_folder;
pub use location::Location;
pub use store::{Content, MOST_OBJECTS, Store};
pub use watch::FolderWatch;
