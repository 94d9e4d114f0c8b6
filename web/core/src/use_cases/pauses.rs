//! Who paused a phase: the audit log knows.

use std::collections::HashMap;

use chrono::TimeDelta;
use flowlord_domain::query::Query;
use flowlord_domain::waiting::PhasePause;
use flowlord_messages::audit::{AuditAction, ListAuditRecords};
use flowlord_messages::schedule::PausedPhase;
use serde_json::Value;

use crate::context::WebContext;

/// More paused phases than this are shown without a name: each is a read of its own.
const MAX_READS: usize = 20;

/// A request is recorded so soon after the pause that it asked for.
const RECORDED_WITHIN: TimeDelta = TimeDelta::minutes(1);

/// How many pauses of that time are looked through: a program may pause many phases at once.
const MAX_ENTRIES: usize = 200;

/// Paused phases by workflow and name, with who paused each as far as that can be read.
pub async fn read_pausers(context: &WebContext, paused: Vec<PausedPhase>) -> HashMap<(String, String), PhasePause> {
    let mut pauses = HashMap::with_capacity(paused.len());
    for (number, phase) in paused.into_iter().enumerate() {
        let by = if number < MAX_READS { pauser_of(context, &phase).await } else { None };
        let pause = PhasePause { since: phase.since, by: by.unwrap_or_default() };
        pauses.insert((phase.workflow, phase.task), pause);
    }
    pauses
}

async fn pauser_of(context: &WebContext, phase: &PausedPhase) -> Option<String> {
    let entries = ListAuditRecords {
        from: phase.since,
        to: phase.since + RECORDED_WITHIN,
        who: Vec::new(),
        actions: vec![AuditAction::Pause],
        after: None,
        limit: MAX_ENTRIES,
    };
    let found = context.deps.view_reader.call(entries).await.ok()?.changes;
    // The newest come first; pausing again doesn't change who did it.
    found.into_iter().rev().find(|entry| is_about(&entry.change.detail, phase)).map(|entry| entry.change.who)
}

/// Whether the body of a request, JSON or a form, names a phase.
fn is_about(body: &str, phase: &PausedPhase) -> bool {
    let form = Query::parse_lenient(body);
    let json: Value = serde_json::from_str(body).unwrap_or_default();
    let is_named = |name: &str, value: &str| json[name] == value || form.first_value(name) == Some(value);
    is_named("workflow", &phase.workflow) && is_named("task", &phase.task)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_names_its_phase_as_json_or_as_a_form() {
        let (workflow, task) = ("etl/a.toml".to_owned(), "load:daily".to_owned());
        let phase = PausedPhase { workflow, task, since: chrono::DateTime::UNIX_EPOCH };
        for body in
            [r#"{"workflow":"etl/a.toml","task":"load:daily"}"#, "workflow=etl%2Fa.toml&task=load%3Adaily&back="]
        {
            assert!(is_about(body, &phase), "{body}");
        }
        for body in [r#"{"workflow":"etl/a.toml","task":"load"}"#, "workflow=b.toml&task=load:daily", "", "{"] {
            assert!(!is_about(body, &phase), "{body}");
        }
    }
}
