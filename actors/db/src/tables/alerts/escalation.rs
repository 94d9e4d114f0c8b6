//! How each route's escalation stands.

use flowlord_messages::alerts::{
    AdvanceEscalation, DEFAULT_ROUTE, EscalationInput, IncidentRecord, ReadEscalation, StepRecord, StoredAlert,
};

use super::{ALERT_COLUMNS, stored_alert};
use crate::tables::prelude::*;

/// How many alerts one check takes; the next takes the rest.
const UNTOLD_AT_ONCE: usize = 10_000;

impl WriteCommand for AdvanceEscalation {
    fn apply_to(&self, context: &mut WriteContext<'_>) -> CommandResult<()> {
        context.run_sql(
            "INSERT INTO ladder (route, state) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET state = ?2",
            [&self.route, &self.state],
        )?;
        // SQLite's hook doesn't report tables without row ids.
        context.effects.changes.incidents = true;
        context.mark_alerts_told(&self.route, self.told_until)?;
        for message in &self.messages {
            context.enqueue_message(message, self.now)?;
        }
        if let Some(incident) = &self.incident {
            context.upsert_incident(&self.route, incident)?;
            context.insert_incident_step(self, incident)?;
        }
        Ok(())
    }
}

impl WriteContext<'_> {
    fn mark_alerts_told(&mut self, route: &str, until: i64) -> rusqlite::Result<()> {
        let route = self.route_id(route)?;
        self.run_sql("UPDATE alert SET told = 1 WHERE told = 0 AND route IS ?1 AND id <= ?2", params![route, until])
    }

    fn upsert_incident(&self, route: &str, incident: &IncidentRecord) -> rusqlite::Result<()> {
        self.run_sql(
            "INSERT INTO incident (route, opened, closed, alerts) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT DO UPDATE SET closed = ?3, alerts = ?4",
            params![route, micros(incident.opened), incident.closed.map(micros), incident.alerts.cast_signed()],
        )
    }

    /// A step that was stored before stays as it is.
    fn insert_incident_step(&self, advance: &AdvanceEscalation, incident: &IncidentRecord) -> CommandResult<()> {
        let StepRecord { number, kind, headline, details } = &incident.step;
        // By its key: a command that is sent again finds the message that the first one enqueued.
        let message: Option<i64> = match advance.messages.last() {
            Some(message) => self.find_value("SELECT id FROM outbox WHERE key = ?1", [&message.key])?,
            None => None,
        };
        Ok(self.run_sql(
            "INSERT OR IGNORE INTO incident_step (route, opened, step, at, kind, message, headline, details)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            params![
                advance.route,
                micros(incident.opened),
                number,
                micros(advance.now),
                kind,
                message,
                headline,
                serde_json::to_string(details).unwrap_or_default()
            ],
        )?)
    }
}

impl ReadQuery for ReadEscalation {
    fn read_from(&self, connection: &Connection) -> rusqlite::Result<EscalationInput> {
        let state = connection.find_value("SELECT state FROM ladder WHERE route = ?1", [&self.route])?;
        let untold = read_untold(connection, &self.route)?;
        let newest = untold.last().map_or(0, |alert| alert.row);
        Ok(EscalationInput { state, untold, newest })
    }
}

fn read_untold(connection: &Connection, route: &str) -> rusqlite::Result<Vec<StoredAlert>> {
    if route == DEFAULT_ROUTE {
        let sql = concat!(ALERT_COLUMNS!(), " WHERE told = 0 AND alert.route IS NULL ORDER BY alert.id LIMIT ?1");
        return connection.read_rows(sql, [UNTOLD_AT_ONCE], |row| stored_alert(connection, row));
    }
    let sql = concat!(
        ALERT_COLUMNS!(),
        " WHERE told = 0 AND alert.route = (SELECT id FROM name WHERE text = ?1) ORDER BY alert.id LIMIT ?2"
    );
    connection.read_rows(sql, params![route, UNTOLD_AT_ONCE], |row| stored_alert(connection, row))
}
