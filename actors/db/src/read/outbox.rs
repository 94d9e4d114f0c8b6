//! What Slack is to be told, and what it was told.

use flowlord_messages::outbox::{
    MessageFate, Outage, OutboxRow, PendingMessages, ReadMessage, ReadOutages, ReadThreads, RouteWay,
    SlackThread,
};
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::column::{micros, time};
use crate::reader::Query;

impl Query for PendingMessages {
    type Answer = Vec<OutboxRow>;

    /// Steps from route to route along the index, however many messages wait behind the first.
    fn read(&self, connection: &Connection) -> rusqlite::Result<Self::Answer> {
        connection
            .prepare_cached(
                "WITH RECURSIVE waiting (name) AS (
                     SELECT min(route) FROM outbox WHERE sent IS NULL
                     UNION ALL
                     SELECT (SELECT min(route) FROM outbox WHERE sent IS NULL AND route > name)
                     FROM waiting WHERE name IS NOT NULL
                 )
                 SELECT id, at, route, kind, payload, attempts, retry_at, uncertain FROM waiting
                 JOIN outbox ON id IN (SELECT id FROM outbox WHERE sent IS NULL AND route = name
                                       ORDER BY id LIMIT ?1)
                 ORDER BY id",
            )?
            .query_map([self.limit], |row| {
                Ok(OutboxRow {
                    id: row.get(0)?,
                    at: time(row.get(1)?),
                    route: row.get(2)?,
                    kind: row.get(3)?,
                    payload: row.get(4)?,
                    attempts: row.get(5)?,
                    retry_at: row.get::<_, Option<i64>>(6)?.map(time),
                    uncertain: row.get(7)?,
                })
            })?
            .collect()
    }
}

impl Query for ReadOutages {
    type Answer = Vec<RouteWay>;

    fn read(&self, connection: &Connection) -> rusqlite::Result<Self::Answer> {
        connection
            .prepare_cached("SELECT route, since, failures, retry_at FROM slack_outage ORDER BY route")?
            .query_map([], |row| {
                let outage =
                    Outage { since: time(row.get(1)?), failures: row.get(2)?, retry_at: time(row.get(3)?) };
                Ok(RouteWay { route: row.get(0)?, outage: Some(outage) })
            })?
            .collect()
    }
}

impl Query for ReadThreads {
    type Answer = Vec<SlackThread>;

    fn read(&self, connection: &Connection) -> rusqlite::Result<Self::Answer> {
        connection
            .prepare_cached(
                "SELECT route, opened, via, channel, ts, payload FROM slack_thread
                 WHERE route = ?1 AND opened = ?2 ORDER BY via <> route, via",
            )?
            .query_map(params![self.route, micros(self.opened)], |row| {
                Ok(SlackThread {
                    route: row.get(0)?,
                    opened: time(row.get(1)?),
                    via: row.get(2)?,
                    channel: row.get(3)?,
                    ts: row.get(4)?,
                    payload: row.get(5)?,
                })
            })?
            .collect()
    }
}

impl Query for ReadMessage {
    type Answer = Option<MessageFate>;

    fn read(&self, connection: &Connection) -> rusqlite::Result<Self::Answer> {
        connection
            .prepare_cached(
                "SELECT sent, attempts, error, retry_at, uncertain,
                     (SELECT count(*) FROM outbox AS first
                      WHERE first.sent IS NULL AND first.route = outbox.route AND first.id < outbox.id),
                     (SELECT first.error FROM outbox AS first
                      WHERE first.sent IS NULL AND first.route = outbox.route AND first.id < outbox.id
                      ORDER BY first.id LIMIT 1)
                 FROM outbox WHERE id = ?1",
            )?
            .query_row([self.id], |row| {
                Ok(MessageFate {
                    sent: row.get::<_, Option<i64>>(0)?.map(time),
                    attempts: row.get(1)?,
                    error: row.get(2)?,
                    retry_at: row.get::<_, Option<i64>>(3)?.map(time),
                    uncertain: row.get(4)?,
                    ahead: row.get(5)?,
                    first_error: row.get(6)?,
                })
            })
            .optional()
    }
}
