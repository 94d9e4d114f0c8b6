//! Alerts about slots that start nothing.

use chrono::{DateTime, Utc};
use flowlord_domain::schedule::CreateError;
use flowlord_domain::workflow::Phase;
use flowlord_domain::{AlertKind, NewAlert};

pub(crate) fn create_failed_alert(
    phase: &Phase,
    slot: DateTime<Utc>,
    err: &CreateError,
    now: DateTime<Utc>,
) -> NewAlert {
    let msg = format!("the slot of {} started nothing: {err}", slot_time(slot));
    phase_alert(phase, AlertKind::CreateFailed, msg, slot, now)
}

pub(crate) fn phase_alert(
    phase: &Phase,
    kind: AlertKind,
    msg: String,
    slot: DateTime<Utc>,
    now: DateTime<Utc>,
) -> NewAlert {
    NewAlert {
        job: phase.task.job.clone(),
        workflow: phase.workflow.clone(),
        task_time: Some(slot.checked_add_signed(phase.rule.offset).unwrap_or(slot)),
        ..NewAlert::without_task(kind, &phase.task.topic, msg, now)
    }
    .with_contact_of(phase)
}

/// A slot as people read it in alerts and logs.
pub(crate) fn slot_time(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%dT%H:%M:%SZ").to_string()
}
