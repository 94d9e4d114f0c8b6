//! What needs somebody now: what is broken, tasks that are late, queues that nobody serves.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use flowlord_domain::summary::line_key;
use flowlord_domain::waiting::{MAX_PAUSE_OF_WORKERS, QueueWorkers};
use flowlord_domain::workflow::{Finding, Severity};
use flowlord_domain::{AlertKind, TaskState, Uid};
use flowlord_kernel::Result;
use flowlord_messages::alerts::{AlertFilter, EscalationStatus, ListAlerts, ReadEscalations, StoredAlert};
use flowlord_messages::leases::ReadLastAsked;
use flowlord_messages::stats::{QueueLoad, ReadBacklog};
use flowlord_messages::tasks::ReadAttempts;
use flowlord_messages::workflows::LoadedWorkflows;

use super::workflows::workflow_findings;
use crate::context::WebContext;

/// The kinds of alerts that say that a task is late.
const LATE: [AlertKind; 4] = [AlertKind::NotStarted, AlertKind::NotDone, AlertKind::RunsLong, AlertKind::Unfinished];

/// Tasks are looked for in the alerts of this time.
const LATE_WITHIN: TimeDelta = TimeDelta::hours(24);

/// Of more alerts the newest count, and of more queues those that have waited longest.
const MOST: usize = 100;

/// What needs somebody, but for [`broken_files`]. Each part is read on its own, so that one that fails leaves the others.
#[derive(Debug)]
pub struct Attention {
    pub incidents: Result<Vec<OpenIncident>>,
    pub late: Result<Vec<StoredAlert>>,
    pub stuck: Result<Vec<StuckQueue>>,
}

/// An incident that isn't over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenIncident {
    pub route: String,
    pub opened: DateTime<Utc>,
    pub alerts: u64,
    /// What fails, `task:job`.
    pub tasks: Vec<String>,
    pub acknowledged_by: Option<String>,
}

/// A queue whose ready tasks no worker asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StuckQueue {
    /// What waits there.
    pub load: QueueLoad,
    /// That no worker asks, and since when.
    pub text: String,
}

pub async fn read_attention(context: &WebContext) -> Attention {
    let escalations = context.deps.alerts.call(ReadEscalations);
    let (escalations, late, stuck) = tokio::join!(escalations, list_late_tasks(context), list_stuck_queues(context));
    let open = |routes: Vec<EscalationStatus>| routes.into_iter().filter_map(OpenIncident::of_route).collect();
    Attention { incidents: escalations.map(open), late, stuck }
}

impl OpenIncident {
    fn of_route(status: EscalationStatus) -> Option<Self> {
        let EscalationStatus { route, alerts, tasks, acknowledged_by, .. } = status;
        Some(Self { route, opened: status.incident_since?, alerts, tasks, acknowledged_by })
    }
}

/// The first error of each workflow file that has one: its page has all of them.
pub fn broken_files(current: &LoadedWorkflows) -> Vec<&Finding> {
    let mut files = BTreeSet::new();
    let mut findings = workflow_findings(current);
    findings.retain(|finding| finding.severity == Severity::Error && files.insert(&finding.file));
    findings
}

/// Alerts about tasks that are late and still have no result, the newest first, one a task. Where no task was there at
/// all, nothing tells when the work was done: that stays for the whole time.
async fn list_late_tasks(context: &WebContext) -> Result<Vec<StoredAlert>> {
    let now = context.deps.kit.now();
    let filter = AlertFilter { kinds: LATE.to_vec(), ..AlertFilter::default() };
    // The end is no part of the time: an alert of this very moment is to be found.
    let (from, to) = (now - LATE_WITHIN, now + TimeDelta::microseconds(1));
    let mut alerts = context.deps.view_reader.call(ListAlerts { from, to, filter, after: None, limit: MOST }).await?;
    let mut seen = BTreeSet::new();
    alerts.retain(|alert| seen.insert((alert.uid, alert.topic.clone(), alert.job.clone())));
    let uids: Vec<Uid> = alerts.iter().filter_map(|alert| alert.uid).collect();
    let open = open_tasks(context, uids).await?;
    alerts.retain(|alert| alert.uid.is_none_or(|uid| open.contains(&uid)));
    Ok(alerts)
}

/// Those of the tasks that have no result.
async fn open_tasks(context: &WebContext, uids: Vec<Uid>) -> Result<BTreeSet<Uid>> {
    if uids.is_empty() {
        return Ok(BTreeSet::new());
    }
    let tasks = context.deps.view_reader.call(ReadAttempts { uids }).await?;
    let open = tasks.into_iter().flatten().filter(|task| task.state != TaskState::Done);
    Ok(open.map(|task| task.uid).collect())
}

/// Queues whose ready tasks no worker has asked for lately, those that have waited longest first.
async fn list_stuck_queues(context: &WebContext) -> Result<Vec<StuckQueue>> {
    let now = context.deps.kit.now();
    let mut queues = context.deps.view_reader.call(ReadBacklog).await?.queues;
    queues.retain(|load| may_be_stuck(load, now));
    // Workers depend on the dispatch actor, so it is only asked where the answer is used.
    if queues.is_empty() {
        return Ok(Vec::new());
    }
    queues.sort_by_key(|load| load.oldest_ready);
    queues.truncate(MOST);
    let names = queues.iter().map(|load| (load.topic.clone(), load.job.clone())).collect();
    let last = context.deps.dispatch.call(ReadLastAsked { queues: names }).await?;
    let stuck = queues.into_iter().zip(last.asked).filter_map(|(load, asked)| {
        let workers = QueueWorkers { known_since: last.known_since, asked, leased: load.leased, block: None };
        workers.missing_since(now, MAX_PAUSE_OF_WORKERS)?;
        Some(StuckQueue { text: workers.words_of_missing(&line_key(&load.topic, &load.job), now), load })
    });
    Ok(stuck.collect())
}

/// A worker that is busy with a long task needn't have asked, and one that pauses comes back.
fn may_be_stuck(load: &QueueLoad, now: DateTime<Utc>) -> bool {
    load.leased == 0 && load.oldest_ready.is_some_and(|since| now - since >= MAX_PAUSE_OF_WORKERS)
}

#[cfg(test)]
mod tests {
    use flowlord_domain::escalation::EscalationPolicy;
    use flowlord_testkit::sample::noon;

    use super::*;

    #[test]
    fn a_queue_may_be_stuck_whose_tasks_waited_longer_than_workers_pause() {
        let load = |ago: Option<TimeDelta>, leased| QueueLoad {
            oldest_ready: ago.map(|ago| noon() - ago),
            leased,
            ready: 1,
            ..QueueLoad::default()
        };
        let short = MAX_PAUSE_OF_WORKERS - TimeDelta::milliseconds(1);
        for (load, may_be) in [
            (load(Some(MAX_PAUSE_OF_WORKERS), 0), true),
            (load(Some(short), 0), false),
            (load(Some(MAX_PAUSE_OF_WORKERS), 1), false),
            (load(None, 0), false),
        ] {
            assert_eq!(may_be_stuck(&load, noon()), may_be, "{load:?}");
        }
    }

    #[test]
    fn a_route_without_an_incident_needs_nobody() {
        let status = |incident_since| EscalationStatus {
            route: "ops".to_owned(),
            policy: EscalationPolicy::default(),
            interval: TimeDelta::minutes(5),
            next: noon(),
            incident_since,
            alerts: 3,
            steps: 1,
            tasks: vec!["load:x".to_owned()],
            acknowledged_by: Some("ada".to_owned()),
        };
        assert_eq!(OpenIncident::of_route(status(None)), None);
        let open = OpenIncident::of_route(status(Some(noon()))).unwrap();
        assert_eq!((open.route.as_str(), open.opened, open.alerts), ("ops", noon(), 3));
        assert_eq!((open.tasks.as_slice(), open.acknowledged_by.as_deref()), (&["load:x".to_owned()][..], Some("ada")));
    }
}
