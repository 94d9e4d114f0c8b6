//! What several actors work with.

use flowlord_kernel::ActorKit;

use crate::clients::{DatabaseReader, DatabaseWriter, LibraryClient};

/// What an actor of the database works with.
#[derive(Debug, Clone)]
pub struct DatabaseDeps {
    /// Its name, clock and supervision.
    pub kit: ActorKit,
    /// By which it changes the database.
    pub writer: DatabaseWriter,
    /// By which it reads the database.
    pub reader: DatabaseReader,
}

/// What an actor of the database and of the workflows works with.
#[derive(Debug, Clone)]
pub struct WorkflowDeps {
    /// Its name, clock and supervision.
    pub kit: ActorKit,
    /// By which it changes the database.
    pub writer: DatabaseWriter,
    /// By which it reads the database.
    pub reader: DatabaseReader,
    /// By which it reads the workflows.
    pub library: LibraryClient,
}
