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
pub use entry::{FolderLevel, FolderListing, SkippedEntries, SkippedEntry, StoredObject, is_hidden};
pub use error::{Error, Result};
pub use listing::list_folder;
pub use location::Location;
pub use store::{MOST_OBJECTS, Store, StoredContent};
pub use watch::FolderWatch;
