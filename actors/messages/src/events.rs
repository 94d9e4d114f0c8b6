//! What the DB owner tells after a commit: hints to actors, and what changed for those who watch. Losing one delays,
//! never loses.

use std::collections::BTreeSet;

use actix::Message;
use chrono::{DateTime, Utc};
use flowlord_domain::Uid;

use flowlord_kernel::Result;

/// Tasks of these topics became ready.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct TasksReady {
    /// `(topic, job)`, each once.
    pub topics: Vec<(String, String)>,
    /// Whether tasks that counted for a limit are at work no more, so that others may start.
    pub has_freed_limits: bool,
}

/// A delayed task was stored.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct TasksDelayed {
    /// When the earliest of them is due.
    pub due: DateTime<Utc>,
}

/// Alerts were stored: the escalation policy may have something to tell.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct AlertsRaised;

/// Messages were put into the outbox.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct MessagesQueued;

/// Something changed that people may look at: what, is to be fetched by [`crate::events::TakeChanges`]. Sent once
/// until that was done.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct DatabaseChanged;

/// A snapshot was taken, failed or left.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct SnapshotsChanged;

/// How many things of a kind are named; of more tasks than that only the number is known.
pub const MAX_NAMED_CHANGES: usize = 200;

/// Takes what changed since it was asked last; asked of the DB owner.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Result<DatabaseChanges>")]
pub struct TakeChanges;

/// What changed since it was taken last.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DatabaseChanges {
    /// Attempts that were created or changed; empty when there were too many to name.
    pub tasks: BTreeSet<Uid>,
    /// How often a task changed that isn't named.
    pub unnamed: u64,
    /// Rows of alerts that were raised.
    pub alerts: BTreeSet<i64>,
    /// An incident went on, or what is told of alerts changed: acknowledgements, silences.
    pub incidents: bool,
    /// Workflow files that were loaded, broke or left, and those of phases that were paused or resumed.
    pub workflows: BTreeSet<String>,
    /// Backloads that got on.
    pub backloads: BTreeSet<i64>,
    /// File events that were recorded.
    pub files: BTreeSet<i64>,
    /// There was more of something, other than tasks, than can be named.
    pub overflowed: bool,
}

impl DatabaseChanges {
    /// A task was created or changed.
    pub fn note_task(&mut self, uid: Uid) {
        if self.unnamed == 0 && (self.tasks.len() < MAX_NAMED_CHANGES || self.tasks.contains(&uid)) {
            self.tasks.insert(uid);
        } else {
            self.count_unnamed(1);
        }
    }

    fn count_unnamed(&mut self, more: u64) {
        let named = u64::try_from(self.tasks.len()).unwrap_or(u64::MAX);
        self.unnamed = self.unnamed.saturating_add(named).saturating_add(more);
        self.tasks.clear();
    }

    /// An alert was raised.
    pub fn note_alert(&mut self, row: i64) {
        add_name(&mut self.alerts, row, &mut self.overflowed);
    }

    /// A workflow file was loaded, broke or left, or one of its phases was paused or resumed.
    pub fn note_workflow(&mut self, path: &str) {
        if !self.workflows.contains(path) {
            add_name(&mut self.workflows, path.to_owned(), &mut self.overflowed);
        }
    }

    /// A backload got on.
    pub fn note_backload(&mut self, id: i64) {
        add_name(&mut self.backloads, id, &mut self.overflowed);
    }

    /// A file event was recorded.
    pub fn note_file(&mut self, id: i64) {
        add_name(&mut self.files, id, &mut self.overflowed);
    }

    /// Takes over what another says.
    pub fn add_changes(&mut self, other: Self) {
        if other.unnamed > 0 {
            self.count_unnamed(other.unnamed);
        }
        other.tasks.into_iter().for_each(|uid| self.note_task(uid));
        other.alerts.into_iter().for_each(|row| self.note_alert(row));
        other.workflows.iter().for_each(|path| self.note_workflow(path));
        other.backloads.into_iter().for_each(|id| self.note_backload(id));
        other.files.into_iter().for_each(|id| self.note_file(id));
        self.incidents |= other.incidents;
        self.overflowed |= other.overflowed;
    }

    /// Whether any task changed.
    #[must_use]
    pub fn has_tasks(&self) -> bool {
        self.unnamed > 0 || !self.tasks.is_empty()
    }

    /// Whether nothing changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

fn add_name<T: Ord>(names: &mut BTreeSet<T>, one: T, overflowed: &mut bool) {
    if names.len() < MAX_NAMED_CHANGES {
        names.insert(one);
    } else {
        *overflowed |= !names.contains(&one);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_counted_not_named() {
        let mut changes = DatabaseChanges::default();
        for n in 0..MAX_NAMED_CHANGES {
            changes.note_task(Uid(n.try_into().unwrap()));
            changes.note_task(Uid(0));
            changes.note_workflow(&format!("{n}.toml"));
            changes.note_workflow("0.toml");
        }
        assert_eq!((changes.tasks.len(), changes.unnamed), (MAX_NAMED_CHANGES, 0));
        assert_eq!((changes.workflows.len(), changes.overflowed), (MAX_NAMED_CHANGES, false));
        changes.note_task(Uid(-1));
        changes.note_task(Uid(-1));
        assert_eq!((changes.tasks.len(), changes.unnamed), (0, MAX_NAMED_CHANGES as u64 + 2));
        changes.note_workflow("one more.toml");
        assert!(changes.overflowed && changes.has_tasks() && !changes.is_empty());
    }

    #[test]
    fn changes_add_up() {
        let mut first = DatabaseChanges { unnamed: 2, incidents: true, ..DatabaseChanges::default() };
        let mut second = DatabaseChanges::default();
        second.note_task(Uid(1));
        second.note_alert(3);
        second.note_backload(4);
        second.note_file(5);
        first.add_changes(second.clone());
        assert_eq!((first.unnamed, first.incidents, first.alerts.len()), (3, true, 1));
        second.add_changes(DatabaseChanges { unnamed: 1, ..DatabaseChanges::default() });
        assert_eq!((second.unnamed, second.tasks.len()), (2, 0));
    }
}
