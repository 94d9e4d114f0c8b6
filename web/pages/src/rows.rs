//! The rows of lists that several pages show.

use chrono::{DateTime, Utc};
use flowlord_domain::workflow::{Finding, Severity};
use flowlord_domain::{Attempt, TaskState};
use flowlord_messages::alerts::{AlertFilter, ListAlerts, StoredAlert};
use flowlord_messages::workflows::LoadedWorkflows;

use super::parts::LongText;
use super::when::{ShownTime, span};

pub(crate) struct TaskRow {
    pub(crate) uid: String,
    /// Whether it has a result, and so can run again.
    pub(crate) done: bool,
    /// The result, or the state while there is none.
    pub(crate) status: &'static str,
    pub(crate) class: &'static str,
    pub(crate) progress: Option<String>,
    pub(crate) topic: String,
    pub(crate) job: String,
    pub(crate) info: LongText,
    pub(crate) meta: LongText,
    pub(crate) msg: LongText,
    pub(crate) attempt: u32,
    pub(crate) created: ShownTime,
    pub(crate) waited: String,
    pub(crate) ran: String,
    pub(crate) worker: String,
}

impl TaskRow {
    pub(crate) fn new(task: Attempt, now: DateTime<Utc>) -> Self {
        let created = task.uid.created_at();
        let (status, class) = status_and_class(&task);
        // A delay until a set time is no queue time.
        let waiting_since = task.not_before.filter(|at| *at > created).unwrap_or(created);
        let waited = match task.started {
            Some(started) => span(started - waiting_since),
            None if task.state == TaskState::Ready => span(now - waiting_since),
            None => String::new(),
        };
        let end = task.ended.or((task.state == TaskState::Leased).then_some(now));
        let (uid, cut) = (task.uid.to_string(), task.cut);
        let ran = task.started.zip(end).map(|(from, to)| span(to - from)).unwrap_or_default();
        Self {
            done: task.state == TaskState::Done,
            status,
            class,
            progress: task.progress.filter(|_| task.state == TaskState::Leased).map(|part| format!("{part:.2}")),
            topic: task.topic,
            job: task.job,
            info: LongText::of_task(task.info, cut.info, &uid),
            meta: LongText::of_task(task.meta, cut.meta, &uid),
            msg: LongText::of_task(task.msg, cut.msg, &uid),
            uid,
            attempt: task.retry.saturating_add(1),
            created: ShownTime::time_of_day(created),
            waited,
            ran,
            worker: task.worker,
        }
    }
}

pub(crate) fn status_and_class(task: &Attempt) -> (&'static str, &'static str) {
    match (task.result, task.state) {
        (Some(result), _) => (result.as_str(), result.as_str()),
        (None, TaskState::Leased) => ("running", "running"),
        (None, TaskState::Delayed) => ("delayed", "waiting"),
        (None, _) => ("ready", "waiting"),
    }
}

/// Asks for the newest alerts of a time: one more than are shown tells that there are more.
pub(crate) fn newest_alerts((from, to): (DateTime<Utc>, DateTime<Utc>), shown: usize) -> ListAlerts {
    ListAlerts { from, to, filter: AlertFilter::default(), after: None, limit: shown + 1 }
}

/// `unknown phase`.
pub(crate) fn kind_words(alert: &StoredAlert) -> String {
    alert.kind.as_str().replace('_', " ")
}

pub(crate) struct WorkflowTrouble {
    pub(crate) place: String,
    pub(crate) message: String,
    pub(crate) class: &'static str,
}

/// Everything found in workflow files, each once, the worst first.
pub(crate) fn workflow_findings(current: &LoadedWorkflows) -> Vec<&Finding> {
    let loaded = current.workflows.files().iter().flat_map(|file| &file.findings);
    let mut findings: Vec<&Finding> = current.broken.iter().chain(loaded).collect();
    // A file that no longer loads may have one twice: in its content, and in its last good version.
    findings.sort();
    findings.dedup();
    // A stable sort: those of one severity stay in the order of files and lines.
    findings.sort_by_key(|finding| finding.severity);
    findings
}

impl From<&Finding> for WorkflowTrouble {
    fn from(finding: &Finding) -> Self {
        Self {
            place: format!("{}:{}:{}", finding.file, finding.line, finding.column),
            message: finding.message.clone(),
            class: match finding.severity {
                Severity::Error => "error",
                Severity::Warning => "warn",
            },
        }
    }
}
