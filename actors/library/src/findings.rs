//! Findings and alerts about workflow files that don't load.

use chrono::{DateTime, Utc};
use flowlord_domain::{AlertKind, NewAlert};
use flowlord_messages::workflows::WorkflowRecord;
use flowlord_storage::SkippedEntries;

use crate::source::ScannedFile;

/// Stands for the root as a whole, where that can't be read. No file is called so.
pub(crate) const ROOT: &str = ".";

/// Stands for what is skipped at the root. No file is called so.
pub(crate) const SKIPPED: &str = "./";

pub(crate) fn is_special(path: &str) -> bool {
    path == ROOT || path == SKIPPED
}

/// What is skipped, as if it were a file that doesn't load.
pub(crate) fn skipped_file(skipped: &SkippedEntries) -> Option<ScannedFile> {
    let text = Some(skipped.text()).filter(|text| !text.is_empty())?;
    // Its text is its hash: other entries make it another content, which is reported again.
    Some(ScannedFile { path: SKIPPED.to_owned(), hash: text.clone(), text: Some(Err(text)) })
}

/// True when all that is skipped was reported before.
pub(crate) fn is_reported(record: &WorkflowRecord, known: &WorkflowRecord) -> bool {
    record.path == SKIPPED && record.hash.split("; ").all(|entry| known.hash.split("; ").any(|it| it == entry))
}

pub(crate) fn file_alert(record: &WorkflowRecord, now: DateTime<Utc>) -> NewAlert {
    let WorkflowRecord { path, problem, content, .. } = record;
    let msg = match (path.as_str(), content.as_str()) {
        (ROOT, _) => {
            format!("the workflow files can't be read, the versions loaded before stay in use: {problem}")
        }
        (SKIPPED, _) => format!("all other workflow files are read: {problem}"),
        (_, "") => format!("the file doesn't load: {problem}"),
        _ => format!("the file doesn't load, its last good version stays in use: {problem}"),
    };
    NewAlert {
        job: path.clone(),
        workflow: path.clone(),
        task_time: Some(now),
        ..NewAlert::without_task(AlertKind::Workflow, "workflow", msg, now)
    }
}
