//! Alerts: raised and listed.

mod escalation;
mod incidents;
pub(crate) mod routes;

use flowlord_domain::NewAlert;
use flowlord_domain::alert::contact_line;
use flowlord_domain::summary::{last_line, line_key, log_path};
use flowlord_messages::alerts::{DEFAULT_ROUTE, ListAlerts, RaiseAlerts, ReadAlerts, StoredAlert};
use flowlord_messages::outbox::{MessageColour, MessagePayload, NewMessage};
use serde::Serialize;
use serde_json::json;

use crate::tables::prelude::*;
use crate::tables::tasks::row::read_beginning;

impl WriteCommand for RaiseAlerts {
    fn apply_to(&self, context: &mut WriteContext<'_>) -> CommandResult<()> {
        context.insert_alerts(&self.alerts)
    }
}

impl WriteContext<'_> {
    /// Stores alerts; those told at once go into the outbox in the same transaction.
    pub(crate) fn insert_alerts(&mut self, alerts: &[NewAlert]) -> CommandResult<()> {
        alerts.iter().try_for_each(|alert| self.insert_alert(alert, alert.at_once.is_some()))
    }

    pub(crate) fn insert_alert(&mut self, alert: &NewAlert, told: bool) -> CommandResult<()> {
        let queue = self.queue_id(&alert.topic, &alert.job)?;
        let [workflow, owner, runbook] = [&alert.workflow, &alert.owner, &alert.runbook].map(|text| self.name_id(text));
        let silence = self.find_silence(alert)?;
        let route = self.find_route(alert)?;
        let route_id = self.route_id(&route)?;
        let at_once = alert.at_once.as_ref().filter(|_| silence.is_none());
        let row = self.insert_row(
            "INSERT INTO alert (kind, at, uid, queue, workflow, told, at_once, task_time, chain, msg, route,
                 silence, owner, runbook)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
            params![
                alert.kind.to_column(),
                micros(alert.at),
                alert.uid.map(|uid| uid.0),
                queue,
                workflow?,
                // A silenced alert counts as told: no later check may pick it up when the silence ends.
                told || silence.is_some(),
                at_once.is_some(),
                alert.task_time.map(micros),
                alert.id,
                alert.msg,
                route_id,
                silence,
                owner?,
                runbook?,
            ],
        )?;
        self.effects.has_alerts = true;
        if let Some(text) = at_once {
            self.enqueue_message(&at_once_message(alert, text, route, row), alert.at)?;
        }
        Ok(())
    }
}

fn at_once_message(alert: &NewAlert, text: &str, route: String, row: i64) -> NewMessage {
    let task = line_key(&alert.topic, &alert.job);
    let payload = MessagePayload {
        // The task, with all of its message, is in the lines.
        headline: format!("{task}: {}", last_line(&alert.msg).unwrap_or_else(|| "alert".to_owned())),
        lines: text.lines().map(str::to_owned).collect(),
        // Slack's actor knows the address of the service.
        link: alert.uid.map(log_path),
        footer: contact_line(&alert.owner, &alert.runbook),
        colour: MessageColour::Red,
        incident: None,
    };
    NewMessage {
        route,
        kind: "alert".to_owned(),
        key: format!("alert:{row}"),
        payload: serde_json::to_string(&payload).unwrap_or_default(),
    }
}

/// The start of every query for alerts; the columns that [`stored_alert`] reads.
macro_rules! ALERT_COLUMNS {
    () => {
        "SELECT alert.id, kind, at, alert.uid, chain, topic, job, workflow.text,
             iif(octet_length(msg) > 2048, NULL, msg), task_time, at_once,
             route.text, silence, owner.text, runbook.text
         FROM alert JOIN queue ON queue.id = alert.queue
         LEFT JOIN name AS workflow ON workflow.id = alert.workflow
         LEFT JOIN name AS route ON route.id = alert.route
         LEFT JOIN name AS owner ON owner.id = alert.owner
         LEFT JOIN name AS runbook ON runbook.id = alert.runbook"
    };
}

pub(crate) use ALERT_COLUMNS;

fn stored_alert(connection: &Connection, row: &Row<'_>) -> rusqlite::Result<StoredAlert> {
    let id = row.get(0)?;
    let msg: Option<String> = row.get(8)?;
    Ok(StoredAlert {
        row: id,
        kind: row.enum_value(1)?,
        at: row.time(2)?,
        uid: row.optional_uid(3)?,
        id: row.get(4)?,
        topic: row.get(5)?,
        job: row.get(6)?,
        workflow: row.text_or_empty(7)?,
        is_msg_cut: msg.is_none(),
        msg: msg.map_or_else(|| read_beginning(connection, "alert", "msg", id), Ok)?,
        task_time: row.optional_time(9)?,
        at_once: row.get(10)?,
        route: row.get::<_, Option<String>>(11)?.unwrap_or_else(|| DEFAULT_ROUTE.to_owned()),
        silence: row.get(12)?,
        owner: row.text_or_empty(13)?,
        runbook: row.text_or_empty(14)?,
    })
}

impl ReadQuery for ListAlerts {
    fn read_from(&self, connection: &Connection) -> rusqlite::Result<Self::Answer> {
        // Along the index by time; an alert that is gone left with all that are older.
        let sql = concat!(
            ALERT_COLUMNS!(),
            " WHERE at >= ?1 AND at < ?2
                 AND (?3 IS NULL OR (at, alert.id) < ((SELECT at FROM alert WHERE id = ?3), ?3))
                 AND (?5 IS NULL OR topic IN (SELECT value FROM json_each(?5)))
                 AND (?6 IS NULL OR job IN (SELECT value FROM json_each(?6)))
                 AND (?7 IS NULL OR workflow.text IN (SELECT value FROM json_each(?7)))
                 AND (?8 IS NULL OR kind IN (SELECT value FROM json_each(?8)))
             ORDER BY at DESC, alert.id DESC LIMIT ?4"
        );
        let kinds: Vec<i64> = self.filter.kinds.iter().map(|kind| kind.to_column()).collect();
        let values = params![
            micros(self.from),
            micros(self.to),
            self.after,
            self.limit,
            list_json(&self.filter.topics),
            list_json(&self.filter.jobs),
            list_json(&self.filter.workflows),
            list_json(&kinds)
        ];
        connection.read_rows(sql, values, |row| stored_alert(connection, row))
    }
}

/// A list as `json_each` takes it; none where it doesn't restrict.
fn list_json<T: Serialize>(list: &[T]) -> Option<String> {
    (!list.is_empty()).then(|| json!(list).to_string())
}

impl ReadQuery for ReadAlerts {
    fn read_from(&self, connection: &Connection) -> rusqlite::Result<Self::Answer> {
        let by_row = concat!(ALERT_COLUMNS!(), " WHERE alert.id = ?1");
        let found = self.rows.iter().map(|id| connection.find_row(by_row, [id], |row| stored_alert(connection, row)));
        found.filter_map(rusqlite::Result::transpose).collect()
    }
}
