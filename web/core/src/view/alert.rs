//! Alerts, silences and incidents as JSON.

use chrono::{DateTime, Utc};
use flowlord_domain::alert::AlertMatcher;
use flowlord_domain::{AlertKind, Uid};
use flowlord_messages::alerts::{AcknowledgedIncident, IncidentStep, StoredAlert, StoredIncident};
use flowlord_messages::silences::Silence;
use serde::Serialize;
use utoipa::ToSchema;

use crate::limits;
use crate::values::matching::MatchDoc;

/// An alert; what it has nothing to say about is left out.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Alert)]
pub struct AlertView<'a> {
    alert: i64,
    #[schema(schema_with = limits::named::<AlertKind>)]
    kind: &'static str,
    at: DateTime<Utc>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = limits::uid)]
    uid: Option<Uid>,
    /// The chain.
    #[serde(skip_serializing_if = "str::is_empty")]
    id: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    r#type: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    job: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    workflow: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    msg: &'a str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(schema_with = limits::truncated)]
    msg_truncated: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = limits::time)]
    task_time: Option<DateTime<Utc>>,
    /// Told at once, and so not again in a summary.
    at_once: bool,
    route: &'a str,
    /// The silence that kept it from being told.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    silence: Option<i64>,
    /// The owner of its phase.
    #[serde(skip_serializing_if = "str::is_empty")]
    owner: &'a str,
    /// What its phase says to do: an address.
    #[serde(skip_serializing_if = "str::is_empty")]
    runbook: &'a str,
}

impl<'a> From<&'a StoredAlert> for AlertView<'a> {
    fn from(alert: &'a StoredAlert) -> Self {
        Self {
            alert: alert.row,
            kind: alert.kind.as_str(),
            at: alert.at,
            uid: alert.uid,
            id: &alert.id,
            r#type: &alert.topic,
            job: &alert.job,
            workflow: &alert.workflow,
            msg: &alert.msg,
            msg_truncated: alert.is_msg_cut,
            task_time: alert.task_time,
            at_once: alert.at_once,
            route: &alert.route,
            silence: alert.silence,
            owner: &alert.owner,
            runbook: &alert.runbook,
        }
    }
}

/// A silence as of a time.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Silence)]
pub struct SilenceView<'a> {
    id: i64,
    #[schema(value_type = MatchDoc)]
    r#match: &'a AlertMatcher,
    from: DateTime<Utc>,
    until: DateTime<Utc>,
    by: &'a str,
    reason: &'a str,
    /// Whether it isn't over yet.
    holds: bool,
}

impl<'a> SilenceView<'a> {
    pub fn new(silence: &'a Silence, now: DateTime<Utc>) -> Self {
        Self {
            id: silence.id,
            r#match: &silence.matcher,
            from: silence.from,
            until: silence.until,
            by: &silence.by,
            reason: &silence.reason,
            holds: silence.until > now,
        }
    }
}

/// What an acknowledgement holds for.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Acknowledged)]
pub struct AcknowledgedView<'a> {
    until: DateTime<Utc>,
    #[schema(inline)]
    items: Vec<TakenView<'a>>,
}

impl<'a> AcknowledgedView<'a> {
    pub fn new(until: DateTime<Utc>, items: Vec<TakenView<'a>>) -> Self {
        Self { until, items }
    }
}

/// What it holds for in one route.
#[derive(Debug, Serialize, ToSchema)]
pub struct TakenView<'a> {
    route: &'a str,
    /// When the incident began.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = limits::time)]
    opened: Option<DateTime<Utc>>,
    tasks: &'a [String],
}

impl<'a> From<&'a AcknowledgedIncident> for TakenView<'a> {
    fn from(AcknowledgedIncident { route, opened, tasks }: &'a AcknowledgedIncident) -> Self {
        Self { route, opened: *opened, tasks }
    }
}

/// An incident with its steps.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Incident)]
pub struct IncidentView<'a> {
    route: &'a str,
    opened: DateTime<Utc>,
    #[schema(required)]
    closed: Option<DateTime<Utc>>,
    alerts: u64,
    #[schema(inline)]
    steps: Vec<StepView<'a>>,
}

impl<'a> From<&'a StoredIncident> for IncidentView<'a> {
    fn from(StoredIncident { route, opened, closed, alerts, steps }: &'a StoredIncident) -> Self {
        let steps = steps.iter().map(StepView::from).collect();
        Self { route, opened: *opened, closed: *closed, alerts: *alerts, steps }
    }
}

#[derive(Debug, Serialize, ToSchema)]
struct StepView<'a> {
    at: DateTime<Utc>,
    kind: &'a str,
    headline: &'a str,
    details: &'a [String],
    /// When Slack took it.
    #[schema(required)]
    sent: Option<DateTime<Utc>>,
}

impl<'a> From<&'a IncidentStep> for StepView<'a> {
    fn from(step: &'a IncidentStep) -> Self {
        let IncidentStep { at, kind, headline, details, sent } = step;
        Self { at: *at, kind, headline, details, sent: *sent }
    }
}
