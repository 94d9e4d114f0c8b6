//! Files wherever they are: a local folder, S3 and what speaks like it, and GCS, behind one type.
//!
//! No actor: a user of files opens a [`FileStorage`] of its own through [`StorageConnections`]. Each error says what to change.

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

pub use connect::{GcsAccess, HiddenValue, HmacKey, S3Access, StorageConfig, StorageConnections};
pub use entry::{FolderLevel, FolderListing, SkippedEntries, SkippedEntry, StoredObject, is_hidden};
pub use error::{Error, Result};
pub use listing::list_folder;
pub use location::StorageLocation;
pub use store::{FileStorage, MAX_OBJECTS, StoredContent};
pub use watch::FolderWatch;
