//! What a node keeps about itself beside its database.

use std::io::{self, ErrorKind};
use std::path::Path;

use chrono::{DateTime, Utc};
use flowlord_domain::IdSource as _;
use flowlord_kernel::IdGenerator;
use flowlord_messages::cluster::{DatabaseDifference, Takeover};
use serde::{Deserialize, Serialize};

/// `cluster.json` in the data folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeFile {
    /// Drawn at the first start: by it a node that restarts knows its own entries.
    pub id: String,
    /// Whether this database was written here since it came: what no segment holds is then in no other.
    pub has_led: bool,
    /// When the snapshot was begun that the database came from: it holds all that was acknowledged before.
    #[serde(default)]
    pub seeded_at: Option<DateTime<Utc>>,
    /// The entry for which a snapshot took the place of the database last, so that it isn't tried twice in vain.
    pub reseeded_for: Option<u64>,
    /// When the database differed last from the leader's, and where.
    #[serde(default)]
    pub difference: Option<DatabaseDifference>,
    /// How this node came to lead last: a restart doesn't change that.
    #[serde(default)]
    pub takeover: Option<Takeover>,
    /// Whether the cluster goes on from this database in a new log, as somebody said.
    #[serde(default)]
    pub begins_log: bool,
}

impl NodeFile {
    /// Reads it; a new one where there is none.
    ///
    /// # Errors
    /// It can't be read, or isn't one.
    pub fn read(data: &Path, ids: &mut IdGenerator) -> io::Result<Self> {
        match std::fs::read(data.join("cluster.json")) {
            Ok(text) => Ok(serde_json::from_slice(&text)?),
            Err(err) if err.kind() == ErrorKind::NotFound => {
                let id = format!("{:016x}", ids.random_bits());
                Ok(Self {
                    id,
                    has_led: false,
                    seeded_at: None,
                    reseeded_for: None,
                    difference: None,
                    takeover: None,
                    begins_log: false,
                })
            }
            Err(err) => Err(err),
        }
    }

    /// Writes it, whole or not at all.
    ///
    /// # Errors
    /// The folder can't be written.
    pub fn write(&self, data: &Path) -> io::Result<()> {
        let partial = data.join("cluster.json.partial");
        std::fs::write(&partial, serde_json::to_vec_pretty(self)?)?;
        // Else the name could be on the disk before what it names.
        std::fs::File::open(&partial)?.sync_all()?;
        std::fs::rename(&partial, data.join("cluster.json"))?;
        // And the name itself, which is part of the folder.
        std::fs::File::open(data)?.sync_all()
    }
}
