//! What is wrong between phases that wait for several tasks, or for those of other files.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use crate::finding::{Finding, Severity, did_you_mean};
use crate::join::{JoinCount, never_meets};
use crate::rule::{BatchStep, JoinNeed};
use crate::workflow::{ParentName, Phase, Workflows};

/// A time in which each schedule shows itself: two whole months, in a leap year.
const SAMPLE: (i64, i64) = (1_704_067_200, 60);

/// Where many joins are, only the first ones are compared with their schedules.
const MOST_COMPARED: usize = 500;

pub(super) fn join_findings(workflows: &Workflows) -> Vec<Finding> {
    let mut findings: Vec<Finding> = workflows.circular_phases().map(circle).collect();
    let mut names = HashSet::new();
    let mut compared = 0;
    for phase in workflows.phases().filter(|phase| !phase.parents.is_empty()) {
        let unknown: Vec<_> =
            phase.parents.iter().filter_map(|parent| unknown_parent(workflows, phase, parent)).collect();
        // What follows from a parent that isn't there would only say the same again.
        let is_known = unknown.is_empty();
        findings.extend(unknown);
        if phase.is_join && !names.insert((&phase.workflow, &phase.task)) {
            findings.push(second_of_name(phase));
        } else if phase.is_join && is_known && compared < MOST_COMPARED {
            compared += 1;
            findings.extend(impossible_join(workflows, phase));
            findings.extend(indistinct_parents(workflows, phase));
        }
    }
    findings
}

fn finding(phase: &Phase, place: (usize, usize), severity: Severity, message: String) -> Finding {
    Finding::new(&phase.workflow, place, severity, message)
}

fn place_of_parents(phase: &Phase) -> (usize, usize) {
    phase.parents.first().map_or(phase.name_place(), ParentName::place)
}

fn circle(phase: &Phase) -> Finding {
    let message = format!(
        "{} waits for {}, and one of these waits for it: this cycle starts nothing, remove one dependsOn",
        phase.task, phase.depends_on_text
    );
    finding(phase, place_of_parents(phase), Severity::Error, message)
}

fn second_of_name(phase: &Phase) -> Finding {
    let message = format!("{} is a join twice: only the first one starts, give this one another job", phase.task);
    finding(phase, phase.name_place(), Severity::Error, message)
}

fn unknown_parent(workflows: &Workflows, phase: &Phase, parent: &ParentName) -> Option<Finding> {
    let Some(file) = workflows.file_of_parent(phase, parent) else {
        let paths = workflows.files().iter().map(|file| file.path.as_str());
        let hint = did_you_mean(&parent.file, paths);
        let remedy =
            if hint.is_empty() { ": write its path in the workflow folder, and check all of it" } else { &hint };
        let message = format!("parent file not found: {}{remedy}", parent.file);
        return Some(finding(phase, parent.place(), Severity::Error, message));
    };
    if !workflows.meant_by(phase, parent).is_empty() {
        return None;
    }
    let names: Vec<String> = file.phases.iter().take(MOST_COMPARED).map(Phase::task_name).collect();
    let hint = did_you_mean(&parent.task.to_string(), names.iter().map(String::as_str));
    let remedy = if hint.is_empty() { ": write a task of that file" } else { &hint };
    let message = format!("parent task not found in {}: {}{remedy}", file.path, parent.task);
    Some(finding(phase, parent.place(), Severity::Error, message))
}

/// A join that never has all that it waits for.
fn impossible_join(workflows: &Workflows, phase: &Phase) -> Option<Finding> {
    let (start, days) = SAMPLE;
    let start = DateTime::from_timestamp(start, 0)?;
    let sample = start..start + TimeDelta::days(days);
    let parents = &phase.depends_on_text;
    let Some(over) = phase.rule.join.over else {
        let message =
            || format!("the tasks of {parents} are never about the same hour: this starts nothing, write over=day");
        let never_meets = phase.rule.join.need == JoinNeed::All && never_meets(workflows, phase, &sample);
        return never_meets.then(|| finding(phase, place_of_parents(phase), Severity::Error, message()));
    };
    let counts = sample_counts(workflows, phase, over, &sample);
    if let Some(why) = counts.iter().find_map(|count| count.impossible()) {
        let message = format!("over={} waits for every slot of {parents}: {why}", over.as_str());
        return Some(finding(phase, place_of_parents(phase), Severity::Error, message));
    }
    let most = counts.iter().map(|count| count.count_expected()).max().unwrap_or_default();
    let JoinNeed::Count(need) = phase.rule.join.need else { return None };
    let is_too_many = over != BatchStep::Hour && counts.iter().all(|count| count.is_scheduled()) && need > most;
    is_too_many.then(|| {
        let message =
            format!("join={need} is more than a {} has of {parents}, which is {most}: write less", over.as_str());
        finding(phase, place_of_parents(phase), Severity::Warning, message)
    })
}

/// Parents with several tasks about one hour, which only their infos tell apart.
fn indistinct_parents(workflows: &Workflows, phase: &Phase) -> Option<Finding> {
    let over = phase.rule.join.over.unwrap_or(BatchStep::Hour);
    let start = DateTime::from_timestamp(SAMPLE.0, 0)?;
    let counts = sample_counts(workflows, phase, over, &(start..start + TimeDelta::days(SAMPLE.1)));
    if !counts.iter().any(|count| count.has_shared_hour()) {
        return None;
    }
    phase.parents.iter().find_map(|parent| {
        let random = workflows.meant_by(phase, parent).into_iter().find(|it| has_random_token(&it.template))?;
        let message = format!(
            "several tasks of {} are about the same hour, and its template has {{uuid}}: a backload counts as more of \
             them, and the join starts early; leave {{uuid}} out",
            random.task
        );
        Some(finding(phase, parent.place(), Severity::Error, message))
    })
}

fn has_random_token(template: &str) -> bool {
    ["{uuid}", "{UUID}"].iter().any(|token| template.contains(token))
}

/// What the join waits for in some periods of a sample.
fn sample_counts(
    workflows: &Workflows,
    phase: &Phase,
    over: BatchStep,
    sample: &Range<DateTime<Utc>>,
) -> Vec<Arc<JoinCount>> {
    let step = match over {
        BatchStep::Hour => TimeDelta::hours(55), // each hour of the day, sooner or later
        BatchStep::Day => TimeDelta::days(5),    // each day of the week
        BatchStep::Week => TimeDelta::days(7),
        BatchStep::Month => TimeDelta::days(31),
    };
    let times =
        std::iter::successors(Some(sample.start), |time| Some(*time + step)).take_while(|time| *time < sample.end);
    let periods = times.filter_map(|time| phase.join_period(workflows, phase.join_number_at(workflows, time)?));
    periods.map(|period| JoinCount::of_period(workflows, phase, &period)).collect()
}
