//! One scheduled time of a phase.

use std::ops::Deref;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use flowlord_domain::workflow::{Phase, WorkflowFile};
use flowlord_messages::schedule::SlotKey;

/// What a slot belongs to: a task of a workflow file. Several phases may share it, each with its own cron.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct SlotName {
    pub(crate) workflow: String,
    pub(crate) task: String,
}

impl SlotName {
    pub(crate) fn slot_key(&self, at: DateTime<Utc>) -> SlotKey {
        SlotKey { workflow: self.workflow.clone(), task: self.task.clone(), at }
    }
}

/// A phase, kept with the file that it stands in.
#[derive(Debug, Clone)]
pub(crate) struct PlannedPhase {
    pub(crate) file: Arc<WorkflowFile>,
    pub(crate) index: usize,
}

impl Deref for PlannedPhase {
    type Target = Phase;

    fn deref(&self) -> &Phase {
        &self.file.phases[self.index]
    }
}

/// A slot whose time has come, and the phases that start in it.
#[derive(Debug, Clone)]
pub(crate) struct DueSlot {
    pub(crate) name: Arc<SlotName>,
    pub(crate) at: DateTime<Utc>,
    pub(crate) phases: Vec<PlannedPhase>,
}
