//! How a replica tells the service that its node's role has changed.

use std::fmt;
use std::sync::Arc;

use tokio::sync::watch;

/// Why the service restarts in another role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RoleChange {
    /// This node leads from now on.
    Leads,
    /// Another node leads.
    Deposed { by: String },
    /// Somebody asked for another leader.
    HandsOver,
    /// This node's database doesn't go on with the log: a snapshot must take its place.
    Reseeds {
        /// The entry that it can't apply.
        entry: u64,
        why: String,
        /// Whether it isn't what it should be, though it applied everything.
        is_different: bool,
    },
}

impl fmt::Display for RoleChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Leads => f.write_str("this node leads"),
            Self::Deposed { by } => write!(f, "node {by} leads"),
            Self::HandsOver => f.write_str("the lead is handed over"),
            Self::Reseeds { why, .. } => write!(f, "a snapshot must take the place of the database: {why}"),
        }
    }
}

/// Set once, by the replica; the service waits for it. Clones share it.
#[derive(Debug, Clone)]
pub struct RoleSwitch(Arc<watch::Sender<Option<RoleChange>>>);

impl Default for RoleSwitch {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(None)))
    }
}

impl RoleSwitch {
    pub(crate) fn change(&self, change: RoleChange) {
        log::warn!("event=role_changed reason=\"{change}\"");
        self.0.send_if_modified(|known| {
            // The service acts on one change and restarts; a later one is about a node that is no more.
            let is_first = known.is_none();
            known.get_or_insert(change);
            is_first
        });
    }

    /// Waits until the role has changed; for ever where it doesn't.
    pub async fn changed(&self) -> RoleChange {
        let mut changes = self.0.subscribe();
        loop {
            if let Some(change) = changes.borrow_and_update().clone() {
                return change;
            }
            // The sender lives as long as this.
            let _sent = changes.changed().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[actix::test]
    async fn the_first_change_counts_and_is_heard_also_later() {
        let switch = RoleSwitch::default();
        let heard = switch.changed();
        switch.change(RoleChange::Deposed { by: "b".to_owned() });
        switch.change(RoleChange::Leads);
        assert_eq!(heard.await, RoleChange::Deposed { by: "b".to_owned() });
        assert_eq!(switch.clone().changed().await.to_string(), "node b leads");
    }
}
