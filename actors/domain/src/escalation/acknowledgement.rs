//! Acknowledgements: a person works on what fails, so that only something else notifies anew.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{EscalationState, IncidentNotification, NewAlerts};
use crate::alert::AlertMatcher;

/// How many hold for a route at the same time; with more the oldest go.
const MOST: usize = 50;

/// What somebody acknowledged, and until when that holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledgement {
    /// When it was said.
    pub at: DateTime<Utc>,
    /// Until when it holds.
    pub until: DateTime<Utc>,
    /// The name of the person who acknowledged.
    pub by: String,
    /// What they said about it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
    /// What they knew of then, `task:job`. Anything else that fails notifies.
    pub lines: BTreeSet<String>,
}

impl EscalationState {
    /// Records that `by` acknowledges what fails and matches; none where nothing does. What is known are the lines
    /// of the incident, and those that no notification had yet (`new`).
    ///
    /// An open incident has one more step by it: the message about it changes.
    pub fn acknowledged(
        &self,
        matcher: &AlertMatcher,
        mut by: Acknowledgement,
        new: &BTreeMap<String, NewAlerts>,
    ) -> Option<(Self, BTreeSet<String>, Option<IncidentNotification>)> {
        let none = BTreeSet::new();
        let told = self.incident.iter().flat_map(|incident| {
            let none = &none;
            incident.lines.keys().map(move |line| (line, incident.workflows.get(line).unwrap_or(none)))
        });
        let raised = new.iter().map(|(line, new)| (line, &new.workflows));
        by.lines = told
            .chain(raised)
            .filter(|(line, workflows)| matches_line(matcher, line, workflows))
            .map(|(line, _)| line.clone())
            .collect();
        if by.lines.is_empty() {
            return None;
        }
        let lines = by.lines.clone();
        let mut next = self.clone();
        // What ended must not take a place of those that hold.
        next.acknowledgements.retain(|known| known.until > by.at);
        next.acknowledgements.push(by);
        let excess = next.acknowledgements.len().saturating_sub(MOST);
        // bounded, since anyone may acknowledge as often as they like
        next.acknowledgements.drain(..excess);
        let told = next.next_update(false);
        Some((next, lines, told))
    }

    /// Whether earlier notifications had all of these lines, and somebody acknowledged each.
    pub(super) fn takes_care_of(&self, lines: &BTreeMap<String, NewAlerts>) -> bool {
        lines.keys().all(|line| {
            self.incident.as_ref().is_some_and(|incident| incident.lines.contains_key(line))
                && self.acknowledgements.iter().any(|known| known.lines.contains(line))
        })
    }

    /// Who acknowledged anything of it; none where nobody did.
    pub fn acknowledged_by(&self) -> Option<String> {
        let names: BTreeSet<&str> = self.acknowledgements.iter().map(|known| known.by.as_str()).collect();
        (!names.is_empty()).then(|| names.into_iter().collect::<Vec<_>>().join(", "))
    }
}

fn matches_line(matcher: &AlertMatcher, line: &str, workflows: &BTreeSet<String>) -> bool {
    let (topic, job) = line.split_once(':').unwrap_or((line, ""));
    if workflows.is_empty() {
        return matcher.matches([topic, job, "", ""]); // alerts about no task may have no workflow
    }
    workflows.iter().any(|workflow| matcher.matches([topic, job, workflow, ""]))
}
