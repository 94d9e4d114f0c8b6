//! Incidents with what happened in each.

use chrono::{DateTime, Utc};
use flowlord_messages::alerts::{
    CountNotifications, IncidentStep, ListIncidents, MAX_COUNTED_STEPS, Notifications, StoredIncident,
};
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::column::{micros, time};
use crate::reader::Query;

/// How many steps of an incident are shown: the last ones.
const STEPS: usize = 200;

impl Query for ListIncidents {
    type Answer = Vec<StoredIncident>;

    fn read(&self, connection: &Connection) -> rusqlite::Result<Self::Answer> {
        let (opened, route) = match &self.after {
            Some((opened, route)) => (micros(*opened), route.as_str()),
            None => (i64::MAX, ""),
        };
        let mut incidents = connection
            .prepare_cached(
                "SELECT route, opened, closed, alerts FROM incident INDEXED BY incident_opened
                 WHERE opened < ?2 AND (opened, route) < (?3, ?4) AND (closed IS NULL OR closed >= ?1)
                 ORDER BY opened DESC, route DESC LIMIT ?5",
            )?
            .query_map(params![micros(self.from), micros(self.to), opened, route, self.limit], |row| {
                Ok(StoredIncident {
                    route: row.get(0)?,
                    opened: time(row.get(1)?),
                    closed: row.get::<_, Option<i64>>(2)?.map(time),
                    alerts: row.get::<_, i64>(3)?.cast_unsigned(),
                    steps: Vec::new(),
                })
            })?
            .collect::<rusqlite::Result<Vec<_>>>()?;
        for incident in &mut incidents {
            incident.steps = steps(connection, &incident.route, incident.opened)?;
        }
        Ok(incidents)
    }
}

fn steps(connection: &Connection, route: &str, opened: DateTime<Utc>) -> rusqlite::Result<Vec<IncidentStep>> {
    let mut steps = connection
        .prepare_cached(
            "SELECT step.at, step.kind, headline, details, iif(skipped, NULL, sent) FROM incident_step AS step
             LEFT JOIN outbox ON outbox.id = step.message
             WHERE step.route = ?1 AND opened = ?2 ORDER BY step DESC LIMIT ?3",
        )?
        .query_map(params![route, micros(opened), STEPS], |row| {
            let details: String = row.get(3)?;
            Ok(IncidentStep {
                at: time(row.get(0)?),
                kind: row.get(1)?,
                headline: row.get(2)?,
                details: serde_json::from_str(&details).unwrap_or_default(),
                sent: row.get::<_, Option<i64>>(4)?.map(time),
            })
        })?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    steps.reverse();
    Ok(steps)
}

impl Query for CountNotifications {
    type Answer = Vec<Notifications>;

    fn read(&self, connection: &Connection) -> rusqlite::Result<Self::Answer> {
        self.incidents.iter().map(|(route, opened)| notifications(connection, route, *opened)).collect()
    }
}

/// What was skipped had nobody to go to, or nothing to change: it counts neither as sent nor as waiting.
fn notifications(
    connection: &Connection,
    route: &str,
    opened: DateTime<Utc>,
) -> rusqlite::Result<Notifications> {
    let (sent, waiting) = connection
        .prepare_cached(
            "SELECT count(*) FILTER (WHERE sent IS NOT NULL AND NOT skipped), count(*) FILTER (WHERE sent IS NULL)
             FROM outbox WHERE id IN (SELECT message FROM incident_step WHERE route = ?1 AND opened = ?2
                                      ORDER BY step DESC LIMIT ?3)",
        )?
        .query_row(params![route, micros(opened), MAX_COUNTED_STEPS], |row| {
            Ok((row.get::<_, i64>(0)?.cast_unsigned(), row.get::<_, i64>(1)?.cast_unsigned()))
        })?;
    let next = connection
        .prepare_cached(
            "SELECT error, retry_at FROM outbox WHERE route = ?1 AND sent IS NULL ORDER BY id LIMIT 1",
        )?
        .query_row([route], |row| Ok((row.get(0)?, row.get::<_, Option<i64>>(1)?.map(time))))
        .optional()?;
    let (error, retry_at) = next.unwrap_or_default();
    Ok(Notifications { sent, waiting, error, retry_at })
}
