//! Who changed what: one entry for each change that a person made.

use actix::Message;
use chrono::{DateTime, Utc};
use flowlord_domain::named_enum;

use flowlord_kernel::Result;

named_enum! {
    /// What kind of change it is: what a list of them is filtered by.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum AuditAction {
        /// Somebody takes care of an incident.
        Acknowledge = "acknowledge",
        /// History is filled, or that is paused, resumed or cancelled.
        Backload = "backload",
        /// A task is to end.
        Cancel = "cancel",
        /// A task counts as complete.
        Complete = "complete",
        /// Tasks are created by hand.
        Create = "create",
        /// Another node of the cluster is to lead.
        HandOver = "handover",
        /// A message goes to Slack.
        Notify = "notify",
        /// A phase starts nothing new.
        Pause = "pause",
        /// Workflow files are read anew, and old history leaves.
        Refresh = "refresh",
        /// Finished tasks run again.
        Rerun = "rerun",
        /// A phase goes on.
        Resume = "resume",
        /// A phase starts its tasks now.
        Run = "run",
        /// Alerts aren't told for a while, or are told again.
        Silence = "silence",
        /// A snapshot is taken.
        Snapshot = "snapshot",
        /// A token is made or removed.
        Token = "token",
        /// A change of no other kind.
        Other = "other",
    }
}

/// A change that a person made, by a page, the API or a button in Slack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRecord {
    /// When it was made.
    pub at: DateTime<Utc>,
    /// The name of the token, or what else tells who it was; empty where nobody has to say.
    pub who: String,
    /// From which address; empty where there is none.
    pub from: String,
    /// What kind it is.
    pub action: AuditAction,
    /// What was asked: method and path, or the name of the action.
    pub what: String,
    /// How: the body of the request, shortened. Never a secret.
    pub detail: String,
    /// The status that answered it.
    pub status: u16,
}

/// Adds a change to the audit log.
#[derive(Debug, Clone, PartialEq, Eq, Message)]
#[rtype(result = "Result<()>")]
pub struct RecordAudit {
    /// The change, its time included.
    pub change: AuditRecord,
}

/// A page of the changes, the newest first. It looks at a bounded number of them and says how far it came.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<AuditRecordPage>")]
pub struct ListAuditRecords {
    /// Made at or after.
    pub from: DateTime<Utc>,
    /// Made before; this instant is left out.
    pub to: DateTime<Utc>,
    /// Only by these; all where there is none.
    pub who: Vec<String>,
    /// Only of these kinds; all where there is none.
    pub actions: Vec<AuditAction>,
    /// Only what comes after this one.
    pub after: Option<i64>,
    /// At most this many.
    pub limit: usize,
}

impl ListAuditRecords {
    /// Whether a change is one of those that are asked for, its time aside.
    #[must_use]
    pub fn is_asked_for(&self, change: &AuditRecord) -> bool {
        let by = self.who.is_empty() || self.who.contains(&change.who);
        by && (self.actions.is_empty() || self.actions.contains(&change.action))
    }
}

/// A change as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredAuditRecord {
    /// Its id; later ones are larger.
    pub id: i64,
    /// The change, as it was recorded.
    pub change: AuditRecord,
}

/// What [`ListAuditRecords`] answers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditRecordPage {
    /// The changes. Fewer than asked for, even none, where much had to be looked at to find them.
    pub changes: Vec<StoredAuditRecord>,
    /// The entry after which to go on; none when all was looked at.
    pub next: Option<i64>,
    /// Since when changes were looked at, where there are older ones still that weren't.
    pub looked_until: Option<DateTime<Utc>>,
}
