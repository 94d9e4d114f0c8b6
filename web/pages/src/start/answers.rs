//! The three questions of the overview: is anything broken now, is anything late, is anything stuck?

use flowlord_domain::workflow::Finding;
use flowlord_messages::alerts::StoredAlert;
use flowlord_messages::workflows::LoadedWorkflows;
use flowlord_web_core::use_cases::attention::{Attention, OpenIncident, StuckQueue, broken_files};

use crate::parts::grouped;
use crate::prelude::*;
use crate::when::ShownTime;
use crate::{PageLayout, PageLink};

/// Of more, an answer says how many there are.
const CLAUSES: usize = 3;

/// The answers to the three questions, in their order.
pub(super) fn answers(
    layout: &mut PageLayout,
    attention: Attention,
    current: Option<&LoadedWorkflows>,
    today: NaiveDate,
) -> Result<Vec<Answer>, Problem> {
    // Each by itself: what can't be read is noted on the page, and the other questions are answered nevertheless.
    let incidents = layout.read("the incidents", attention.incidents)?.unwrap_or_default();
    let late = layout.read("the late tasks", attention.late)?.unwrap_or_default();
    let stuck = layout.read("the stuck queues", attention.stuck)?.unwrap_or_default();
    let incidents = incidents.iter().map(|incident| Clause::of_incident(incident, today));
    let files = current.map(broken_files).unwrap_or_default();
    let files = files.into_iter().map(Clause::of_broken_file);
    Ok(vec![
        Answer::new("broken", "error", incidents.chain(files).collect()),
        Answer::new("late", "warn", late.iter().map(Clause::of_late_task).collect()),
        Answer::new("stuck", "warn", stuck.iter().map(Clause::of_queue).collect()),
    ])
}

/// The answer to one question.
#[derive(Debug)]
pub(super) struct Answer {
    /// Its word, also the class of its icon.
    pub(super) word: &'static str,
    /// Its colour where there is something.
    pub(super) class: &'static str,
    pub(super) clauses: Vec<Clause>,
    pub(super) more: usize,
}

/// One thing that needs somebody: `partner:import`, `32 alerts since 15:12, incident open`.
#[derive(Debug)]
pub(super) struct Clause {
    pub(super) name: String,
    pub(super) href: String,
    /// Up to the time, where there is one.
    pub(super) text: String,
    pub(super) since: Option<ShownTime>,
    pub(super) rest: String,
}

impl Answer {
    fn new(word: &'static str, class: &'static str, clauses: Vec<Clause>) -> Self {
        let more = clauses.len().saturating_sub(CLAUSES);
        Self { word, class, clauses: clauses.into_iter().take(CLAUSES).collect(), more }
    }
}

impl Clause {
    fn of_incident(incident: &OpenIncident, today: NaiveDate) -> Self {
        let name = match incident.tasks.as_slice() {
            [] => format!("route {}", incident.route),
            [task] => task.clone(),
            [first, others @ ..] => format!("{first} and {} more", others.len()),
        };
        let acknowledged = incident.acknowledged_by.iter().map(|by| format!(", acknowledged by {by}"));
        Self {
            name,
            href: "/web/alert".to_owned(),
            text: format!("{} since", counted(incident.alerts, "alert")),
            since: Some(match incident.opened.date_naive() == today {
                true => ShownTime::time_of_day(incident.opened),
                false => ShownTime::date_and_time(incident.opened),
            }),
            rest: format!(", incident open on route {}{}", incident.route, acknowledged.collect::<String>()),
        }
    }

    fn of_broken_file(finding: &Finding) -> Self {
        Self {
            name: finding.file.clone(),
            href: PageLink::to("/web/workflow").with("file", &finding.file).href(),
            text: format!("line {}: {}", finding.line, finding.message),
            since: None,
            rest: String::new(),
        }
    }

    fn of_late_task(alert: &StoredAlert) -> Self {
        let alerts = || PageLink::to("/web/alert").with("date", &alert.at.date_naive());
        Self {
            name: line_key(&alert.topic, &alert.job),
            href: match alert.uid {
                Some(uid) => format!("/web/task/{uid}"),
                None => alerts().with_task(&alert.topic, &alert.job).href(),
            },
            text: alert.msg.clone(),
            since: None,
            rest: String::new(),
        }
    }

    fn of_queue(queue: &StuckQueue) -> Self {
        Self {
            name: line_key(&queue.load.topic, &queue.load.job),
            href: "/web/workers".to_owned(),
            text: format!("{} ready, {}", counted(queue.load.ready, "task"), queue.text),
            since: None,
            rest: String::new(),
        }
    }
}

/// `1 alert`, `1,200 alerts`.
fn counted(count: u64, what: &str) -> String {
    format!("{} {what}{}", grouped(count), if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests;
