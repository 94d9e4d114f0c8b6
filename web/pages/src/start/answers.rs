//! The three questions of the overview: is anything broken now, is anything late, is anything stuck?

use std::collections::BTreeSet;

use flowlord_domain::workflow::{Finding, Severity};
use flowlord_kernel::Result as Read;
use flowlord_messages::alerts::{EscalationStatus, ReadEscalations, StoredAlert};
use flowlord_messages::workflows::{LoadedWorkflows, ReadLoadedWorkflows};
use flowlord_web_core::use_cases::attention::{StuckQueue, list_late_tasks, list_stuck_queues};

use crate::parts::grouped;
use crate::prelude::*;
use crate::rows::workflow_findings;
use crate::when::ShownTime;
use crate::{PageLayout, PageLink, ShownDay};

/// Of more, an answer says how many there are.
const CLAUSES: usize = 3;

/// What the answers are made of. Each part is read on its own, so that one that fails leaves the others.
pub(super) struct NowParts {
    current: Read<LoadedWorkflows>,
    incidents: Read<Vec<EscalationStatus>>,
    late: Read<Vec<StoredAlert>>,
    stuck: Read<Vec<StuckQueue>>,
}

impl NowParts {
    /// Of a day that is over only the workflows, which every day shows.
    pub(super) async fn read(context: &WebContext, shown: ShownDay) -> Self {
        let current = context.deps.library.call(ReadLoadedWorkflows);
        if !shown.is_today() {
            let current = current.await;
            return Self { current, incidents: Ok(Vec::new()), late: Ok(Vec::new()), stuck: Ok(Vec::new()) };
        }
        let incidents = context.deps.alerts.call(ReadEscalations);
        let (current, incidents, late, stuck) =
            tokio::join!(current, incidents, list_late_tasks(context), list_stuck_queues(context));
        Self { current, incidents, late, stuck }
    }

    /// The workflows, and the answers; none of a day that is over.
    pub(super) fn into_answers(
        self,
        layout: &mut PageLayout,
        shown: ShownDay,
    ) -> Result<(Option<LoadedWorkflows>, Vec<Answer>), Problem> {
        let current = layout.read("the workflows", self.current)?;
        if !shown.is_today() {
            return Ok((current, Vec::new()));
        }
        let incidents = layout.read("the incidents", self.incidents)?.unwrap_or_default();
        let late = layout.read("the late tasks", self.late)?.unwrap_or_default();
        let stuck = layout.read("the stuck queues", self.stuck)?.unwrap_or_default();
        let findings = current.iter().flat_map(workflow_findings);
        let broken = Answer::broken(&incidents, findings, shown.today);
        Ok((current, vec![broken, Answer::late(&late), Answer::stuck(&stuck)]))
    }
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

    /// Incidents that are open, and workflow files with errors.
    pub(super) fn broken<'a>(
        incidents: &[EscalationStatus],
        findings: impl Iterator<Item = &'a Finding>,
        today: NaiveDate,
    ) -> Self {
        let open = incidents.iter().filter_map(|incident| Clause::of_incident(incident, today));
        let mut files = BTreeSet::new();
        // One error a file is enough: its page has all of them.
        let errors = findings.filter(|finding| finding.severity == Severity::Error && files.insert(&finding.file));
        Self::new("broken", "error", open.chain(errors.map(Clause::of_finding)).collect())
    }

    pub(super) fn late(alerts: &[StoredAlert]) -> Self {
        Self::new("late", "warn", alerts.iter().map(Clause::of_late_task).collect())
    }

    pub(super) fn stuck(queues: &[StuckQueue]) -> Self {
        Self::new("stuck", "warn", queues.iter().map(Clause::of_queue).collect())
    }
}

impl Clause {
    fn of_incident(incident: &EscalationStatus, today: NaiveDate) -> Option<Self> {
        let since = incident.incident_since?;
        let name = match incident.tasks.as_slice() {
            [] => format!("route {}", incident.route),
            [task] => task.clone(),
            [first, others @ ..] => format!("{first} and {} more", others.len()),
        };
        let acknowledged = incident.acknowledged_by.iter().map(|by| format!(", acknowledged by {by}"));
        Some(Self {
            name,
            href: "/web/alert".to_owned(),
            text: format!("{} since", counted(incident.alerts, "alert")),
            since: Some(match since.date_naive() == today {
                true => ShownTime::time_of_day(since),
                false => ShownTime::date_and_time(since),
            }),
            rest: format!(", incident open on route {}{}", incident.route, acknowledged.collect::<String>()),
        })
    }

    fn of_finding(finding: &Finding) -> Self {
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
