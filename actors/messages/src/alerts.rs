//! Alerts, the escalation of each route, incidents and who acknowledged them.

use actix::Message;
use chrono::{DateTime, TimeDelta, Utc};
use flowlord_domain::alert::AlertMatcher;
use flowlord_domain::escalation::EscalationPolicy;
use flowlord_domain::{AlertKind, NewAlert, Uid};

use crate::outbox::NewMessage;
use flowlord_kernel::Result;

/// Which alerts a list shows. Empty lists don't restrict.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AlertFilter {
    /// Topics, `type` on the wire.
    pub topics: Vec<String>,
    /// Jobs; an empty one stands for none.
    pub jobs: Vec<String>,
    /// Workflow files, relative to the workflow root.
    pub workflows: Vec<String>,
    /// Reasons for which they were raised.
    pub kinds: Vec<AlertKind>,
}

/// Alerts of some time, newest first.
#[derive(Debug, Message)]
#[rtype(result = "Result<Vec<StoredAlert>>")]
pub struct ListAlerts {
    /// Raised at or after.
    pub from: DateTime<Utc>,
    /// Raised before; this instant is left out.
    pub to: DateTime<Utc>,
    /// Only those that fit.
    pub filter: AlertFilter,
    /// Only what comes after this row.
    pub after: Option<i64>,
    /// At most this many.
    pub limit: usize,
}

/// Alerts by row, oldest first; those that are gone are left out.
#[derive(Debug, Message)]
#[rtype(result = "Result<Vec<StoredAlert>>")]
pub struct ReadAlerts {
    /// Row ids, in any order.
    pub rows: Vec<i64>,
}

/// An alert as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredAlert {
    /// The row id, growing.
    pub row: i64,
    /// The reason for which it was raised.
    pub kind: AlertKind,
    /// When it was raised.
    pub at: DateTime<Utc>,
    /// The attempt, if any.
    pub uid: Option<Uid>,
    /// The chain; empty for none.
    pub id: String,
    /// The topic; `type` on the wire.
    pub topic: String,
    /// The job within the topic; empty for none.
    pub job: String,
    /// The workflow file, relative to the workflow root.
    pub workflow: String,
    /// What happened; of a long text the beginning.
    pub msg: String,
    /// Whether it is only the beginning: the task has all of it.
    pub is_msg_cut: bool,
    /// The time that the task is about.
    pub task_time: Option<DateTime<Utc>>,
    /// Whether it was told at once, and so isn't told again in a summary.
    pub at_once: bool,
    /// The route by which it is told.
    pub route: String,
    /// The silence that keeps it from being told.
    pub silence: Option<i64>,
    /// The owner of its phase; empty for none.
    pub owner: String,
    /// What its phase says to do, an address; empty for none.
    pub runbook: String,
}

/// What a ladder needs to decide.
#[derive(Debug, Message)]
#[rtype(result = "Result<EscalationInput>")]
pub struct ReadEscalation {
    /// The route's name.
    pub route: String,
}

/// What [`ReadEscalation`] answers.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct EscalationInput {
    /// The ladder's state as last stored, JSON; none at the first start.
    pub state: Option<String>,
    /// Alerts not told yet, oldest first, without those told at once.
    pub untold: Vec<StoredAlert>,
    /// The newest of them; 0 where there is none.
    pub newest: i64,
}

/// Raises alerts that come with no other command; by a [`AlertSender`](crate::AlertSender), which tries again.
#[derive(Debug, Message)]
#[rtype(result = "Result<()>")]
pub struct RaiseAlerts {
    /// All of them are stored, or none.
    pub alerts: Vec<NewAlert>,
}

/// Moves a route's ladder on: its state, what it tells, and up to which alert it told, in one transaction.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<()>")]
pub struct AdvanceEscalation {
    /// The sender's time, UTC: SQL reads no clock.
    pub now: DateTime<Utc>,
    /// The route's name.
    pub route: String,
    /// Its new state, JSON of the ladder's ladder state.
    pub state: String,
    /// Its alerts up to this row id are told.
    pub told_until: i64,
    /// The incident that this step opened, went on with or closed.
    pub incident: Option<IncidentRecord>,
    /// Notifications for the outbox; an empty list says nothing to people.
    pub messages: Vec<NewMessage>,
}

/// An incident as it is to be remembered; known by its route and when it was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IncidentRecord {
    /// When its first alert was told.
    pub opened: DateTime<Utc>,
    /// When the all-clear was told.
    pub closed: Option<DateTime<Utc>>,
    /// How many alerts so far.
    pub alerts: u64,
    /// What this step adds to its history.
    pub step: StepRecord,
}

/// One step of an incident; a step that was stored before stays as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepRecord {
    /// Its number, from 1.
    pub number: u32,
    /// What: `summary`, `update`, `acknowledged`, `all_clear`.
    pub kind: String,
    /// The first line of the notification.
    pub headline: String,
    /// What was new in it, line by line.
    pub details: Vec<String>,
}

/// How each route stands; asked of the alerts actor.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Result<Vec<EscalationStatus>>")]
pub struct ReadEscalations;

/// How one route stands.
#[derive(Debug, Clone, PartialEq)]
pub struct EscalationStatus {
    /// The name of the route.
    pub route: String,
    /// How often it may be told.
    pub policy: EscalationPolicy,
    /// How long it waits now between two looks.
    pub interval: TimeDelta,
    /// When it looks next.
    pub next: DateTime<Utc>,
    /// Since when an incident is open.
    pub incident_since: Option<DateTime<Utc>>,
    /// Alerts told of in the open incident.
    pub alerts: u64,
    /// Messages told of the open incident so far.
    pub steps: u32,
    /// What fails in the open incident, `task:job`.
    pub tasks: Vec<String>,
    /// Who acknowledged it; none where nobody did.
    pub acknowledged_by: Option<String>,
}

/// Somebody takes care of what people were told of: it isn't told again until something else fails, or the time
/// is over. Asked of the alerts actor; answers what it holds for.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Vec<AcknowledgedIncident>>")]
pub struct AcknowledgeAlerts {
    /// Only in this route; none means all.
    pub route: Option<String>,
    /// Only alerts that match.
    pub matcher: AlertMatcher,
    /// When it ends by itself.
    pub until: DateTime<Utc>,
    /// The name of the person who acknowledges.
    pub by: String,
    /// What they say about it.
    pub note: String,
}

/// Which alerts go by which route. Asked of the DB owner when the alerts actor starts: what isn't told yet goes
/// where it would go now, and incidents of routes that are gone are closed.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<()>")]
pub struct SetRoutes {
    /// The sender's time, UTC: SQL reads no clock.
    pub now: DateTime<Utc>,
    /// The routes in the order in which they are tried; alerts that none takes are for [`DEFAULT_ROUTE`].
    pub routes: Vec<RouteRule>,
}

/// The route of all alerts that no other route takes.
pub const DEFAULT_ROUTE: &str = "default";

/// A route and its alerts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteRule {
    /// The name, as in the configuration.
    pub name: String,
    /// Which alerts it takes.
    pub matcher: AlertMatcher,
}

/// What an acknowledgement holds for, in one route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcknowledgedIncident {
    /// The route's name.
    pub route: String,
    /// When its open incident was opened; none where people weren't told yet.
    pub opened: Option<DateTime<Utc>>,
    /// What fails and is acknowledged, `task:job`.
    pub tasks: Vec<String>,
}

/// Incidents with what was told of each, the newest first; asked of the DB readers.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Vec<StoredIncident>>")]
pub struct ListIncidents {
    /// Not closed before this.
    pub from: DateTime<Utc>,
    /// Opened before; this instant is left out.
    pub to: DateTime<Utc>,
    /// Only what comes after the one of this opening and route.
    pub after: Option<(DateTime<Utc>, String)>,
    /// At most this many.
    pub limit: usize,
}

/// An incident as it is remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredIncident {
    /// The route's name.
    pub route: String,
    /// When its first alert was told.
    pub opened: DateTime<Utc>,
    /// When it was over.
    pub closed: Option<DateTime<Utc>>,
    /// How many alerts were told.
    pub alerts: u64,
    /// What happened, oldest first; of very long ones the last steps.
    pub steps: Vec<IncidentStep>,
}

/// One step of an incident.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IncidentStep {
    /// When the step was taken.
    pub at: DateTime<Utc>,
    /// What: `summary`, `update`, `acknowledged`, `all_clear`, or `removed` with its route.
    pub kind: String,
    /// The first line of the notification.
    pub headline: String,
    /// What was new in it, line by line.
    pub details: Vec<String>,
    /// When Slack took it; none when it didn't yet, or when there was nothing to send.
    pub sent: Option<DateTime<Utc>>,
}

/// How many steps of an incident are counted at most, the newest: a read must not grow with its length.
pub const MAX_COUNTED_STEPS: usize = 1_000;

/// How many notifications of incidents were sent; asked of the DB readers, answered in the order of the question.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Result<Vec<NotificationCounts>>")]
pub struct CountNotifications {
    /// The route and the opening of each incident.
    pub incidents: Vec<(String, DateTime<Utc>)>,
}

/// What became of the notifications of an incident, of its newest [`MAX_COUNTED_STEPS`] steps.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NotificationCounts {
    /// Slack took so many: a message that was changed counts each time.
    pub sent: u64,
    /// So many are still to be sent.
    pub waiting: u64,
    /// Why the route's next notification wasn't sent when it was tried last.
    pub error: Option<String>,
    /// When it is tried again.
    pub retry_at: Option<DateTime<Utc>>,
}

/// Moves no ladder any more: the service is stopping.
#[derive(Debug, Message)]
#[rtype(result = "Result<()>")]
pub struct StopAlerting;
