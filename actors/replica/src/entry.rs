//! What an entry of the log says.

use chrono::{DateTime, Utc};
use flowlord_messages::changelog::chain_hex;
use flowlord_messages::cluster::{NodeAddress, SchemaMigration, SharedRecord, Takeover};
use serde::{Deserialize, Serialize};

/// An entry, as JSON in a file of its own. Each names its leader, so that any of them tells who leads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LogEntry {
    /// Counts the leaders.
    pub(crate) term: u64,
    pub(crate) node: String,
    pub(crate) url: String,
    /// Of the node's data folder: two nodes of one name aren't one node.
    pub(crate) id: String,
    /// By the leader's clock.
    pub(crate) at: DateTime<Utc>,
    #[serde(flatten)]
    pub(crate) content: EntryContent,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum EntryContent {
    /// The node leads from here on.
    Term {
        version: String,
        #[serde(default)]
        after: Option<FormerLead>,
    },
    Segment {
        path: String,
        digest: String,
        /// The size of its file.
        bytes: u64,
        /// Which change log, in hex, and its last change.
        chain: String,
        upto: i64,
        through: DateTime<Utc>,
    },
    /// What a transaction changed, which is committed once this is in the log.
    Rows {
        digest: String,
        bytes: u64,
        through: DateTime<Utc>,
        /// Their file in the backup's place where they are too large for the entry, which carries them otherwise.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        path: Option<String>,
    },
    /// The leader lives. All that it acknowledged before `through` is in the log.
    Beat {
        through: Option<DateTime<Utc>>,
        /// Of its workflow files; none while it doesn't know.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        workflows: Option<String>,
    },
    Snapshot {
        name: String,
    },
    /// Tables change here, and with them the number of the change log.
    Migrate {
        from: usize,
        to: usize,
        digest: String,
        chain: String,
    },
    /// The leader ends, and everything is in the log. `to` is to lead; any node where it is none.
    Bye {
        to: Option<String>,
    },
}

/// Who led before, where it is another node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FormerLead {
    pub(crate) node: String,
    /// The former leader left, and nothing is missing.
    pub(crate) is_handover: bool,
    /// The new leader holds all that was acknowledged before.
    pub(crate) through: Option<DateTime<Utc>>,
    /// So it does without a limit: the log holds each transaction before it is acknowledged.
    #[serde(default)]
    pub(crate) is_complete: bool,
}

impl EntryContent {
    /// Whether a database without it isn't what the log says, where that holds transactions.
    pub(crate) fn is_transaction(&self) -> bool {
        matches!(self, Self::Rows { .. } | Self::Migrate { .. })
    }

    /// The migration that it tells of; none also where its number isn't one.
    pub(crate) fn migration(&self) -> Option<SchemaMigration> {
        let Self::Migrate { from, to, digest, chain } = self else { return None };
        let chain = u64::from_str_radix(chain, 16).ok()?;
        Some(SchemaMigration { from: *from, to: *to, digest: digest.clone(), chain })
    }
}

impl LogEntry {
    pub(crate) fn leader(&self) -> NodeAddress {
        NodeAddress { node: self.node.clone(), url: self.url.clone() }
    }

    /// The change of the leader that it tells of.
    pub(crate) fn takeover(&self) -> Option<Takeover> {
        let EntryContent::Term { after: Some(former), .. } = &self.content else { return None };
        let is_complete = former.is_handover || former.is_complete;
        let missing_since = (!is_complete).then_some(former.through).flatten();
        let (from, to, is_handover) = (former.node.clone(), self.node.clone(), former.is_handover);
        Some(Takeover { at: self.at, from, to, is_handover, missing_since, is_complete })
    }

    /// Whether its leader left the lead to another node than this one.
    pub(crate) fn calls_other(&self, node: &str) -> bool {
        matches!(&self.content, EntryContent::Bye { to: Some(to) } if to != node)
    }

    /// The node holds everything that was acknowledged before this, once it applied the entry.
    pub(crate) fn through(&self) -> Option<DateTime<Utc>> {
        match &self.content {
            EntryContent::Segment { through, .. } | EntryContent::Rows { through, .. } => Some(*through),
            EntryContent::Beat { through, .. } => *through,
            EntryContent::Bye { .. } => Some(self.at),
            EntryContent::Term { .. } | EntryContent::Snapshot { .. } | EntryContent::Migrate { .. } => None,
        }
    }
}

/// None for what needs no entry of its own.
pub(crate) fn content_of(record: SharedRecord) -> Option<EntryContent> {
    match record {
        SharedRecord::Segment { path, digest, bytes, at, log } => {
            let (chain, upto) = (chain_hex(log.chain), log.position);
            Some(EntryContent::Segment { path, digest, bytes, chain, upto, through: at })
        }
        SharedRecord::Snapshot { name, .. } => Some(EntryContent::Snapshot { name }),
        SharedRecord::Migration(SchemaMigration { from, to, digest, chain }) => {
            Some(EntryContent::Migrate { from, to, digest, chain: chain_hex(chain) })
        }
        SharedRecord::Current { .. } => None,
    }
}
