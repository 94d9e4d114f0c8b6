//! Incidents with what happened in each.

use flowlord_messages::alerts::{
    CountNotifications, IncidentStep, ListIncidents, MAX_COUNTED_STEPS, NotificationCounts, StoredIncident,
};

use crate::tables::prelude::*;

/// How many steps of an incident are shown: the last ones.
const SHOWN_STEPS: usize = 200;

impl ReadQuery for ListIncidents {
    fn read_from(&self, connection: &Connection) -> rusqlite::Result<Self::Answer> {
        let (opened, route) = match &self.after {
            Some((opened, route)) => (micros(*opened), route.as_str()),
            None => (i64::MAX, ""),
        };
        let mut incidents = connection.read_rows(
            "SELECT route, opened, closed, alerts FROM incident INDEXED BY incident_opened
             WHERE opened < ?2 AND (opened, route) < (?3, ?4) AND (closed IS NULL OR closed >= ?1)
             ORDER BY opened DESC, route DESC LIMIT ?5",
            params![micros(self.from), micros(self.to), opened, route, self.limit],
            |row| {
                Ok(StoredIncident {
                    route: row.get(0)?,
                    opened: row.time(1)?,
                    closed: row.optional_time(2)?,
                    alerts: row.count(3)?,
                    steps: Vec::new(),
                })
            },
        )?;
        for incident in &mut incidents {
            incident.steps = read_steps(connection, &incident.route, incident.opened)?;
        }
        Ok(incidents)
    }
}

fn read_steps(connection: &Connection, route: &str, opened: DateTime<Utc>) -> rusqlite::Result<Vec<IncidentStep>> {
    let mut steps = connection.read_rows(
        "SELECT step.at, step.kind, headline, details, iif(skipped, NULL, sent) FROM incident_step AS step
         LEFT JOIN outbox ON outbox.id = step.message
         WHERE step.route = ?1 AND opened = ?2 ORDER BY step DESC LIMIT ?3",
        params![route, micros(opened), SHOWN_STEPS],
        |row| {
            let details: String = row.get(3)?;
            Ok(IncidentStep {
                at: row.time(0)?,
                kind: row.get(1)?,
                headline: row.get(2)?,
                details: serde_json::from_str(&details).unwrap_or_default(),
                sent: row.optional_time(4)?,
            })
        },
    )?;
    // Read from the end, where the limit cuts off what is oldest; shown from the beginning.
    steps.reverse();
    Ok(steps)
}

impl ReadQuery for CountNotifications {
    fn read_from(&self, connection: &Connection) -> rusqlite::Result<Self::Answer> {
        self.incidents.iter().map(|(route, opened)| count_notifications(connection, route, *opened)).collect()
    }
}

fn count_notifications(
    connection: &Connection,
    route: &str,
    opened: DateTime<Utc>,
) -> rusqlite::Result<NotificationCounts> {
    // What was skipped had nobody to go to, or nothing to change: it counts neither as sent nor as waiting.
    let (sent, waiting) = connection.read_row(
        "SELECT count(*) FILTER (WHERE sent IS NOT NULL AND NOT skipped),
             count(*) FILTER (WHERE sent IS NULL)
         FROM outbox WHERE id IN (SELECT message FROM incident_step WHERE route = ?1 AND opened = ?2
                                  ORDER BY step DESC LIMIT ?3)",
        params![route, micros(opened), MAX_COUNTED_STEPS],
        |row| Ok((row.count(0)?, row.count(1)?)),
    )?;
    let next = connection.find_row(
        "SELECT error, retry_at FROM outbox WHERE route = ?1 AND sent IS NULL ORDER BY id LIMIT 1",
        [route],
        |row| Ok((row.get(0)?, row.optional_time(1)?)),
    )?;
    let (error, retry_at) = next.unwrap_or_default();
    Ok(NotificationCounts { sent, waiting, error, retry_at })
}
