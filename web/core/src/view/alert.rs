//! Alerts, silences and incidents as JSON.

use chrono::{DateTime, Utc};
use flowlord_domain::alert::AlertMatcher;
use flowlord_domain::{AlertKind, Uid};
use flowlord_messages::alerts::{AcknowledgedIncident, IncidentStep, StoredAlert, StoredIncident};
use flowlord_messages::silences::Silence;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa::openapi::schema::ObjectBuilder;

use super::time::TimeStamp;
use crate::limits;
use crate::values::matching::MatchDoc;

/// An alert; what it has nothing to say about is left out.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Alert)]
pub struct AlertView<'a> {
    alert: i64,
    #[schema(schema_with = alert_kinds)]
    kind: &'static str,
    #[schema(schema_with = limits::time)]
    at: TimeStamp,
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
    task_time: Option<TimeStamp>,
    /// Told at once, and so not again in a summary.
    at_once: bool,
    route: &'a str,
    /// The silence that kept it from being told.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    silence: Option<i64>,
}

fn alert_kinds() -> ObjectBuilder {
    limits::one_of(AlertKind::ALL.map(AlertKind::as_str))
}

impl<'a> From<&'a StoredAlert> for AlertView<'a> {
    fn from(alert: &'a StoredAlert) -> Self {
        Self {
            alert: alert.row,
            kind: alert.kind.as_str(),
            at: TimeStamp(alert.at),
            uid: alert.uid,
            id: &alert.id,
            r#type: &alert.topic,
            job: &alert.job,
            workflow: &alert.workflow,
            msg: &alert.msg,
            msg_truncated: alert.is_msg_cut,
            task_time: alert.task_time.map(TimeStamp),
            at_once: alert.at_once,
            route: &alert.route,
            silence: alert.silence,
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
    #[schema(schema_with = limits::time)]
    from: TimeStamp,
    #[schema(schema_with = limits::time)]
    until: TimeStamp,
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
            from: TimeStamp(silence.from),
            until: TimeStamp(silence.until),
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
    #[schema(schema_with = limits::time)]
    until: TimeStamp,
    #[schema(inline)]
    items: Vec<TakenView<'a>>,
}

impl<'a> AcknowledgedView<'a> {
    pub fn new(until: DateTime<Utc>, items: Vec<TakenView<'a>>) -> Self {
        Self { until: TimeStamp(until), items }
    }
}

/// What it holds for in one route.
#[derive(Debug, Serialize, ToSchema)]
pub struct TakenView<'a> {
    route: &'a str,
    /// When the incident began.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = limits::time)]
    opened: Option<TimeStamp>,
    tasks: &'a [String],
}

impl<'a> From<&'a AcknowledgedIncident> for TakenView<'a> {
    fn from(AcknowledgedIncident { route, opened, tasks }: &'a AcknowledgedIncident) -> Self {
        Self { route, opened: opened.map(TimeStamp), tasks }
    }
}

/// An incident with its steps.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Incident)]
pub struct IncidentView<'a> {
    route: &'a str,
    #[schema(schema_with = limits::time)]
    opened: TimeStamp,
    #[schema(required, schema_with = limits::time_or_null)]
    closed: Option<TimeStamp>,
    alerts: u64,
    #[schema(inline)]
    steps: Vec<StepView<'a>>,
}

impl<'a> From<&'a StoredIncident> for IncidentView<'a> {
    fn from(StoredIncident { route, opened, closed, alerts, steps }: &'a StoredIncident) -> Self {
        let steps = steps.iter().map(StepView::from).collect();
        Self { route, opened: TimeStamp(*opened), closed: closed.map(TimeStamp), alerts: *alerts, steps }
    }
}

#[derive(Debug, Serialize, ToSchema)]
struct StepView<'a> {
    #[schema(schema_with = limits::time)]
    at: TimeStamp,
    kind: &'a str,
    headline: &'a str,
    details: &'a [String],
    /// When Slack took it.
    #[schema(required, schema_with = limits::time_or_null)]
    sent: Option<TimeStamp>,
}

impl<'a> From<&'a IncidentStep> for StepView<'a> {
    fn from(step: &'a IncidentStep) -> Self {
        let IncidentStep { at, kind, headline, details, sent } = step;
        Self { at: TimeStamp(*at), kind, headline, details, sent: sent.map(TimeStamp) }
    }
}
