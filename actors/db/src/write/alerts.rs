//! Alerts, and how each route's ladder stands.

use flowlord_domain::NewAlert;
use flowlord_messages::notifier::{Colour, Payload};
use flowlord_messages::write::{AdvanceLadder, IncidentRecord, NewMessage, RaiseAlerts};
use rusqlite::params;

use crate::column::{self, micros};
use crate::job::Command;
use crate::store::{Store, Trouble};

/// The route that every alert takes.
const DEFAULT_ROUTE: &str = "default";

impl Command for RaiseAlerts {
    type Answer = ();

    fn apply(&mut self, store: &mut Store<'_>) -> Result<(), Trouble> {
        store.insert_alerts(&self.alerts)
    }
}

impl Command for AdvanceLadder {
    type Answer = ();

    fn apply(&mut self, store: &mut Store<'_>) -> Result<(), Trouble> {
        for alert in &self.alerts {
            store.insert_alert(alert, true)?;
        }
        store
            .connection
            .prepare_cached(
                "INSERT INTO ladder (route, state, told_until, unfinished_until) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT DO UPDATE SET state = ?2, told_until = max(told_until, ?3),
                     unfinished_until = max(unfinished_until, ?4)",
            )?
            .execute(params![
                self.route,
                self.state,
                self.told_until,
                self.unfinished_until.map_or(0, micros)
            ])?;
        if let Some(incident) = &self.incident {
            store.upsert_incident(&self.route, incident)?;
        }
        for message in &self.messages {
            store.enqueue(message, self.now)?;
        }
        Ok(())
    }
}

impl Store<'_> {
    /// Stores alerts; those told at once go into the outbox in the same transaction.
    pub(crate) fn insert_alerts(&mut self, alerts: &[NewAlert]) -> Result<(), Trouble> {
        alerts.iter().try_for_each(|alert| self.insert_alert(alert, alert.at_once.is_some()))
    }

    pub(crate) fn insert_alert(&mut self, alert: &NewAlert, told: bool) -> Result<(), Trouble> {
        let queue = self.queue(&alert.topic, &alert.job)?;
        let workflow = self.name(&alert.workflow)?;
        let row = self
            .connection
            .prepare_cached(
                "INSERT INTO alert (kind, at, uid, queue, workflow, told, at_once, task_time, chain, msg)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
            )?
            .insert(params![
                column::kind(alert.kind),
                micros(alert.at),
                alert.uid.map(|uid| uid.0),
                queue,
                workflow,
                told,
                alert.at_once.is_some(),
                alert.task_time.map(micros),
                alert.id,
                alert.msg,
            ])?;
        self.followers.alerted = true;
        if let Some(text) = &alert.at_once {
            self.enqueue(&told_at_once(alert, text, row), alert.at)?;
        }
        Ok(())
    }

    fn upsert_incident(&self, route: &str, incident: &IncidentRecord) -> rusqlite::Result<()> {
        self.connection
            .prepare_cached(
                "INSERT INTO incident (route, opened, closed, alerts) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT DO UPDATE SET closed = ?3, alerts = ?4",
            )?
            .execute(params![
                route,
                micros(incident.opened),
                incident.closed.map(micros),
                incident.alerts.cast_signed()
            ])
            .map(drop)
    }
}

fn told_at_once(alert: &NewAlert, text: &str, row: i64) -> NewMessage {
    let task =
        if alert.job.is_empty() { alert.topic.clone() } else { format!("{}:{}", alert.topic, alert.job) };
    let payload = Payload {
        headline: format!("{task}: {}", if alert.msg.is_empty() { "alert" } else { &alert.msg }),
        lines: text.lines().map(str::to_owned).collect(),
        link: None,
        footer: String::new(),
        colour: Colour::Red,
        incident: None,
    };
    NewMessage {
        route: DEFAULT_ROUTE.to_owned(),
        kind: "alert".to_owned(),
        key: format!("alert:{row}"),
        payload: serde_json::to_string(&payload).unwrap_or_default(),
    }
}
