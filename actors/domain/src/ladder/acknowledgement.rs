//! Somebody takes care of what people were told of.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{LadderState, NewLine, Told};
use crate::alert::Matcher;

/// How many hold for a route at the same time; with more the oldest go.
const MOST: usize = 50;

/// What somebody takes care of, and until when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledgement {
    /// When it was said.
    pub at: DateTime<Utc>,
    /// Until when it holds.
    pub until: DateTime<Utc>,
    /// Who.
    pub by: String,
    /// What they said about it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
    /// What they knew of then, `task:job`. Whatever else fails is told.
    pub lines: BTreeSet<String>,
}

impl LadderState {
    /// Notes that `by` takes care of what fails and matches; none where nothing does. What is known are the lines
    /// of the incident, and those that are raised but not told yet (`new`).
    ///
    /// An open incident has one more step by it: the message about it changes.
    pub fn acknowledged(
        &self,
        matcher: &Matcher,
        mut by: Acknowledgement,
        new: &BTreeMap<String, NewLine>,
    ) -> Option<(Self, BTreeSet<String>, Option<Told>)> {
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
        next.acknowledgements.retain(|known| known.until > by.at);
        next.acknowledgements.push(by);
        let excess = next.acknowledgements.len().saturating_sub(MOST);
        next.acknowledgements.drain(..excess);
        let told = next.next_update(false);
        Some((next, lines, told))
    }

    /// Whether all of these lines were told before and are taken care of.
    pub(super) fn takes_care_of(&self, lines: &BTreeMap<String, NewLine>) -> bool {
        lines.keys().all(|line| {
            self.incident.as_ref().is_some_and(|incident| incident.lines.contains_key(line))
                && self.acknowledgements.iter().any(|known| known.lines.contains(line))
        })
    }

    /// Who takes care of anything of it; none where nobody does.
    pub fn acknowledged_by(&self) -> Option<String> {
        let names: BTreeSet<&str> = self.acknowledgements.iter().map(|known| known.by.as_str()).collect();
        (!names.is_empty()).then(|| names.into_iter().collect::<Vec<_>>().join(", "))
    }
}

fn matches_line(matcher: &Matcher, line: &str, workflows: &BTreeSet<String>) -> bool {
    let (topic, job) = line.split_once(':').unwrap_or((line, ""));
    if workflows.is_empty() {
        return matcher.matches(topic, job, "");
    }
    workflows.iter().any(|workflow| matcher.matches(topic, job, workflow))
}
