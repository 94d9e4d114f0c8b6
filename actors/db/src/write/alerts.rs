//! Alerts, and how each route's ladder stands.

use flowlord_domain::NewAlert;
use flowlord_messages::notifier::{Colour, Payload};
use flowlord_messages::write::{AdvanceLadder, IncidentRecord, NewMessage, RaiseAlerts, StepRecord};
use rusqlite::{OptionalExtension as _, params};

use crate::column::{self, micros};
use crate::job::Command;
use crate::store::{Store, Trouble};

impl Command for RaiseAlerts {
    type Answer = ();

    fn apply(&mut self, store: &mut Store<'_>) -> Result<(), Trouble> {
        store.insert_alerts(&self.alerts)
    }
}

impl Command for AdvanceLadder {
    type Answer = ();

    fn apply(&mut self, store: &mut Store<'_>) -> Result<(), Trouble> {
        store
            .connection
            .prepare_cached(
                "INSERT INTO ladder (route, state) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET state = ?2",
            )?
            .execute([&self.route, &self.state])?;
        store.followers.changes.incidents = true;
        store.mark_told(&self.route, self.told_until)?;
        for message in &self.messages {
            store.enqueue(message, self.now)?;
        }
        if let Some(incident) = &self.incident {
            store.upsert_incident(&self.route, incident)?;
            store.insert_step(self, incident)?;
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
        let silence = self.silence_for(alert)?;
        let route = self.route_for(alert)?;
        let route_name = self.route_name(&route)?;
        let at_once = alert.at_once.as_ref().filter(|_| silence.is_none());
        let row = self
            .connection
            .prepare_cached(
                "INSERT INTO alert (kind, at, uid, queue, workflow, told, at_once, task_time, chain, msg, route,
                     silence)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
            )?
            .insert(params![
                column::kind(alert.kind),
                micros(alert.at),
                alert.uid.map(|uid| uid.0),
                queue,
                workflow,
                told || silence.is_some(),
                at_once.is_some(),
                alert.task_time.map(micros),
                alert.id,
                alert.msg,
                route_name,
                silence,
            ])?;
        self.followers.alerted = true;
        if let Some(text) = at_once {
            self.enqueue(&told_at_once(alert, text, route, row), alert.at)?;
        }
        Ok(())
    }

    fn mark_told(&mut self, route: &str, until: i64) -> rusqlite::Result<()> {
        let route = self.route_name(route)?;
        self.connection
            .prepare_cached("UPDATE alert SET told = 1 WHERE told = 0 AND route IS ?1 AND id <= ?2")?
            .execute(params![route, until])
            .map(drop)
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

    /// A step that was stored before stays as it is.
    fn insert_step(&self, advance: &AdvanceLadder, incident: &IncidentRecord) -> Result<(), Trouble> {
        let StepRecord { number, kind, headline, details } = &incident.step;
        let message: Option<i64> = match advance.messages.last() {
            Some(message) => self
                .connection
                .prepare_cached("SELECT id FROM outbox WHERE key = ?1")?
                .query_row([&message.key], |row| row.get(0))
                .optional()?,
            None => None,
        };
        self.connection
            .prepare_cached(
                "INSERT OR IGNORE INTO incident_step (route, opened, step, at, kind, message, headline, details)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            )?
            .execute(params![
                advance.route,
                micros(incident.opened),
                number,
                micros(advance.now),
                kind,
                message,
                headline,
                serde_json::to_string(details).unwrap_or_default()
            ])?;
        Ok(())
    }
}

fn told_at_once(alert: &NewAlert, text: &str, route: String, row: i64) -> NewMessage {
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
        route,
        kind: "alert".to_owned(),
        key: format!("alert:{row}"),
        payload: serde_json::to_string(&payload).unwrap_or_default(),
    }
}
