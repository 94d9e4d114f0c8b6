//! Alerts, silences and incidents as JSON.

use chrono::{DateTime, Utc};
use flowlord_messages::alerts::{Acknowledged, IncidentStep, StoredAlert, StoredIncident};
use flowlord_messages::silences::Silence;
use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};

use super::time::Stamp;

/// An alert; what it has nothing to say about is left out.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AlertView<'a>(pub(crate) &'a StoredAlert);

impl Serialize for AlertView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let alert = self.0;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("alert", &alert.row)?;
        map.serialize_entry("kind", alert.kind.as_str())?;
        map.serialize_entry("at", &Stamp(alert.at))?;
        if let Some(uid) = &alert.uid {
            map.serialize_entry("uid", uid)?;
        }
        let texts = [
            ("id", &alert.id),
            ("type", &alert.topic),
            ("job", &alert.job),
            ("workflow", &alert.workflow),
            ("msg", &alert.msg),
        ];
        for (name, text) in texts {
            if !text.is_empty() {
                map.serialize_entry(name, text)?;
            }
        }
        if alert.is_msg_cut {
            map.serialize_entry("msg_truncated", &true)?;
        }
        if let Some(at) = alert.task_time {
            map.serialize_entry("task_time", &Stamp(at))?;
        }
        map.serialize_entry("at_once", &alert.at_once)?;
        map.serialize_entry("route", &alert.route)?;
        if let Some(silence) = &alert.silence {
            map.serialize_entry("silence", silence)?;
        }
        map.end()
    }
}

/// A silence as of a time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SilenceView<'a>(pub(crate) &'a Silence, pub(crate) DateTime<Utc>);

impl Serialize for SilenceView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(silence, now) = self;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("id", &silence.id)?;
        map.serialize_entry("match", &silence.matcher)?;
        map.serialize_entry("from", &Stamp(silence.from))?;
        map.serialize_entry("until", &Stamp(silence.until))?;
        map.serialize_entry("by", &silence.by)?;
        map.serialize_entry("reason", &silence.reason)?;
        map.serialize_entry("holds", &(silence.until > *now))?;
        map.end()
    }
}

/// What an acknowledgement holds for.
#[derive(Debug, Serialize)]
pub(crate) struct Taken<'a> {
    until: Stamp,
    items: Vec<TakenView<'a>>,
}

impl<'a> Taken<'a> {
    pub(crate) fn new(until: DateTime<Utc>, items: Vec<TakenView<'a>>) -> Self {
        Self { until: Stamp(until), items }
    }
}

/// What it holds for in one route.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TakenView<'a>(pub(crate) &'a Acknowledged);

impl Serialize for TakenView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("route", &self.0.route)?;
        if let Some(opened) = self.0.opened {
            map.serialize_entry("opened", &Stamp(opened))?;
        }
        map.serialize_entry("tasks", &self.0.tasks)?;
        map.end()
    }
}

/// An incident with its steps.
#[derive(Debug, Clone, Copy)]
pub(crate) struct IncidentView<'a>(pub(crate) &'a StoredIncident);

impl Serialize for IncidentView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let incident = self.0;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("route", &incident.route)?;
        map.serialize_entry("opened", &Stamp(incident.opened))?;
        map.serialize_entry("closed", &incident.closed.map(Stamp))?;
        map.serialize_entry("alerts", &incident.alerts)?;
        map.serialize_entry("steps", &incident.steps.iter().map(StepView::from).collect::<Vec<_>>())?;
        map.end()
    }
}

#[derive(Debug, Serialize)]
struct StepView<'a> {
    at: Stamp,
    kind: &'a str,
    headline: &'a str,
    details: &'a [String],
    /// When Slack took it.
    sent: Option<Stamp>,
}

impl<'a> From<&'a IncidentStep> for StepView<'a> {
    fn from(step: &'a IncidentStep) -> Self {
        let IncidentStep { at, kind, headline, details, sent } = step;
        Self { at: Stamp(*at), kind, headline, details, sent: sent.map(Stamp) }
    }
}
