//! Alerts and ladders.

use flowlord_domain::Uid;
use flowlord_messages::alerts::DEFAULT_ROUTE;
use flowlord_messages::read::{AlertsByRow, LadderInput, ListAlerts, ReadLadder, StoredAlert};
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use serde_json::json;

use crate::column::{self, micros, time};
use crate::reader::Query;
use crate::row::beginning;

/// How many untold alerts one look takes; the rest is told by the next.
const UNTOLD_AT_ONCE: usize = 10_000;

macro_rules! ALERT_COLUMNS {
    () => {
        "SELECT alert.id, kind, at, alert.uid, chain, topic, job, workflow.text,
             iif(octet_length(msg) > 2048, NULL, msg), task_time, at_once,
             route.text, silence
         FROM alert JOIN queue ON queue.id = alert.queue
         LEFT JOIN name AS workflow ON workflow.id = alert.workflow
         LEFT JOIN name AS route ON route.id = alert.route"
    };
}

fn stored_alert(connection: &Connection, row: &Row<'_>) -> rusqlite::Result<StoredAlert> {
    let id = row.get(0)?;
    let msg: Option<String> = row.get(8)?;
    Ok(StoredAlert {
        row: id,
        kind: column::kind_of(row.get(1)?),
        at: time(row.get(2)?),
        uid: row.get::<_, Option<i64>>(3)?.map(Uid),
        id: row.get(4)?,
        topic: row.get(5)?,
        job: row.get(6)?,
        workflow: row.get::<_, Option<String>>(7)?.unwrap_or_default(),
        is_msg_cut: msg.is_none(),
        msg: msg.map_or_else(|| beginning(connection, "alert", "msg", id), Ok)?,
        task_time: row.get::<_, Option<i64>>(9)?.map(time),
        at_once: row.get(10)?,
        route: row.get::<_, Option<String>>(11)?.unwrap_or_else(|| DEFAULT_ROUTE.to_owned()),
        silence: row.get(12)?,
    })
}

impl Query for ListAlerts {
    type Answer = Vec<StoredAlert>;

    fn read(&self, connection: &Connection) -> rusqlite::Result<Self::Answer> {
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
        let list = |texts: &[String]| (!texts.is_empty()).then(|| json!(texts).to_string());
        let kinds: Vec<i64> = self.filter.kinds.iter().map(|kind| column::kind(*kind)).collect();
        let kinds = (!kinds.is_empty()).then(|| json!(kinds).to_string());
        let values = params![
            micros(self.from),
            micros(self.to),
            self.after,
            self.limit,
            list(&self.filter.topics),
            list(&self.filter.jobs),
            list(&self.filter.workflows),
            kinds
        ];
        connection.prepare_cached(sql)?.query_map(values, |row| stored_alert(connection, row))?.collect()
    }
}

impl Query for AlertsByRow {
    type Answer = Vec<StoredAlert>;

    fn read(&self, connection: &Connection) -> rusqlite::Result<Self::Answer> {
        let sql = concat!(ALERT_COLUMNS!(), " WHERE alert.id = ?1");
        let mut by_row = connection.prepare_cached(sql)?;
        let found = self
            .rows
            .iter()
            .map(|row| by_row.query_row([row], |row| stored_alert(connection, row)).optional());
        found.filter_map(rusqlite::Result::transpose).collect()
    }
}

impl Query for ReadLadder {
    type Answer = LadderInput;

    fn read(&self, connection: &Connection) -> rusqlite::Result<LadderInput> {
        let state = connection
            .prepare_cached("SELECT state FROM ladder WHERE route = ?1")?
            .query_row([&self.route], |row| row.get(0))
            .optional()?;
        let untold = untold(connection, &self.route)?;
        let newest = untold.last().map_or(0, |alert| alert.row);
        Ok(LadderInput { state, untold, newest })
    }
}

fn untold(connection: &Connection, route: &str) -> rusqlite::Result<Vec<StoredAlert>> {
    if route == DEFAULT_ROUTE {
        let sql =
            concat!(ALERT_COLUMNS!(), " WHERE told = 0 AND alert.route IS NULL ORDER BY alert.id LIMIT ?1");
        return connection
            .prepare_cached(sql)?
            .query_map([UNTOLD_AT_ONCE], |row| stored_alert(connection, row))?
            .collect();
    }
    let sql = concat!(
        ALERT_COLUMNS!(),
        " WHERE told = 0 AND alert.route = (SELECT id FROM name WHERE text = ?1) ORDER BY alert.id LIMIT ?2"
    );
    connection
        .prepare_cached(sql)?
        .query_map(params![route, UNTOLD_AT_ONCE], |row| stored_alert(connection, row))?
        .collect()
}
